//! What this binary does inside a root file system: one action per call, told by words.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::ExitCode;

use rustix::process::{Pid, Signal};

pub(crate) fn act(words: &[String]) -> ExitCode {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let said = |what: Result<String, std::io::Error>| match what {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    };
    match words.as_slice() {
        ["exit", code] => ExitCode::from(code.parse::<u8>().unwrap()),
        ["cat", path] => said(fs::read_to_string(path)),
        ["write", path, text] => said(fs::write(path, text).map(|()| String::new())),
        ["remove", path] => said(fs::remove_file(path).map(|()| String::new())),
        ["ls", path] => said(fs::read_dir(path).map(|entries| {
            let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names.join("\n")
        })),
        ["stat", path] => said(
            fs::metadata(path)
                .map(|m| format!("{:o} {}:{} {}", m.permissions().mode() & 0o7777, m.uid(), m.gid(), m.len())),
        ),
        // As the interpreter of a script, which is named before the words.
        [_, "touch-self"] | ["touch-self"] => {
            let mode = fs::Permissions::from_mode(0o777);
            said(fs::set_permissions("/proc/self/exe", mode).map(|()| String::new()))
        }
        ["terminal"] => {
            use rustix::termios::{isatty, tcgetpgrp, tcgetwinsize, ttyname};
            let stdin = std::io::stdin();
            let name = ttyname(&stdin, Vec::new()).map(|n| n.to_string_lossy().into_owned());
            let all = [isatty(&stdin), isatty(std::io::stdout()), isatty(std::io::stderr())];
            let foreground = tcgetpgrp(&stdin).map(|p| p.as_raw_pid());
            let size = tcgetwinsize(&stdin).map(|s| (s.ws_row, s.ws_col));
            println!("{all:?} {name:?} {foreground:?} {size:?}");
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).unwrap();
            println!("got {line:?}");
            ExitCode::from(5)
        }
        ["pwd"] => said(std::env::current_dir().map(|dir| dir.display().to_string())),
        ["env", name] => said(std::env::var(name).map_err(|e| std::io::Error::other(e.to_string()))),
        ["ids"] => {
            let status = fs::read_to_string("/proc/self/status").unwrap();
            let fields = status.lines().filter(|l| ["Uid:", "Gid:", "Groups:"].iter().any(|f| l.starts_with(f)));
            said(Ok(fields.map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("\n")))
        }
        // A program that has the kernel kill it: pid 1 ignores signals of its own making, so a child does it.
        ["signal", number] => {
            let number: i32 = number.parse().unwrap();
            let mut child = std::process::Command::new("/proc/self/exe");
            let mut child = child.args(["inside", "sleep"]).spawn().unwrap();
            let pid = Pid::from_child(&child);
            rustix::process::kill_process(pid, Signal::from_named_raw(number).unwrap()).unwrap();
            use std::os::unix::process::ExitStatusExt as _;
            said(Ok(format!("{:?}", child.wait().unwrap().signal())))
        }
        // Says that it is there, then stays until it is killed.
        ["sleep"] => {
            println!("sleeping");
            std::io::stdout().flush().unwrap();
            loop {
                std::thread::park();
            }
        }
        // Waits for SIGTERM, which pid 1 must ask for, and answers it with its status.
        ["await-term"] => {
            // SAFETY: the set is made by sigemptyset before it is used, and lives on this stack.
            #[expect(unsafe_code, reason = "a test needs to catch a signal")]
            let got = unsafe {
                let mut set = std::mem::zeroed();
                libc::sigemptyset(&raw mut set);
                libc::sigaddset(&raw mut set, libc::SIGTERM);
                libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
                println!("waiting");
                std::io::stdout().flush().unwrap();
                let mut got = 0;
                libc::sigwait(&raw const set, &raw mut got);
                got
            };
            ExitCode::from(u8::try_from(100 + got).unwrap())
        }
        // Calls that a container must not make: prints the error of each.
        ["forbidden"] => {
            use rustix::mount::{FsOpenFlags, fsopen};
            let fs = fsopen("tmpfs", FsOpenFlags::empty()).err();
            // SAFETY: the calls take no pointer, or an invalid one that the kernel refuses.
            #[expect(unsafe_code, reason = "calls that no safe wrapper makes")]
            let errors = unsafe {
                let error = |result: libc::c_long| {
                    if result < 0 { std::io::Error::last_os_error().raw_os_error().unwrap_or(0) } else { 0 }
                };
                [
                    ("unshare", error(libc::syscall(libc::SYS_unshare, libc::CLONE_NEWUSER))),
                    ("clone3", error(libc::syscall(libc::SYS_clone3, 0, 0))),
                    ("keyctl", error(libc::syscall(libc::SYS_keyctl, 0, 0, 0, 0, 0))),
                    ("personality", error(libc::syscall(libc::SYS_personality, 0xffff_ffffu64))),
                    ("vsock", error(libc::syscall(libc::SYS_socket, libc::AF_VSOCK, libc::SOCK_STREAM, 0))),
                    ("unknown", error(libc::syscall(4000))),
                ]
                .map(|(name, error)| format!("{name} {error}"))
            };
            said(Ok(format!("fsopen {}\n{}", fs.map_or(0, |e| e.raw_os_error()), errors.join("\n"))))
        }
        other => {
            eprintln!("no action {other:?}");
            ExitCode::from(99)
        }
    }
}
