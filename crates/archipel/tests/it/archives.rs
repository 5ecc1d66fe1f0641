//! Images in one file: what we and others save, and what is loaded of it.

use std::process::{Command, Stdio};

use archipel_testkit::{Archipel, OwnRegistry, bases, requires};

use crate::main_job::with_busybox;
use crate::util::{archipel, image, publish};

fn skopeo(args: &[&str]) {
    let output = Command::new("skopeo").args(["--insecure-policy"]).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

fn listed(archipel: &Archipel) -> Vec<String> {
    let lines = archipel.ok(["images", "--format", "{{.Repository}}:{{.Tag}} {{.Digest}} {{.Platforms}}"]);
    lines.lines().map(str::to_owned).collect()
}

#[test]
fn needs_qemu_what_is_saved_is_loaded_elsewhere_with_all_platforms() {
    requires!(userns, qemu);
    let registry = OwnRegistry::start();
    let (here, there) = (with_busybox(registry.address()), archipel());
    here.ok(["pull", "--quiet", "--all-platforms", "busybox"]);
    here.ok(["tag", "busybox", "h.example/second:2"]);
    let file = here.home.path().join("two.tar").display().to_string();
    here.ok(["save", "-o", &file, "busybox", "h.example/second:2"]);
    let loaded = there.ok(["load", "-q", "-i", &file]);
    assert_eq!(loaded, "Loaded image: busybox:latest\nLoaded image: h.example/second:2\n");
    assert_eq!(listed(&there), listed(&here));
    assert_eq!(there.ok(["run", "--rm", "--platform", "linux/arm64", "busybox", "uname", "-m"]).trim(), "aarch64");

    // The same by pipes, compressed, under docker's names.
    let third = archipel();
    let line = format!("{0} docker save busybox | gzip | {0} docker load", env!("CARGO_BIN_EXE_archipel"));
    let mut command = Command::new("sh");
    // Each side in its own home.
    let line = line.replacen("| gzip |", "| gzip | ARCHIPEL_STORE=$THIRD", 1);
    command.args(["-c", &line]).envs(here.home.env()).env("THIRD", third.home.store()).stdout(Stdio::piped());
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stdout.starts_with(b"Loaded image: busybox:latest"), "{output:?}");
    assert_eq!(listed(&third), listed(&here)[..1]);
}

#[test]
fn needs_userns_skopeo_reads_what_is_saved_and_writes_what_is_loaded() {
    requires!(userns, skopeo);
    let archipel = archipel();
    let path = |name: &str| archipel.home.path().join(name).display().to_string();
    // An archive of the time before layouts, from a peer.
    let from = format!("oci:{}", bases("busybox").display());
    skopeo(&["copy", "--override-arch=amd64", &from, &format!("docker-archive:{}:h.example/old:1", path("old.tar"))]);
    assert_eq!(archipel.ok(["load", "-q", "-i", &path("old.tar")]), "Loaded image: h.example/old:1\n");
    assert_eq!(archipel.ok(["run", "--rm", "h.example/old:1", "echo", "runs"]).trim(), "runs");
    archipel.ok(["save", "-o", &path("new.tar"), "h.example/old:1"]);
    for form in ["docker-archive", "oci-archive"] {
        let to = format!("dir:{}", path(form));
        skopeo(&["copy", &format!("{form}:{}", path("new.tar")), &to]);
    }
}

#[test]
fn needs_userns_an_image_that_is_here_in_part_is_saved_in_part() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let (here, there) = (archipel(), archipel());
    let name = publish(&here, &registry, "app:1", &[image("linux/amd64", "a"), image("linux/arm64", "b")]);
    here.ok(["pull", "--quiet", "--platform", "linux/arm64", &name]);
    drop(registry);
    let file = here.home.path().join("part.tar").display().to_string();
    here.ok(["save", "-o", &file, &name]);
    there.ok(["load", "-q", "-i", &file]);
    assert!(listed(&there)[0].ends_with(" linux/arm64"), "{:?}", listed(&there));
    let error = there.run(["save", "-o", &file, "no/such"]).fails(1);
    assert!(error.contains("no/such"), "{error}");
}

#[test]
fn needs_userns_what_is_no_archive_of_images_is_an_error() {
    requires!(userns);
    let archipel = archipel();
    let context = archipel.home.context("c", [("Dockerfile", "FROM scratch\nCOPY Dockerfile /index.json\n")]);
    let tar = archipel.home.path().join("files.tar").display().to_string();
    archipel.ok(["build", "--output", &format!("type=tar,dest={tar}"), &context.display().to_string()]);
    let text = context.join("Dockerfile").display().to_string();
    for (file, message) in [(&tar, "is not an OCI layout"), (&text, "it is no tar")] {
        let error = archipel.run(["load", "-i", file]);
        assert!(error.code() != 0 && error.stderr().contains(message), "{}", error.stderr());
    }
}
