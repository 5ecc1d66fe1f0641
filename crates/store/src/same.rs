//! Whether a file is what was there before.

use std::fs::{self, File, Metadata};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::lgetxattr;
use rustix::io::Errno;

use crate::disk::open;

/// More than there is of a file's capabilities.
const MAX_CAPABILITY: usize = 64;

/// Bytes of a file that are read at once.
const BUFFER: usize = 128 * 1024;

/// Whether a file or folder is no change of another one, which was in its place. Overlayfs copies a file up before anything changes, and
/// also for a `chown` that changes nothing; a layer need not have it then (BuildKit). What a layer would not say makes no difference:
/// attributes but capabilities, and which names are links to the same file. The latter could not even be known, for snapshots share files
/// by links, and the number of those depends on what else was built. Times of folders do not count, for there every change below
/// leaves its mark.
pub(crate) fn unchanged(old: &Path, before: &Metadata, new: &Path, meta: &Metadata) -> io::Result<bool> {
    let of = |m: &Metadata| (m.mode(), m.uid(), m.gid(), m.rdev());
    if of(before) != of(meta) || capability(old)? != capability(new)? {
        return Ok(false);
    }
    if meta.is_dir() {
        return Ok(true);
    }
    let of = |m: &Metadata| (m.len(), m.mtime(), m.mtime_nsec());
    if of(before) != of(meta) {
        return Ok(false);
    }
    if meta.is_symlink() {
        return Ok(fs::read_link(old)? == fs::read_link(new)?);
    }
    Ok(!meta.is_file() || same_content(open(old)?, open(new)?)?)
}

fn capability(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; MAX_CAPABILITY];
    match lgetxattr(path, "security.capability", value.as_mut_slice()) {
        Ok(length) => value.truncate(length),
        Err(Errno::NODATA | Errno::NOTSUP) => return Ok(None),
        Err(e) => return Err(e.into()),
    }
    Ok(Some(value))
}

/// Whether two files hold the same bytes.
pub(crate) fn same_content(one: File, other: File) -> io::Result<bool> {
    let [mut one, mut other] = [one, other].map(|file| BufReader::with_capacity(BUFFER, file));
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let length = left.len().min(right.len());
        if length == 0 || left.get(..length) != right.get(..length) {
            return Ok(left.is_empty() && right.is_empty());
        }
        one.consume(length);
        other.consume(length);
    }
}
