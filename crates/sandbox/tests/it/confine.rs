//! What a process must not be able to do, and what a hostile image must not make us do.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use archipel_sandbox::{Error, Exit, Mount, Request};

use crate::Test;
use crate::rig::{self, Rig};

pub(crate) const TESTS: &[Test] = &[
    ("needs_userns_capabilities_are_docker_s", capabilities),
    ("needs_userns_system_calls_are_filtered", filter),
    ("needs_userns_the_kernel_s_files_are_masked", masked),
    ("needs_userns_our_own_program_cannot_be_changed", own_program),
    ("needs_userns_devices", devices),
    ("needs_userns_mount_targets_stay_in_the_root", targets),
    ("needs_userns_working_folder_stays_in_the_root", working_folder),
    ("needs_userns_account_files_may_be_anything", accounts),
];

fn capabilities() {
    let rig = Rig::new();
    let field = |status: &str, name: &str| {
        status.lines().find_map(|l| l.strip_prefix(name)).map(|v| v.trim().to_owned()).unwrap_or_default()
    };
    let status = rig.ok(&["cat", "/proc/self/status"]);
    for (name, value) in [
        ("CapBnd:", "00000000a80425fb"),
        ("CapPrm:", "00000000a80425fb"),
        ("CapEff:", "00000000a80425fb"),
        ("CapInh:", "0000000000000000"),
        ("CapAmb:", "0000000000000000"),
        ("NoNewPrivs:", "0"),
        ("Seccomp:", "2"),
    ] {
        assert_eq!(field(&status, name), value, "{name}");
    }
    let status = rig::ok(&Request { privileged: true, ..rig.request(&["cat", "/proc/self/status"]) });
    assert_eq!(field(&status, "Seccomp:"), "0");
    assert!(field(&status, "CapEff:").ends_with("ffffffff"), "{status}");
    if fs::read_to_string("/proc/self/uid_map").unwrap().lines().count() > 1 {
        let status = rig::ok(&Request { user: "5".into(), ..rig.request(&["cat", "/proc/self/status"]) });
        assert_eq!(field(&status, "CapEff:"), "0000000000000000");
        assert_eq!(field(&status, "CapBnd:"), "00000000a80425fb");
    }
}

fn filter() {
    let rig = Rig::new();
    let (denied, absent) = (1, 38); // EPERM, ENOSYS
    let expected = format!(
        "fsopen {denied}\nunshare {denied}\nclone3 {absent}\nkeyctl {denied}\npersonality 0\nvsock {denied}\nunknown {absent}"
    );
    assert_eq!(rig.ok(&["forbidden"]), expected);
}

fn masked() {
    let rig = Rig::new();
    for path in ["/proc/kcore", "/proc/keys", "/proc/timer_list"] {
        if fs::exists(path).unwrap() {
            assert_eq!(rig.ok(&["cat", path]), "", "{path}");
        }
    }
    for path in ["/proc/scsi", "/sys/firmware"] {
        if fs::exists(path).unwrap() {
            assert_eq!(rig.ok(&["ls", path]), "", "{path}");
        }
    }
    for path in ["/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/sys/kernel/mm/transparent_hugepage/enabled"] {
        if !fs::exists(path).unwrap() {
            continue;
        }
        let (exit, _, err) = rig::run(&rig.request(&["write", path, "x"])).unwrap();
        assert!(exit == Exit::Code(1) && err.contains("Read-only"), "{path}: {err}");
    }
    // Every mount below /sys, cgroups among them.
    let mounts = rig.ok(&["cat", "/proc/self/mounts"]);
    let writable = mounts.lines().filter(|l| l.contains(" /sys") && !l.contains(" ro,")).collect::<Vec<_>>();
    assert!(writable.is_empty(), "{writable:?}");
    // It is pid 1, and sees nobody else.
    let seen = rig.ok(&["ls", "/proc"]);
    assert_eq!(seen.lines().filter(|n| n.parse::<u32>().is_ok()).collect::<Vec<_>>(), ["1"]);
    // Nothing of the host is mounted.
    assert!(!mounts.contains("/old"), "{mounts}");
    assert_eq!(mounts.lines().filter(|l| l.split(' ').nth(1) == Some("/")).count(), 1, "{mounts}");
}

/// The way of CVE-2019-5736: an image whose interpreter is the program that starts containers.
fn own_program() {
    let rig = Rig::new();
    rig.file("lower/script", "#!/proc/self/exe inside\n");
    fs::set_permissions(rig.path("lower/script"), fs::Permissions::from_mode(0o755)).unwrap();
    let argv = vec!["/script".into(), "touch-self".into()];
    let (exit, _, err) = rig::run(&Request { argv, ..rig.request(&[]) }).unwrap();
    assert!(exit == Exit::Code(1) && err.contains("Read-only"), "{exit:?} {err}");
}

fn devices() {
    let rig = Rig::new();
    let dev = rig.ok(&["ls", "/dev"]);
    let expected = [
        "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom",
        "zero",
    ];
    for name in expected {
        assert!(dev.lines().any(|n| n == name), "{name} in {dev}");
    }
    rig.ok(&["write", "/dev/null", "x"]);
    assert!(rig.ok(&["stat", "/dev/shm"]).starts_with("1777"));
}

fn targets() {
    let rig = Rig::new();
    rig.file("outside/kept", "kept");
    let outside = rig.path("outside");
    symlink(&outside, rig.path("lower/absolute")).unwrap();
    symlink("../../../../../../../..", rig.path("lower/up")).unwrap();
    symlink("/proc/self/root", rig.path("lower/magic")).unwrap();
    symlink("/proc/self/fd", rig.path("lower/descriptors")).unwrap();
    symlink("loop", rig.path("lower/loop")).unwrap();
    let try_target = |target: &str| {
        let file = Mount::File {
            target: target.into(),
            content: b"inside".to_vec(),
            mode: 0o644,
            uid: 0,
            gid: 0,
            read_only: false,
        };
        rig::run(&Request { mounts: vec![file], ..rig.request(&["cat", target]) })
    };
    // A link means what it means inside the root, so the target is made there.
    for target in ["/absolute/new", "/up/new", "/../../new", "/absolute/deep/new"] {
        let (exit, out, err) = try_target(target).unwrap();
        assert_eq!((exit, out.as_str()), (Exit::Code(0), "inside"), "{target}: {err}");
    }
    for target in ["/magic/new", "/descriptors/0/new", "/descriptors/3/new", "/descriptors/5/new", "/loop/new"] {
        let result = try_target(target);
        assert!(matches!(result, Err(Error::Stage(_))), "{target}: {result:?}");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert!(!fs::exists("/new").unwrap());
    assert_eq!(rig.changes(), Vec::<String>::new());
    // The kernel's own file systems are not put where a link points out of the root.
    symlink(&outside, rig.path("lower/proc")).unwrap();
    symlink("/up", rig.path("lower/sys")).unwrap();
    let _ = rig::run(&rig.request(&["pwd"]));
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

fn working_folder() {
    let rig = Rig::new();
    symlink("/proc/self/fd", rig.path("lower/descriptors")).unwrap();
    for n in 3..20 {
        // The way of CVE-2024-21626: a descriptor that leads out, as a working folder.
        for cwd in [format!("/proc/self/fd/{n}"), format!("/descriptors/{n}"), format!("/proc/self/fd/{n}/new")] {
            let result = rig::run(&Request { cwd: cwd.clone(), ..rig.request(&["ls", "."]) });
            assert!(matches!(result, Err(Error::Stage(_))), "{cwd}: {result:?}");
        }
    }
    let plain = rig::run(&Request { cwd: "/t".into(), ..rig.request(&["pwd"]) });
    assert!(matches!(plain, Err(Error::Stage(_))), "{plain:?}");
}

fn accounts() {
    let rig = Rig::new();
    fs::create_dir(rig.path("lower/etc")).unwrap();
    // Endless, and out of the root.
    symlink("/dev/zero", rig.path("lower/etc/passwd")).unwrap();
    symlink("/proc/self/fd/0", rig.path("lower/etc/group")).unwrap();
    assert!(rig.ok(&["ids"]).starts_with("Uid: 0"));
    let result = rig::run(&Request { user: "somebody".into(), ..rig.request(&["ids"]) });
    assert!(matches!(result, Err(Error::Stage(_))), "{result:?}");
}
