//! Goes through a directory in a fixed order, deciding at each name whether it counts.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, Stat, openat, statat};
use rustix::io::Errno;

use super::view::is_dir;

/// What a person could nest by hand is far below; a tree made to exhaust us is not followed further.
const MAX_DEPTH: usize = 512;

/// One file, directory or link that counts.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    /// The directory that holds it.
    pub(crate) dir: BorrowedFd<'a>,
    /// Its name there.
    pub(crate) name: &'a OsStr,
    /// Its path below where the walk began; empty for that itself.
    pub(crate) path: &'a Path,
    /// What it is.
    pub(crate) stat: &'a Stat,
    /// Whether it is there only for what is below it.
    pub(crate) passed: bool,
}

/// What to do with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It counts.
    Keep,
    /// It counts if something below does.
    Descend,
    /// It does not, but something below may, which it is then passed for.
    Pass,
    /// Neither it nor what is below.
    Prune,
}

/// Walks from `name` in `dir`: parents before children, names in byte order. `judge` is asked for every path below the
/// start, `visit` is told of what counts. Returns whether anything counted.
pub(crate) fn walk<E: From<(PathBuf, Errno)>>(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    stat: &Stat,
    judge: &dyn Fn(&Path, &Stat) -> Verdict,
    visit: &mut dyn FnMut(&Entry<'_>) -> Result<(), E>,
) -> Result<bool, E> {
    let mut walker = Walker { judge, visit, pending: Vec::new(), path: PathBuf::new(), any: false };
    walker.enter(dir, name, *stat)?;
    Ok(walker.any)
}

struct Walker<'f, E> {
    judge: &'f dyn Fn(&Path, &Stat) -> Verdict,
    visit: &'f mut dyn FnMut(&Entry<'_>) -> Result<(), E>,
    /// Directories that count only once something in them does.
    pending: Vec<Pending>,
    path: PathBuf,
    any: bool,
}

struct Pending {
    dir: OwnedFd,
    name: OsString,
    path: PathBuf,
    stat: Stat,
    passed: bool,
}

impl<E: From<(PathBuf, Errno)>> Walker<'_, E> {
    fn enter(&mut self, dir: BorrowedFd<'_>, name: &OsStr, stat: Stat) -> Result<(), E> {
        let verdict = (self.judge)(&self.path, &stat);
        match verdict {
            Verdict::Prune => return Ok(()),
            Verdict::Keep => self.keep(dir, name, &stat)?,
            Verdict::Descend | Verdict::Pass if !is_dir(&stat) => return Ok(()),
            Verdict::Descend | Verdict::Pass => {}
        }
        if !is_dir(&stat) {
            return Ok(());
        }
        if self.path.components().count() > MAX_DEPTH {
            return Err((self.path.clone(), Errno::NAMETOOLONG).into());
        }
        let depth = self.pending.len();
        if verdict != Verdict::Keep {
            let held = dir.try_clone_to_owned().map_err(|_| (self.path.clone(), Errno::MFILE))?;
            let (name, path, passed) = (name.to_owned(), self.path.clone(), verdict == Verdict::Pass);
            self.pending.push(Pending { dir: held, name, path, stat, passed });
        }
        let result = self.children(dir, name);
        self.pending.truncate(depth);
        result
    }

    fn children(&mut self, dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), E> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let here = openat(dir, name, flags, Mode::empty()).map_err(|e| (self.path.clone(), e))?;
        for child in names(&here).map_err(|e| (self.path.clone(), e))? {
            self.path.push(&child);
            // A file that goes away while we look was never there.
            match statat(&here, child.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => self.enter(here.as_fd(), &child, stat)?,
                Err(Errno::NOENT) => {}
                Err(e) => return Err((self.path.clone(), e).into()),
            }
            self.path.pop();
        }
        Ok(())
    }

    fn keep(&mut self, dir: BorrowedFd<'_>, name: &OsStr, stat: &Stat) -> Result<(), E> {
        for parent in std::mem::take(&mut self.pending) {
            let Pending { dir, name, path, stat, passed } = &parent;
            (self.visit)(&Entry { dir: dir.as_fd(), name, path, stat, passed: *passed })?;
        }
        self.any = true;
        (self.visit)(&Entry { dir, name, path: &self.path, stat, passed: false })
    }
}

/// The names in a directory, in byte order.
pub(crate) fn names(dir: impl AsFd) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    Ok(names)
}
