//! A root file system seen from outside it: paths in it mean what they would mean to a process in it, and never lead out.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, fstat, fstatfs, mkdirat, openat2, readlinkat, statat};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, move_mount};

use crate::Error;

/// How many links a path may go through.
const MAX_LINKS: usize = 40;
/// The longest account file that is read.
const MAX_FILE: u64 = 16 << 20;

/// What a mount point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Dir,
    File,
}

/// The root of a file system.
#[derive(Debug)]
pub(crate) struct Inside {
    root: OwnedFd,
}

impl Inside {
    pub(crate) fn open(root: &Path) -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(root, flags, Mode::empty()).map_err(|e| Error::io(root)(e.into()))?;
        Ok(Self { root: fd })
    }

    /// Of a mount, whether it has a place or not.
    pub(crate) fn of(tree: OwnedFd) -> Self {
        Self { root: tree }
    }

    /// Where a path really is, from the root and without links. What does not exist is taken as it stands.
    pub(crate) fn resolve(&self, path: &Path) -> Result<PathBuf, Error> {
        let refuse = |errno: Errno| Error::io(path)(errno.into());
        let mut real = PathBuf::new();
        let mut todo = parts(path);
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == ".." {
                real.pop();
                continue;
            }
            let next = real.join(&part);
            let Ok(dir) = self.dir(&real) else {
                real = next;
                continue;
            };
            match statat(&dir, part.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_symlink() => {
                    // The kernel's own links lead where their text does not say: to what a process has open, ours included.
                    if fstatfs(&dir).is_ok_and(|fs| fs.f_type == rustix::fs::PROC_SUPER_MAGIC) {
                        return Err(refuse(Errno::XDEV));
                    }
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(refuse(Errno::LOOP));
                    }
                    let target = readlinkat(&dir, part.as_os_str(), Vec::new()).map_err(refuse)?;
                    let target = Path::new(OsStr::from_bytes(target.as_bytes()));
                    if target.is_absolute() {
                        real.clear();
                    }
                    todo.extend(parts(target));
                }
                _ => real = next,
            }
        }
        Ok(real)
    }

    fn dir(&self, real: &Path) -> Result<OwnedFd, Errno> {
        self.at(real, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// Opens what a resolved path names.
    pub(crate) fn at(&self, real: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let real = if real.as_os_str().is_empty() { Path::new(".") } else { real };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.root, real, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    pub(crate) fn exists(&self, real: &Path) -> bool {
        self.at(real, OFlags::PATH).is_ok()
    }

    /// What a folder is like: mode, owner, group, time.
    pub(crate) fn stat(&self, real: &Path) -> Result<rustix::fs::Stat, Errno> {
        fstat(self.dir(real)?)
    }

    /// Makes a resolved path, and the folders on the way, where it is not there. Returns what was made, outermost first. Another
    /// process may make the same at the same time, where both have a folder mounted.
    pub(crate) fn make(&self, real: &Path, kind: Kind) -> Result<Vec<PathBuf>, Errno> {
        let mut made = Vec::new();
        let mut here = PathBuf::new();
        let last = real.components().count();
        for (n, part) in real.components().enumerate() {
            let dir = self.dir(&here)?;
            here.push(part);
            if self.exists(&here) {
                continue;
            }
            let result = if n + 1 == last && kind == Kind::File {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
                rustix::fs::openat(&dir, part.as_os_str(), flags, Mode::from_raw_mode(0o644)).map(drop)
            } else {
                mkdirat(&dir, part.as_os_str(), Mode::from_raw_mode(0o755))
            };
            match result {
                Ok(()) => made.push(here.clone()),
                Err(Errno::EXIST) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(made)
    }

    /// Opens the parent of a resolved path.
    pub(crate) fn parent(&self, real: &Path) -> Result<OwnedFd, Errno> {
        self.at(real.parent().unwrap_or(Path::new("")), OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// A small file's content: none if it is not there, or is not what it should be.
    pub(crate) fn read(&self, path: &str) -> Option<Vec<u8>> {
        let real = self.resolve(Path::new(path)).ok()?;
        let file = File::from(self.at(&real, OFlags::RDONLY | OFlags::NONBLOCK).ok()?);
        let meta = file.metadata().ok()?;
        let mut content = Vec::new();
        if !meta.is_file() || file.take(MAX_FILE).read_to_end(&mut content).is_err() {
            return None;
        }
        Some(content)
    }

    /// Hangs a mount on a resolved path.
    pub(crate) fn hang(&self, tree: &OwnedFd, real: &Path) -> Result<(), Error> {
        let what = || format!("on {}", Path::new("/").join(real).display());
        let place = self.at(real, OFlags::PATH).map_err(Error::mount(what()))?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(tree.as_fd(), "", place.as_fd(), "", flags).map_err(Error::mount(what()))
    }
}

/// The parts of a path, last first.
fn parts(path: &Path) -> Vec<OsString> {
    let split = path.as_os_str().as_bytes().split(|b| *b == b'/');
    let mut parts: Vec<OsString> =
        split.filter(|p| !p.is_empty() && *p != b".").map(|p| OsStr::from_bytes(p).to_owned()).collect();
    parts.reverse();
    parts
}
