//! Where COPY, ADD and WORKDIR write: the mounted tree of a step.
//!
//! Nobody else works in this tree while we write, so paths are resolved here, part by part, as a process with this tree as
//! its root would: links are followed inside it, `..` stops at it. What only holds the result keeps its times: a directory
//! that was there before does not get the time of the build because a file came into it, but that of a source whose contents
//! it gets. So the same files make the same layer on every platform and every day.

mod change;

pub(crate) use change::remove_all;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use archipel_dockerfile::Chmod;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, chownat, fchmod, fchown,
    futimens, linkat, mkdirat, mknodat, openat, openat2, readlinkat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::view::{is_dir, is_link, parts};
use super::walk::Entry;
use super::{Match, View, xattr};
use crate::Error;

const MAX_LINKS: usize = 40;

/// Who owns what is written, and with which mode: `--chown` and `--chmod`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ownership {
    /// User and group; those of the source, or root for a context, if none.
    pub(crate) owner: Option<(u32, u32)>,
    /// The mode; that of the source if none.
    pub(crate) mode: Option<Chmod>,
}

impl Ownership {
    /// The mode of a directory that is made on the way. What a `--chmod` changes of a source's mode does not matter to it, and it gets
    /// no more than the permissions of one that says all of the mode (BuildKit).
    fn made_dirs(&self) -> u32 {
        self.mode.as_ref().and_then(Chmod::absolute).map_or(0o755, |mode| mode & 0o777)
    }
}

/// A tree that is written to.
#[derive(Debug)]
pub(crate) struct Destination {
    root: OwnedFd,
    ownership: Ownership,
    /// The time of what no source gives a time to: directories made on the way.
    now: Timespec,
    /// The time of everything that is written, whatever its source says.
    time: Option<Timespec>,
    /// What is of another kind than what comes in its place gives way to it.
    replace: bool,
    /// Real paths of directories, with the times they get at the end.
    times: HashMap<PathBuf, Timespec>,
    /// The directory that was opened last: files come in runs.
    last: Option<(PathBuf, Rc<OwnedFd>)>,
    /// Where a source file with several names was written first.
    names: HashMap<(u64, u64), PathBuf>,
    lone: usize,
}

impl Destination {
    /// Writes below `root`. `now` is in seconds since 1970.
    pub(crate) fn open(root: &Path, ownership: Ownership, now: i64) -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(rustix::fs::CWD, root, flags, Mode::empty()).map_err(|e| failed(root, e))?;
        let now = Timespec { tv_sec: now, tv_nsec: 0 };
        let (times, names) = (HashMap::new(), HashMap::new());
        Ok(Self { root: fd, ownership, now, time: None, replace: false, times, last: None, names, lone: 0 })
    }

    /// Gives everything that is written this time, in nanoseconds since 1970.
    pub(crate) fn dated(mut self, time: Option<i64>) -> Self {
        self.time = time.map(timespec);
        self.now = self.time.unwrap_or(self.now);
        self
    }

    /// Lets what is of another kind than what comes in its place give way to it.
    pub(crate) fn replacing(mut self, replace: bool) -> Self {
        self.replace = replace;
        self
    }

    /// Copies what the matches stand for to `dest`, an absolute path, one after the other. A `/` at its end makes it a directory; so
    /// does one that is there. A directory's contents go to `dest` itself.
    pub(crate) fn copy(&mut self, view: &View, matches: &[Match], dest: &str) -> Result<(), Error> {
        self.copy_dirs(view, matches, dest, true)
    }

    /// The same; a directory whose `contents` are not what is meant goes into `dest` where there is one, as with `cp -a`.
    pub(crate) fn copy_dirs(
        &mut self,
        view: &View,
        matches: &[Match],
        dest: &str,
        contents: bool,
    ) -> Result<(), Error> {
        for found in matches {
            // What is one file in a source is one file in the image, and of several sources each brings its own (BuildKit).
            self.names.clear();
            // A source's contents are copied, not itself: where their directory is made, it is like every other that is made
            // on the way (BuildKit).
            let target = match found.is_dir() {
                true if contents => self.make_dirs(Path::new(dest))?,
                _ => self.file_target(dest, &found.name)?,
            };
            self.put_all(view, found, &target)?;
        }
        Ok(())
    }

    fn put_all(&mut self, view: &View, found: &Match, target: &Path) -> Result<(), Error> {
        found.visit(view, &mut |entry| {
            let to = if entry.path.as_os_str().is_empty() { target.to_owned() } else { target.join(entry.path) };
            self.put(entry, &to, view.keeps_owners).map_err(|e| failed(&to, e))
        })
    }

    /// Writes a file that comes from no tree: a heredoc, a download. Without a time it gets the build's.
    pub(crate) fn write(
        &mut self,
        dest: &str,
        name: &OsStr,
        mode: u32,
        time: Option<i64>,
        content: &mut dyn std::io::Read,
    ) -> Result<(), Error> {
        let target = self.file_target(dest, name)?;
        let (mode, (uid, gid)) = (self.mode(mode, false), self.ownership.owner.unwrap_or((0, 0)));
        let time = time.map_or(self.now, |seconds| Timespec { tv_sec: seconds, tv_nsec: 0 });
        let write = |file: &mut File| std::io::copy(content, file).map(drop);
        self.create(&target, mode, (uid, gid), time, write)
            .map_err(|e| Error::Io { what: format!("write {}", Path::new("/").join(&target).display()), source: e })
    }

    /// Where a single file goes: into `dest` if that is a directory or must become one, else to `dest`.
    fn file_target(&mut self, dest: &str, name: &OsStr) -> Result<PathBuf, Error> {
        let path = Path::new(dest);
        if dest.ends_with('/') || matches!(self.stat(path), Some(s) if is_dir(&s)) {
            return Ok(self.make_dirs(path)?.join(name));
        }
        self.make_dirs(path.parent().unwrap_or(Path::new("/")))?;
        self.lone += 1;
        let real = self.resolve(path)?;
        // It may be a link into a directory that is not there yet.
        self.make_dirs(real.parent().unwrap_or(Path::new("/")))?;
        Ok(real)
    }

    /// How many files went to the destination itself, for want of a directory there. Of several only the last is there.
    pub(crate) fn lone(&self) -> usize {
        self.lone
    }

    /// Makes a directory and those above it, and says where it really is (from the root, without links). What is made
    /// has the owner of the instruction, else root's, and the mode that its `--chmod` gives to a folder that is made on the way.
    pub(crate) fn make_dirs(&mut self, path: &Path) -> Result<PathBuf, Error> {
        self.follow(path, true)
    }

    /// The same for what an archive is unpacked into: its files keep their modes, and so does this folder (BuildKit).
    pub(crate) fn make_dirs_for_archive(&mut self, path: &Path) -> Result<PathBuf, Error> {
        let mode = self.ownership.mode.take();
        let made = self.make_dirs(path);
        self.ownership.mode = mode;
        made
    }

    /// Where a path really is; what is missing at its end is taken as it stands.
    fn resolve(&mut self, path: &Path) -> Result<PathBuf, Error> {
        self.follow(path, false)
    }

    fn follow(&mut self, path: &Path, make: bool) -> Result<PathBuf, Error> {
        let mut real = PathBuf::new();
        let mut todo: Vec<OsString> = parts(path).rev().map(OsStr::to_owned).collect();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == ".." {
                real.pop();
                continue;
            }
            let next = real.join(&part);
            let found = match self.dir(&real) {
                Ok(dir) => statat(&*dir, part.as_os_str(), AtFlags::SYMLINK_NOFOLLOW).map(|stat| (dir, stat)),
                Err(e) => Err(e),
            };
            match found {
                Ok((dir, stat)) if is_link(&stat) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(failed(path, Errno::LOOP));
                    }
                    let target = readlinkat(&*dir, part.as_os_str(), Vec::new()).map_err(|e| failed(&next, e))?;
                    let target = Path::new(OsStr::from_bytes(target.as_bytes()));
                    if target.is_absolute() {
                        real.clear();
                    }
                    todo.extend(parts(target).rev().map(OsStr::to_owned));
                }
                Ok((_, stat)) if is_dir(&stat) || (todo.is_empty() && !make) => real = next,
                Ok(_) => return Err(failed(&next, Errno::NOTDIR)),
                Err(Errno::NOENT) if make => {
                    self.make_dir(&real, &part).map_err(|e| failed(&next, e))?;
                    real = next;
                }
                Err(Errno::NOENT) => real = next,
                Err(e) => return Err(failed(&next, e)),
            }
        }
        Ok(real)
    }

    fn make_dir(&mut self, parent: &Path, name: &OsStr) -> Result<(), Errno> {
        let dir = self.touch(parent)?;
        mkdirat(&*dir, name, Mode::from_raw_mode(0o755))?;
        let fd = openat(&*dir, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
        // Without an owner it is ours, who are root. A folder that hands its group on does so here too (BuildKit).
        if let Some((uid, gid)) = self.ownership.owner {
            fchown(&fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        let inherited = Mode::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) & Mode::SGID;
        fchmod(&fd, Mode::from_raw_mode(self.ownership.made_dirs()) | inherited)?;
        self.times.insert(parent.join(name), self.now);
        Ok(())
    }

    /// Opens a directory by its real path.
    fn dir(&mut self, path: &Path) -> Result<Rc<OwnedFd>, Errno> {
        if let Some((last, fd)) = &self.last
            && last == path
        {
            return Ok(fd.clone());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let shown = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let fd = Rc::new(openat2(&self.root, shown, flags, Mode::empty(), resolve)?);
        self.last = Some((path.to_owned(), fd.clone()));
        Ok(fd)
    }

    /// Opens a directory that is about to change, and remembers the time it has now.
    fn touch(&mut self, path: &Path) -> Result<Rc<OwnedFd>, Errno> {
        let dir = self.dir(path)?;
        if !self.times.contains_key(path) {
            let stat = rustix::fs::fstat(&*dir)?;
            self.times.insert(path.to_owned(), mtime(&stat));
        }
        Ok(dir)
    }

    fn stat(&mut self, path: &Path) -> Option<Stat> {
        let real = self.resolve(path).ok()?;
        let (parent, name) = split(&real);
        let dir = self.dir(parent).ok()?;
        statat(&*dir, name, AtFlags::SYMLINK_NOFOLLOW).ok()
    }

    fn mode(&self, from: u32, directory: bool) -> u32 {
        self.ownership.mode.as_ref().map_or(from, |m| m.apply(from, directory)) & 0o7777
    }

    /// Writes one entry of a source to its real path.
    fn put(&mut self, entry: &Entry<'_>, to: &Path, keeps_owner: bool) -> Result<(), Errno> {
        let stat = entry.stat;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let source_owner = if keeps_owner { (stat.st_uid, stat.st_gid) } else { (0, 0) };
        let owner = self.ownership.owner.unwrap_or(source_owner);
        if kind.is_dir() {
            return self.put_dir(entry, to, owner, keeps_owner);
        }
        let (parent, name) = split(to);
        let several = stat.st_nlink > 1 && kind.is_file();
        if several && let Some(first) = self.names.get(&(stat.st_dev, stat.st_ino)).cloned() {
            let (first_parent, first_name) = split(&first);
            let from = self.dir(first_parent)?;
            let dir = self.make_room(parent, name)?;
            return linkat(&*from, first_name, &*dir, name, AtFlags::empty());
        }
        match kind {
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let mut source = File::from(openat(entry.dir, entry.name, flags, Mode::empty())?);
                let mode = self.mode(stat.st_mode, false);
                self.create(to, mode, owner, self.mtime(stat), |file| {
                    std::io::copy(&mut source, file)?;
                    Ok(xattr::copy(&source, &*file, keeps_owner)?)
                })
                .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
                if several {
                    self.names.insert((stat.st_dev, stat.st_ino), to.to_owned());
                }
            }
            FileType::Symlink => {
                let target = readlinkat(entry.dir, entry.name, Vec::new())?;
                let dir = self.make_room(parent, name)?;
                symlinkat(target.as_c_str(), &*dir, name)?;
                self.own(&dir, name, owner, self.mtime(stat))?;
            }
            // A socket means nothing without the process behind it. BuildKit leaves an empty file in its place.
            FileType::Socket => {
                let mode = self.mode(stat.st_mode, false);
                self.create(to, mode, owner, self.mtime(stat), |_| Ok(()))
                    .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
            }
            _ => {
                let dir = self.make_room(parent, name)?;
                let mode = Mode::from_raw_mode(self.mode(stat.st_mode, false));
                mknodat(&*dir, name, kind, mode, stat.st_rdev)?;
                rustix::fs::chmodat(&*dir, name, mode, AtFlags::empty())?;
                self.own(&dir, name, owner, self.mtime(stat))?;
            }
        }
        Ok(())
    }

    /// Where a source's contents go is there already, and gets nothing of the source but its time (BuildKit); directories inside it bring
    /// their modes and owners too.
    fn put_dir(&mut self, entry: &Entry<'_>, to: &Path, owner: (u32, u32), trusted: bool) -> Result<(), Errno> {
        let (parent, name) = split(to);
        let top = entry.path.as_os_str().is_empty();
        if name.is_empty() {
            return Ok(()); // the root itself
        }
        let dir = self.dir(parent)?;
        let is_new = match statat(&*dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if !is_dir(&stat) && self.replace => {
                let dir = self.make_room(parent, name)?;
                mkdirat(&*dir, name, Mode::from_raw_mode(0o700))?;
                true
            }
            Ok(stat) if !is_dir(&stat) => return Err(Errno::NOTDIR),
            Ok(_) if top => {
                self.times.insert(to.to_owned(), self.mtime(entry.stat));
                return Ok(());
            }
            Ok(_) => false,
            Err(Errno::NOENT) => {
                let dir = self.touch(parent)?;
                mkdirat(&*dir, name, Mode::from_raw_mode(0o700))?;
                true
            }
            Err(e) => return Err(e),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&*dir, name, flags, Mode::empty())?;
        if entry.passed && !is_new {
            // Only what is in it was asked for: it is not given away (BuildKit).
            return fchmod(&fd, Mode::from_raw_mode(entry.stat.st_mode & 0o7777));
        }
        fchown(&fd, Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)))?;
        let source = openat(entry.dir, entry.name, flags, Mode::empty())?;
        xattr::copy(&source, &fd, trusted)?;
        fchmod(&fd, Mode::from_raw_mode(self.mode(entry.stat.st_mode, true)))?;
        self.times.insert(to.to_owned(), self.mtime(entry.stat));
        Ok(())
    }

    /// Makes a file at a real path, replacing what is there.
    pub(crate) fn create(
        &mut self,
        to: &Path,
        mode: u32,
        owner: (u32, u32),
        time: Timespec,
        fill: impl FnOnce(&mut File) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let (parent, name) = split(to);
        let dir = self.make_room(parent, name)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&*dir, name, flags, Mode::from_raw_mode(0o600))?);
        // Owner before mode and attributes: chown takes away set-user-id bits and capabilities.
        fchown(&file, Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)))?;
        fill(&mut file)?;
        fchmod(&file, Mode::from_raw_mode(mode & 0o7777))?;
        futimens(&file, &times(time))?;
        Ok(())
    }

    /// Takes away what has the name of something that is to come.
    fn make_room(&mut self, parent: &Path, name: &OsStr) -> Result<Rc<OwnedFd>, Errno> {
        let dir = self.touch(parent)?;
        match unlinkat(&*dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(dir),
            Err(Errno::ISDIR) if self.replace => {
                remove_all(&dir, name)?;
                Ok(dir)
            }
            Err(e) => Err(e), // EISDIR: a file does not replace a directory
        }
    }

    fn mtime(&self, stat: &Stat) -> Timespec {
        self.time.unwrap_or_else(|| mtime(stat))
    }

    fn own(&self, dir: &OwnedFd, name: &OsStr, owner: (u32, u32), time: Timespec) -> Result<(), Errno> {
        let (uid, gid) = (Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)));
        chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        utimensat(dir, name, &times(time), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Gives directories their times, last because every file that comes into one changes it.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        let times_of = std::mem::take(&mut self.times);
        for (path, time) in times_of {
            let dir = self.dir(&path).map_err(|e| failed(&path, e))?;
            futimens(dir.as_fd(), &times(time)).map_err(|e| failed(&path, e))?;
        }
        Ok(())
    }
}

fn timespec(nanoseconds: i64) -> Timespec {
    let second = 1_000_000_000;
    Timespec { tv_sec: nanoseconds.div_euclid(second), tv_nsec: nanoseconds.rem_euclid(second) as _ }
}

fn split(path: &Path) -> (&Path, &OsStr) {
    (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or(OsStr::new("")))
}

pub(crate) fn mtime(stat: &Stat) -> Timespec {
    #[expect(clippy::unnecessary_cast, reason = "the types of these fields differ between architectures")]
    Timespec { tv_sec: stat.st_mtime as i64, tv_nsec: stat.st_mtime_nsec as _ }
}

fn times(time: Timespec) -> Timestamps {
    Timestamps { last_access: time, last_modification: time }
}

fn failed(path: &Path, errno: Errno) -> Error {
    let shown = Path::new("/").join(path);
    match errno {
        Errno::NOTDIR => Error::Request(format!("cannot copy to non-directory {}", shown.display())),
        Errno::ISDIR => Error::Request(format!("cannot replace to directory {} with file", shown.display())),
        other => Error::Io { what: format!("write {}", shown.display()), source: other.into() },
    }
}

#[cfg(test)]
mod tests;
