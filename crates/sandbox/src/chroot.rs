//! Isolation for root in a container that may neither unshare nor mount, as CI systems give it: the step's process has the tree as its
//! root, fewer capabilities, and nothing else of its own. It sees the container's network, processes and host name; only the kernel
//! could put a `/proc` there, so the stage answers in its stead ([`Window`]).
//!
//! There is one stage and one fork here: the stage outlives the command, kills whatever it left behind (every orphan below a
//! "subreaper" becomes its child), and takes away what the request's mounts put into the tree ([`Covers`]). So it must not be killed
//! by surprise: it is asked to end, by SIGTERM, and that is what its parent's death sends it.

use std::fs;
use std::io::{self, Read as _};
use std::os::fd::FromRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::mount::{FsOpenFlags, fsopen};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, set_child_subreaper, wait};
use rustix::termios::isatty;
use rustix::thread::{CapabilitySet, capabilities as held};

use crate::cover::Covers;
use crate::request::{Network, Request, Rootfs};
use crate::stage::{Report, die_with_parent, has_ended, own_session, write_report};
use crate::window::{self, Window};
use crate::{Error, etc, exec, terminal};

/// What root must be able to do, with the names that people know.
const NEEDED: &[(CapabilitySet, &str)] = &[
    (CapabilitySet::CHOWN, "CAP_CHOWN"),
    (CapabilitySet::DAC_OVERRIDE, "CAP_DAC_OVERRIDE"),
    (CapabilitySet::FOWNER, "CAP_FOWNER"),
    (CapabilitySet::SETUID, "CAP_SETUID"),
    (CapabilitySet::SETGID, "CAP_SETGID"),
    (CapabilitySet::SYS_CHROOT, "CAP_SYS_CHROOT"),
];

/// Of the process, like the namespace that it could not have.
static CHOSEN: AtomicBool = AtomicBool::new(false);

/// Whether processes of this process are isolated so.
#[must_use]
pub fn is_chosen() -> bool {
    CHOSEN.load(Ordering::Relaxed)
}

/// Chooses it, if this process could do it and has nothing better.
///
/// # Errors
/// Why not.
pub(crate) fn choose() -> Result<(), String> {
    if !rustix::process::getuid().is_root() {
        return Err("this is not root".into());
    }
    let effective = held(None).map_err(|e| e.to_string())?.effective;
    if let Some((_, missing)) = NEEDED.iter().find(|(capability, _)| !effective.contains(*capability)) {
        return Err(format!("root lacks {missing} here"));
    }
    if fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).is_ok() {
        return Err("mounts are allowed, so namespaces can be".into());
    }
    CHOSEN.store(true, Ordering::Relaxed);
    Ok(())
}

/// The stage's work.
pub(crate) fn run(request: &Request, report: &fs::File) -> Result<Report, Error> {
    let Rootfs::Directory(root) = &request.rootfs else {
        return Err(Error::Stage("layers cannot be mounted here".into()));
    };
    let lacking = [
        (request.network == Network::None, "a network of its own"),
        (request.read_only, "a root that cannot be written to"),
        (request.terminal, "a terminal of its own"),
    ];
    if let Some((_, what)) = lacking.iter().find(|(wanted, _)| *wanted) {
        return Err(Error::Stage(format!(
            "this container gives no process {what} (`archipel doctor` says what it gives)"
        )));
    }
    set_child_subreaper(Some(Pid::INIT)).map_err(|e| Error::Stage(format!("adopt orphans: {e}")))?;
    let covers = Covers::put(request, root)?;
    let end = fork_and_wait(request, root, report);
    kill_all();
    // Even after a failure; and what could not be taken away is a failure, for it would be in the layer.
    covers.take_away().and(end)
}

fn fork_and_wait(request: &Request, root: &Path, report: &fs::File) -> Result<Report, Error> {
    let (ours, theirs) = UnixStream::pair().map_err(Error::io("a socket"))?;
    // SAFETY: this process has one thread, so the child has every lock and allocation in order.
    #[expect(unsafe_code, reason = "the command's process; fork keeps all that the stage has prepared")]
    let child = unsafe { libc::fork() };
    match child {
        -1 => Err(Error::Stage(format!("fork: {}", io::Error::last_os_error()))),
        0 => {
            drop(ours);
            let failure = command(request, root, &theirs);
            write_report(report, &failure);
            #[expect(clippy::exit, reason = "the forked child must never return into its parent's code")]
            std::process::exit(125);
        }
        pid => {
            drop(theirs);
            write_report(report, &Report::Started(pid));
            let window = terminal::receive(&ours).map(|listener| Window::new(listener, root));
            let signals = signals()?;
            loop {
                while let Ok(Some((ended, status))) = wait(WaitOptions::NOHANG) {
                    if ended.as_raw_pid() == pid {
                        return Ok(Report::of(status));
                    }
                }
                if next(&signals, window.as_ref())? == Some(libc::SIGTERM) {
                    return Ok(Report::Signalled(libc::SIGKILL));
                }
            }
        }
    }
}

/// Becomes the command. Returns only why it could not.
fn command(request: &Request, root: &Path, stage: &UnixStream) -> Report {
    let set_up = || {
        die_with_parent(Signal::KILL)?;
        hold_signals(libc::SIG_UNBLOCK)?;
        if !isatty(io::stdin()) {
            own_session();
        }
        let entered = rustix::process::chroot(root).and_then(|()| rustix::process::chdir("/"));
        entered.map_err(|e| Error::Stage(format!("enter the root: {e}")))?;
        let user = etc::become_step(request)?;
        // The change of ids has undone it.
        die_with_parent(Signal::KILL)?;
        if has_ended(stage) {
            return Err(Error::Stage("the process that asked for this is gone".into()));
        }
        let opened = if user.uid == 0 { window::open(stage) } else { window::leave_closed(stage) };
        opened.map_err(Error::io("a socket"))?;
        Ok(user)
    };
    match set_up() {
        Ok(user) => exec::execute(request, &user),
        Err(e) => Report::Failed(e.to_string()),
    }
}

/// Kills what the command has left behind, and waits until it is gone: a folder that somebody writes to is no layer.
fn kill_all() {
    while !matches!(wait(WaitOptions::NOHANG), Err(Errno::CHILD)) {
        for pid in descendants() {
            let _ = kill_process(pid, Signal::KILL); // it may be over already
        }
        // Of those that were killed one ends; what it leaves is a child of ours then.
        let _: Result<Option<(Pid, WaitStatus)>, Errno> = wait(WaitOptions::empty());
    }
}

/// The processes below this one, by the container's own `/proc`.
fn descendants() -> Vec<Pid> {
    let parent_of = |pid: i32| -> Option<i32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before it may hold anything, brackets too.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: Vec<(i32, i32)> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, parent_of(pid)?)))
        .collect();
    let mut found = vec![rustix::process::getpid().as_raw_pid()];
    let mut looked_at = 0;
    while let Some(parent) = found.get(looked_at).copied() {
        looked_at += 1;
        found.extend(all.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
    }
    found.into_iter().skip(1).filter_map(Pid::from_raw).collect()
}

/// Keeps the two signals that this stage waits for from doing anything by themselves, or lets them.
pub(crate) fn hold_signals(how: libc::c_int) -> Result<(), Error> {
    let set = awaited();
    // SAFETY: the set is whole, and the old one is not asked for.
    #[expect(unsafe_code, reason = "sigprocmask(2) has no safe wrapper")]
    let result = unsafe { libc::sigprocmask(how, &raw const set, std::ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(Error::Stage(format!("signals: {}", io::Error::last_os_error()))) }
}

/// The signals that are held, as they come.
fn signals() -> Result<fs::File, Error> {
    let set = awaited();
    // SAFETY: the set is whole, and what comes back is a descriptor that is nobody else's.
    #[expect(unsafe_code, reason = "signalfd(2) has no safe wrapper")]
    let file = unsafe {
        match libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(fs::File::from_raw_fd(fd)),
        }
    };
    file.map_err(Error::io("signals"))
}

/// Waits for the next signal; what the step asks meanwhile is answered.
fn next(mut signals: &fs::File, window: Option<&Window>) -> Result<Option<libc::c_int>, Error> {
    let mut waiting = vec![PollFd::new(signals, PollFlags::IN)];
    waiting.extend(window.map(|window| PollFd::new(window.listener(), PollFlags::IN)));
    match poll(&mut waiting, None) {
        Ok(_) => {}
        Err(Errno::INTR) => return Ok(None),
        Err(e) => return Err(Error::Stage(format!("wait: {e}"))),
    }
    let ready = |n: usize| waiting.get(n).is_some_and(|fd| fd.revents().contains(PollFlags::IN));
    if let Some(window) = window.filter(|_| ready(1)) {
        window.answer();
    }
    if !ready(0) {
        return Ok(None);
    }
    let mut told = [0; size_of::<libc::signalfd_siginfo>()];
    signals.read_exact(&mut told).map_err(Error::io("signals"))?;
    // The number is what it begins with.
    Ok(told.first_chunk::<4>().map(|bytes| i32::from_ne_bytes(*bytes)))
}

fn awaited() -> libc::sigset_t {
    // SAFETY: a set is made whole by sigemptyset before it is read.
    #[expect(unsafe_code, reason = "sets of signals have no safe wrapper")]
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        set
    }
}
