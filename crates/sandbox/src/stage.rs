//! The stages: what this program does when it executes itself under its hidden name.
//!
//! Stage 1 is the child of the process that spawned it: it unshares and forks. Its child, stage 2, is pid 1 of the new pid
//! namespace: it makes the file system, drops what it may do, and becomes the command. Stage 1 waits for it and reports how it
//! ended. Each has the kernel kill it when its parent dies, so nothing outlives the program that asked for it.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use rustix::process::{Pid, Signal, WaitOptions, getppid, set_parent_process_death_signal, waitpid};
use rustix::thread::UnshareFlags;

use crate::request::{Network, Request};
use crate::{Error, etc, rootfs, userns};

/// The name under which this program is its own helper.
pub(crate) const HIDDEN_NAME: &str = "archipel-sandbox";
pub(crate) const ID_MAP: &str = "id-map";
pub(crate) const RUN: &str = "run";

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

/// Does a stage's work and ends the process, if this process is a stage. To be called first in `main`.
pub fn dispatch() {
    let mut args = std::env::args_os();
    if args.next().is_none_or(|name| name != HIDDEN_NAME) {
        return;
    }
    let args: Vec<String> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    let status = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [ID_MAP, pid] => i32::from(userns::map_ids(pid).is_err()),
        [RUN, request, report, parent] => match (request.parse(), report.parse(), parent.parse()) {
            (Ok(request), Ok(report), Ok(parent)) => first(request, report, parent),
            _ => 2,
        },
        _ => 2,
    };
    #[expect(clippy::exit, reason = "a stage is a process of its own, and ends here")]
    std::process::exit(status);
}

/// Takes over a descriptor that the parent left open for us, and keeps it from the command.
fn inherit(fd: RawFd) -> File {
    // SAFETY: the parent made this descriptor for this process and names it once, so nobody else here owns it.
    #[expect(unsafe_code, reason = "descriptors cross an exec as numbers")]
    let file = unsafe { File::from(OwnedFd::from_raw_fd(fd)) };
    file
}

pub(crate) fn write_report(mut file: &File, report: &Report) {
    // One line a report; the last one counts. There is nobody to tell if even this fails: the exit status still says 125.
    if let Ok(text) = serde_json::to_string(report) {
        let _ = file.write_all(format!("{text}\n").as_bytes());
    }
}

fn first(request: RawFd, report: RawFd, parent: i32) -> i32 {
    let (request, report) = (inherit(request), inherit(report));
    match prepare(request, parent).and_then(|request| fork_and_wait(&request, &report)) {
        Ok(report_of_end) => {
            write_report(&report, &report_of_end);
            0
        }
        Err(e) => {
            write_report(&report, &Report::Failed(e.to_string()));
            125
        }
    }
}

fn prepare(mut file: File, parent: i32) -> Result<Request, Error> {
    die_with_parent()?;
    // The parent may have died before the kernel was told.
    if getppid().map_or(0, Pid::as_raw_pid) != parent {
        return Err(Error::Stage("the process that asked for this is gone".into()));
    }
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).map_err(Error::io("the request"))?;
    let request: Request = serde_json::from_str(&text).map_err(|e| Error::Stage(format!("the request: {e}")))?;
    close_on_exec()?;
    let mut flags = UnshareFlags::NEWPID | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    if request.network == Network::None {
        flags |= UnshareFlags::NEWNET;
    }
    userns::unshare(flags).map_err(|e| Error::Stage(format!("new namespaces: {e}")))?;
    Ok(request)
}

pub(crate) fn die_with_parent() -> Result<(), Error> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| Error::Stage(format!("death signal: {e}")))
}

fn fork_and_wait(request: &Request, report: &File) -> Result<Report, Error> {
    let (alive, watched) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| Error::Stage(format!("pipe: {e}")))?;
    // SAFETY: this process has one thread, so the child has every lock and allocation in order.
    #[expect(unsafe_code, reason = "pid 1 of a new pid namespace is the next child; fork is the cheapest one")]
    let child = unsafe { libc::fork() };
    match child {
        -1 => Err(Error::Stage(format!("fork: {}", std::io::Error::last_os_error()))),
        0 => {
            drop(watched);
            let failure = second(request, &alive);
            write_report(report, &failure);
            #[expect(clippy::exit, reason = "the forked child must never return into its parent's code")]
            std::process::exit(125);
        }
        pid => {
            drop(alive);
            write_report(report, &Report::Started(pid));
            let pid = Pid::from_raw(pid).ok_or_else(|| Error::Stage("fork gave no pid".into()))?;
            let status = loop {
                match waitpid(Some(pid), WaitOptions::empty()) {
                    Ok(Some((_, status))) => break status,
                    Ok(None) | Err(rustix::io::Errno::INTR) => {}
                    Err(e) => return Err(Error::Stage(format!("wait: {e}"))),
                }
            };
            drop(watched);
            Ok(match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Report::Exited(code),
                (None, Some(signal)) => Report::Signalled(signal),
                (None, None) => Report::Failed("the process ended in a way that is neither exit nor signal".into()),
            })
        }
    }
}

/// Makes the container and becomes the command. Returns only why it could not.
fn second(request: &Request, alive: &OwnedFd) -> Report {
    let user = match set_up(request) {
        Ok(user) => user,
        Err(e) => return Report::Failed(e.to_string()),
    };
    // The change of ids has undone the death signal; and if stage 1 died in between, its end of the pipe is closed.
    if let Err(e) = die_with_parent() {
        return Report::Failed(e.to_string());
    }
    let mut poll = [rustix::event::PollFd::new(alive, rustix::event::PollFlags::IN)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    if rustix::event::poll(&mut poll, Some(&now)).is_ok_and(|n| n > 0) {
        return Report::Failed("the process that asked for this is gone".into());
    }
    etc::execute(request, &user)
}

fn set_up(request: &Request) -> Result<crate::user::User, Error> {
    die_with_parent()?;
    userns::unshare(UnshareFlags::NEWNS).map_err(|e| Error::Stage(format!("new mount namespace: {e}")))?;
    rootfs::enter(request)?;
    etc::become_container(request)
}

/// Marks every descriptor above the standard ones to be closed at exec: whatever the asking process had open is not the
/// command's.
fn close_on_exec() -> Result<(), Error> {
    // SAFETY: only flags of descriptors change; none is closed or used here.
    #[expect(unsafe_code, reason = "close_range(2) has no safe wrapper")]
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 {
        return Ok(());
    }
    // Before Linux 5.11.
    let open = std::fs::read_dir("/proc/self/fd").map_err(Error::io("/proc/self/fd"))?;
    let numbers: Vec<RawFd> =
        open.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).filter(|n| *n > 2).collect();
    for fd in numbers {
        // SAFETY: as above; a number that is closed by now is an error that does not matter.
        #[expect(unsafe_code, reason = "descriptors are known here by number only")]
        unsafe {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
    Ok(())
}

/// The number of a descriptor, to name it to a stage.
pub(crate) fn number(file: &File) -> String {
    file.as_raw_fd().to_string()
}
