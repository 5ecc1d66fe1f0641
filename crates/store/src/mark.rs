//! Marks: how a layer's folder says what is gone from below, as overlayfs reads it.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, lgetxattr, mknodat};

/// The number of the device that is a whiteout: 0:0.
const WHITEOUT: u64 = 0;

/// Marks a name as gone. Its folder is there, and nothing else of that name.
pub(crate) fn hide(path: &Path) -> io::Result<()> {
    Ok(mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), WHITEOUT)?)
}

/// Whether a file of a layer only says that it is gone.
pub(crate) fn is_gone(meta: &Metadata) -> bool {
    meta.file_type().is_char_device() && meta.rdev() == WHITEOUT
}

/// Whether a folder of a layer hides all that is below it.
pub(crate) fn is_opaque(path: &Path) -> bool {
    let mut value = [0; 2];
    // What cannot be asked for is not there: not every file system has such attributes.
    lgetxattr(path, "user.overlay.opaque", value.as_mut_slice()).is_ok_and(|length| value.get(..length) == Some(b"y"))
}
