//! A terminal for the command: one of the container's own `/dev/pts`, which stage 1 connects with the caller's standard streams.
//! The caller's terminal itself cannot be given away: it controls another session.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use crate::Error;
use crate::inside::Inside;
use crate::mount::bind;
use crate::user::User;

/// How often the size of the caller's window is looked at: to be told of it would take a signal handler.
const RESIZE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// In the container, before it loses its rights: makes the terminal and sends its other end to stage 1.
pub(crate) fn take(to: &UnixStream, user: &User, inside: &Inside) -> Result<(), Error> {
    let failed = |what: &'static str| move |e: Errno| Error::Stage(format!("terminal: {what}: {e}"));
    let master = rustix::fs::open("/dev/pts/ptmx", OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed("/dev/pts/ptmx"))?;
    unlockpt(&master).map_err(failed("unlock"))?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = ioctl_tiocgptpeer(&master, flags).map_err(failed("open"))?;
    std::os::unix::fs::fchown(&ours, Some(user.uid), None).map_err(Error::io("the terminal"))?;
    if let Ok(size) = tcgetwinsize(io::stdin()) {
        tcsetwinsize(&ours, size).map_err(failed("size"))?; // before the command can ask for it
    }
    let console = Path::new("dev/console");
    inside.make(console, crate::inside::Kind::File).map_err(failed("/dev/console"))?;
    inside.hang(&bind(Path::new("/dev/pts/0"))?, console)?;
    let fds = [master.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(to, &[IoSlice::new(b"t")], &mut control, SendFlags::empty()).map_err(failed("hand over"))?;
    rustix::process::setsid().map_err(failed("new session"))?;
    rustix::process::ioctl_tiocsctty(&ours).map_err(failed("control"))?;
    rustix::stdio::dup2_stdin(&ours).map_err(failed("standard input"))?;
    rustix::stdio::dup2_stdout(&ours).map_err(failed("standard output"))?;
    rustix::stdio::dup2_stderr(&ours).map_err(failed("standard error"))
}

/// In stage 1: carries what is typed to the terminal, and what comes from it to standard output, until nobody has it open.
pub(crate) fn connect(from: &UnixStream) -> Option<()> {
    let master = File::from(receive(from)?);
    let _raw = Raw::set(io::stdin());
    let flags = rustix::fs::fcntl_getfl(&master).ok()?;
    rustix::fs::fcntl_setfl(&master, flags | OFlags::NONBLOCK).ok()?;
    let sized = isatty(io::stdin());
    let (mut typed, mut open) = (Vec::new(), true);
    let mut size = None;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if sized {
            let now = tcgetwinsize(io::stdin()).ok();
            if now.map(|s| (s.ws_row, s.ws_col)) != size {
                size = now.map(|s| (s.ws_row, s.ws_col));
                now.map(|now| tcsetwinsize(&master, now));
            }
        }
        let wanted = if typed.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        let stdin = io::stdin();
        let mut fds = vec![PollFd::new(&master, wanted)];
        if open && typed.is_empty() {
            fds.push(PollFd::new(&stdin, PollFlags::IN));
        }
        match poll(&mut fds, sized.then_some(&RESIZE)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return None,
        }
        let ready = fds[0].revents();
        let input = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        if ready.contains(PollFlags::IN) {
            let n = (&master).read(&mut buffer).unwrap_or(0);
            io::stdout().write_all(buffer.get(..n)?).and_then(|()| io::stdout().flush()).ok()?;
        } else if ready.intersects(PollFlags::HUP | PollFlags::ERR) {
            return Some(());
        }
        if ready.contains(PollFlags::OUT)
            && let Ok(n) = (&master).write(&typed)
        {
            typed.drain(..n);
        }
        if input {
            // Not through std's buffer, which would read ahead of what poll knows.
            match rustix::io::read(&stdin, &mut buffer[..4096]) {
                Ok(0) | Err(_) => open = false,
                Ok(n) => typed.extend_from_slice(buffer.get(..n)?),
            }
        }
    }
}

/// A descriptor that the other end sends, if there comes one.
pub(crate) fn receive(from: &UnixStream) -> Option<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(from, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC).ok()?;
    control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    })
}

/// The settings of a terminal, put back when this goes.
#[derive(Debug)]
pub(crate) struct Raw<Fd: AsFd> {
    terminal: Fd,
    before: Option<Termios>,
}

impl<Fd: AsFd> Raw<Fd> {
    /// Notes them, without changing anything.
    pub(crate) fn note(terminal: Fd) -> Self {
        let before = tcgetattr(&terminal).ok();
        Self { terminal, before }
    }

    /// Has everything that is typed come through as it is: the container's terminal makes of it what is to be made.
    fn set(terminal: Fd) -> Self {
        let noted = Self::note(terminal);
        if let Some(mut raw) = noted.before.clone() {
            raw.make_raw();
            let _ = tcsetattr(&noted.terminal, OptionalActions::Now, &raw); // then Ctrl-C ends us, and the container with us
        }
        noted
    }
}

impl<Fd: AsFd> Drop for Raw<Fd> {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(&self.terminal, OptionalActions::Now, before);
        }
    }
}
