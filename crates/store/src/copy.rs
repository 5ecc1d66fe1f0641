//! Files once more, and what there is of them beside their content.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags, lgetxattr, llistxattr, lsetxattr, mknodat,
    utimensat,
};
use rustix::io::Errno;

use crate::Result;
use crate::error::At as _;
use crate::layer::is_private;

/// The largest list of names, and value, that Linux has for extended attributes.
const MAX_ATTRIBUTE: usize = 64 * 1024;

/// Opens a file to read it. Not blocking and not following: it was a file a moment ago.
pub(crate) fn open(path: &Path) -> rustix::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map(File::from)
}

/// Copies what is no folder, with all that it has.
pub(crate) fn copy_node(from: &Path, to: &Path, meta: &Metadata) -> Result<()> {
    let kind = meta.file_type();
    if kind.is_symlink() {
        let target = fs::read_link(from).at(from)?;
        symlink(target, to).and_then(|()| lchown(to, Some(meta.uid()), Some(meta.gid()))).at(to)?;
        return time(to, meta).at(to);
    }
    if kind.is_file() {
        fs::copy(from, to).at(from)?;
    } else {
        let (raw, mode) = (FileType::from_raw_mode(meta.mode()), Mode::from_raw_mode(meta.mode()));
        mknodat(CWD, to, raw, mode, meta.rdev()).map_err(io::Error::from).at(to)?;
    }
    dress(from, to, meta).at(to)
}

/// Gives a file or folder what another one has beside its content: owner, mode, attributes, time.
pub(crate) fn dress(from: &Path, to: &Path, meta: &Metadata) -> io::Result<()> {
    chown(to, Some(meta.uid()), Some(meta.gid()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    for (name, value) in attributes(from)? {
        match lsetxattr(to, OsStr::from_bytes(&name), &value, XattrFlags::empty()) {
            // The machine's own, which only it may give.
            Ok(()) | Err(Errno::NOTSUP | Errno::PERM | Errno::ACCESS) => {}
            Err(e) => return Err(e.into()),
        }
    }
    time(to, meta)
}

/// Makes a file as old as another one.
pub(crate) fn time(of: &Path, meta: &Metadata) -> io::Result<()> {
    let mtime = Timespec { tv_sec: meta.mtime(), tv_nsec: meta.mtime_nsec() };
    let times = Timestamps { last_access: mtime, last_modification: mtime };
    Ok(utimensat(CWD, of, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// A file's extended attributes, sorted. Overlayfs's own are not among them: what they say holds for the layer that they are in.
pub(crate) fn attributes(path: &Path) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
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
    let names = names.get(..length).unwrap_or_default().split(|b| *b == 0);
    for name in names.filter(|name| !name.is_empty() && !is_private(name)) {
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
