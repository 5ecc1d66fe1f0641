//! An image's life on one machine: bases copied to a registry, built for three platforms, pushed, looked at, run.

use archipel_testkit::{ImageBuilder, OwnRegistry, elf, requires, write_layout};

use crate::util::{archipel, publish, transcript};

const PLATFORMS: [(&str, &str); 3] = [("linux/amd64", "amd64"), ("linux/arm64", "arm64"), ("linux/arm/v7", "arm")];

#[test]
fn needs_qemu_from_bases_to_a_running_container() {
    requires!(userns, qemu);
    let registry = OwnRegistry::start();
    let archipel = archipel();
    let at = |name: &str| format!("{}/{name}", registry.address());

    let bases: Vec<_> = PLATFORMS
        .map(|(platform, architecture)| {
            let shell = elf::program(architecture, &format!("made on {architecture}\n"), 0);
            let hello = elf::program(architecture, &format!("hello from {architecture}\n"), 7);
            let files = [("bin/", 0o755, &b""[..]), ("bin/sh", 0o755, &shell), ("bin/hello", 0o755, &hello)];
            ImageBuilder::new(platform).layer(files).build()
        })
        .into();
    write_layout(&archipel.home.work().join("base"), &bases);
    let _ = archipel.run(["copy", "oci:base", &at("library/base:latest")]).ok();
    archipel.home.mirror_docker_hub(registry.address());

    archipel
        .home
        .context("c", [("Dockerfile", "FROM base\nRUN anything\nCOPY note /\nCMD [\"/bin/hello\"]\n"), ("note", "n")]);
    let platforms = PLATFORMS.map(|(platform, _)| platform).join(",");
    let hello = at("hello:1");
    let build = ["build", "--platform", &platforms, "-t", &hello, "--push", "c"];
    let built = archipel.run(build);
    let told = built.stderr();
    assert_eq!(built.code(), 0, "{}", built.transcript());
    for architecture in ["amd64", "arm64", "arm"] {
        assert!(told.contains(&format!("made on {architecture}")), "{told}");
    }
    let again = archipel.run(build);
    assert!(again.code() == 0 && !again.stderr().contains("made on"), "{}", again.transcript());

    // A layer's size depends on the time that is in it.
    let shown = transcript(&archipel, &archipel.run(["inspect", &hello]));
    let rows: Vec<_> =
        shown.lines().filter(|line| line.starts_with("linux/")).map(|line| line.split_whitespace()).collect();
    let rows: Vec<String> = rows.into_iter().map(|row| row.take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(rows, ["linux/amd64 3", "linux/arm64 3", "linux/arm/v7 3"], "{shown}");
    for (platform, architecture) in PLATFORMS {
        let ran = archipel.run(["run", "--rm", "--platform", platform, &hello]);
        assert_eq!((ran.code(), ran.stdout()), (7, format!("hello from {architecture}\n")), "{}", ran.transcript());
    }
}

#[test]
fn needs_userns_a_step_that_fails_is_shown_with_its_last_words() {
    requires!(userns);
    let archipel = archipel();
    let shell = elf::program("amd64", "no rule to make target\n", 2);
    let base = ImageBuilder::new("linux/amd64").layer([("bin/", 0o755, &b""[..]), ("bin/sh", 0o755, &shell)]).build();
    write_layout(&archipel.home.work().join("base"), &[base]);
    archipel.home.context("c", [("Dockerfile", "FROM base\nRUN make\n")]);
    let failed = archipel.run([
        "build",
        "--progress",
        "quiet",
        "--platform",
        "linux/amd64",
        "--build-context",
        "base=oci-layout://base",
        "c",
    ]);
    insta::assert_snapshot!(transcript(&archipel, &failed), @r#"
    $ archipel build --progress quiet --platform linux/amd64 --build-context base=oci-layout://base c
    ------
    no rule to make target
    ------
    error: [1/2] RUN make on linux/amd64: process "/bin/sh -c make" did not complete successfully: exit code: 2
     --> Dockerfile:2:1
      |
    2 | RUN make
      | ^^^^^^^^
    [exit 1]
    "#);
}

#[test]
fn needs_userns_a_device_that_cannot_be_made_is_said_to_be_one() {
    requires!(userns);
    let archipel = archipel();
    let shell = elf::program("amd64", "mknod: /n: Operation not permitted\n", 1);
    let base = ImageBuilder::new("linux/amd64").layer([("bin/", 0o755, &b""[..]), ("bin/sh", 0o755, &shell)]).build();
    write_layout(&archipel.home.work().join("base"), &[base]);
    archipel.home.context("c", [("Dockerfile", "FROM base\nRUN mknod /n c 1 3\n")]);
    let failed =
        archipel.run(["build", "--platform", "linux/amd64", "--build-context", "base=oci-layout://base", "c"]).stderr();
    assert!(failed.contains("exit code: 1; the kernel makes no devices in a user namespace"), "{failed}");
}

#[test]
fn needs_userns_an_image_that_is_here_is_unpacked_and_one_that_is_not_is_pulled() {
    requires!(userns);
    let (archipel, registry) = (archipel(), OwnRegistry::start());
    let hello = elf::program("amd64", "hello\n", 0);
    let base =
        ImageBuilder::new("linux/amd64").layer([("bin/", 0o755, &b""[..]), ("bin/hello", 0o755, &hello)]).build();
    let name = publish(&archipel, &registry, "base", &[base]);
    let _ = archipel.ok(["pull", "--quiet", &name]);
    let run = |image: &str| archipel.run(["run", "--platform", "linux/amd64", image, "/bin/hello"]).stderr();
    let told = run(&name);
    assert!(told.contains("unpacking") && !told.contains("pulling"), "{told}");

    let other = ImageBuilder::new("linux/amd64").layer([("hello", 0o755, &*hello)]).build();
    let name = publish(&archipel, &registry, "other", &[other]);
    archipel.home.context("c", [("Dockerfile", format!("FROM {name}\nLABEL a=b\nRUN [\"/hello\"]\n"))]);
    let output = "type=oci,tar=false,dest=out";
    let built = archipel.run(["build", "--progress", "plain", "--platform", "linux/amd64", "--output", output, "c"]);
    assert!(built.stderr().contains("pulling"), "{}", built.stderr());
    // An image that is built has a PATH, also on a base without one.
    let blobs = archipel.home.work().join("out/blobs/sha256");
    let text = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read(entry.unwrap().path()).unwrap();
    let path = |blob: Vec<u8>| String::from_utf8_lossy(&blob).contains("\"Env\":[\"PATH=/usr/local/sbin:");
    assert_eq!(std::fs::read_dir(blobs).unwrap().map(text).filter(|blob| path(blob.clone())).count(), 1);
}

#[test]
fn needs_userns_a_base_that_is_nowhere_names_what_was_tried() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = archipel();
    let dockerfile = format!("ARG R={}\nFROM $R/no/such:1\n", registry.address());
    archipel.home.context("c", [("Dockerfile", dockerfile)]);
    let failed = archipel.run(["build", "--progress", "quiet", "c"]);
    insta::assert_snapshot!(transcript(&archipel, &failed), @r"
    $ archipel build --progress quiet c
    error: [REGISTRY]: [REGISTRY]/no/such:1: not found at http://[REGISTRY]/v2/no/such/manifests/1
     --> Dockerfile:2:1
      |
    2 | FROM $R/no/such:1
      | ^^^^^^^^^^^^^^^^^
    [exit 12]
    ");
}
