//! Overlay file systems, mounted in our own mount namespace (overlayfs in user namespaces: Linux 5.11).

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree, unmount,
};

use crate::Error;

/// The kernel takes values of less than 256 bytes one by one, and a page of them at once.
const LONGEST_VALUE: usize = 255;
const LONGEST_OPTIONS: usize = 4095;

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

/// Mounts an overlay on an existing folder. A single layer that nothing changes is bound read-only, for overlayfs wants two.
///
/// # Errors
/// [`Error::Mount`], with what the kernel says.
pub fn mount(layers: &Layers<'_>, target: &Path) -> Result<Mounted, Error> {
    let tree = tree(layers, target)?;
    move_mount(tree.as_fd(), "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(Error::mount(format!("an overlay on {}", target.display())))?;
    Ok(Mounted { target: target.to_owned() })
}

/// Tries whether there are overlays on the file system of an empty folder, which is left as overlayfs leaves it.
///
/// # Errors
/// What was refused.
pub fn works_in(dir: &Path) -> Result<(), Error> {
    let path = |name: &str| dir.join(name);
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir_all(path(name)).map_err(Error::io(path(name)))?;
    }
    fs::write(path("lower/file"), "x").map_err(Error::io(path("lower/file")))?;
    let (upper, work) = (path("upper"), path("work"));
    let layers = Layers { lower: &[path("lower")], upper: Some((&upper, &work)) };
    let mounted = mount(&layers, &path("merged"))?;
    // Removing makes a whiteout, which is what a file system may refuse.
    let file = mounted.path().join("file");
    fs::remove_file(&file).map_err(Error::io(file))
}

/// Makes the mount without giving it a place; older kernels borrow `place` for a moment.
pub(crate) fn tree(layers: &Layers<'_>, place: &Path) -> Result<OwnedFd, Error> {
    let made = match (layers.lower, layers.upper) {
        ([only], None) => {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            open_tree(CWD, only.as_path(), flags).and_then(|tree| crate::mount::read_only(&tree).map(|()| tree))
        }
        _ => match layer_by_layer(layers) {
            Err(Errno::INVAL) => all_at_once(layers, place),
            other => other,
        },
    };
    made.map_err(Error::mount(format!("an overlay of {} layers", layers.lower.len())))
}

/// Since Linux 6.5: no bound on how many, and no character of a path means anything.
fn layer_by_layer(layers: &Layers<'_>) -> Result<OwnedFd, Errno> {
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    // Without the right to write trusted.* attributes, overlayfs keeps its notes in user.* ones.
    fsconfig_set_flag(fs.as_fd(), "userxattr")?;
    let set = |key: &str, dir: &Path| {
        if dir.as_os_str().len() < LONGEST_VALUE {
            return fsconfig_set_string(fs.as_fd(), key, dir);
        }
        let (name, _held) = short_name(dir)?;
        fsconfig_set_string(fs.as_fd(), key, name)
    };
    layers.lower.iter().try_for_each(|dir| set("lowerdir+", dir))?;
    if let Some((upper, work)) = layers.upper {
        set("upperdir", upper)?;
        set("workdir", work)?;
    }
    fsconfig_create(fs.as_fd())?;
    let flags = if layers.upper.is_some() { MountAttrFlags::empty() } else { MountAttrFlags::MOUNT_ATTR_RDONLY };
    fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)
}

/// All options in one text, as mount(2) takes them; by short names, of which some two hundred fit and none needs escaping.
fn all_at_once(layers: &Layers<'_>, place: &Path) -> Result<OwnedFd, Errno> {
    let lower = layers.lower.iter().map(|dir| short_name(dir)).collect::<Result<Vec<_>, _>>()?;
    let mut options = String::from("userxattr,lowerdir=");
    options.push_str(&lower.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(":"));
    let upper =
        layers.upper.map(|(upper, work)| Ok::<_, Errno>((short_name(upper)?, short_name(work)?))).transpose()?;
    if let Some(((upper, _), (work, _))) = &upper {
        options.push_str(&format!(",upperdir={upper},workdir={work}"));
    }
    if options.len() > LONGEST_OPTIONS {
        return Err(Errno::TOOBIG);
    }
    let flags = if layers.upper.is_some() { MountFlags::empty() } else { MountFlags::RDONLY };
    let options = CString::new(options).map_err(|_| Errno::INVAL)?;
    rustix::mount::mount("overlay", place, "overlay", flags, options.as_c_str())?;
    let tree = open_tree(CWD, place, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC);
    unmount(place, UnmountFlags::DETACH)?;
    tree
}

/// A name for a folder that is short whatever its path is, for as long as the descriptor is open.
fn short_name(dir: &Path) -> Result<(String, OwnedFd), Errno> {
    let held = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok((format!("/proc/self/fd/{}", held.as_raw_fd()), held))
}
