//! `/proc` in a chroot, where it cannot be mounted: the kernel asks the stage about the step's calls that open files and read links
//! (seccomp_unotify(2), Linux 5.14), and the stage answers those that are about `/proc` from the container's own.
//!
//! It is for programs that look for themselves, as Go's does, and for `/dev/stdout`. Nothing is confined by it, and it hides nothing
//! of a process that the step could not find otherwise. It takes `no_new_privs`, without which only the machine's root may filter, and
//! memory that the stage may read, so it is for steps of root: to those set-user-id programs give nothing that they lack.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// `AUDIT_ARCH_*` of this machine's own calls. Others, of 32-bit programs, are not asked about.
#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
const ARCH: u32 = 0xc000_00f3;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
const ARCH: u32 = 0;

/// Every path is shorter.
const LONGEST_PATH: usize = 4096;
const PAGE: u64 = 4096;

/// A call that is asked about, with the place of the path among its arguments.
#[derive(Clone, Copy)]
enum Call {
    Open(usize),
    ReadLink(usize),
}

fn calls() -> Vec<(libc::c_long, Call)> {
    let mut calls = vec![(libc::SYS_openat, Call::Open(1)), (libc::SYS_readlinkat, Call::ReadLink(1))];
    #[cfg(target_arch = "x86_64")]
    calls.extend([(libc::SYS_open, Call::Open(0)), (libc::SYS_readlink, Call::ReadLink(0))]);
    calls
}

/// In the step's process, last of all: has the stage be asked from here on, if this machine can do that.
pub(crate) fn open(stage: &UnixStream) -> io::Result<()> {
    let listener = install();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<BorrowedFd<'_>> = listener.iter().map(|fd| fd.as_fd()).collect();
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&fds));
    }
    sendmsg(stage, &[IoSlice::new(b"w")], &mut control, SendFlags::empty())?;
    Ok(())
}

/// Without a step of root there is nothing to ask.
pub(crate) fn leave_closed(stage: &UnixStream) -> io::Result<()> {
    io::Write::write_all(&mut &*stage, b"w")
}

fn install() -> Option<OwnedFd> {
    let op = |code: u16, jt: u8, jf: u8, k: u32| libc::sock_filter { code, jt, jf, k };
    let calls = calls();
    let count = u8::try_from(calls.len()).ok()?;
    // The architecture, then each call's number: to the last instruction, which asks, or else to the one before it.
    let mut program = vec![op(0x20, 0, 0, 4), op(0x15, 0, count + 1, ARCH), op(0x20, 0, 0, 0)];
    for (n, (call, _)) in (0..count).zip(&calls) {
        program.push(op(0x15, count - n, 0, u32::try_from(*call).ok()?));
    }
    program.extend([op(0x06, 0, 0, libc::SECCOMP_RET_ALLOW), op(0x06, 0, 0, libc::SECCOMP_RET_USER_NOTIF)]);
    let filter = libc::sock_fprog { len: u16::try_from(program.len()).ok()?, filter: program.as_mut_ptr() };
    // SAFETY: the structure points to `program`, which lives through the call; the kernel copies it and checks it. What comes back is a
    // descriptor that is nobody else's.
    #[expect(unsafe_code, reason = "seccomp(2) has no safe wrapper")]
    unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return None;
        }
        let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        let fd = libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter);
        i32::try_from(fd).ok().filter(|fd| *fd >= 0).map(|fd| OwnedFd::from_raw_fd(fd))
    }
}

/// The stage's end.
pub(crate) struct Window {
    listener: OwnedFd,
    /// The step's root as the stage sees it.
    root: PathBuf,
}

impl Window {
    pub(crate) fn new(listener: OwnedFd, root: &Path) -> Self {
        Self { listener, root: root.to_owned() }
    }

    pub(crate) fn listener(&self) -> &OwnedFd {
        &self.listener
    }

    /// Answers one question. If the one who asked is gone there is nothing to do.
    pub(crate) fn answer(&self) {
        // SAFETY: the structure is the kernel's own and zeroed, as it demands; it is written to before the call returns.
        #[expect(unsafe_code, reason = "ioctl(2) of a listener has no safe wrapper")]
        let asked = unsafe {
            let mut asked: libc::seccomp_notif = std::mem::zeroed();
            match libc::ioctl(self.listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut asked) {
                0 => asked,
                _ => return,
            }
        };
        let reply = match self.reply(&asked) {
            Reply::Descriptor(file, flags) => match self.give(&asked, &file, flags) {
                Ok(()) => return,
                Err(e) => Reply::Error(e),
            },
            other => other,
        };
        let (val, error, flags) = match reply {
            Reply::Value(n) => (n, 0, 0),
            Reply::Error(e) => (0, -e.raw_os_error().unwrap_or(libc::EIO), 0),
            Reply::Descriptor(..) | Reply::Kernel => (0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
        };
        let answer = libc::seccomp_notif_resp { id: asked.id, val, error, flags };
        // SAFETY: the structure is whole, and outlives the call.
        #[expect(unsafe_code, reason = "ioctl(2) of a listener has no safe wrapper")]
        let _ = unsafe { libc::ioctl(self.listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const answer) };
    }

    fn reply(&self, asked: &libc::seccomp_notif) -> Reply {
        let Some((_, call)) = calls().into_iter().find(|(number, _)| *number == libc::c_long::from(asked.data.nr))
        else {
            return Reply::Kernel;
        };
        let (Call::Open(place) | Call::ReadLink(place)) = call;
        let Some(path) = read_path(asked.pid, asked.data.args[place]) else { return Reply::Kernel };
        if matches!(call, Call::ReadLink(_)) && path.starts_with("/dev") {
            return Reply::Kernel; // links that are there
        }
        let Some(real) = self.real(&path, asked.pid) else { return Reply::Kernel };
        match call {
            Call::Open(_) => {
                let flags = OFlags::from_bits_retain(u32::try_from(asked.data.args[place + 1]).unwrap_or(0));
                // Not waiting, for others ask too.
                match openat(CWD, &real, flags | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty()) {
                    Ok(file) => {
                        if !flags.contains(OFlags::NONBLOCK) && !flags.contains(OFlags::PATH) {
                            let _ = rustix::fs::fcntl_setfl(&file, flags); // then it does not wait
                        }
                        Reply::Descriptor(file, flags & OFlags::CLOEXEC)
                    }
                    Err(e) => Reply::Error(e.into()),
                }
            }
            Call::ReadLink(_) => {
                let text = if path == Path::new("/proc/self") {
                    Ok(OsString::from(asked.pid.to_string()))
                } else {
                    fs::read_link(&real).map(|target| self.seen(&target))
                };
                let (at, size) = (asked.data.args[place + 1], asked.data.args[place + 2]);
                match text.and_then(|text| {
                    let bytes = text.into_vec();
                    let length = bytes.len().min(usize::try_from(size).unwrap_or(0));
                    write(asked.pid, at, bytes.get(..length).unwrap_or_default())
                }) {
                    Ok(length) => Reply::Value(length),
                    Err(e) => Reply::Error(e),
                }
            }
        }
    }

    /// What a path of the step is here, if it is one of those.
    fn real(&self, path: &Path, pid: u32) -> Option<PathBuf> {
        let own = Path::new("/proc").join(pid.to_string());
        let standard = [("/dev/stdin", "fd/0"), ("/dev/stdout", "fd/1"), ("/dev/stderr", "fd/2")];
        if let Some((_, fd)) = standard.iter().find(|(name, _)| Path::new(name) == path) {
            return Some(own.join(fd));
        }
        if let Ok(number) = path.strip_prefix("/dev/fd") {
            return Some(own.join("fd").join(number));
        }
        let below = path.strip_prefix("/proc").ok()?;
        let first = below.components().next()?.as_os_str();
        let rest = below.strip_prefix(first).ok()?;
        match first.to_str() {
            Some("..") => None,
            Some("self" | "thread-self") if rest.as_os_str().is_empty() => Some(own),
            Some("self" | "thread-self") => Some(own.join(rest)),
            // Links to the process's own, which here would be the stage's.
            Some("mounts" | "net") => Some(own.join(below)),
            // Of processes only the step's.
            Some(name) if name.bytes().all(|b| b.is_ascii_digit()) => {
                let root = fs::read_link(Path::new("/proc").join(name).join("root")).ok()?;
                (root == self.root).then(|| Path::new("/proc").join(below))
            }
            _ => Some(Path::new("/proc").join(below)),
        }
    }

    /// The target of a link as it is in the step's root.
    fn seen(&self, target: &Path) -> OsString {
        match target.strip_prefix(&self.root) {
            Ok(inside) => Path::new("/").join(inside).into_os_string(),
            Err(_) => target.as_os_str().to_owned(),
        }
    }

    fn give(&self, asked: &libc::seccomp_notif, file: &OwnedFd, flags: OFlags) -> io::Result<()> {
        let given = libc::seccomp_notif_addfd {
            id: asked.id,
            flags: libc::SECCOMP_ADDFD_FLAG_SEND as u32,
            srcfd: file.as_raw_fd().cast_unsigned(),
            newfd: 0,
            newfd_flags: flags.bits(),
        };
        // SAFETY: the structure is whole, and outlives the call.
        #[expect(unsafe_code, reason = "ioctl(2) of a listener has no safe wrapper")]
        let result =
            unsafe { libc::ioctl(self.listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw const given) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

enum Reply {
    /// The file is the answer, with these flags of the descriptor.
    Descriptor(OwnedFd, OFlags),
    Value(i64),
    Error(io::Error),
    /// The call goes on as if nobody had been asked.
    Kernel,
}

/// A text in another process's memory. Nothing where it cannot be read.
fn read_path(pid: u32, at: u64) -> Option<PathBuf> {
    let mut text = Vec::new();
    let mut here = at;
    while text.len() < LONGEST_PATH {
        // Not over the end of a page, behind which there may be nothing.
        let mut part = vec![0; usize::try_from(PAGE - here % PAGE).ok()?];
        let local = libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() };
        let remote = libc::iovec { iov_base: here as *mut libc::c_void, iov_len: part.len() };
        // SAFETY: the local part is ours and as long as is told; the other one is not touched but by the kernel.
        #[expect(unsafe_code, reason = "process_vm_readv(2) has no safe wrapper")]
        let read = unsafe { libc::process_vm_readv(pid.cast_signed(), &raw const local, 1, &raw const remote, 1, 0) };
        let read = usize::try_from(read).ok().filter(|read| *read > 0)?;
        let part = part.get(..read)?;
        if let Some(end) = part.iter().position(|b| *b == 0) {
            text.extend_from_slice(part.get(..end)?);
            return Some(OsStr::from_bytes(&text).into());
        }
        text.extend_from_slice(part);
        here += read as u64;
    }
    None
}

fn write(pid: u32, at: u64, bytes: &[u8]) -> io::Result<i64> {
    let local = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: at as *mut libc::c_void, iov_len: bytes.len() };
    // SAFETY: the local part is ours, as long as is told, and only read; the other one is not touched but by the kernel.
    #[expect(unsafe_code, reason = "process_vm_writev(2) has no safe wrapper")]
    let written = unsafe { libc::process_vm_writev(pid.cast_signed(), &raw const local, 1, &raw const remote, 1, 0) };
    if written < 0 { Err(io::Error::last_os_error()) } else { Ok(written as i64) }
}
