//! `RUN --device`: what a process gets of the machine's devices, and who may have them.

use archipel_testkit::{Archipel, OwnRegistry, requires};

use crate::main_job::with_busybox;
use crate::util::transcript;

/// A home whose configuration names a folder with two specs, one of which every build may use.
fn with_devices(registry: &str) -> Archipel {
    let archipel = with_busybox(registry);
    let folder = archipel.home.path().join("cdi");
    let seen = archipel.home.path().join("seen");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(&seen, "from the machine\n").unwrap();
    let device = format!(
        "cdiVersion: 0.6.0\nkind: vendor.com/thing\ndevices:\n- name: one\n  containerEdits:\n    env: [THING=one, PATH=/bin]\n    additionalGids: [44]\n    \
         deviceNodes: [{{path: /dev/thing/one, hostPath: /dev/null}}]\n    \
         mounts: [{{hostPath: {}, containerPath: /opt/seen, options: [ro, bind]}}]\n",
        seen.display()
    );
    std::fs::write(folder.join("thing.yaml"), device).unwrap();
    let free = r#"{"cdiVersion": "0.6.0", "kind": "vendor.com/free", "devices": [{"name": "env", "containerEdits": {"env": ["FREE=1"]}}],
        "annotations": {"org.mobyproject.buildkit.device.autoallow": "true"}}"#;
    std::fs::write(folder.join("free.json"), free).unwrap();
    std::fs::write(folder.join("broken.json"), "{").unwrap();
    archipel.home.write_config(&format!(
        "[registry.\"docker.io\"]\nmirrors = [{registry:?}]\n[cdi]\nspecDirs = [{:?}]\n",
        folder.display().to_string()
    ));
    archipel
}

fn context(archipel: &Archipel, run: &str) -> String {
    archipel.home.context("device", [("Dockerfile", format!("FROM busybox\n{run}\n"))]).display().to_string()
}

#[test]
fn needs_userns_a_device_brings_its_variables_its_files_and_its_node() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = with_devices(registry.address());
    let context = context(
        &archipel,
        "RUN --device=vendor.com/thing=one,required --device=vendor.com/free --device=vendor.com/none \\\n\
         test -c /dev/thing/one && echo gone > /dev/thing/one && (echo $THING $FREE $PATH; cat /opt/seen) > /got && \\\n\
         id -G | grep -qw 44 && ! echo more >> /opt/seen",
    );
    let out = archipel.home.path().join("out");
    let output = format!("type=local,dest={}", out.display());
    let build = ["build", "--allow", "device=vendor.com/thing", "--output", &output, &context];
    let finished = archipel.run(build);
    assert_eq!(finished.code(), 0, "{}", finished.stderr());
    assert!(finished.stderr().contains("broken.json: this is not JSON"), "{}", finished.stderr());
    let got = std::fs::read_to_string(out.join("got")).unwrap();
    assert_eq!(got, "one 1 /bin\nfrom the machine\n");
    // Nothing of it is in the image, not even the place where it was.
    assert!(!out.join("opt").exists() && !out.join("dev/thing").exists());

    // The device's name is in the key, and what it brings is not.
    std::fs::write(archipel.home.path().join("seen"), "other\n").unwrap();
    archipel.ok(build);
    assert_eq!(std::fs::read_to_string(out.join("got")).unwrap(), got);
    let explained = archipel.ok(["build", "--explain", "--allow", "device", &context]);
    assert!(explained.contains("that it has the device vendor.com/thing=one"), "{explained}");
}

#[test]
fn needs_userns_a_device_that_is_not_allowed_or_not_there_is_told_where_it_is_asked_for() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = with_devices(registry.address());
    std::fs::remove_file(archipel.home.path().join("cdi/broken.json")).unwrap();
    let dir = context(&archipel, "RUN --device=vendor.com/thing=one true");
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["build", "--quiet", &dir])), @r"
    $ archipel build --quiet [HOME]/work/device
    error[not-allowed]: device vendor.com/thing=one is requested by the build but not allowed
     --> Dockerfile:2:1
      |
    2 | RUN --device=vendor.com/thing=one true
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: build with --allow device=vendor.com/thing=one to permit it

    error: Dockerfile has 1 error
    [exit 1]
    ");
    let dir = context(&archipel, "RUN --device=vendor.com/other,required true");
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["build", "--quiet", "--allow=device", &dir])), @r#"
    $ archipel build --quiet --allow=device [HOME]/work/device
    error[no-device]: required device "vendor.com/other" is not registered: in [HOME]/cdi there are vendor.com/free, vendor.com/thing
     --> Dockerfile:2:1
      |
    2 | RUN --device=vendor.com/other,required true
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: put a CDI spec that describes it into one of these folders, or leave out `required`

    error: Dockerfile has 1 error
    [exit 1]
    "#);
    let dir = context(&archipel, "RUN --device=vendor.com/thing=one true");
    std::fs::remove_file(archipel.home.path().join("seen")).unwrap();
    let error = archipel.run(["build", "--quiet", "--allow=device", &dir]).stderr();
    assert!(error.contains("seen: No such file or directory"), "{error}");
}
