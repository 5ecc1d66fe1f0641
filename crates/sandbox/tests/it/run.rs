//! What a process is given, and how its end is told.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use archipel_sandbox::userns::Mapping;
use archipel_sandbox::{Error, Exit, Mount, Network, Request, Role, Rootfs, overlay};

use crate::Test;
use crate::rig::{self, Rig};

pub(crate) const TESTS: &[Test] = &[
    ("needs_userns_exit_status_is_exact", exit_status),
    ("needs_userns_what_cannot_be_executed", not_executed),
    ("needs_userns_environment_and_folder", environment),
    ("needs_userns_users_and_groups", users),
    ("needs_userns_changes_and_nothing_else_are_in_the_upper_layer", changes),
    ("needs_userns_a_directory_as_root", directory),
    ("needs_userns_mounts", mounts),
    ("needs_userns_hosts_and_names", names),
    ("needs_userns_no_network", no_network),
    ("needs_userns_hundreds_of_layers_with_awkward_names", layers),
    ("needs_userns_limits", limits),
];

fn exit_status() {
    let rig = Rig::new();
    for code in [0, 1, 42, 255] {
        let (exit, ..) = rig::run(&rig.request(&["exit", &code.to_string()])).unwrap();
        assert_eq!(exit, Exit::Code(code));
    }
    // Not SIGSEGV: where it comes from kill(2), the handler of Rust's runtime takes it for an overflow that will come again.
    assert!(rig.ok(&["signal", "6"]).ends_with("Some(6)"));
}

fn not_executed() {
    let rig = Rig::new();
    rig.file("lower/plain", "not a program");
    rig.file("lower/text", "no interpreter line");
    rig.file("lower/foreign", crate::elf::program("none"));
    rig.file("lower/script", "#!/no/such/interpreter\n");
    for name in ["text", "foreign", "script"] {
        fs::set_permissions(rig.path("lower").join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    symlink("/proc/self/exe", rig.path("lower/self")).unwrap();
    let tried = |argv: &str| match rig::run(&Request { argv: vec![argv.into()], ..rig.request(&[]) }) {
        Err(Error::Exec { code, message }) => (code, message),
        other => panic!("{argv}: {other:?}"),
    };
    for (argv, code, part) in [
        ("/none", 127, "/none"),
        ("none", 127, "none"),
        ("/script", 127, "/no/such/interpreter"),
        ("/plain", 126, "ermission denied"),
        ("/text", 126, "exec format error"),
        ("/foreign", 126, "exec format error"),
        ("/dev", 126, "/dev"),
        // Our own binary is not the image's to execute: it could be written to once it runs in the container.
        ("/self", 126, "/self"),
    ] {
        let (got, message) = tried(argv);
        assert!((got == code) && message.contains(part), "{argv}: {got} {message}");
    }
    let none = Request { argv: Vec::new(), ..rig.request(&[]) };
    assert!(matches!(rig::run(&none), Err(Error::Exec { code: 127, .. })));
}

fn environment() {
    let rig = Rig::new();
    rig.file("lower/etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    assert_eq!(rig.ok(&["env", "HOME"]), "/root");
    let env = vec![("HOME".into(), "/elsewhere".into()), ("A".into(), "b=c d".into())];
    assert_eq!(rig::ok(&Request { env: env.clone(), ..rig.request(&["env", "HOME"]) }), "/elsewhere");
    assert_eq!(rig::ok(&Request { env, ..rig.request(&["env", "A"]) }), "b=c d");
    let path = vec![("PATH".into(), "/nowhere:/".into())];
    assert_eq!(
        rig::ok(&Request { env: path, argv: vec!["t".into(), "inside".into(), "pwd".into()], ..rig.request(&[]) }),
        "/"
    );
    assert_eq!(rig::ok(&Request { cwd: "/made/here".into(), ..rig.request(&["pwd"]) }), "/made/here");
    // Nothing that the caller has open is open inside: three standard descriptors and the folder that is being listed.
    let _held = fs::File::open("/").unwrap();
    assert_eq!(rig.ok(&["ls", "/proc/self/fd"]), "0\n1\n2\n3");
}

fn users() {
    let entered = rig::enter();
    let rig = Rig::inside();
    rig.file("lower/etc/passwd", "root:x:0:0::/root:/bin/sh\nbin:x:2:3::/bin:/bin/sh\n");
    rig.file("lower/etc/group", "root:x:0:\nbin:x:3:\nmore:x:44:bin\n");
    assert!(rig.ok(&["ids"]).starts_with("Uid: 0 0 0 0\nGid: 0 0 0 0\n"));
    if entered.mapping == Mapping::Single {
        return;
    }
    let asked = |user: &str| rig::ok(&Request { user: user.into(), ..rig.request(&["ids"]) });
    assert_eq!(asked("bin"), "Uid: 2 2 2 2\nGid: 3 3 3 3\nGroups: 3 44");
    assert_eq!(asked("1000:44"), "Uid: 1000 1000 1000 1000\nGid: 44 44 44 44\nGroups: 44");
    // Programs with the set-user-id bit work, as `su` must.
    fs::set_permissions(rig.path("lower/t"), fs::Permissions::from_mode(0o4755)).unwrap();
    assert!(asked("bin").starts_with("Uid: 2 0 0 0\n"));
    let none = rig::run(&Request { user: "nobody".into(), ..rig.request(&["ids"]) }).unwrap_err();
    assert!(none.to_string().contains("nobody"), "{none}");
    rig::ok(&Request { user: "root".into(), ..rig.request(&["write", "/made", "x"]) });
    assert_eq!(fs::metadata(rig.path("upper/made")).unwrap().uid(), 0);
}

fn changes() {
    let rig = Rig::new();
    rig.file("lower/gone", "x");
    fs::create_dir(rig.path("lower/etc")).unwrap();
    rig.ok(&["remove", "/gone"]);
    rig.ok(&["write", "/new", "text"]);
    let file = |target: &str| Mount::File {
        target: target.into(),
        content: b"s".to_vec(),
        mode: 0o400,
        uid: 0,
        gid: 0,
        read_only: false,
    };
    let tmpfs = Mount::Tmpfs { target: "/deep/in/memory".into(), size: None, mode: 0o1777 };
    let mounts = vec![file("/run/secrets/key"), tmpfs, file("/etc/in-a-folder-that-is-there")];
    rig::ok(&Request { mounts, ..rig.request(&["cat", "/run/secrets/key"]) });
    // No mount point: not /proc, /dev, /sys, /etc/hosts, nor what was asked for.
    assert_eq!(rig.changes(), ["gone", "new"]);
    // But a step of a build leaves the folders for what the kernel shows.
    let other = Rig::new();
    rig::ok(&Request { role: Role::Step, ..other.request(&["write", "/new", "text"]) });
    assert_eq!(other.changes(), ["dev", "new", "proc", "sys"]);
    rig::ok(&Request { read_only: true, ..rig.request(&["pwd"]) });
    let (exit, _, err) = rig::run(&Request { read_only: true, ..rig.request(&["write", "/never", "x"]) }).unwrap();
    assert!(exit == Exit::Code(1) && err.contains("Read-only"), "{err}");
    assert_eq!(rig.changes(), ["gone", "new"]);
}

fn directory() {
    let rig = Rig::new();
    fs::create_dir(rig.path("lower/tmp")).unwrap();
    let root = Rootfs::Directory(rig.path("lower"));
    let before = fs::metadata(rig.path("lower")).unwrap().mtime_nsec();
    let siblings = fs::read_dir(rig.dir.path()).unwrap().count();
    rig::ok(&Request { rootfs: root, ..rig.request(&["write", "/tmp/made", "x"]) });
    assert_eq!(fs::read_to_string(rig.path("lower/tmp/made")).unwrap(), "x");
    let mut names: Vec<_> =
        fs::read_dir(rig.path("lower")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["t", "tmp"]);
    assert_eq!(fs::metadata(rig.path("lower")).unwrap().mtime_nsec(), before);
    assert_eq!(fs::read_dir(rig.dir.path()).unwrap().count(), siblings);
}

fn mounts() {
    let rig = Rig::new();
    rig.file("given/file", "from outside");
    for sub in ["upper2", "work2"] {
        fs::create_dir(rig.path(sub)).unwrap();
    }
    let bind = |target: &str, read_only| Mount::Bind { source: rig.path("given"), target: target.into(), read_only };
    let with = |mounts: Vec<Mount>, action: &[&str]| rig::run(&Request { mounts, ..rig.request(action) }).unwrap();
    assert_eq!(with(vec![bind("/in", true)], &["cat", "/in/file"]).1, "from outside");
    let (exit, _, err) = with(vec![bind("/in", true)], &["write", "/in/file", "x"]);
    assert!(exit == Exit::Code(1) && err.contains("Read-only"), "{err}");
    assert_eq!(with(vec![bind("/in", false)], &["write", "/in/new", "x"]).0, Exit::Code(0));
    assert_eq!(fs::read_to_string(rig.path("given/new")).unwrap(), "x");
    let one = Mount::Bind { source: rig.path("given/file"), target: "/a/file".into(), read_only: true };
    assert_eq!(with(vec![one], &["cat", "/a/file"]).1, "from outside");
    let private = Mount::Overlay {
        lower: rig.path("given"),
        upper: rig.path("upper2"),
        work: rig.path("work2"),
        target: "/in".into(),
    };
    assert_eq!(with(vec![private], &["write", "/in/file", "changed"]).0, Exit::Code(0));
    assert_eq!(fs::read_to_string(rig.path("given/file")).unwrap(), "from outside");
    let secret = Mount::File {
        target: "/run/secrets/s".into(),
        content: b"secret".to_vec(),
        mode: 0o440,
        uid: 0,
        gid: 0,
        read_only: false,
    };
    assert_eq!(with(vec![secret.clone()], &["cat", "/run/secrets/s"]).1, "secret");
    assert_eq!(with(vec![secret], &["stat", "/run/secrets/s"]).1, "440 0:0 6");
    let tmpfs = Mount::Tmpfs { target: "/m".into(), size: Some(1 << 20), mode: 0o1777 };
    assert!(with(vec![tmpfs.clone()], &["stat", "/m"]).1.starts_with("1777 0:0"));
    // One mount inside another, in the order given.
    assert_eq!(with(vec![tmpfs, bind("/m/in", true)], &["cat", "/m/in/file"]).1, "from outside");
}

fn names() {
    let rig = Rig::new();
    let extra_hosts = vec![("db".into(), "10.0.0.7".into())];
    let hosts = rig::ok(&Request { extra_hosts, ..rig.request(&["cat", "/etc/hosts"]) });
    assert!(hosts.contains("127.0.0.1\tlocalhost") && hosts.contains("10.0.0.7\tdb"), "{hosts}");
    assert_eq!(rig.ok(&["cat", "/proc/sys/kernel/hostname"]), "sandbox\n");
    assert_eq!(rig.ok(&["cat", "/etc/hostname"]), "sandbox\n");
    let step = |action: &[&str]| rig::run(&Request { role: Role::Step, ..rig.request(action) }).unwrap();
    let hosts = "127.0.0.1\tlocalhost sandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n";
    assert_eq!(step(&["cat", "/etc/hosts"]).1, hosts);
    assert_eq!(step(&["cat", "/etc/hostname"]).0, Exit::Code(1));
    assert!(step(&["write", "/etc/hosts", "x"]).2.contains("Read-only"));
    let resolv = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    assert_eq!(rig.ok(&["cat", "/etc/resolv.conf"]), resolv);
}

fn no_network() {
    let rig = Rig::new();
    let request = |action: &[&str]| Request { network: Network::None, ..rig.request(action) };
    let devices = rig::ok(&request(&["cat", "/proc/net/dev"]));
    assert_eq!(devices.lines().skip(2).count(), 1, "{devices}");
    // Bit 0: up.
    assert!(rig::ok(&request(&["cat", "/proc/net/if_inet6"])).contains("lo") || devices.contains("lo:"));
    assert!(rig::ok(&request(&["cat", "/proc/net/fib_trie"])).contains("127.0.0.0"));
}

fn layers() {
    let rig = Rig::new();
    let awkward = ["with:colon", "with,comma", "with\\backslash", "with space", &"long".repeat(60)];
    let mut lower = vec![];
    for n in 0..150 {
        let dir = rig.path(format!("layers/{n}/{}", awkward[n % awkward.len()]));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("which"), n.to_string()).unwrap();
        fs::write(dir.join(format!("only-{n}")), "").unwrap();
        lower.push(dir);
    }
    fs::create_dir(rig.path("merged")).unwrap();
    {
        let seen = overlay::mount(&overlay::Layers { lower: &lower, upper: None }, &rig.path("merged")).unwrap();
        assert_eq!(fs::read_to_string(seen.path().join("which")).unwrap(), "0");
        assert_eq!(fs::read_dir(seen.path()).unwrap().count(), 151);
        assert!(fs::write(seen.path().join("new"), "").is_err());
    }
    assert_eq!(fs::read_dir(rig.path("merged")).unwrap().count(), 0);
    lower.push(rig.path("lower"));
    let rootfs = Rootfs::Overlay { lower, upper: rig.path("upper"), work: rig.path("work") };
    assert_eq!(rig::ok(&Request { rootfs, ..rig.request(&["cat", "/which"]) }), "0");
}

fn limits() {
    let rig = Rig::new();
    let request = Request {
        ulimits: vec![("nofile".into(), 99, 100)],
        shm_size: Some(1 << 20),
        ..rig.request(&["cat", "/proc/self/limits"])
    };
    let seen = rig::ok(&request);
    let line = seen.lines().find(|l| l.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>()[3..5], ["99", "100"]);
    let mounted = rig::ok(&Request { shm_size: Some(1 << 20), ..rig.request(&["cat", "/proc/self/mounts"]) });
    let shm = mounted.lines().find(|l| l.contains(" /dev/shm ")).unwrap();
    assert!(shm.contains("size=1024k"), "{shm}");
}
