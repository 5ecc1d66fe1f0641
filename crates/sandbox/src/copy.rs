//! Files once more, with all that a layer keeps of them: what there is where nothing can be mounted.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, lchown};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, lgetxattr, llistxattr, lremovexattr, lsetxattr,
    mknodat, utimensat,
};
use rustix::io::Errno;

/// More than any attribute has.
const MAX_ATTRIBUTE: usize = 64 * 1024;

/// Linux's own notes on an overlay. They are the machine's and never a layer's.
#[must_use]
pub fn is_private(attribute: &[u8]) -> bool {
    attribute.starts_with(b"trusted.") || attribute.starts_with(b"user.overlay.")
}

/// How files come to be there once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By another name for the same file: for what nobody writes to.
    Link,
    /// With blocks of their own, as soon as one is written to where the file system can do that, else from the start.
    Copy,
}

/// Makes files of one tree again in another.
#[derive(Debug)]
pub struct Copier {
    how: How,
    /// Where the files with several names were put first.
    first: HashMap<(u64, u64), PathBuf>,
}

impl Copier {
    /// Has seen no file yet.
    #[must_use]
    pub fn new(how: How) -> Self {
        Self { how, first: HashMap::new() }
    }

    /// Makes one file, which is no folder, where nothing is. Sockets are left out: nobody listens to a copy.
    pub fn file(&mut self, from: &Path, to: &Path, meta: &Metadata) -> io::Result<()> {
        if self.how == How::Link {
            match fs::hard_link(from, to) {
                // Another file system, or as many names as a file may have.
                Err(e) if [Errno::XDEV, Errno::MLINK, Errno::PERM].contains(&errno(&e)) => {}
                other => return other,
            }
        }
        if meta.nlink() > 1 {
            if let Some(first) = self.first.get(&(meta.dev(), meta.ino())) {
                return fs::hard_link(first, to);
            }
            self.first.insert((meta.dev(), meta.ino()), to.to_owned());
        }
        let kind = meta.file_type();
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(from)?, to)?;
            lchown(to, Some(meta.uid()), Some(meta.gid()))?;
            return Ok(utimensat(CWD, to, &times(meta), AtFlags::SYMLINK_NOFOLLOW)?);
        }
        if kind.is_file() {
            let mut options = OpenOptions::new();
            let mut copy = options.write(true).create_new(true).mode(0o600).open(to)?;
            // By copy_file_range(2), which shares the blocks where the file system can.
            io::copy(&mut File::open(from)?, &mut copy)?;
        } else if kind.is_socket() {
            return Ok(());
        } else {
            let kind = FileType::from_raw_mode(meta.mode());
            mknodat(CWD, to, kind, Mode::from_raw_mode(0o600), meta.rdev())?;
        }
        dress(from, to, meta, Marks::Left)
    }

    /// Makes a folder, which is not there, with all that is in it.
    pub fn tree(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let mut folders = vec![PathBuf::new()];
        fs::create_dir(to)?;
        let mut looked_at = 0;
        while let Some(folder) = folders.get(looked_at).cloned() {
            looked_at += 1;
            for entry in fs::read_dir(from.join(&folder))? {
                let entry = entry?;
                let (path, meta) = (folder.join(entry.file_name()), entry.metadata()?);
                if meta.is_dir() {
                    fs::create_dir(to.join(&path))?;
                    folders.push(path);
                } else {
                    self.file(&entry.path(), &to.join(path), &meta)?;
                }
            }
        }
        // Last, for every file that comes into a folder changes its time.
        for folder in folders {
            dress(&from.join(&folder), &to.join(&folder), &fs::metadata(from.join(&folder))?, Marks::Left)?;
        }
        Ok(())
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// What becomes of overlayfs's own attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// They are copied too.
    Kept,
    /// They are not.
    Left,
}

/// Gives a file or folder the owner, mode, attributes and times of another: in this order, for each undoes what comes after it.
pub fn dress(from: &Path, to: &Path, meta: &Metadata, marks: Marks) -> io::Result<()> {
    chown(to, Some(meta.uid()), Some(meta.gid()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    let wanted = attributes(from, marks)?;
    for (name, _) in attributes(to, marks)?.iter().filter(|(name, _)| !wanted.iter().any(|(n, _)| n == name)) {
        unless_refused(lremovexattr(to, OsStr::from_bytes(name)))?;
    }
    for (name, value) in &wanted {
        unless_refused(lsetxattr(to, OsStr::from_bytes(name), value, XattrFlags::empty()))?;
    }
    Ok(utimensat(CWD, to, &times(meta), AtFlags::empty())?)
}

/// Some attributes are the machine's own, which only it may give.
fn unless_refused(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM | Errno::ACCESS) => Ok(()),
        other => Ok(other?),
    }
}

/// A file's time, for what has no other.
pub fn times(meta: &Metadata) -> Timestamps {
    let mtime = Timespec { tv_sec: meta.mtime(), tv_nsec: meta.mtime_nsec() };
    Timestamps { last_access: mtime, last_modification: mtime }
}

/// The extended attributes of a file, by name.
pub fn attributes(path: &Path, marks: Marks) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    // Most files have none: ask with a small buffer first.
    let mut names = vec![0; 256];
    let length = loop {
        match llistxattr(path, names.as_mut_slice()) {
            Ok(length) => break length,
            Err(Errno::RANGE) if names.len() < MAX_ATTRIBUTE => names.resize(MAX_ATTRIBUTE, 0),
            Err(Errno::NOTSUP) => return Ok(Vec::new()),
            Err(e) => return Err(e.into()),
        }
    };
    let mut found = Vec::new();
    let names = names.get(..length).unwrap_or_default().split(|b| *b == 0).filter(|name| !name.is_empty());
    for name in names.filter(|name| marks == Marks::Kept || !is_private(name)) {
        let mut value = vec![0; MAX_ATTRIBUTE];
        match lgetxattr(path, OsStr::from_bytes(name), value.as_mut_slice()) {
            Ok(length) => value.truncate(length),
            // A security module's names are listed and not always given.
            Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM | Errno::ACCESS) => continue,
            Err(e) => return Err(e.into()),
        }
        found.push((name.to_vec(), value));
    }
    found.sort_unstable();
    Ok(found)
}
