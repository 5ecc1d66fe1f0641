//! The cases.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use archipel_sandbox::emulation::{Emulation, Support};
use archipel_sandbox::{Error, Exit, Mount, Network, Request, Rootfs, spawn, userns};

type Case = (&'static str, fn());

macro_rules! cases {
    ($($name:ident),+ $(,)?) => { pub(crate) const ALL: &[Case] = &[$((stringify!($name), $name)),+]; };
}

cases![
    needs_userns_exit_statuses_and_signals_are_exact,
    needs_userns_users_and_groups_are_the_images,
    needs_userns_root_has_dockers_capabilities_and_filter,
    needs_userns_mounts_leave_no_trace,
    needs_userns_a_mount_target_cannot_climb_out,
    needs_userns_without_network_there_is_only_loopback,
    needs_userns_the_kernels_secrets_are_masked,
    needs_userns_a_missing_or_foreign_command_is_named,
    needs_userns_secrets_are_files_of_their_owner,
    needs_userns_a_killed_process_takes_all_with_it,
    needs_userns_a_hundred_layers_with_odd_names,
    needs_qemu_foreign_programs_run,
];

/// A root file system with busybox, and folders for what changes.
struct Root {
    dir: tempfile::TempDir,
}

impl Root {
    fn new() -> Self {
        if let Err(e) = userns::enter() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "no user namespaces here: {e}");
            println!("skipped: {e}");
            std::process::exit(0);
        }
        let root = Self { dir: tempfile::tempdir().unwrap() };
        for sub in ["base", "upper", "work"] {
            fs::create_dir(root.path(sub)).unwrap();
        }
        unpack("amd64", &root.path("base"));
        let passwd = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n";
        fs::write(root.path("base/etc/passwd"), passwd).unwrap();
        fs::write(root.path("base/etc/group"), "root:x:0:\nwheel:x:10:root\nextra:x:1002:user\n").unwrap();
        root
    }

    fn path(&self, sub: &str) -> PathBuf {
        self.dir.path().join(sub)
    }

    fn request(&self, script: &str) -> Request {
        Request {
            rootfs: Rootfs::Overlay {
                lower: vec![self.path("base")],
                upper: self.path("upper"),
                work: self.path("work"),
            },
            argv: ["sh", "-c", script].map(Into::into).to_vec(),
            ..Request::default()
        }
    }

    fn upper(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(self.path("upper")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Unpacks the busybox base image for an architecture, as `cargo xtask bases` makes it.
fn unpack(architecture: &str, into: &Path) {
    let dir = std::env::var_os("ARCHIPEL_TEST_BASES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bases"), PathBuf::from);
    let layout = dir.join("busybox");
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
}

fn run(request: &Request) -> (Result<Exit, Error>, String) {
    let mut running = spawn(request, Stdio::null(), Stdio::piped(), Stdio::inherit()).unwrap();
    let mut output = String::new();
    running.take_stdout().unwrap().read_to_string(&mut output).unwrap();
    (running.wait(), output)
}

fn output(request: &Request) -> String {
    let (exit, output) = run(request);
    assert_eq!(exit.unwrap(), Exit::Code(0), "{output}");
    output
}

fn needs_userns_exit_statuses_and_signals_are_exact() {
    let root = Root::new();
    assert_eq!(run(&root.request("exit 42")).0.unwrap(), Exit::Code(42));
    let killed =
        Request { argv: ["sh", "-c", "sh -c 'kill -9 $$'; exit $?"].map(Into::into).to_vec(), ..root.request("") };
    assert_eq!(run(&killed).0.unwrap(), Exit::Code(137));
    assert_eq!(output(&root.request("echo hello; echo $HOME; pwd")), "hello\n/root\n/\n");
}

fn needs_userns_users_and_groups_are_the_images() {
    let root = Root::new();
    let id = |user: &str| output(&Request { user: user.into(), ..root.request("id -u; id -g; id -G; echo $HOME") });
    assert_eq!(id(""), "0\n0\n0 10\n/root\n");
    assert_eq!(id("user"), "1000\n1000\n1000 1002\n/home\n");
    assert_eq!(id("7:8"), "7\n8\n8\n/\n");
    let nobody = run(&Request { user: "nosuchuser".into(), ..root.request("true") }).0.unwrap_err();
    assert!(nobody.to_string().contains("nosuchuser"), "{nobody}");
}

fn needs_userns_root_has_dockers_capabilities_and_filter() {
    let root = Root::new();
    let status = output(&root.request("cat /proc/self/status"));
    for line in [
        "CapBnd:\t00000000a80425fb",
        "CapEff:\t00000000a80425fb",
        "CapInh:\t0000000000000000",
        "Seccomp:\t2",
        "NoNewPrivs:\t0",
    ] {
        assert!(status.contains(line), "no {line} in\n{status}");
    }
    let user = output(&Request { user: "user".into(), ..root.request("cat /proc/self/status") });
    assert!(user.contains("CapEff:\t0000000000000000"), "{user}");
    assert_eq!(output(&root.request("unshare -U true 2>/dev/null || echo refused")), "refused\n");
    assert_eq!(output(&root.request("mount -t tmpfs x /tmp 2>/dev/null || echo refused")), "refused\n");
}

fn needs_userns_mounts_leave_no_trace() {
    let root = Root::new();
    fs::write(root.path("given"), "given").unwrap();
    let mounts = vec![
        Mount::Bind { source: root.path("given"), target: "/etc/deep/er/file".into(), read_only: true },
        Mount::Tmpfs { target: "/mnt/memory".into(), size: None, mode: 0o755 },
    ];
    let seen =
        output(&Request { mounts, ..root.request("cat /etc/deep/er/file; touch /mnt/memory/x; echo hi > /made") });
    assert_eq!(seen, "given");
    assert_eq!(root.upper(), ["made"]);
}

fn needs_userns_a_mount_target_cannot_climb_out() {
    let root = Root::new();
    let outside = root.path("outside");
    fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, root.path("base/link")).unwrap();
    std::os::unix::fs::symlink("../../../../../../../..", root.path("base/up")).unwrap();
    fs::write(root.path("given"), "given").unwrap();
    for target in ["/link/x", "/up/x", "../../../../x"] {
        let mounts = vec![Mount::Bind { source: root.path("given"), target: target.into(), read_only: true }];
        output(&Request { mounts, ..root.request("true") });
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

fn needs_userns_without_network_there_is_only_loopback() {
    let root = Root::new();
    let request = Request { network: Network::None, ..root.request("cat /proc/net/dev") };
    let devices = output(&request);
    assert!(devices.contains("lo:") && devices.lines().count() == 3, "{devices}");
}

fn needs_userns_the_kernels_secrets_are_masked() {
    let root = Root::new();
    let script = "cat /proc/kcore /proc/keys | wc -c; echo x > /proc/sys/kernel/hostname; echo $?; ls /sys/firmware; touch /sys/x; ls /dev";
    let seen = output(&root.request(&format!("({script}) 2>/dev/null")));
    assert!(seen.starts_with("0\n1\n"), "{seen}");
    assert!(!seen.contains("kmsg") && seen.contains("null"), "{seen}");
    let hosts = vec![("db".to_owned(), "10.0.0.7".to_owned())];
    let request =
        Request { hostname: "box".into(), extra_hosts: hosts, ..root.request("cat /etc/hosts /etc/hostname") };
    let seen = output(&request);
    assert!(seen.contains("10.0.0.7\tdb") && seen.ends_with("box\n"), "{seen}");
}

fn needs_userns_a_missing_or_foreign_command_is_named() {
    let root = Root::new();
    let missing = Request { argv: vec!["/no/such".into()], ..root.request("") };
    assert!(matches!(run(&missing).0, Err(Error::Exec { code: 127, .. })));
    fs::write(root.path("base/bin/text"), "not a program").unwrap();
    let forbidden = Request { argv: vec!["/bin/text".into()], ..root.request("") };
    assert!(matches!(run(&forbidden).0, Err(Error::Exec { code: 126, .. })));
}

fn needs_userns_secrets_are_files_of_their_owner() {
    let root = Root::new();
    let secret =
        Mount::File { target: "/run/secrets/s".into(), content: b"value".to_vec(), mode: 0o400, uid: 1000, gid: 1000 };
    let request = Request {
        user: "user".into(),
        mounts: vec![secret],
        ..root.request("cat /run/secrets/s; test -O /run/secrets/s")
    };
    assert_eq!(output(&request), "value");
    assert!(root.upper().is_empty());
}

fn needs_userns_a_killed_process_takes_all_with_it() {
    let root = Root::new();
    let mark = format!("{}", 500_000 + std::process::id());
    let request = root.request(&format!("sleep {mark} & sleep {mark}"));
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

fn needs_userns_a_hundred_layers_with_odd_names() {
    let root = Root::new();
    let mut lower: Vec<PathBuf> = (0..120).map(|n| root.path(&format!("a:b,c\\d {n}"))).collect();
    for (n, dir) in lower.iter().enumerate() {
        fs::create_dir(dir).unwrap();
        fs::write(dir.join("top"), n.to_string()).unwrap();
        fs::write(dir.join(format!("only{n}")), "").unwrap();
    }
    lower.push(root.path("base"));
    let rootfs = Rootfs::Overlay { lower, upper: root.path("upper"), work: root.path("work") };
    let request = Request { rootfs, ..root.request("cat /top; test -e /only119") };
    assert_eq!(output(&request), "0");
}

fn needs_qemu_foreign_programs_run() {
    let root = Root::new();
    let emulation = Emulation::set_up(&[]).unwrap();
    assert_eq!(emulation.support("amd64"), Support::Native);
    for (name, machine) in [("arm64", "aarch64\n"), ("arm", "armv7l\n")] {
        if !matches!(emulation.support(name), Support::Emulated { .. }) {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "no emulator for {name}");
            continue;
        }
        unpack(name, &root.path(name));
        let rootfs =
            Rootfs::Overlay { lower: vec![root.path(name)], upper: root.path("upper"), work: root.path("work") };
        // Busybox runs its applets by their names: argv[0] has to come through.
        assert_eq!(output(&Request { rootfs, ..root.request("uname -m | cat") }), machine);
    }
    assert!(matches!(emulation.support("pdp11"), Support::Missing { .. }));
}
