//! Overlay file systems, mounted in our own mount namespace (overlayfs in user namespaces: Linux 5.11).

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
};

use crate::Error;

/// An overlay to be. Lower layers are given topmost first.
#[derive(Clone, Debug)]
pub struct Layers<'a> {
    /// What lies below: read only. Must not be empty.
    pub lower: &'a [PathBuf],
    /// Where changes go, and the work folder beside it on the same file system. None: nothing can change.
    pub upper: Option<(&'a Path, &'a Path)>,
}

/// A mounted tree; unmounted when dropped.
#[derive(Debug)]
pub struct Mounted {
    target: PathBuf,
}

impl Mounted {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.target
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a file that somebody still has open must not keep the rest. It goes with the process in any case.
        let _ = unmount(&self.target, UnmountFlags::DETACH);
    }
}

/// Mounts an overlay on an existing folder.
///
/// # Errors
/// [`Error::Mount`], with what the kernel says.
pub fn mount(layers: &Layers<'_>, target: &Path) -> Result<Mounted, Error> {
    let what = || format!("an overlay of {} layers on {}", layers.lower.len(), target.display());
    let tree = tree(layers).map_err(Error::mount(what()))?;
    move_mount(tree.as_fd(), "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(Error::mount(what()))?;
    Ok(Mounted { target: target.to_owned() })
}

/// Makes the mount without giving it a place.
pub(crate) fn tree(layers: &Layers<'_>) -> Result<OwnedFd, Errno> {
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    // Without the right to write trusted.* attributes, overlayfs keeps its notes in user.* ones.
    fsconfig_set_flag(fs.as_fd(), "userxattr")?;
    match layers.lower.iter().try_for_each(|dir| fsconfig_set_string(fs.as_fd(), "lowerdir+", dir.as_path())) {
        // Before Linux 6.5 all layers go into one option.
        Err(Errno::INVAL) => fsconfig_set_string(fs.as_fd(), "lowerdir", joined(layers.lower))?,
        other => other?,
    }
    if let Some((upper, work)) = layers.upper {
        fsconfig_set_string(fs.as_fd(), "upperdir", upper)?;
        fsconfig_set_string(fs.as_fd(), "workdir", work)?;
    }
    fsconfig_create(fs.as_fd())?;
    let flags = if layers.upper.is_some() { MountAttrFlags::empty() } else { MountAttrFlags::MOUNT_ATTR_RDONLY };
    fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)
}

/// `lowerdir=`'s form: joined by colons, with colons and backslashes escaped.
fn joined(lower: &[PathBuf]) -> std::ffi::OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let mut text = Vec::new();
    for (n, dir) in lower.iter().enumerate() {
        if n > 0 {
            text.push(b':');
        }
        for byte in dir.as_os_str().as_bytes() {
            if matches!(byte, b':' | b'\\') {
                text.push(b'\\');
            }
            text.push(*byte);
        }
    }
    std::ffi::OsString::from_vec(text)
}
