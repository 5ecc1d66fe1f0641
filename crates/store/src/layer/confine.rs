//! A tree that nothing leads out of: every path is resolved by the kernel inside it.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, readlinkat, statat, unlinkat,
};
use rustix::io::Errno;

use crate::error::At as _;
use crate::{Error, Result};

/// Folders below folders that are removed by recursion, each of which holds a file descriptor.
const MAX_DEPTH: usize = 512;
/// Links that are followed to make a folder at their end, as in path resolution.
const MAX_LINKS: usize = 40;

pub(super) struct Confined {
    fd: OwnedFd,
    path: PathBuf,
    /// The last parent: the entries of a folder come one after the other.
    last: Option<(Vec<u8>, Rc<OwnedFd>)>,
}

/// A path as it is below the root: no leading slash, no `.`, and no `..`, which at the root leads to the root.
pub(super) fn clean(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

/// The folder and the name in it.
pub(super) fn split(clean: &[u8]) -> (&[u8], &[u8]) {
    match clean.iter().rposition(|b| *b == b'/') {
        Some(at) => (clean.get(..at).unwrap_or_default(), clean.get(at + 1..).unwrap_or_default()),
        None => (b"", clean),
    }
}

impl Confined {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let fd = openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).at(path)?;
        Ok(Self { fd, path: path.to_owned(), last: None })
    }

    /// The path as it is outside, for messages.
    pub(super) fn shown(&self, clean: &[u8]) -> PathBuf {
        self.path.join(OsStr::from_bytes(clean))
    }

    /// Opens a folder.
    pub(super) fn dir(&self, clean: &[u8], flags: OFlags) -> std::result::Result<OwnedFd, Errno> {
        let path = if clean.is_empty() { b".".as_slice() } else { clean };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC;
        loop {
            match openat2(&self.fd, OsStr::from_bytes(path), flags, Mode::empty(), resolve) {
                // A rename somewhere on the machine disturbed the walk.
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// The folder that holds a path, made if it is missing.
    pub(super) fn parent(&mut self, clean: &[u8]) -> Result<Rc<OwnedFd>> {
        let (parent, _) = split(clean);
        if let Some((known, fd)) = &self.last
            && known == parent
        {
            return Ok(fd.clone());
        }
        let fd = match self.dir(parent, OFlags::PATH) {
            Err(Errno::NOENT) => self.make_dirs(parent, MAX_LINKS)?,
            other => other.at(&self.shown(parent))?,
        };
        let fd = Rc::new(fd);
        self.last = Some((parent.to_vec(), fd.clone()));
        Ok(fd)
    }

    fn make_dirs(&self, path: &[u8], links: usize) -> Result<OwnedFd> {
        let mut fd = self.dir(b"", OFlags::PATH).at(&self.path)?;
        let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(n, _)| n).chain([path.len()]);
        for end in ends {
            let prefix = path.get(..end).unwrap_or_default();
            let (above, name) = split(prefix);
            let shown = self.shown(prefix);
            fd = match self.dir(prefix, OFlags::PATH) {
                Err(Errno::NOENT) => match mkdirat(&fd, OsStr::from_bytes(name), Mode::from_raw_mode(0o755)) {
                    Ok(()) => self.dir(prefix, OFlags::PATH).at(&shown)?,
                    // A link to what is not there yet, like /var/run: the folder is made where it leads.
                    Err(Errno::EXIST) if links > 0 => {
                        let target = readlinkat(&fd, OsStr::from_bytes(name), Vec::new()).at(&shown)?.into_bytes();
                        let whole = if target.starts_with(b"/") { target } else { [above, b"/", &target].concat() };
                        self.make_dirs(&clean(&whole), links - 1)?
                    }
                    Err(e) => return Err(e).at(&shown),
                },
                other => other.at(&shown)?,
            };
        }
        Ok(fd)
    }

    /// Makes room for a new file: what is there goes. A folder stays where `keep_dir` says so; returns whether it did.
    pub(super) fn clear(&mut self, parent: &OwnedFd, clean: &[u8], keep_dir: bool) -> Result<bool> {
        let name = OsStr::from_bytes(split(clean).1);
        match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(e).at(&self.shown(clean)),
            Ok(stat) if keep_dir && FileType::from_raw_mode(stat.st_mode).is_dir() => Ok(true),
            Ok(_) => self.remove(parent, clean).map(|()| false),
        }
    }

    /// Removes whatever a path is. A link is removed and not followed.
    pub(super) fn remove(&mut self, parent: &OwnedFd, clean: &[u8]) -> Result<()> {
        self.last = None;
        remove(parent, OsStr::from_bytes(split(clean).1), MAX_DEPTH).at(&self.shown(clean))
    }

    /// Removes what a path was before this archive: `written` has what the archive itself put there, which stays.
    pub(super) fn purge(&mut self, path: &[u8], written: &Written) -> Result<()> {
        let mut pending = vec![path.to_vec()];
        while let Some(path) = pending.pop() {
            let parent = match self.dir(split(&path).0, OFlags::PATH) {
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                other => other.at(&self.shown(&path))?,
            };
            if !written.touches(&path) {
                self.remove(&parent, &path)?;
                continue;
            }
            // What the archive replaced by a file of its own holds nothing older.
            let name = OsStr::from_bytes(split(&path).1);
            if statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|s| FileType::from_raw_mode(s.st_mode).is_dir())
            {
                pending.extend(self.children(&path)?);
            }
        }
        Ok(())
    }

    /// The paths in a folder; none where there is no folder.
    pub(super) fn children(&self, path: &[u8]) -> Result<Vec<Vec<u8>>> {
        let fd = match self.dir(path, OFlags::RDONLY) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
            other => other.at(&self.shown(path))?,
        };
        let names = names(&fd).at(&self.shown(path))?;
        let below = |name: Vec<u8>| if path.is_empty() { name } else { [path, b"/", &name].concat() };
        Ok(names.into_iter().map(below).collect())
    }
}

/// The paths that an archive wrote, with all folders above them.
#[derive(Default)]
pub(super) struct Written(HashSet<Vec<u8>>);

impl Written {
    pub(super) fn add(&mut self, path: &[u8]) {
        let mut path = path;
        while !path.is_empty() && self.0.insert(path.to_vec()) {
            path = split(path).0;
        }
    }

    fn touches(&self, path: &[u8]) -> bool {
        self.0.contains(path)
    }
}

fn names(dir: impl AsFd) -> std::result::Result<Vec<Vec<u8>>, Errno> {
    let mut found = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            found.push(name.to_vec());
        }
    }
    Ok(found)
}

fn remove(parent: &OwnedFd, name: &OsStr, depth: usize) -> std::result::Result<(), Errno> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        Err(Errno::NOENT) => return Ok(()),
        other => return other,
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = openat(parent, name, flags, Mode::empty())?;
    let below = depth.checked_sub(1).ok_or(Errno::LOOP)?;
    for child in names(&dir)? {
        remove(&dir, OsStr::from_bytes(&child), below)?;
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

impl Confined {
    /// An error that says where in the tree.
    pub(super) fn refused(&self, clean: &[u8], errno: Errno) -> Error {
        Error::io(&self.shown(clean), errno)
    }
}
