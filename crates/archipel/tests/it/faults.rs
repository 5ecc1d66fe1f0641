//! Bad input and bad luck: each ends in a clear message, the right exit status, and a store that the next build uses.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use archipel_testkit::{Archipel, ImageBuilder, OwnRegistry, requires, write_layout};

use crate::main_job::with_busybox;

fn dir(archipel: &Archipel, dockerfile: &str) -> String {
    archipel.home.context("app", [("Dockerfile", dockerfile)]).display().to_string()
}

#[test]
fn needs_userns_every_error_of_a_dockerfile_is_reported_with_its_place() {
    requires!(userns);
    let archipel = Archipel::new(env!("CARGO_BIN_EXE_archipel"));
    let dir = dir(&archipel, "FROM scratch\nRNU make\nCOPY onlyone\nEXPOZE 80\n");
    let error = archipel.run(["build", &dir]).fails(1);
    for part in ["Dockerfile:2", "RNU", "RUN", "Dockerfile:3", "COPY", "Dockerfile:4", "EXPOSE"] {
        assert!(error.contains(part), "no {part} in\n{error}");
    }
}

#[test]
fn needs_userns_a_missing_base_names_what_was_tried() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let dir = dir(&archipel, &format!("FROM {}/no/such:tag\n", registry.address()));
    let error = archipel.run(["build", &dir]).fails(12);
    assert!(error.contains(&format!("{}/no/such:tag", registry.address())), "{error}");
    assert!(error.contains("not found"), "{error}");
}

#[test]
fn needs_userns_a_platform_that_the_base_lacks_lists_those_it_has() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let dir = dir(&archipel, "FROM busybox\n");
    let error = archipel.run(["build", "--platform", "linux/s390x", &dir]);
    let error = error.stderr();
    for part in ["linux/s390x", "linux/amd64", "linux/arm64", "linux/arm/v7"] {
        assert!(error.contains(part), "no {part} in\n{error}");
    }
}

#[test]
fn needs_userns_a_failing_run_shows_its_last_lines_and_its_status() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let dir = dir(&archipel, "FROM busybox\nRUN echo about to break; exit 42\n");
    let error = archipel.run(["build", "--progress", "plain", &dir]).fails(1);
    assert!(error.contains("about to break") && error.contains("exit code: 42"), "{error}");
}

#[test]
fn needs_qemu_a_crash_under_emulation_is_tried_again_once() {
    requires!(userns, qemu);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    // 139 is how a shell says that what it ran was killed by SIGSEGV.
    let crash = "FROM busybox\nRUN --mount=type=cache,id=crash,target=/c [ -e /c/twice ] || \
                 { [ -e /c/once ] && touch /c/twice || touch /c/once; exit 139; }\n";
    let dir = dir(&archipel, crash);
    let build = ["build", "--platform", "linux/arm64", "--progress", "plain", &dir];
    let error = archipel.run(build).fails(1);
    assert!(error.contains("tried once more") && error.contains("often QEMU's doing"), "{error}");
    archipel.ok(build);
}

#[test]
fn needs_userns_killed_at_any_point_a_build_leaves_a_store_that_works() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let mark = format!("{}", 86400 + std::process::id());
    let dir = dir(&archipel, &format!("FROM busybox\nRUN echo one > /one\nRUN sleep {mark}; true\n"));
    for delay in [5, 30, 80, 200, 600] {
        let mut build = archipel.command(["build", &dir]);
        let mut child = build.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        wait_until(|| !running(&mark), "the step's process outlived its build");
    }
    archipel.home.context("app", [("Dockerfile", "FROM busybox\nRUN echo one > /one\n")]);
    archipel.ok(["build", &dir]);
    let left = std::fs::read_dir(archipel.home.store().join("work")).unwrap().count();
    assert_eq!(left, 0, "drafts of dead builds stay");
}

#[test]
fn needs_userns_ctrl_c_stops_a_build_and_its_processes() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let mark = format!("{}", 186_400 + std::process::id());
    let dir = dir(&archipel, &format!("FROM busybox\nRUN sleep {mark}; true\n"));
    let child = archipel.command(["build", &dir]).stderr(Stdio::piped()).spawn().unwrap();
    wait_until(|| running(&mark), "the step never began");
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    wait_until(|| !running(&mark), "the step's process outlived its build");
}

#[test]
fn needs_userns_a_registry_that_is_away_loses_nothing() {
    requires!(userns);
    let bases = OwnRegistry::start();
    let archipel = with_busybox(bases.address());
    let mut target = OwnRegistry::start();
    let name = format!("{}/app:latest", target.address());
    let dir = dir(&archipel, "FROM busybox\nRUN echo x > /x\n");
    target.stop();
    let error = archipel.run(["build", "-t", &name, "--push", &dir]).fails(11);
    assert!(error.contains(target.address()), "{error}");
    assert!(archipel.ok(["images"]).contains(target.address()), "the image is not in the store");
}

#[test]
fn needs_userns_a_full_disk_is_named_and_the_store_works_again() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let dir = dir(&archipel, "FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M count=64\n");
    // A small file system of its own, in a mount namespace that goes with the shell.
    let script = "mount -t tmpfs -o size=16m tmpfs \"$XDG_DATA_HOME\" && \
                  ! \"$0\" build --progress plain \"$1\" && printf 'FROM busybox\\nRUN echo small > /x\\n' > \"$1/Dockerfile\" && \
                  \"$0\" build \"$1\"";
    let archipel_bin = env!("CARGO_BIN_EXE_archipel");
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, archipel_bin, &dir])
        .envs(archipel.home.env())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    assert!(error.to_lowercase().contains("no space left"), "{error}");
}

#[test]
fn needs_userns_an_image_that_reaches_outside_its_root_does_not() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = Archipel::new(env!("CARGO_BIN_EXE_archipel"));
    let outside = archipel.home.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let target = outside.display().to_string();
    let mut tar = Vec::new();
    link(&mut tar, "escape", &target);
    file(&mut tar, "escape/planted", b"x");
    file(&mut tar, "../../../../../../../../tmp/archipel-planted", b"x");
    tar.extend([0; 1024]);
    let image = ImageBuilder::new("linux/amd64").tar_layer(tar).build();
    let layout = archipel.home.path().join("layout");
    write_layout(&layout, &[image]);
    let name = format!("{}/evil:latest", registry.address());
    archipel.ok(["copy", &format!("oci:{}", layout.display()), &name]);
    let dir = dir(&archipel, &format!("FROM {name}\nCOPY Dockerfile /escape/also\n"));
    // Whether it is refused or contained, nothing lands outside.
    let _ =
        archipel.run(["build", "-o", &format!("type=local,dest={}", archipel.home.path().join("out").display()), &dir]);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert!(!std::path::Path::new("/tmp/archipel-planted").exists());
}

fn header(tar: &mut Vec<u8>, name: &str, kind: u8, link: &str, size: usize) {
    let mut block = [0u8; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..107].copy_from_slice(b"0000644");
    block[108..115].copy_from_slice(b"0000000");
    block[116..123].copy_from_slice(b"0000000");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[136..147].copy_from_slice(b"00000000000");
    block[148..156].copy_from_slice(b"        ");
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link.as_bytes());
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    tar.extend(block);
}

fn link(tar: &mut Vec<u8>, name: &str, target: &str) {
    header(tar, name, b'2', target, 0);
}

fn file(tar: &mut Vec<u8>, name: &str, content: &[u8]) {
    header(tar, name, b'0', "", content.len());
    tar.extend(content);
    tar.extend(vec![0; (512 - content.len() % 512) % 512]);
}

/// Whether a process with this in its arguments runs: the marks are numbers that no other test uses.
pub(crate) fn running(mark: &str) -> bool {
    let sleeps = |entry: std::fs::DirEntry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let text = String::from_utf8_lossy(&line).into_owned();
        text.starts_with("sleep\0") && text.contains(mark)
    };
    std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).any(sleeps)
}

pub(crate) fn wait_until(mut condition: impl FnMut() -> bool, otherwise: &str) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{otherwise}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
