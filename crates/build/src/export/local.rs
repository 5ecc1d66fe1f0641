//! `type=local`: the files in a folder of the person's, as docker leaves them there.
//!
//! What is in the folder stays unless something of the same name comes. Modes and times are kept; owners are not: the files
//! belong to who asked for them. What only root can make (devices) and what means nothing without a process (sockets) is
//! left out, and told.
//!
//! Nothing is followed: every folder below the destination is opened by its name in the folder above it, and a link that
//! stands where a folder comes is replaced. So neither the image nor what was in the destination can lead outside.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, fchmod, fstat, futimens, linkat,
    mkdirat, mknodat, openat, openat2, readlinkat, renameat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::rootfs::Root;
use crate::engine::warn;
use crate::progress::Work;
use crate::tree::{mtime, names, remove_all, xattr};
use crate::{Error, Sink};

pub(super) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How many of those that were left out a warning names.
const NAMED: usize = 3;

/// Writes the files of all platforms, each into its folder where there are several.
pub(super) fn write(dest: &Path, roots: &[Root], epoch: Option<i64>, work: &Work, sink: &Sink) -> Result<(), Error> {
    std::fs::create_dir_all(dest).map_err(Error::io(dest.display().to_string()))?;
    let top = open_top(dest).map_err(|e| failed(dest, e))?;
    for root in roots {
        let (to, shown) = match &root.place {
            Some(place) => {
                let shown = dest.join(place);
                (folder(&top, OsStr::new(place)).map_err(|e| failed(&shown, e))?, shown)
            }
            None => (top.try_clone().map_err(Error::io(dest.display().to_string()))?, dest.to_owned()),
        };
        let mut copy = Copy::new(epoch, root.place.as_deref(), work);
        copy.tree(root.path(), &to, &shown)?;
        if root.place.is_some() {
            // Nobody made this folder: it has no time but the one that the person names.
            let time = Timespec { tv_sec: epoch.unwrap_or(0), tv_nsec: 0 };
            futimens(&to, &both(time)).map_err(|e| failed(&shown, e))?;
        }
        copy.tell_skipped(sink);
    }
    Ok(())
}

/// The destination itself is the person's word: a link there is meant.
pub(super) fn open_top(dest: &Path) -> Result<OwnedFd, Errno> {
    openat(CWD, dest, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Copies one tree.
struct Copy<'a> {
    epoch: Option<i64>,
    /// The folder of the platform.
    place: Option<&'a str>,
    work: &'a Work,
    /// The name of what is on its way to the one that it will have. Two processes may write to one folder.
    draft: String,
    /// The first path of each file that has several.
    links: HashMap<(u64, u64), PathBuf>,
    /// What was left out.
    skipped: Vec<PathBuf>,
}

/// A folder that is being copied.
struct Frame {
    from: OwnedFd,
    to: OwnedFd,
    /// Last first.
    names: Vec<OsString>,
    /// Below the top.
    path: PathBuf,
    stat: Stat,
}

impl<'a> Copy<'a> {
    fn new(epoch: Option<i64>, place: Option<&'a str>, work: &'a Work) -> Self {
        let draft = format!(".archipel-{}.tmp", std::process::id());
        Self { epoch, place, work, draft, links: HashMap::new(), skipped: Vec::new() }
    }

    /// A stack of our own: nothing bounds how deep a RUN step's folders go.
    fn tree(&mut self, from: &Path, to: &OwnedFd, shown: &Path) -> Result<(), Error> {
        let told = |path: &Path, e| failed(&shown.join(path), e);
        let from = openat(CWD, from, FOLDER, Mode::empty()).map_err(|e| failed(from, e))?;
        let top = to;
        let to = to.try_clone().map_err(Error::io(shown.display().to_string()))?;
        let mut stack = vec![frame(from, to, PathBuf::new()).map_err(|e| told(Path::new(""), e))?];
        while let Some(here) = stack.last_mut() {
            let Some(name) = here.names.pop() else {
                let done = stack.pop();
                if let Some(frame) = done.filter(|frame| !frame.path.as_os_str().is_empty()) {
                    // At the end: every file that came into it changed its time.
                    self.dress_folder(&frame).map_err(|e| told(&frame.path, e))?;
                }
                continue;
            };
            let path = here.path.join(&name);
            let stat = statat(&here.from, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW).map_err(|e| told(&path, e))?;
            if FileType::from_raw_mode(stat.st_mode).is_dir() {
                let from = openat(&here.from, name.as_os_str(), FOLDER, Mode::empty()).map_err(|e| told(&path, e))?;
                let to = folder(&here.to, &name).map_err(|e| told(&path, e))?;
                stack.push(frame(from, to, path.clone()).map_err(|e| told(&path, e))?);
            } else {
                self.file(here, top, &name, &path, &stat)
                    .map_err(|e| Error::Io { what: format!("write {}", shown.join(&path).display()), source: e })?;
            }
        }
        Ok(())
    }

    /// Everything but a folder: made under another name, and renamed. So a file is the old one or the new one, whole.
    fn file(&mut self, here: &Frame, top: &OwnedFd, name: &OsStr, path: &Path, stat: &Stat) -> std::io::Result<()> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !(kind.is_file() || kind.is_symlink() || kind.is_fifo()) {
            self.skipped.push(path.to_owned());
            return Ok(());
        }
        let to = here.to.as_fd();
        let made = self.make(here, top, name, path, stat).and_then(|()| {
            if matches!(statat(to, name, AtFlags::SYMLINK_NOFOLLOW), Ok(old) if is_dir(&old)) {
                remove_all(to, name)?;
            }
            Ok(renameat(to, self.draft.as_str(), to, name)?)
        });
        if made.is_err() {
            // The first error is the one to tell.
            let _ = unlinkat(to, self.draft.as_str(), AtFlags::empty());
        }
        made
    }

    fn make(&mut self, here: &Frame, top: &OwnedFd, name: &OsStr, path: &Path, stat: &Stat) -> std::io::Result<()> {
        let (kind, draft) = (FileType::from_raw_mode(stat.st_mode), self.draft.as_str());
        if kind.is_symlink() {
            let target = readlinkat(&here.from, name, Vec::new())?;
            match self.place.filter(|_| target.as_bytes().starts_with(b"/")) {
                // As in BuildKit, which sees the platform's folder as a part of the path.
                Some(place) => {
                    symlinkat([b"/", place.as_bytes(), target.as_bytes()].concat(), &here.to, draft)?;
                }
                None => symlinkat(target.as_c_str(), &here.to, draft)?,
            }
            return Ok(utimensat(&here.to, draft, &both(self.time(stat)), AtFlags::SYMLINK_NOFOLLOW)?);
        }
        if stat.st_nlink > 1 {
            let first = self.links.entry((stat.st_dev, stat.st_ino)).or_insert_with(|| path.to_owned());
            if first != path {
                let parent = first.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
                let parent = openat2(top, parent, FOLDER, Mode::empty(), inside)?;
                linkat(&parent, first.file_name().unwrap_or_default(), &here.to, draft, AtFlags::empty())?;
                return Ok(());
            }
        }
        if kind.is_fifo() {
            mknodat(&here.to, draft, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
            // It was made just now and is no link, so there is nothing to follow.
            rustix::fs::chmodat(&here.to, draft, Mode::from_raw_mode(stat.st_mode & 0o7777), AtFlags::empty())?;
            return Ok(utimensat(&here.to, draft, &both(self.time(stat)), AtFlags::SYMLINK_NOFOLLOW)?);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut from = File::from(openat(&here.from, name, flags, Mode::empty())?);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut to = File::from(openat(&here.to, draft, flags, Mode::from_raw_mode(0o600))?);
        self.work.add(std::io::copy(&mut from, &mut to)?);
        xattr::copy(&from, &to, false)?;
        Ok(self.dress(&to, stat)?)
    }

    fn dress_folder(&self, Frame { from, to, stat, .. }: &Frame) -> Result<(), Errno> {
        // One that was there may be read-only, and take no attributes so.
        fchmod(to, Mode::RWXU)?;
        xattr::copy(from, to, false)?;
        self.dress(to, stat)
    }

    /// Mode and time. The owner is the person already, who made the file.
    fn dress(&self, to: impl AsFd, stat: &Stat) -> Result<(), Errno> {
        fchmod(&to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
        futimens(&to, &both(self.time(stat)))
    }

    /// With an epoch everything has it, as with BuildKit.
    fn time(&self, stat: &Stat) -> Timespec {
        match self.epoch {
            Some(epoch) => Timespec { tv_sec: epoch, tv_nsec: 0 },
            None => mtime(stat),
        }
    }

    fn tell_skipped(&self, sink: &Sink) {
        let names: Vec<String> = self.skipped.iter().take(NAMED).map(|path| path.display().to_string()).collect();
        let more = match self.skipped.len().saturating_sub(NAMED) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        if !names.is_empty() {
            warn(sink, format!("devices and sockets are left out of the folder: {}{more}", names.join(", ")));
        }
    }
}

fn frame(from: OwnedFd, to: OwnedFd, path: PathBuf) -> Result<Frame, Errno> {
    let mut names = names(&from)?;
    names.sort_unstable_by(|a, b| b.cmp(a));
    let stat = fstat(&from)?;
    Ok(Frame { from, to, names, path, stat })
}

/// Opens a folder of the destination, making it where there is none, and in the place of anything else.
fn folder(parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    match openat(parent, name, FOLDER, Mode::empty()) {
        Err(Errno::NOENT) => {}
        Err(Errno::NOTDIR | Errno::LOOP) => unlinkat(parent, name, AtFlags::empty())?,
        opened => return opened,
    }
    mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    openat(parent, name, FOLDER, Mode::empty())
}

fn is_dir(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_dir()
}

pub(super) fn both(time: Timespec) -> Timestamps {
    Timestamps { last_access: time, last_modification: time }
}

pub(super) fn failed(path: &Path, errno: Errno) -> Error {
    Error::Io { what: format!("write {}", path.display()), source: errno.into() }
}

#[cfg(test)]
mod tests;
