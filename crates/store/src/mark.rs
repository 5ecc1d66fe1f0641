//! Marks: how a layer's folder says what is gone from below, as overlayfs reads it.
//!
//! A file that is gone is a device 0:0 where its name was. Where that cannot be made (a store that lies on an overlay itself, which
//! keeps such devices for its own layers), it is an empty file with the attribute `user.overlay.whiteout`, in a folder whose
//! `user.overlay.opaque` is `x`: overlayfs's other form, since Linux 6.7. A folder that hides all that is below has `y` there.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lgetxattr, lsetxattr, mknodat};
use rustix::io::Errno;

/// The number of the device that is a whiteout: 0:0.
pub(crate) const WHITEOUT: u64 = 0;

const GONE: &str = "user.overlay.whiteout";
const OPAQUE: &str = "user.overlay.opaque";

/// Marks a name as gone. Its folder is there, and nothing else of that name.
pub(crate) fn hide(path: &Path) -> io::Result<()> {
    match mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), WHITEOUT) {
        Err(Errno::PERM) => {}
        other => return Ok(other?),
    }
    File::create(path)?;
    lsetxattr(path, GONE, b"y", XattrFlags::empty())?;
    let folder = path.parent().unwrap_or(Path::new("."));
    match lsetxattr(folder, OPAQUE, b"x", XattrFlags::CREATE) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Whether a file of a layer only says that it is gone.
pub(crate) fn is_gone(path: &Path, meta: &Metadata) -> bool {
    let kind = meta.file_type();
    kind.is_char_device() && meta.rdev() == WHITEOUT || kind.is_file() && meta.len() == 0 && has(path, GONE, b"y")
}

/// Whether a folder of a layer hides all that is below it.
pub(crate) fn is_opaque(path: &Path) -> bool {
    has(path, OPAQUE, b"y")
}

fn has(path: &Path, name: &str, wanted: &[u8]) -> bool {
    let mut value = [0; 2];
    // What cannot be asked for is not there: not every file system has such attributes.
    lgetxattr(path, name, value.as_mut_slice()).is_ok_and(|length| value.get(..length) == Some(wanted))
}

/// Removes whatever a path is, if it is anything.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => crate::disk::remove_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let gone = |name: &str| is_gone(&path(name), &fs::symlink_metadata(path(name)).unwrap());
        hide(&path("device")).unwrap();
        File::create(path("empty")).unwrap();
        File::create(path("marked")).unwrap();
        lsetxattr(path("marked"), GONE, b"y", XattrFlags::empty()).unwrap();
        assert_eq!(["device", "empty", "marked"].map(gone), [true, false, true]);
        lsetxattr(dir.path(), OPAQUE, b"x", XattrFlags::empty()).unwrap();
        assert!(!is_opaque(dir.path()));
        lsetxattr(dir.path(), OPAQUE, b"y", XattrFlags::empty()).unwrap();
        assert!(is_opaque(dir.path()));
    }
}
