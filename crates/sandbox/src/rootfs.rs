//! The file system that a container sees: its layers, and what the kernel and the request put into it. Runs in stage 2, in a mount
//! namespace of its own, as pid 1 of the pid namespace that `/proc` is for.
//!
//! Mount points that the image lacks must leave no trace in the layer that the step makes. So they are not made in the upper layer:
//! they lie in a **skeleton**, a lower layer in memory that is put on top of the image's, with the metadata of the directories that it
//! passes through. But a step of a build leaves the folders for what the kernel shows, as BuildKit does: images that are made from
//! scratch get them so. Where the root is a plain folder there are no layers; there, stage 1 makes them before and removes them after
//! ([`Stubs`]).

use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, OFlags, Timespec, Timestamps, futimens, unlinkat, utimensat};
use rustix::mount::{MountPropagationFlags, MoveMountFlags, UnmountFlags, mount_change, move_mount, unmount};
use rustix::process::{chdir, pivot_root};

use crate::inside::{Inside, Kind};
use crate::kernel::path_of;
use crate::mount::{PLAIN, bind, memory, read_only, read_only_itself};
use crate::overlay::{self, Layers};
use crate::request::{Mount, Request, Role, Rootfs};
use crate::{Error, etc, kernel};

/// Where the kernel's file systems come.
pub(crate) const KERNELS: [&str; 3] = ["proc", "sys", "dev"];

/// Makes the root file system and makes it this process's root.
pub(crate) fn enter(request: &Request) -> Result<(), Error> {
    // Nothing that is mounted from here on may be seen outside, even where the caller never left the host's mount namespace.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC).map_err(Error::mount("/"))?;
    let scratch = scratch()?;
    let memory = path_of(&scratch);
    let mounts = all_mounts(request);
    let tree = assemble(request, &mounts, &memory)?;
    let root = memory.join("root");
    move_mount(tree.as_fd(), "", CWD, &root, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(Error::mount("the root file system"))?;
    let inside = Inside::open(&root)?;
    kernel::hang_all(request, &inside)?;
    for (n, mount) in mounts.iter().enumerate() {
        place(mount, &inside, &memory, n)?;
    }
    if request.read_only {
        // Not what is mounted below it: a volume in a read-only root can be written to.
        read_only_itself(&tree).map_err(Error::mount("the root file system read-only"))?;
    }
    chdir(&root).map_err(|e| Error::Stage(format!("enter the root: {e}")))?;
    // The new root over the old one, then the old one away: it needs no folder for the old root in the new.
    pivot_root(".", ".").map_err(|e| Error::Stage(format!("pivot_root: {e}")))?;
    // First what lies over it: our memory.
    for what in ["the sandbox's memory away", "the old root away"] {
        unmount(".", UnmountFlags::DETACH).map_err(Error::mount(what))?;
    }
    chdir("/").map_err(|e| Error::Stage(format!("enter the root: {e}")))
}

/// A file system in memory: what we need for ourselves never touches a disk. The kernel stacks and binds only what has a place, and
/// the root of this namespace is the one that is always there; lookups from `/` do not see what lies over it.
fn scratch() -> Result<OwnedFd, Error> {
    let tree = memory(&[("mode", "700")], PLAIN)?;
    move_mount(tree.as_fd(), "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(Error::mount("memory for the sandbox"))?;
    for sub in ["skeleton", "empty", "empty2", "place", "root"] {
        fs::create_dir(path_of(&tree).join(sub)).map_err(Error::io(sub))?;
    }
    Ok(tree)
}

/// Puts the layers together.
fn assemble(request: &Request, mounts: &[Mount], memory: &Path) -> Result<OwnedFd, Error> {
    let (lower, upper, work) = match &request.rootfs {
        Rootfs::Directory(dir) => return bind(dir),
        Rootfs::Overlay { lower, upper, work } => (lower, upper, work),
    };
    let place = memory.join("place");
    // A build from scratch has nothing below, but overlayfs wants a lower layer, and two where there is no upper one.
    let mut lower = lower.clone();
    lower.extend([memory.join("empty"), memory.join("empty2")]);
    // The skeleton is made by looking at what the image has, before the real mount: overlayfs does not like layers that change under
    // it.
    let seen = Inside::of(overlay::tree(&Layers { lower: &lower, upper: None }, &place)?);
    let skeleton = memory.join("skeleton");
    for (target, kind) in targets(mounts) {
        let real = seen.resolve(&target)?;
        if seen.exists(&real) {
            continue;
        }
        let stays = request.role == Role::Step && KERNELS.iter().any(|dir| Path::new(dir) == real);
        skeleton_entry(if stays { upper } else { &skeleton }, &real, kind).map_err(Error::io(&target))?;
    }
    dress(&seen, &skeleton, Path::new("")).map_err(Error::io("/"))?;
    drop(seen);
    lower.insert(0, skeleton);
    overlay::tree(&Layers { lower: &lower, upper: Some((upper, work)) }, &place)
}

/// The machine's files first, but those that the request has something else for.
pub(crate) fn all_mounts(request: &Request) -> Vec<Mount> {
    let own = etc::files(request).into_iter();
    let free = |file: &Mount| !request.mounts.iter().any(|mount| mount.target() == file.target());
    own.filter(free).chain(request.mounts.iter().cloned()).collect()
}

/// Everything that is mounted somewhere, with what the place must be.
pub(crate) fn targets(mounts: &[Mount]) -> Vec<(PathBuf, Kind)> {
    let kernels = KERNELS.map(|dir| (dir.into(), Kind::Dir));
    kernels.into_iter().chain(mounts.iter().map(|mount| (mount.target().into(), kind(mount)))).collect()
}

fn kind(mount: &Mount) -> Kind {
    match mount {
        Mount::Bind { source, .. } if !source.is_dir() => Kind::File,
        Mount::Bind { .. } | Mount::Overlay { .. } | Mount::Tmpfs { .. } => Kind::Dir,
        Mount::File { .. } => Kind::File,
    }
}

fn skeleton_entry(skeleton: &Path, real: &Path, kind: Kind) -> std::io::Result<()> {
    let path = skeleton.join(real);
    if path.exists() {
        return Ok(());
    }
    match kind {
        Kind::Dir => fs::create_dir_all(&path),
        Kind::File => {
            fs::create_dir_all(path.parent().unwrap_or(skeleton))?;
            fs::File::create(&path).map(drop)
        }
    }
}

/// Gives the skeleton's folders the owners, modes and times that the image's have, for they lie over those.
fn dress(seen: &Inside, skeleton: &Path, at: &Path) -> std::io::Result<()> {
    let here = skeleton.join(at);
    for entry in fs::read_dir(&here)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            dress(seen, skeleton, &at.join(entry.file_name()))?;
        }
    }
    let (mode, uid, gid, times) = match seen.stat(at) {
        Ok(stat) => (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid, times(&stat)),
        Err(_) => return fs::set_permissions(&here, fs::Permissions::from_mode(0o755)),
    };
    std::os::unix::fs::chown(&here, Some(uid), Some(gid))?;
    fs::set_permissions(&here, fs::Permissions::from_mode(mode))?;
    Ok(utimensat(CWD, &here, &times, AtFlags::empty())?)
}

pub(crate) fn times(stat: &rustix::fs::Stat) -> Timestamps {
    let modified = Timespec { tv_sec: stat.st_mtime as _, tv_nsec: stat.st_mtime_nsec as _ };
    Timestamps { last_access: modified, last_modification: modified }
}

/// Brings one of the request's mounts to its place.
fn place(mount: &Mount, inside: &Inside, memory: &Path, n: usize) -> Result<(), Error> {
    let target = mount.target();
    let real = inside.resolve(Path::new(target))?;
    if !inside.exists(&real) {
        // The skeleton has every place but those in what was mounted a moment ago.
        inside.make(&real, kind(mount)).map_err(Error::mount(format!("on {target}")))?;
    }
    let tree = match mount {
        Mount::Bind { source, read_only: false, .. } => bind(source)?,
        Mount::Bind { source, read_only: true, .. } => {
            let tree = bind(source)?;
            read_only(&tree).map_err(Error::mount(format!("{target} read-only")))?;
            tree
        }
        Mount::Overlay { lower, upper, work, .. } => {
            let layers = Layers { lower: std::slice::from_ref(lower), upper: Some((upper, work)) };
            overlay::tree(&layers, &memory.join("place"))?
        }
        Mount::Tmpfs { size, mode, .. } => {
            let (mode, size) = (format!("{mode:o}"), size.map(|n| n.to_string()));
            let mut options = vec![("mode", mode.as_str())];
            options.extend(size.as_deref().map(|size| ("size", size)));
            crate::mount::memory(&options, PLAIN)?
        }
        Mount::File { content, mode, uid, gid, read_only: fixed, .. } => {
            let file = memory.join(format!("file{n}"));
            fs::write(&file, content).map_err(Error::io(target))?;
            std::os::unix::fs::chown(&file, Some(*uid), Some(*gid)).map_err(Error::io(target))?;
            fs::set_permissions(&file, fs::Permissions::from_mode(*mode)).map_err(Error::io(target))?;
            let tree = bind(&file)?;
            if *fixed {
                read_only(&tree).map_err(Error::mount(format!("{target} read-only")))?;
            }
            tree
        }
    };
    inside.hang(&tree, &real)
}

/// Mount points made in a plain folder, to be removed when nothing is mounted on them any more.
#[derive(Debug)]
pub(crate) struct Stubs {
    inside: Inside,
    /// What was made, outermost first.
    made: Vec<PathBuf>,
    /// The folders that were there and got one, with the time that each had before and has since.
    touched: Vec<(PathBuf, Timestamps, Timestamps)>,
}

impl Stubs {
    /// Makes what the request's mounts need, if its root is a plain folder.
    pub(crate) fn make(request: &Request) -> Result<Option<Self>, Error> {
        let Rootfs::Directory(dir) = &request.rootfs else { return Ok(None) };
        let mut stubs = Self { inside: Inside::open(dir)?, made: Vec::new(), touched: Vec::new() };
        let mounts = all_mounts(request);
        for (target, kind) in targets(&mounts) {
            let real = stubs.inside.resolve(&target)?;
            if stubs.inside.exists(&real) {
                continue;
            }
            let there = real.ancestors().skip(1).find_map(|dir| Some((dir, stubs.inside.stat(dir).ok()?)));
            if let Some((dir, stat)) = there
                && !stubs.made.iter().any(|made| made == dir)
                && !stubs.touched.iter().any(|(touched, ..)| touched == dir)
            {
                stubs.touched.push((dir.to_owned(), times(&stat), times(&stat)));
            }
            let made = stubs.inside.make(&real, kind).map_err(Error::mount(format!("on {}", target.display())))?;
            stubs.made.extend(made);
        }
        for (dir, _, since) in &mut stubs.touched {
            if let Ok(stat) = stubs.inside.stat(dir) {
                *since = times(&stat);
            }
        }
        Ok(Some(stubs))
    }
}

impl Drop for Stubs {
    /// Removes them, but not what has been put into them, and gives the folders back the times that those have without us.
    fn drop(&mut self) {
        let modified = |times: &Timestamps| (times.last_modification.tv_sec, times.last_modification.tv_nsec);
        for (dir, before, since) in &mut self.touched {
            if let Ok(now) = self.inside.stat(dir).map(|stat| times(&stat))
                && modified(&now) != modified(since)
            {
                *before = now; // the command has changed it too
            }
        }
        for path in self.made.iter().rev() {
            let (Some(name), Ok(dir)) = (path.file_name(), self.inside.parent(path)) else { continue };
            let flags = if self.inside.stat(path).is_ok() { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            let _ = unlinkat(&dir, name, flags); // a folder that is not empty any more
        }
        for (dir, time, _) in &self.touched {
            if let Ok(dir) = self.inside.at(dir, OFlags::RDONLY | OFlags::DIRECTORY) {
                let _ = futimens(&dir, time); // a time that cannot be set back harms nobody
            }
        }
    }
}
