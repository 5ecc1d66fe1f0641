//! Ends: by us, by a signal, and with the process that asked.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use archipel_sandbox::{Exit, Request, spawn};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use rustix::pty::OpenptFlags;
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

use crate::Test;
use crate::rig::{self, Rig};

pub(crate) const TESTS: &[Test] = &[
    ("needs_userns_killed_from_another_thread", killed),
    ("needs_userns_forgotten_is_killed", forgotten),
    ("needs_userns_signals_reach_the_command", signalled),
    ("needs_userns_nothing_outlives_its_parent", orphans),
    ("needs_userns_a_terminal", terminal),
    ("needs_userns_concurrent_steps_from_threads", concurrent),
];

fn killed() {
    let rig = Rig::new();
    let mut running = spawn(&rig.request(&["sleep"]), Stdio::null(), Stdio::piped(), Stdio::null()).unwrap();
    let mut out = BufReader::new(running.take_stdout().unwrap());
    out.read_line(&mut String::new()).unwrap();
    let killer = running.killer().unwrap();
    thread::spawn(move || killer.kill()).join().unwrap();
    // Its output ends, so nobody in there is left.
    assert_eq!(out.read_line(&mut String::new()).unwrap(), 0);
    let killer = running.killer().unwrap();
    assert_eq!(running.wait().unwrap(), Exit::Signal(9));
    killer.kill();
}

fn forgotten() {
    let rig = Rig::new();
    let mut running = spawn(&rig.request(&["sleep"]), Stdio::null(), Stdio::piped(), Stdio::null()).unwrap();
    let mut out = BufReader::new(running.take_stdout().unwrap());
    out.read_line(&mut String::new()).unwrap();
    drop(running);
    assert_eq!(out.read_line(&mut String::new()).unwrap(), 0);
}

fn signalled() {
    let rig = Rig::new();
    let mut running = spawn(&rig.request(&["await-term"]), Stdio::null(), Stdio::piped(), Stdio::null()).unwrap();
    let mut out = BufReader::new(running.take_stdout().unwrap());
    out.read_line(&mut String::new()).unwrap();
    running.killer().unwrap().signal(Signal::TERM);
    assert_eq!(running.wait().unwrap(), Exit::Code(115));
}

/// Runs something that does not end, and waits for it: the parent that gets killed.
pub(crate) fn parent() -> ExitCode {
    let rig = Rig::new();
    println!("{}", rig.dir.path().display());
    let running = spawn(&rig.request(&["sleep"]), Stdio::null(), Stdio::inherit(), Stdio::null()).unwrap();
    running.wait().unwrap();
    ExitCode::SUCCESS
}

fn orphans() {
    rig::enter();
    let mut parent =
        Command::new("/proc/self/exe").arg("parent").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(parent.stdout.take().unwrap());
    let (mut dir, mut line) = (String::new(), String::new());
    out.read_line(&mut dir).unwrap();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "sleeping\n");
    let pid = Pid::from_child(&parent);
    kill_process(pid, Signal::KILL).unwrap();
    parent.wait().unwrap();
    // The pipe ends when the last process that can write to it is gone.
    assert_eq!(out.read_to_end(&mut Vec::new()).unwrap(), 0);
    assert!(test_kill_process(pid).is_err());
    std::fs::remove_dir_all(dir.trim()).unwrap();
}

fn terminal() {
    let rig = Rig::new();
    let ours = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    rustix::pty::unlockpt(&ours).unwrap();
    let theirs = rustix::pty::ioctl_tiocgptpeer(&ours, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC);
    let theirs = theirs.unwrap();
    tcsetwinsize(&ours, Winsize { ws_row: 23, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let before = tcgetattr(&theirs).unwrap();
    let stdio = || Stdio::from(theirs.try_clone().unwrap());
    let request = Request { terminal: true, ..rig.request(&["terminal"]) };
    let running = spawn(&request, stdio(), stdio(), stdio()).unwrap();
    let mut out = BufReader::new(std::fs::File::from(ours.try_clone().unwrap()));
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    // A terminal of the container's own, whose foreground group is the command, as large as the caller's.
    assert_eq!(line.trim_end(), r#"[true, true, true] Ok("/dev/pts/0") Ok(1) Ok((23, 77))"#);
    rustix::io::write(&ours, b"typed\r").unwrap();
    let mut rest = String::new();
    while !rest.contains("got") {
        out.read_line(&mut rest).unwrap();
    }
    // Echoed once, by the container's terminal.
    assert_eq!(rest.replace('\r', ""), "typed\ngot \"typed\\n\"\n");
    assert_eq!(running.wait().unwrap(), Exit::Code(5));
    assert_eq!(tcgetattr(&theirs).unwrap().local_modes, before.local_modes);
}

fn concurrent() {
    let rig = Rig::new();
    thread::scope(|scope| {
        for n in 0..8 {
            let mut request = rig.request(&["exit", &n.to_string()]);
            let (upper, work) = (rig.path(format!("{n}/upper")), rig.path(format!("{n}/work")));
            std::fs::create_dir_all(&upper).unwrap();
            std::fs::create_dir_all(&work).unwrap();
            request.rootfs = archipel_sandbox::Rootfs::Overlay { lower: vec![rig.path("lower")], upper, work };
            scope.spawn(move || {
                for _ in 0..4 {
                    assert_eq!(rig::run(&request).unwrap().0, Exit::Code(n));
                }
            });
        }
    });
}
