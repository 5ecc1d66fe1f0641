//! Archives to files.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat, fchmod, fchown,
    fsetxattr, futimens, linkat, makedev, mkdirat, mknodat, openat, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::confine::{Confined, Written, clean, split};
use super::entry::{Entries, Entry, Type};
use super::{GONE, OPAQUE, Skipped, is_private};
use crate::error::At as _;
use crate::{Error, Result};

/// Unpacks a plain archive into a folder. Nothing in it can reach outside.
///
/// # Errors
/// [`Error::Tar`] for what is wrong with the archive, else the file system's.
pub fn extract(reader: impl Read, folder: &Path) -> Result<Skipped> {
    Applying::start(folder, false)?.run(reader)
}

/// As [`extract`], where everything in the archive gets one owner, whatever the archive says. Folders that it does not name are not in
/// it, and stay root's.
///
/// # Errors
/// As [`extract`].
pub fn extract_for(reader: impl Read, folder: &Path, owner: (u32, u32)) -> Result<Skipped> {
    Applying { owner: Some(owner), ..Applying::start(folder, false)? }.run(reader)
}

/// Applies an OCI layer to a tree that holds what it lies on: its whiteouts remove what was there before.
///
/// # Errors
/// As [`extract`].
pub fn apply(reader: impl Read, root: &Path) -> Result<Skipped> {
    Applying::start(root, true)?.run(reader)
}

struct Applying {
    root: Confined,
    is_layer: bool,
    /// Who gets everything, if not those whom the archive names.
    owner: Option<(u32, u32)>,
    written: Written,
    /// Folders get their times at the end: each file that is put in would change them.
    times: Vec<(Vec<u8>, Timestamps)>,
    skipped: Skipped,
}

impl Applying {
    fn start(root: &Path, is_layer: bool) -> Result<Self> {
        let root = Confined::open(root)?;
        let (written, skipped) = (Written::default(), Skipped::default());
        Ok(Self { root, is_layer, owner: None, written, times: Vec::new(), skipped })
    }

    fn run(mut self, reader: impl Read) -> Result<Skipped> {
        let mut entries = Entries::new(reader);
        while let Some(entry) = entries.next()? {
            if entry.path.contains(&0) || entry.link.contains(&0) {
                return Err(Error::tar("a name has a zero byte in it"));
            }
            let path = clean(&entry.path);
            let name = split(&path).1;
            match name.strip_prefix(GONE).filter(|_| self.is_layer) {
                Some(gone) => self.whiteout(&path, name, gone)?,
                None => self.put(&entry, &path, &mut entries)?,
            }
        }
        // A layer is known by all its bytes. What comes after the end of another archive, and be it damage, says nothing of its files.
        match entries.finish() {
            Err(e) if self.is_layer => return Err(e),
            _ => {}
        }
        for (path, times) in std::mem::take(&mut self.times) {
            match self.root.dir(&path, OFlags::RDONLY) {
                Ok(dir) => futimens(&dir, &times).at(&self.root.shown(&path))?,
                // It was replaced later on.
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(e) => return Err(self.root.refused(&path, e)),
            }
        }
        Ok(self.skipped)
    }

    fn whiteout(&mut self, path: &[u8], name: &[u8], gone: &[u8]) -> Result<()> {
        let folder = split(path).0;
        if name == OPAQUE {
            for child in self.root.children(folder)? {
                self.root.purge(&child, &self.written)?;
            }
            return Ok(());
        }
        // Other names of this form are aufs's own and mean nothing.
        if gone.starts_with(GONE) {
            return Ok(());
        }
        if matches!(gone, b"" | b"." | b"..") {
            return Err(Error::tar("a whiteout names nothing"));
        }
        let target = if folder.is_empty() { gone.to_vec() } else { [folder, b"/", gone].concat() };
        self.root.purge(&target, &self.written)
    }

    fn put(&mut self, entry: &Entry, path: &[u8], entries: &mut Entries<impl Read>) -> Result<()> {
        let shown = self.root.shown(path);
        if path.is_empty() {
            // The root itself. Of a plain archive it says nothing about the folder that it is unpacked into.
            if entry.kind == Type::Dir && self.is_layer {
                let dir = self.root.dir(path, OFlags::RDONLY).at(&shown)?;
                self.attribute(&dir, entry, &shown)?;
                self.times.push((Vec::new(), times(entry)));
            }
            return Ok(());
        }
        let parent = self.root.parent(path)?;
        let name = OsStr::from_bytes(split(path).1);
        if entry.kind == Type::Hardlink {
            return self.hardlink(&parent, path, entry);
        }
        let kept = self.root.clear(&parent, path, entry.kind == Type::Dir)?;
        let new = Mode::from_raw_mode(0o600);
        match entry.kind {
            Type::File => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mut file = File::from(openat(&parent, name, flags, new).at(&shown)?);
                entries.content(entry, &mut file, &shown)?;
                self.attribute(&file, entry, &shown)?;
                futimens(&file, &times(entry)).at(&shown)?;
            }
            Type::Dir => {
                if !kept {
                    mkdirat(&parent, name, Mode::from_raw_mode(0o700)).at(&shown)?;
                }
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let dir = openat(&parent, name, flags, Mode::empty()).at(&shown)?;
                self.attribute(&dir, entry, &shown)?;
                self.times.push((path.to_vec(), times(entry)));
            }
            Type::Symlink => {
                symlinkat(OsStr::from_bytes(&entry.link), &parent, name).at(&shown)?;
                self.own(entry, |uid, gid| chownat(&parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)).at(&shown)?;
                self.skipped.attributes += entry.attributes.iter().filter(|(name, _)| !is_private(name)).count() as u64;
                utimensat(&parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW).at(&shown)?;
            }
            Type::Fifo | Type::Char | Type::Block => {
                let (kind, device) = match entry.kind {
                    Type::Fifo => (FileType::Fifo, (0, 0)),
                    Type::Char => (FileType::CharacterDevice, entry.device),
                    _ => (FileType::BlockDevice, entry.device),
                };
                // A device 0:0 would be overlayfs's whiteout, which no archive may write.
                let made = match (kind, device) {
                    (FileType::CharacterDevice, (0, 0)) => Err(Errno::PERM),
                    _ => mknodat(&parent, name, kind, new, makedev(device.0, device.1)),
                };
                match made {
                    Err(Errno::PERM) => {
                        self.skipped.devices += 1;
                        return Ok(());
                    }
                    other => other.at(&shown)?,
                }
                self.own(entry, |uid, gid| chownat(&parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)).at(&shown)?;
                // It was made just now and is no link, so there is nothing to follow.
                chmodat(&parent, name, Mode::from_raw_mode(entry.mode), AtFlags::empty()).at(&shown)?;
                utimensat(&parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW).at(&shown)?;
            }
            Type::Hardlink => {}
        }
        self.wrote(path);
        Ok(())
    }

    fn hardlink(&mut self, parent: &OwnedFd, path: &[u8], entry: &Entry) -> Result<()> {
        let target = clean(&entry.link);
        if target == path {
            return Ok(());
        }
        let shown = self.root.shown(path);
        let missing = |_| Error::tar(format!("{} is a link to what is not there", String::from_utf8_lossy(path)));
        let from = self.root.dir(split(&target).0, OFlags::PATH).map_err(missing)?;
        self.root.clear(parent, path, false)?;
        let (old, new) = (OsStr::from_bytes(split(&target).1), OsStr::from_bytes(split(path).1));
        match linkat(&from, old, parent, new, AtFlags::empty()) {
            Err(e @ (Errno::NOENT | Errno::PERM)) => return Err(missing(e)),
            other => other.at(&shown)?,
        }
        self.wrote(path);
        Ok(())
    }

    fn wrote(&mut self, path: &[u8]) {
        // Only a layer can ask later what it wrote.
        if self.is_layer {
            self.written.add(path);
        }
    }

    /// Owner, mode, attributes: in this order, since a change of owner takes away set-user-id bits and capabilities.
    fn attribute(&mut self, file: impl AsFd, entry: &Entry, shown: &Path) -> Result<()> {
        self.own(entry, |uid, gid| fchown(&file, uid, gid)).at(shown)?;
        fchmod(&file, Mode::from_raw_mode(entry.mode)).at(shown)?;
        for (name, value) in entry.attributes.iter().filter(|(name, _)| !is_private(name)) {
            match fsetxattr(&file, OsStr::from_bytes(name), value, XattrFlags::empty()) {
                Err(Errno::PERM | Errno::NOTSUP | Errno::INVAL | Errno::ACCESS | Errno::RANGE) => {
                    self.skipped.attributes += 1
                }
                other => other.at(shown)?,
            }
        }
        Ok(())
    }

    /// A user that this user namespace does not have cannot own anything in it.
    fn own(
        &mut self,
        entry: &Entry,
        chown: impl FnOnce(Option<Uid>, Option<Gid>) -> std::result::Result<(), Errno>,
    ) -> std::result::Result<(), Errno> {
        let (uid, gid) = self.owner.map_or((entry.uid, entry.gid), |(uid, gid)| (uid.into(), gid.into()));
        let result = match (u32::try_from(uid), u32::try_from(gid)) {
            // -1 means "leave it".
            (Ok(uid), Ok(gid)) if uid != u32::MAX && gid != u32::MAX => {
                chown(Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            }
            _ => Err(Errno::INVAL),
        };
        match result {
            Err(Errno::INVAL | Errno::PERM) => self.skipped.owners += 1,
            other => other?,
        }
        Ok(())
    }
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.mtime.0, tv_nsec: entry.mtime.1.into() };
    Timestamps { last_access: time, last_modification: time }
}
