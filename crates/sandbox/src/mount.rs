//! Mounts without a place yet, made by the new mount interface: a descriptor is all there is, until it is hung somewhere.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
    open_tree,
};

use crate::Error;

/// Neither set-user-id programs nor devices work on it.
pub(crate) const PLAIN: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);
/// Nor any program at all.
pub(crate) const DATA: MountAttrFlags = PLAIN.union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// A new file system.
pub(crate) fn new(kind: &str, options: &[(&str, &str)], attributes: MountAttrFlags) -> Result<OwnedFd, Errno> {
    let fs = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        fsconfig_set_string(fs.as_fd(), *key, *value)?;
    }
    fsconfig_create(fs.as_fd())?;
    fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// A file system in memory.
pub(crate) fn memory(options: &[(&str, &str)], attributes: MountAttrFlags) -> Result<OwnedFd, Error> {
    new("tmpfs", options, attributes).map_err(Error::mount("a tmpfs"))
}

/// What is at a path, with what is mounted below it.
pub(crate) fn bind(source: &Path) -> Result<OwnedFd, Error> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, source, flags).map_err(Error::mount(source.display().to_string()))
}

/// Takes the right to write away from a mount and all below it (Linux 5.12).
pub(crate) fn read_only(tree: &OwnedFd) -> Result<(), Errno> {
    set_read_only(tree, libc::AT_RECURSIVE)
}

/// Takes the right to write away from a mount, and not from what is mounted below it.
pub(crate) fn read_only_itself(tree: &OwnedFd) -> Result<(), Errno> {
    set_read_only(tree, 0)
}

fn set_read_only(tree: &OwnedFd, depth: libc::c_int) -> Result<(), Errno> {
    let attributes = libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | depth;
    // SAFETY: the path is a literal that ends in zero, and the structure outlives the call and has the size that is told.
    #[expect(unsafe_code, reason = "mount_setattr(2) has no safe wrapper")]
    let result = unsafe {
        let (path, size) = (c"".as_ptr(), size_of_val(&attributes));
        libc::syscall(libc::SYS_mount_setattr, tree.as_raw_fd(), path, flags, &raw const attributes, size)
    };
    if result == 0 {
        Ok(())
    } else {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL))
    }
}
