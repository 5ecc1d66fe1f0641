//! A real userland: busybox, of the base images that `cargo xtask bases` makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use archipel_sandbox::emulation::{Emulation, Support};
use archipel_sandbox::{Exit, Request, Rootfs, spawn};

use crate::Test;
use crate::rig::{self, Rig};

pub(crate) const TESTS: &[Test] = &[
    ("needs_userns_a_shell", shell),
    ("needs_userns_a_killed_process_takes_all_with_it", killed),
    ("needs_qemu_a_foreign_shell", foreign_shell),
];

/// Unpacks busybox for an architecture; false where the images have not been made.
fn unpack(architecture: &str, into: &Path) -> bool {
    let dir = std::env::var_os("ARCHIPEL_TEST_BASES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bases"), PathBuf::from);
    let layout = dir.join("busybox");
    if !layout.exists() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no base images: run cargo xtask bases target/bases");
        return false;
    }
    let read = |path: PathBuf| -> serde_json::Value {
        let text =
            fs::read(&path).unwrap_or_else(|_| panic!("no {}: run cargo xtask bases target/bases", path.display()));
        serde_json::from_slice(&text).unwrap()
    };
    let blob = |descriptor: &serde_json::Value| {
        layout.join("blobs/sha256").join(descriptor["digest"].as_str().unwrap().trim_start_matches("sha256:"))
    };
    let index = read(blob(&read(layout.join("index.json"))["manifests"][0]));
    let children = index["manifests"].as_array().unwrap();
    let child = children.iter().find(|m| m["platform"]["architecture"] == architecture).unwrap();
    let layer = blob(&read(blob(child))["layers"][0]);
    fs::create_dir_all(into).unwrap();
    let status = std::process::Command::new("tar").arg("-xzf").arg(layer).arg("-C").arg(into).status().unwrap();
    assert!(status.success());
    true
}

/// A request for a script; none where there are no base images.
fn script(rig: &Rig, architecture: &str, script: &str) -> Option<Request> {
    let base = rig.path(architecture);
    if !base.exists() && !unpack(architecture, &base) {
        eprintln!("skipped: no base images: run cargo xtask bases target/bases");
        return None;
    }
    let rootfs = Rootfs::Overlay { lower: vec![base], upper: rig.path("upper"), work: rig.path("work") };
    let argv = ["sh", "-c", script].map(Into::into).to_vec();
    Some(Request { rootfs, argv, ..Request::default() })
}

fn native() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

fn shell() {
    let rig = Rig::new();
    let Some(request) = script(&rig, native(), "echo hello | cat; echo $HOME; pwd; exit 42") else { return };
    let (exit, out, err) = rig::run(&request).unwrap();
    assert_eq!((exit, out.as_str()), (Exit::Code(42), "hello\n/root\n/\n"), "{err}");
    let Some(request) =
        script(&rig, native(), "mount -t tmpfs x /tmp || unshare -U true || umount /dev || echo refused")
    else {
        return;
    };
    assert_eq!(rig::ok(&request), "refused\n");
}

fn killed() {
    let rig = Rig::new();
    let mark = format!("{}", 500_000 + std::process::id());
    let Some(request) = script(&rig, native(), &format!("sleep {mark} & sleep {mark}")) else { return };
    let running = spawn(&request, Stdio::null(), Stdio::null(), Stdio::null()).unwrap();
    let killer = running.killer().unwrap();
    let alive = || {
        let has = |e: fs::DirEntry| {
            String::from_utf8_lossy(&fs::read(e.path().join("cmdline")).unwrap_or_default()).contains(&mark)
        };
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(Result::ok)
            .filter(|e| e.file_name() != *std::process::id().to_string())
            .any(has)
    };
    while !alive() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    killer.kill();
    assert_eq!(running.wait().unwrap(), Exit::Signal(9));
    for _ in 0..400 {
        if !alive() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("a process of the sandbox outlived it");
}

fn foreign_shell() {
    let rig = Rig::new();
    let emulation = Emulation::set_up(&[]).unwrap();
    for (name, machine) in [("arm64", "aarch64\n"), ("arm", "armv7l\n")] {
        if !matches!(emulation.support(name, None), Support::Emulated { .. }) {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "no emulator for {name}");
            continue;
        }
        // Busybox runs its applets by their names: argv[0] has to come through.
        let Some(request) = script(&rig, name, "uname -m | cat") else { return };
        assert_eq!(rig::ok(&request), machine);
    }
}
