//! Spawning a request, and what is running.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::fs::{MemfdFlags, OFlags, fcntl_setfl, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use crate::stage::{HIDDEN_NAME, RUN, Report, number};
use crate::{Error, Request};

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

/// A process in its sandbox.
#[derive(Debug)]
pub struct Running {
    child: Child,
    report: File,
    alive: Arc<Mutex<bool>>,
}

/// Ends or signals a [`Running`] from elsewhere. Does nothing once it has ended.
#[derive(Clone, Debug)]
pub struct Killer {
    stage: Arc<OwnedFd>,
    report: Arc<Mutex<File>>,
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
        let made = memfd_create(name, MemfdFlags::empty());
        // Both sides share one offset: what a stage writes must go to the end wherever we have read to.
        let appending = made.and_then(|fd| fcntl_setfl(&fd, OFlags::APPEND).map(|()| File::from(fd)));
        appending.map_err(|e| Error::Stage(format!("memfd: {e}")))
    };
    let mut body = memory("request")?;
    let report = memory("report")?;
    body.write_all(&text).map_err(Error::io("the request"))?;
    let parent = std::process::id().to_string();
    let mut command = Command::new("/proc/self/exe");
    command.arg0(HIDDEN_NAME).args([RUN, &number(&body), &number(&report), &parent]).env_clear();
    let child = command.stdin(stdin).stdout(stdout).stderr(stderr).spawn().map_err(Error::io("/proc/self/exe"))?;
    Ok(Running { child, report, alive: Arc::new(Mutex::new(true)) })
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
        let report = self.report.try_clone().map_err(Error::io("the report"))?;
        let pid = self.child.id().try_into().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Error::Stage("the stage has no pid".into()))?;
        let stage = pidfd_open(pid, PidfdFlags::empty()).map_err(|e| Error::Stage(format!("pidfd: {e}")))?;
        Ok(Killer { stage: Arc::new(stage), report: Arc::new(Mutex::new(report)), alive: self.alive.clone() })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It could not be set up ([`Error::Stage`]) or executed ([`Error::Exec`]).
    pub fn wait(mut self) -> Result<Exit, Error> {
        let status = self.child.wait().map_err(Error::io("wait"))?;
        *self.alive.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = false;
        let mut reports = reports(&mut self.report)?;
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

fn reports(file: &mut File) -> Result<Vec<Report>, Error> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).map_err(Error::io("the report"))?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

impl Killer {
    /// Ends it at once, with everything in it.
    pub fn kill(&self) {
        // Stage 1 dies, and the kernel kills pid 1 of the namespace with it, and all others with that.
        let _ = pidfd_send_signal(&*self.stage, Signal::KILL); // it may be over already
    }

    /// Sends a signal to the command.
    pub fn signal(&self, signal: Signal) {
        let mut file = self.report.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let pid = reports(&mut file).unwrap_or_default().into_iter().find_map(|r| match r {
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
