//! The stages: what this program does when it executes itself under its hidden name.
//!
//! Stage 1 is the child of the process that spawned it: it unshares and forks. Its child, stage 2, is pid 1 of the new pid
//! namespace: it makes the file system, drops what it may do, and becomes the command. Stage 1 waits for it and reports how it
//! ended. Each has the kernel kill it when its parent dies, so nothing outlives the program that asked for it. Where there are no
//! namespaces the stage is another ([`chroot`]).

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getppid, set_parent_process_death_signal, setsid, waitpid,
};
use rustix::termios::isatty;
use rustix::thread::UnshareFlags;

use crate::request::{Network, Request};
use crate::{Error, chroot, etc, exec, rootfs, terminal, userns};

/// The name under which this program is its own helper.
pub(crate) const HIDDEN_NAME: &str = "archipel-sandbox";
pub(crate) const ID_MAP: &str = "id-map";
pub(crate) const RUN: &str = "run";
pub(crate) const CHROOT: &str = "chroot";

/// What a stage says to the process that asked for it, in a file in memory that both have.
#[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Report {
    /// The container's pid 1, as the asking process sees it.
    Started(i32),
    /// It ended by itself.
    Exited(i32),
    /// A signal ended it.
    Signalled(i32),
    /// It could not be set up.
    Failed(String),
    /// The command could not be executed: the shell's number, and why.
    NotExecuted(i32, String),
}

impl Report {
    pub(crate) fn of(status: WaitStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, Some(signal)) => Self::Signalled(signal),
            (None, None) => Self::Failed("the process ended in a way that is neither exit nor signal".into()),
        }
    }
}

/// Does a stage's work and ends the process, if this process is a stage. To be called first in `main`.
pub fn dispatch() {
    let mut args = std::env::args_os();
    if args.next().is_none_or(|name| name != HIDDEN_NAME) {
        return;
    }
    let args: Vec<String> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    let status = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [ID_MAP, pid] => i32::from(userns::map_ids(pid).is_err()),
        [kind @ (RUN | CHROOT), parent, request, report] => match (borrow(parent, request), borrow(parent, report)) {
            (Ok(request), Ok(report)) if *kind == RUN => told(&report, in_namespaces(request, &report, parent)),
            (Ok(request), Ok(report)) => told(&report, in_chroot(request, &report, parent)),
            _ => 125, // the parent is gone, or this is not its child
        },
        _ => 2,
    };
    #[expect(clippy::exit, reason = "a stage is a process of its own, and ends here")]
    std::process::exit(status);
}

/// Opens a descriptor of the process that asked. They are all closed at exec, as it may be starting other programs at the same
/// moment, which must not get a request with secrets in it; so this one is reached by its name.
fn borrow(parent: &str, number: &str) -> Result<File, Error> {
    let path = format!("/proc/{parent}/fd/{number}");
    OpenOptions::new().read(true).append(true).open(&path).map_err(Error::io(path))
}

pub(crate) fn write_report(mut file: &File, report: &Report) {
    // One line a report; the last one counts. There is nobody to tell if even this fails: the exit status still says 125.
    if let Ok(text) = serde_json::to_string(report) {
        let _ = file.write_all(format!("{text}\n").as_bytes());
    }
}

/// Reports how it ended; the stage's exit status.
fn told(report: &File, end: Result<Report, Error>) -> i32 {
    match end {
        Ok(end) => {
            write_report(report, &end);
            0
        }
        Err(e) => {
            write_report(report, &Report::Failed(e.to_string()));
            125
        }
    }
}

fn in_namespaces(request: File, report: &File, parent: &str) -> Result<Report, Error> {
    let request = prepare(request, parent, Signal::KILL)?;
    let mut flags = UnshareFlags::NEWPID | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS | UnshareFlags::NEWCGROUP;
    if request.network == Network::None {
        flags |= UnshareFlags::NEWNET;
    }
    userns::unshare(flags).map_err(|e| Error::Stage(format!("new namespaces: {e}")))?;
    fork_and_wait(&request, report)
}

fn in_chroot(request: File, report: &File, parent: &str) -> Result<Report, Error> {
    chroot::hold_signals(libc::SIG_BLOCK)?;
    chroot::run(&prepare(request, parent, Signal::TERM)?, report)
}

/// `at_parents_death` is what the kernel is to send then.
fn prepare(mut file: File, parent: &str, at_parents_death: Signal) -> Result<Request, Error> {
    die_with_parent(at_parents_death)?;
    // The parent may have died before the kernel was told.
    if getppid().is_none_or(|pid| pid.as_raw_pid().to_string() != parent) {
        return Err(Error::Stage("the process that asked for this is gone".into()));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(Error::io("the request"))?;
    let request: Request = serde_json::from_str(&text).map_err(|e| Error::Stage(format!("the request: {e}")))?;
    close_on_exec()?;
    // What a container has, whatever the caller hides from others.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    // Ctrl-C on the caller's terminal is for the caller, which passes it on or ends us. A command that reads from that very
    // terminal stays in its session and gets it from there; then it must not end this stage, whose end is the command's.
    if isatty(std::io::stdin()) {
        ignore_interrupts();
    } else {
        own_session();
    }
    Ok(request)
}

/// A session, and with it a group, of this process alone: what a process sends to its own group reaches nobody before it.
pub(crate) fn own_session() {
    let _ = setsid(); // refused only where we are alone in a group already
}

fn ignore_interrupts() {
    for signal in [libc::SIGINT, libc::SIGQUIT] {
        // SAFETY: no handler is installed, so nothing can run at a bad moment.
        #[expect(unsafe_code, reason = "signal(2) has no safe wrapper")]
        unsafe {
            libc::signal(signal, libc::SIG_IGN);
        }
    }
}

pub(crate) fn die_with_parent(by: Signal) -> Result<(), Error> {
    set_parent_process_death_signal(Some(by)).map_err(|e| Error::Stage(format!("death signal: {e}")))
}

fn fork_and_wait(request: &Request, report: &File) -> Result<Report, Error> {
    let (ours, theirs) = UnixStream::pair().map_err(Error::io("a socket"))?;
    let _stubs = rootfs::Stubs::make(request)?;
    // SAFETY: this process has one thread, so the child has every lock and allocation in order.
    #[expect(unsafe_code, reason = "pid 1 of a new pid namespace is the next child; fork is the cheapest one")]
    let child = unsafe { libc::fork() };
    match child {
        -1 => Err(Error::Stage(format!("fork: {}", std::io::Error::last_os_error()))),
        0 => {
            drop(ours);
            let failure = second(request, &theirs);
            write_report(report, &failure);
            #[expect(clippy::exit, reason = "the forked child must never return into its parent's code")]
            std::process::exit(125);
        }
        pid => {
            drop(theirs);
            write_report(report, &Report::Started(pid));
            let pid = Pid::from_raw(pid).ok_or_else(|| Error::Stage("fork gave no pid".into()))?;
            if request.terminal {
                terminal::connect(&ours);
            }
            let status = loop {
                match waitpid(Some(pid), WaitOptions::empty()) {
                    Ok(Some((_, status))) => break status,
                    Ok(None) | Err(rustix::io::Errno::INTR) => {}
                    Err(e) => return Err(Error::Stage(format!("wait: {e}"))),
                }
            };
            Ok(Report::of(status))
        }
    }
}

/// Makes the container and becomes the command. Returns only why it could not.
fn second(request: &Request, stage: &UnixStream) -> Report {
    let user = match set_up(request, stage) {
        Ok(user) => user,
        Err(e) => return Report::Failed(e.to_string()),
    };
    // The change of ids has undone the death signal; and if stage 1 died in between, its end of the socket is closed.
    if let Err(e) = die_with_parent(Signal::KILL) {
        return Report::Failed(e.to_string());
    }
    if has_ended(stage) {
        return Report::Failed("the process that asked for this is gone".into());
    }
    exec::execute(request, &user)
}

/// Whether the stage at the other end, which never writes anything before, is there no more.
pub(crate) fn has_ended(stage: &UnixStream) -> bool {
    let mut poll = [rustix::event::PollFd::new(stage, rustix::event::PollFlags::IN)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut poll, Some(&now)).is_ok_and(|n| n > 0)
}

fn set_up(request: &Request, stage: &UnixStream) -> Result<crate::user::User, Error> {
    die_with_parent(Signal::KILL)?;
    // With a terminal of its own it comes later; with the caller's it must stay in the caller's session.
    if !request.terminal && !isatty(std::io::stdin()) {
        own_session();
    }
    userns::unshare(UnshareFlags::NEWNS).map_err(|e| Error::Stage(format!("new mount namespace: {e}")))?;
    rootfs::enter(request)?;
    etc::become_container(request, stage)
}

/// Marks every descriptor above the standard ones to be closed at exec: whatever the asking process had open is not the
/// command's (close_range(2) with this flag: Linux 5.11).
fn close_on_exec() -> Result<(), Error> {
    // SAFETY: only flags of descriptors change; none is closed or used here.
    #[expect(unsafe_code, reason = "close_range(2) has no safe wrapper")]
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(Error::Stage(format!("close_range: {}", std::io::Error::last_os_error()))) }
}
