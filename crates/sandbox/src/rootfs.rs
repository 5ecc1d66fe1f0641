//! The file system that a container sees: its layers, and what the kernel and the request put into it. Runs in stage 2, in a mount
//! namespace of its own, as pid 1 of the pid namespace that `/proc` is for.
//!
//! Mount points that the image lacks must leave no trace in the layer that the step makes. So they are not made in the upper layer:
//! they lie in a **skeleton**, a lower layer in memory that is put on top of the image's, with the metadata of the directories that it
//! passes through.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, openat2, readlinkat, statat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount, mount_bind_recursive, mount_remount, move_mount,
    open_tree, unmount,
};
use rustix::process::{chdir, pivot_root};

use crate::overlay::{self, Layers};
use crate::request::{Mount, Request, Rootfs};
use crate::{Error, etc};

/// How many links a mount's target may go through.
const MAX_LINKS: usize = 40;
/// Docker's size of `/dev/shm`.
const SHM_SIZE: u64 = 64 * 1024 * 1024;

const MASKED: &[&str] = &[
    "proc/acpi",
    "proc/asound",
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/timer_list",
    "proc/timer_stats",
    "proc/sched_debug",
    "proc/scsi",
    "sys/firmware",
    "sys/devices/virtual/powercap",
];
const READ_ONLY: &[&str] = &["proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"];
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];
const DEVICE_LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Makes the root file system and makes it this process's root.
pub(crate) fn enter(request: &Request) -> Result<(), Error> {
    let memory = scratch(&request.rootfs)?;
    let mut mounts = etc::files(request)?;
    mounts.extend(request.mounts.iter().cloned());
    let root = assemble(request, &mounts, &memory)?;
    let inside = Inside::open(&root)?;
    kernel_mounts(request, &inside)?;
    for (n, mount) in mounts.iter().enumerate() {
        place(mount, &inside, &memory.join(format!("files/{n}")))?;
    }
    if request.read_only {
        remount_read_only(&root, "the root file system")?;
    }
    chdir(&root).map_err(|e| Error::Stage(format!("enter the root: {e}")))?;
    // The new root over the old one, then the old one away: it needs no folder for the old root in the new.
    pivot_root(".", ".").map_err(|e| Error::Stage(format!("pivot_root: {e}")))?;
    unmount(".", UnmountFlags::DETACH).map_err(Error::mount("the old root away"))?;
    chdir("/").map_err(|e| Error::Stage(format!("enter the root: {e}")))
}

/// A file system in memory, beside the one that is changed: what we need for ourselves never touches a disk. It has to have a place,
/// for the kernel binds and stacks only what has one.
fn scratch(rootfs: &Rootfs) -> Result<PathBuf, Error> {
    let (Rootfs::Overlay { upper: beside, .. } | Rootfs::Directory(beside)) = rootfs;
    let path = beside.with_file_name("scratch");
    fs::create_dir_all(&path).map_err(Error::io(&path))?;
    let memory = memory_fs("size=64m")?;
    move_mount(memory.as_fd(), "", CWD, &path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(Error::mount("memory for the sandbox"))?;
    for sub in ["skeleton", "files", "empty", "empty2", "view", "root"] {
        fs::create_dir(path.join(sub)).map_err(Error::io(path.join(sub)))?;
    }
    Ok(path)
}

/// Puts the layers together and returns where the root is in our mount namespace.
fn assemble(request: &Request, mounts: &[Mount], memory: &Path) -> Result<PathBuf, Error> {
    match &request.rootfs {
        Rootfs::Directory(dir) => {
            mount_bind_recursive(dir, dir).map_err(Error::mount(format!("{} on itself", dir.display())))?;
            let inside = Inside::open(dir)?;
            for (target, kind) in targets(mounts) {
                let real = inside.resolve(&target)?;
                skeleton_entry(&inside, dir, &real, kind).map_err(Error::io(dir.join(&real)))?;
            }
            Ok(dir.clone())
        }
        Rootfs::Overlay { lower, upper, work } => {
            // A build from scratch has nothing below, but overlayfs wants a lower layer, and two where there is no upper one.
            let mut lower = lower.clone();
            lower.push(memory.join("empty"));
            lower.push(memory.join("empty2"));
            let skeleton = memory.join("skeleton");
            let mut all = vec![skeleton.clone()];
            all.extend(lower.iter().cloned());
            // The skeleton is made by looking at what the image has, before the real mount: overlayfs does not like layers that
            // change under it.
            {
                let seen = overlay::mount(&Layers { lower: &lower, upper: None }, &memory.join("view"))?;
                let inside = Inside::open(seen.path())?;
                for (target, kind) in targets(mounts) {
                    let real = inside.resolve(&target)?;
                    skeleton_entry(&inside, &skeleton, &real, kind).map_err(Error::io(&target))?;
                }
                restore_times(&inside, &skeleton, Path::new("")).map_err(Error::io(&skeleton))?;
            }
            let tree = overlay::tree(&Layers { lower: &all, upper: Some((upper, work)) })
                .map_err(Error::mount(format!("an overlay of {} layers", all.len())))?;
            let root = memory.join("root");
            move_mount(tree.as_fd(), "", CWD, &root, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
                .map_err(Error::mount("the root file system"))?;
            Ok(root)
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Dir,
    File,
}

/// Everything that is mounted somewhere, with what the place must be.
fn targets(mounts: &[Mount]) -> Vec<(PathBuf, Kind)> {
    let mut all: Vec<(PathBuf, Kind)> = ["proc", "sys", "dev"].map(|dir| (dir.into(), Kind::Dir)).to_vec();
    for mount in mounts {
        all.push(match mount {
            Mount::Bind { source, target, .. } => (target.into(), if source.is_dir() { Kind::Dir } else { Kind::File }),
            Mount::Overlay { target, .. } | Mount::Tmpfs { target, .. } => (target.into(), Kind::Dir),
            Mount::File { target, .. } => (target.into(), Kind::File),
        });
    }
    all
}

/// A root seen from outside it: paths in it mean what they would mean to a process in it.
#[derive(Debug)]
pub(crate) struct Inside {
    root: OwnedFd,
}

impl Inside {
    fn open(root: &Path) -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(root, flags, Mode::empty())
            .map_err(|e| Error::Io { path: root.into(), source: e.into() })?;
        Ok(Self { root: fd })
    }

    /// Where a path really is, from the root and without links. What does not exist is taken as it stands.
    fn resolve(&self, path: &Path) -> Result<PathBuf, Error> {
        let mut real = PathBuf::new();
        let mut todo: Vec<OsString> = parts(path);
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == ".." {
                real.pop();
                continue;
            }
            let next = real.join(&part);
            let Ok(dir) = self.dir(&real) else {
                real = next;
                continue;
            };
            match statat(&dir, part.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_symlink() => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Error::Io { path: path.into(), source: Errno::LOOP.into() });
                    }
                    let target = readlinkat(&dir, part.as_os_str(), Vec::new())
                        .map_err(|e| Error::Io { path: next, source: e.into() })?;
                    let target = Path::new(OsStr::from_bytes(target.as_bytes()));
                    if target.is_absolute() {
                        real.clear();
                    }
                    todo.extend(parts(target));
                }
                _ => real = next,
            }
        }
        Ok(real)
    }

    fn dir(&self, real: &Path) -> Result<OwnedFd, Errno> {
        self.at(real, OFlags::PATH | OFlags::DIRECTORY)
    }

    fn at(&self, real: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let real = if real.as_os_str().is_empty() { Path::new(".") } else { real };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.root, real, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    /// Hangs a mount on a path of the root.
    fn hang(&self, tree: &OwnedFd, target: &Path) -> Result<(), Error> {
        let what = || format!("on {}", Path::new("/").join(target).display());
        let place = self.at(target, OFlags::PATH).map_err(Error::mount(what()))?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(tree.as_fd(), "", place.as_fd(), "", flags).map_err(Error::mount(what()))
    }

    /// A path of the root as this process can name it.
    fn path(&self, target: &Path) -> Result<(OwnedFd, PathBuf), Error> {
        let place = self.at(target, OFlags::PATH).map_err(Error::mount(target.display().to_string()))?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", place.as_raw_fd()));
        Ok((place, path))
    }
}

/// The parts of a path, last first.
fn parts(path: &Path) -> Vec<OsString> {
    let split = path.as_os_str().as_bytes().split(|b| *b == b'/');
    let mut parts: Vec<OsString> =
        split.filter(|p| !p.is_empty() && *p != b".").map(|p| OsStr::from_bytes(p).to_owned()).collect();
    parts.reverse();
    parts
}

/// Makes a mount point below `into` if the root does not have it, with the directories on the way as the root has them.
fn skeleton_entry(inside: &Inside, into: &Path, real: &Path, kind: Kind) -> std::io::Result<()> {
    if inside.at(real, OFlags::PATH).is_ok() {
        return Ok(());
    }
    let mut made = into.to_owned();
    let mut passed = PathBuf::new();
    for part in real.parent().unwrap_or(Path::new("")).components() {
        made.push(part);
        passed.push(part);
        if made.exists() {
            continue;
        }
        fs::create_dir(&made)?;
        let (mode, uid, gid) =
            match inside.dir(&passed).map(File::from).and_then(|f| f.metadata().map_err(|_| Errno::IO)) {
                Ok(meta) => (meta.mode(), meta.uid(), meta.gid()),
                Err(_) => (0o755, 0, 0),
            };
        std::os::unix::fs::chown(&made, Some(uid), Some(gid))?;
        fs::set_permissions(&made, fs::Permissions::from_mode(mode & 0o7777))?;
    }
    match (kind, into.join(real)) {
        (Kind::Dir, path) => fs::create_dir_all(&path),
        (Kind::File, path) => File::create(&path).map(drop),
    }
}

/// Gives the skeleton's directories the times and modes that the image's have: they lie over those.
fn restore_times(inside: &Inside, skeleton: &Path, at: &Path) -> std::io::Result<()> {
    let here = skeleton.join(at);
    for entry in fs::read_dir(&here)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            restore_times(inside, skeleton, &at.join(entry.file_name()))?;
        }
    }
    let Ok(stat) = inside.dir(at).and_then(|fd| rustix::fs::fstat(&fd)) else { return Ok(()) };
    fs::set_permissions(&here, fs::Permissions::from_mode(stat.st_mode & 0o7777))?;
    std::os::unix::fs::chown(&here, Some(stat.st_uid), Some(stat.st_gid))?;
    #[expect(clippy::unnecessary_cast, reason = "the types of these fields differ between architectures")]
    let time = rustix::fs::Timespec { tv_sec: stat.st_mtime as i64, tv_nsec: stat.st_mtime_nsec as _ };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(CWD, &here, &times, AtFlags::empty())?)
}

fn memory_fs(options: &str) -> Result<OwnedFd, Error> {
    let make = || -> Result<OwnedFd, Errno> {
        let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        for option in options.split(',') {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            fsconfig_set_string(fs.as_fd(), key, value)?;
        }
        fsconfig_create(fs.as_fd())?;
        let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)
    };
    make().map_err(Error::mount("a tmpfs"))
}

fn bind(source: &Path) -> Result<OwnedFd, Error> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, source, flags).map_err(Error::mount(source.display().to_string()))
}

/// `/proc`, `/sys`, `/dev` and what hides parts of them.
fn kernel_mounts(request: &Request, inside: &Inside) -> Result<(), Error> {
    let (_held, proc_path) = inside.path(&inside.resolve(Path::new("proc"))?)?;
    let safe = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", &proc_path, "proc", safe, None::<&std::ffi::CStr>).map_err(Error::mount("/proc"))?;
    inside.hang(&bind(Path::new("/sys"))?, Path::new("sys"))?;
    if !request.privileged {
        let (_held, sys) = inside.path(Path::new("sys"))?;
        remount_read_only(&sys, "/sys")?;
    }
    let dev = memory_fs("mode=755,size=65536k")?;
    inside.hang(&dev, Path::new("dev"))?;
    let (_held, dev_path) = inside.path(Path::new("dev"))?;
    for name in DEVICES {
        let path = dev_path.join(name);
        File::create(&path).map_err(Error::io(&path))?;
        inside.hang(&bind(&Path::new("/dev").join(name))?, &Path::new("dev").join(name))?;
    }
    for (name, target) in DEVICE_LINKS {
        std::os::unix::fs::symlink(target, dev_path.join(name)).map_err(Error::io(dev_path.join(name)))?;
    }
    for name in ["pts", "shm", "mqueue"] {
        fs::create_dir(dev_path.join(name)).map_err(Error::io(dev_path.join(name)))?;
    }
    let (_held, pts) = inside.path(Path::new("dev/pts"))?;
    let options = |text: &str| std::ffi::CString::new(text).unwrap_or_default();
    let safe = MountFlags::NOSUID | MountFlags::NOEXEC;
    // Group 5 is tty, if there is such a group in our map.
    mount("devpts", &pts, "devpts", safe, Some(options("newinstance,ptmxmode=0666,mode=0620,gid=5").as_c_str()))
        .or_else(|_| {
            mount("devpts", &pts, "devpts", safe, Some(options("newinstance,ptmxmode=0666,mode=0620").as_c_str()))
        })
        .map_err(Error::mount("/dev/pts"))?;
    let size = request.shm_size.unwrap_or(SHM_SIZE);
    inside.hang(&memory_fs(&format!("mode=1777,size={size}"))?, Path::new("dev/shm"))?;
    let (_held, queue) = inside.path(Path::new("dev/mqueue"))?;
    let safe = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // Not every kernel has message queues, and few programs miss them.
    let _ = mount("mqueue", &queue, "mqueue", safe, None::<&std::ffi::CStr>);
    if !request.privileged {
        hide(inside)?;
    }
    Ok(())
}

fn hide(inside: &Inside) -> Result<(), Error> {
    for path in READ_ONLY {
        let Ok((_held, seen)) = inside.path(Path::new(path)) else { continue };
        inside.hang(&bind(&seen)?, Path::new(path))?;
        let (_held, mounted) = inside.path(Path::new(path))?;
        remount_read_only(&mounted, path)?;
    }
    for path in MASKED {
        let Ok((held, _)) = inside.path(Path::new(path)) else { continue };
        let is_dir = rustix::fs::fstat(&held).is_ok_and(|s| FileType::from_raw_mode(s.st_mode).is_dir());
        let cover = if is_dir { memory_fs("mode=555,size=0")? } else { bind(Path::new("/dev/null"))? };
        inside.hang(&cover, Path::new(path))?;
    }
    Ok(())
}

/// Takes the right to write away from one mount, keeping the flags that it came with: a user namespace may not drop those.
fn remount_read_only(path: &Path, what: &str) -> Result<(), Error> {
    let have = rustix::fs::statvfs(path).map_err(Error::mount(what))?.f_flag;
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    for (seen, flag) in [
        (rustix::fs::StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (rustix::fs::StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (rustix::fs::StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (rustix::fs::StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (rustix::fs::StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (rustix::fs::StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ] {
        if have.contains(seen) {
            flags |= flag;
        }
    }
    mount_remount(path, flags, "").map_err(Error::mount(format!("{what} read-only")))
}

/// Brings one of the request's mounts to its place. `scratch` is a path in memory that is free.
fn place(request: &Mount, inside: &Inside, scratch: &Path) -> Result<(), Error> {
    match request {
        Mount::Bind { source, target, read_only } => {
            let real = inside.resolve(Path::new(target))?;
            inside.hang(&bind(source)?, &real)?;
            if *read_only {
                let (_held, mounted) = inside.path(&real)?;
                remount_read_only(&mounted, target)?;
            }
        }
        Mount::Overlay { lower, upper, work, target } => {
            let layers = Layers { lower: std::slice::from_ref(lower), upper: Some((upper, work)) };
            let tree = overlay::tree(&layers).map_err(Error::mount(target.clone()))?;
            inside.hang(&tree, &inside.resolve(Path::new(target))?)?;
        }
        Mount::Tmpfs { target, size, mode } => {
            let size = size.map_or_else(String::new, |n| format!(",size={n}"));
            inside.hang(&memory_fs(&format!("mode={mode:o}{size}"))?, &inside.resolve(Path::new(target))?)?;
        }
        Mount::File { target, content, mode, uid, gid } => {
            fs::write(scratch, content).map_err(Error::io(target))?;
            std::os::unix::fs::chown(scratch, Some(*uid), Some(*gid)).map_err(Error::io(target))?;
            fs::set_permissions(scratch, fs::Permissions::from_mode(*mode)).map_err(Error::io(target))?;
            inside.hang(&bind(scratch)?, &inside.resolve(Path::new(target))?)?;
        }
    }
    Ok(())
}
