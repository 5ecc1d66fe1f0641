//! Spawning a request, and what is running.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::fs::{CWD, MemfdFlags, fstat, memfd_create, stat};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use crate::stage::{CHROOT, HIDDEN_NAME, RUN, Report};
use crate::terminal::Raw;
use crate::{Error, Request, chroot, mount};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// Whether it is status 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// As a shell says it: the status, or 128 and the signal's number.
    #[must_use]
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// A process in its sandbox. Dropped without having been waited for, it is killed.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// What ends the stage, and with it everything in the sandbox.
    end: Signal,
    /// The first stage reads it when it gets to it.
    _request: File,
    report: Arc<File>,
    alive: Arc<Mutex<bool>>,
    /// Puts the terminal's settings back, should the stage that changes them be killed.
    _terminal: Option<Raw<std::io::Stdin>>,
}

/// Ends or signals a [`Running`] from elsewhere. Does nothing once it has ended.
#[derive(Clone, Debug)]
pub struct Killer {
    stage: Arc<OwnedFd>,
    end: Signal,
    report: Arc<File>,
    alive: Arc<Mutex<bool>>,
}

/// Starts a request. Call it and [`Running::wait`] from one thread that lives as long as the process: the kernel takes the end of the
/// thread that spawned for the end of the parent, and kills the process.
///
/// # Errors
/// The first stage could not be started. What goes wrong inside is told by [`Running::wait`].
pub fn spawn(request: &Request, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> Result<Running, Error> {
    let text = serde_json::to_vec(request).map_err(|e| Error::Stage(format!("the request: {e}")))?;
    // In memory, not in arguments: other users can read those, and a request may hold secrets.
    let memory = |name: &str| {
        memfd_create(name, MemfdFlags::CLOEXEC).map(File::from).map_err(|e| Error::Stage(format!("memfd: {e}")))
    };
    let mut body = memory("request")?;
    let report = memory("report")?;
    body.write_all(&text).map_err(Error::io("the request"))?;
    let program = program()?;
    let number = |fd: BorrowedFd<'_>| fd.as_raw_fd().to_string();
    let parent = std::process::id().to_string();
    let path = program.as_ref().map_or("/proc/self/exe".into(), |fd| format!("/proc/self/fd/{}", number(fd.as_fd())));
    let mut command = Command::new(path);
    // A stage without namespaces has something to take away before it ends.
    let (stage, end) = if chroot::is_chosen() { (CHROOT, Signal::TERM) } else { (RUN, Signal::KILL) };
    command.arg0(HIDDEN_NAME).args([stage, &parent, &number(body.as_fd()), &number(report.as_fd())]).env_clear();
    let terminal = request.terminal.then(|| Raw::note(std::io::stdin()));
    let child = command.stdin(stdin).stdout(stdout).stderr(stderr).spawn().map_err(Error::io("/proc/self/exe"))?;
    Ok(Running {
        child,
        end,
        _request: body,
        report: Arc::new(report),
        alive: Arc::new(Mutex::new(true)),
        _terminal: terminal,
    })
}

/// This program, by a mount that cannot be written to: what runs in a container may be root there, and find the program under `/proc`
/// (CVE-2019-5736). None where the file is not in any folder any more, and thus nobody else's to execute.
fn program() -> Result<Option<OwnedFd>, Error> {
    // Not by the link itself: what it leads to was opened in another mount namespace, of which the kernel makes no copies here.
    let Ok(path) = std::fs::read_link("/proc/self/exe") else { return Ok(None) };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let Ok(tree) = open_tree(CWD, &path, flags) else { return Ok(None) };
    let same = || {
        let (ours, there) = (stat("/proc/self/exe")?, fstat(&tree)?);
        Ok::<_, Errno>((ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino))
    };
    if !same().map_err(Error::mount("this program"))? {
        return Ok(None);
    }
    mount::read_only(&tree).map_err(Error::mount("this program, read-only"))?;
    Ok(Some(tree))
}

impl Running {
    /// The writing end of its standard input, if that is a pipe.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// The reading end of its standard output, if that is a pipe.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The reading end of its standard error, if that is a pipe.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Something to end it with from another thread.
    ///
    /// # Errors
    /// There are no more descriptors.
    pub fn killer(&self) -> Result<Killer, Error> {
        let pid = self.child.id().try_into().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Error::Stage("the stage has no pid".into()))?;
        let stage = pidfd_open(pid, PidfdFlags::empty()).map_err(|e| Error::Stage(format!("pidfd: {e}")))?;
        Ok(Killer { stage: Arc::new(stage), end: self.end, report: self.report.clone(), alive: self.alive.clone() })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It could not be set up ([`Error::Stage`]) or executed ([`Error::Exec`]).
    pub fn wait(mut self) -> Result<Exit, Error> {
        let status = self.child.wait().map_err(Error::io("wait"))?;
        *self.alive.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = false;
        let mut reports = reports(&self.report)?;
        // A reason why it never ran comes before the exit status of whoever found it.
        let failure = reports.iter().position(|r| matches!(r, Report::Failed(_) | Report::NotExecuted(..)));
        match failure.map(|n| reports.swap_remove(n)).or_else(|| reports.pop()) {
            Some(Report::Exited(code)) => Ok(Exit::Code(code)),
            Some(Report::Signalled(signal)) => Ok(Exit::Signal(signal)),
            Some(Report::Failed(reason)) => Err(Error::Stage(reason)),
            Some(Report::NotExecuted(code, message)) => Err(Error::Exec { code, message }),
            Some(Report::Started(_)) | None => {
                use std::os::unix::process::ExitStatusExt as _;
                match status.signal() {
                    Some(signal) => Ok(Exit::Signal(signal)),
                    None => Err(Error::Stage(format!("the sandbox ended without a word: {status}"))),
                }
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // What has been waited for is remembered by the standard library; its number may be another's.
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process(Pid::from_child(&self.child), self.end).map(|()| self.child.wait());
        }
    }
}

/// Read by position: the stages write at the end meanwhile.
fn reports(file: &File) -> Result<Vec<Report>, Error> {
    let size = file.metadata().map_err(Error::io("the report"))?.len();
    let mut text = vec![0; usize::try_from(size).unwrap_or(0)];
    file.read_exact_at(&mut text, 0).map_err(Error::io("the report"))?;
    Ok(text.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

impl Killer {
    /// Ends it at once, with everything in it.
    pub fn kill(&self) {
        // Stage 1 dies, and the kernel kills pid 1 of the namespace with it, and all others with that; or it does it itself.
        let _ = pidfd_send_signal(&*self.stage, self.end); // it may be over already
    }

    /// Sends a signal to the command.
    pub fn signal(&self, signal: Signal) {
        let pid = reports(&self.report).unwrap_or_default().into_iter().find_map(|r| match r {
            Report::Started(pid) => Some(pid),
            _ => None,
        });
        // Held while sending: the number cannot be given to another process before `wait` has returned.
        let alive = self.alive.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let (true, Some(pid)) = (*alive, pid.and_then(Pid::from_raw)) {
            let _ = kill_process(pid, signal); // it may be over already
        }
    }
}
