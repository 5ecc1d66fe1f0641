//! Frontends that do not do what they should, and what a person is told then.

use std::process::{Command, Stdio};
use std::time::Instant;

use archipel_oci::Platform;
use archipel_testkit::{ImageBuilder, requires};

use super::Stage;
use crate::faults::{running, wait_until};
use crate::util::publish_alone;

#[test]
fn needs_userns_what_a_frontend_finds_wrong_is_shown_where_it_is() {
    requires!(userns);
    let stage = Stage::new();
    let built = |lines: &str| {
        stage.text(lines);
        stage.transcript(&stage.archipel.run(["build", "--quiet", "c"]))
    };
    insta::assert_snapshot!(built("scratch\nfail for a reason\n"), @r"
    $ archipel build --quiet c
    error: the frontend lang:latest: for a reason
     --> Dockerfile:3:1
      |
    3 | fail for a reason
      | ^^^^^^^^^^^^^^^^^
    [exit 1]
    ");
    // So is what it was told to be wrong.
    insta::assert_snapshot!(built("image busybox\nshell exit 42\nread /x /y\n"), @r#"
    $ archipel build --quiet c
    error: shell exit 42 on [HOST]: process "/bin/sh -c exit 42" did not complete successfully: exit code: 42
     --> Dockerfile:3:1
      |
    3 | shell exit 42
      | ^^^^^^^^^^^^^
    [exit 1]
    "#);
    // And what fails when it has long ended.
    insta::assert_snapshot!(built("image busybox\nshell exit 42\n"), @r#"
    $ archipel build --quiet c
    error: shell exit 42 on [HOST]: process "/bin/sh -c exit 42" did not complete successfully: exit code: 42
     --> Dockerfile:3:1
      |
    3 | shell exit 42
      | ^^^^^^^^^^^^^
    [exit 1]
    "#);
    insta::assert_snapshot!(built(&format!("image {}/nothing:1\n", stage.registry.address())), @r"
    $ archipel build --quiet c
    error: [REGISTRY]: [REGISTRY]/nothing:1: not found at http://[REGISTRY]/v2/nothing/manifests/1
     --> Dockerfile:2:1
      |
    2 | image [REGISTRY]/nothing:1
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    [exit 12]
    ");
    insta::assert_snapshot!(built("scratch\nread /none /x\n"), @r"
    $ archipel build --quiet c
    error: open /none: No such file or directory (os error 2)
     --> Dockerfile:3:1
      |
    3 | read /none /x
      | ^^^^^^^^^^^^^
    [exit 1]
    ");
    insta::assert_snapshot!(built("scratch\nrm /none\n"), @r"
    $ archipel build --quiet c
    error: rm /none on [HOST]: remove /none: no such file or directory
     --> Dockerfile:3:1
      |
    3 | rm /none
      | ^^^^^^^^
    [exit 1]
    ");
}

#[test]
fn needs_userns_warnings_are_passed_on() {
    requires!(userns);
    let stage = Stage::new();
    let log = stage.build("scratch\nwarn mind the gap\nfile /f f\n", &[]);
    // As it is found, and in the list.
    let told = ["WARNING: mind the gap\n", " - mind the gap\n"].map(|line| log.stderr().matches(line).count());
    assert_eq!((log.code(), told), (0, [1, 1]), "{}", log.stderr());
    // Each step of the frontend's own has its name.
    for name in
        ["#1 [internal] load metadata for ", "#2 pulling lang:latest for ", "#3 [internal] frontend lang:latest\n"]
    {
        assert!(log.stderr().contains(name), "{}", log.stderr());
    }
}

#[test]
fn needs_userns_an_image_that_is_no_frontend_is_told() {
    requires!(userns);
    let stage = Stage::new();
    let with = |name: &str, entrypoint: &[&str]| {
        let words = entrypoint.iter().map(|word| (*word).to_owned()).collect();
        let image = ImageBuilder::new(&Platform::host().to_string())
            .config(|config| config.config.entrypoint = Some(words))
            .layer([("program", 0o755, &archipel_testkit::elf::program(host(), "garbage\n", 0)[..])])
            .build();
        publish_alone(&stage.archipel, &stage.registry, &format!("library/{name}:latest"), &image);
    };
    with("garbage", &["/program"]);
    with("nothing", &["/none"]);
    let build = |image: &str| {
        stage.archipel.home.context("c", [("Dockerfile", format!("# syntax={image}\n"))]);
        stage.archipel.run(["build", "--quiet", "c"])
    };
    let told = build("garbage").fails(1);
    assert!(told.contains("the frontend garbage:latest cannot be understood: it does not speak"), "{told}");
    insta::assert_snapshot!(stage.transcript(&build("nothing")), @r"
    $ archipel build --quiet c
    error: the frontend nothing:latest cannot be run: exec /none: no such file or directory
    [exit 1]
    ");
    insta::assert_snapshot!(stage.transcript(&build(&format!("{}/absent:1", stage.registry.address()))), @r"
    $ archipel build --quiet c
    error: [REGISTRY]: [REGISTRY]/absent:1: not found at http://[REGISTRY]/v2/absent/manifests/1
     --> Dockerfile:1:10
      |
    1 | # syntax=[REGISTRY]/absent:1
      |          ^^^^^^^^^^^^^^^^^^^^^^^^
    [exit 12]
    ");
}

fn host() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

#[test]
fn needs_userns_a_frontend_that_ends_without_a_word_is_told_even_in_the_middle_of_a_step() {
    requires!(userns);
    let stage = Stage::new();
    let told = stage.build("scratch\nexit\n", &[]).fails(1);
    assert!(told.contains("the frontend lang:latest ended and has not said what to build"), "{told}");
    let mark = format!("{}", 186_400 + std::process::id());
    let begun = Instant::now();
    let told = stage.build(&format!("image busybox\nexit 1\nshell sleep {mark}; true\nread /a /b\n"), &[]).fails(1);
    assert!(told.contains("has not said what to build") && begun.elapsed().as_secs() < 60, "{told}");
    wait_until(|| !running(&mark), "the step outlived its build");
}

#[test]
fn needs_userns_a_frontend_that_does_not_end_is_ended() {
    requires!(userns);
    let stage = Stage::new();
    let found = stage.file("scratch\nfile /f f\n", "f", &["--build-arg=LINGER=1"]);
    assert_eq!(found, "f\n");
    assert!(!stage.has_frontend());
}

#[test]
fn needs_userns_a_frontend_is_only_asked_what_its_image_says_it_can_do() {
    requires!(userns);
    let stage = Stage::with(&[]);
    let told = stage.build("scratch\n", &["--build-context=a=."]).fails(2);
    let reason = "the frontend lang:latest does not know --build-context: the label moby.buildkit.frontend.caps of its image does not name \
                  moby.buildkit.frontend.contexts; leave it out, or take a version that does";
    assert!(told.contains(reason), "{told}");
    for flag in ["--call=outline", "--check"] {
        let told = stage.build("scratch\n", &[flag]).fails(2);
        assert!(told.contains("the frontend lang:latest does not know --call"), "{told}");
    }
}

#[test]
fn needs_userns_ctrl_c_stops_a_frontend_and_what_it_waits_for() {
    requires!(userns);
    let stage = Stage::new();
    let mark = format!("{}", 286_400 + std::process::id());
    // In its own time, and in that of a step.
    for lines in ["scratch\nwait\n".to_owned(), format!("image busybox\nshell sleep {mark}; true\nread /a /b\n")] {
        let context = stage.text(&lines);
        let mut command = stage.archipel.command(["build", "--progress=plain", &context]);
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        wait_until(|| stage.has_frontend() && (running(&mark) || !lines.contains(&mark)), "it never began");
        let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(status.success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
        wait_until(|| !running(&mark) && !stage.has_frontend(), "a process outlived its build");
    }
}
