//! Extended attributes: those that go with a file into an image or out of one.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};
use rustix::io::Errno;

/// The kernel's own limit, of a list of names and of a value.
const MAX: usize = 64 * 1024;

/// Names and values.
pub(crate) type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// The attributes of a file or directory that count, by name. A person's own files bring none of the system's: what a security
/// module wrote on them means nothing elsewhere. From an image (`trusted`) comes what a file may do beside.
pub(crate) fn read(file: impl AsFd, trusted: bool) -> Result<Attributes, Errno> {
    // Most files have none: ask with a small buffer first.
    let mut names = vec![0; 256];
    let length = loop {
        match flistxattr(&file, names.as_mut_slice()) {
            Ok(length) => break length,
            Err(Errno::RANGE) if names.len() < MAX => names.resize(MAX, 0),
            Err(Errno::NOTSUP) => return Ok(Vec::new()),
            Err(e) => return Err(e),
        }
    };
    let mut found = Vec::new();
    for name in names[..length].split(|b| *b == 0) {
        let own = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
        if own || (trusted && name == b"security.capability") {
            let mut value = vec![0; MAX];
            let length = fgetxattr(&file, OsStr::from_bytes(name), value.as_mut_slice())?;
            value.truncate(length);
            found.push((name.to_vec(), value));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Gives a file what [`read`] found on another. A file system that has no place for one goes without it.
pub(crate) fn copy(from: impl AsFd, to: impl AsFd, trusted: bool) -> Result<(), Errno> {
    for (name, value) in read(from, trusted)? {
        match fsetxattr(&to, OsStr::from_bytes(&name), &value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP | Errno::NOSPC | Errno::DQUOT | Errno::RANGE) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
