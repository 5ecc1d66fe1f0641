//! What a layer lies on, and what of the layer says nothing new about it.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::lgetxattr;
use rustix::io::Errno;

use super::tree::open;
use crate::Result;
use crate::error::At as _;

/// The merged files below a layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base<'a>(pub(super) &'a Path);

impl Base<'_> {
    fn full(self, path: &[u8]) -> PathBuf {
        self.0.join(OsStr::from_bytes(path))
    }

    /// What it has under a path, whose folder it must have: a link on the way would lead elsewhere.
    pub(super) fn find(self, path: &[u8]) -> Result<Option<Metadata>> {
        let full = self.full(path);
        match fs::symlink_metadata(&full) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.at(&full).map(Some),
        }
    }

    /// Whether a file or folder of the layer is what was there before. Overlayfs copies a file up before anything changes, and also for
    /// a `chown` that changes nothing; a layer need not have it then (BuildKit). Times of folders do not count, for there every change
    /// below leaves its mark.
    pub(super) fn has(self, path: &[u8], before: &Metadata, file: &Path, meta: &Metadata) -> Result<bool> {
        let of = |m: &Metadata| (m.mode(), m.uid(), m.gid(), m.rdev());
        if of(before) != of(meta) {
            return Ok(false);
        }
        let old = self.full(path);
        if capability(&old).at(&old)? != capability(file).at(file)? {
            return Ok(false);
        }
        if meta.is_dir() {
            return Ok(true);
        }
        let of = |m: &Metadata| (m.len(), m.mtime(), m.mtime_nsec());
        // One that got another name is what that is a link to.
        if of(before) != of(meta) || meta.nlink() > before.nlink() {
            return Ok(false);
        }
        if meta.is_symlink() {
            return Ok(fs::read_link(&old).at(&old)? == fs::read_link(file).at(file)?);
        }
        if !meta.is_file() {
            return Ok(true);
        }
        let (first, second) = (open(&old).at(&old)?, open(file).at(file)?);
        same(first, second).at(file)
    }
}

fn capability(path: &Path) -> std::result::Result<Option<Vec<u8>>, Errno> {
    let mut value = vec![0; 64];
    match lgetxattr(path, "security.capability", value.as_mut_slice()) {
        Ok(length) => value.truncate(length),
        Err(Errno::NODATA | Errno::NOTSUP) => return Ok(None),
        Err(e) => return Err(e),
    }
    Ok(Some(value))
}

fn same(first: File, second: File) -> io::Result<bool> {
    const BUFFER: usize = 128 * 1024;
    let (mut first, mut second) = (BufReader::with_capacity(BUFFER, first), BufReader::with_capacity(BUFFER, second));
    let (mut one, mut other) = (vec![0; BUFFER], vec![0; BUFFER]);
    loop {
        let n = first.read(&mut one)?;
        let Some((one, other)) = one.get(..n).zip(other.get_mut(..n)) else { return Ok(false) };
        match second.read_exact(other) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        if n == 0 || one != other {
            return Ok(n == 0);
        }
    }
}
