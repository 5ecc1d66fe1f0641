//! What mounts are where nothing can be mounted: files that are put into the tree and taken away again.
//!
//! What the tree has at such a place is moved aside meanwhile, and folders get the times back that they have without us: no trace
//! stays. What can only be read is a copy, and so is thrown away. A folder or file that can be written to is moved here and back, so
//! it must be on the tree's file system, and nobody else's as long. A secret lies on the disk for that time.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timestamps, mknodat, utimensat};
use rustix::io::Errno;

use crate::Error;
use crate::copy::{Copier, How};
use crate::inside::{Inside, Kind};
use crate::kernel::{DEVICE_LINKS, DEVICES};
use crate::request::{Mount, Request, Role};
use crate::rootfs::{KERNELS, all_mounts, targets, times};

/// What of `/proc` is the same for every process, and often asked for.
const MACHINE: &[&str] = &["cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "uptime", "version"];
/// And what is there for each process, so that who asks before opening it finds it. It is [`crate::window`] that opens; where that
/// is closed nobody may.
const OWN: &[&str] = &[
    "cgroup",
    "cmdline",
    "environ",
    "exe",
    "fd/0",
    "fd/1",
    "fd/2",
    "limits",
    "maps",
    "mountinfo",
    "mounts",
    "stat",
    "status",
];

/// Everything that was put into a tree.
pub(crate) struct Covers {
    inside: Inside,
    root: PathBuf,
    /// Where things of the tree wait: beside it.
    aside: PathBuf,
    covers: Vec<Cover>,
    /// Mount points that were not there, outermost first.
    made: Vec<PathBuf>,
    /// The folders of the tree that hold some of it, with the times that they had before and have since.
    touched: Vec<(PathBuf, Timestamps, Timestamps)>,
}

/// One place.
struct Cover {
    real: PathBuf,
    /// Where what is there now goes afterwards; what goes nowhere is removed.
    home: Option<PathBuf>,
    number: usize,
}

impl Covers {
    /// Puts what the kernel and the request would mount into a tree.
    pub(crate) fn put(request: &Request, root: &Path) -> Result<Self, Error> {
        let aside = root.with_file_name(format!("aside-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&aside).map_err(Error::io(&aside))?;
        let mut covers = Self {
            inside: Inside::open(root)?,
            root: root.to_owned(),
            aside,
            covers: Vec::new(),
            made: Vec::new(),
            touched: Vec::new(),
        };
        // What is there already must go again, also where the rest cannot come.
        match covers.put_all(request) {
            Ok(()) => Ok(covers),
            Err(e) => covers.take_away().and(Err(e)),
        }
    }

    fn put_all(&mut self, request: &Request) -> Result<(), Error> {
        let mounts = all_mounts(request);
        let places = targets(&mounts);
        let resolve = |(target, _): &(PathBuf, Kind)| self.inside.resolve(target);
        let reals = places.iter().map(resolve).collect::<Result<Vec<_>, _>>()?;
        for real in &reals {
            self.touch(real, &reals);
        }
        for (n, (target, kind)) in places.iter().enumerate() {
            let real = self.inside.resolve(target)?;
            let made = self.inside.make(&real, *kind).map_err(Error::mount(format!("on {}", target.display())))?;
            let stays = request.role == Role::Step && KERNELS.iter().any(|dir| Path::new(dir) == real);
            self.made.extend(made.into_iter().filter(|_| !stays));
            let place = self.root.join(&real);
            fs::rename(&place, self.aside.join(n.to_string())).map_err(Error::io(&place))?;
            self.covers.push(Cover { real: real.clone(), home: None, number: n });
            let put = match n.checked_sub(KERNELS.len()).and_then(|n| mounts.get(n)) {
                Some(mount) => put(mount, &place),
                None => kernel(&real, &place).map(|()| None),
            };
            let home = put.map_err(|e| Error::Stage(format!("{} without a mount: {e}", target.display())))?;
            if let Some(cover) = self.covers.last_mut() {
                cover.home = home;
            }
        }
        for (dir, _, since) in &mut self.touched {
            if let Ok(stat) = self.inside.stat(dir) {
                *since = times(&stat);
            }
        }
        Ok(())
    }

    /// Notes the times of the innermost folder of the tree that something comes into. One that is itself covered does not see it.
    fn touch(&mut self, real: &Path, reals: &[PathBuf]) {
        let there = real.ancestors().skip(1).find_map(|dir| Some((dir, self.inside.stat(dir).ok()?)));
        if let Some((dir, stat)) = there
            && !reals.iter().any(|covered| dir.starts_with(covered))
            && !self.touched.iter().any(|(touched, ..)| touched == dir)
        {
            self.touched.push((dir.to_owned(), times(&stat), times(&stat)));
        }
    }

    /// Takes everything away, and puts back what was there.
    pub(crate) fn take_away(self) -> Result<(), Error> {
        let modified = |times: &Timestamps| (times.last_modification.tv_sec, times.last_modification.tv_nsec);
        let mut dated = Vec::new();
        for (dir, before, since) in &self.touched {
            if let Ok(now) = self.inside.stat(dir).map(|stat| times(&stat)) {
                // What the command has changed too has its own time.
                dated.push((dir, if modified(&now) == modified(since) { before.clone() } else { now }));
            }
        }
        for cover in self.covers.iter().rev() {
            let place = self.root.join(&cover.real);
            let gone = match &cover.home {
                Some(home) => fs::rename(&place, home),
                None => remove(&place),
            };
            let back = fs::rename(self.aside.join(cover.number.to_string()), &place);
            for result in [gone, back] {
                match result {
                    // The command has removed the folder that it was in: a mount would not have let it.
                    Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                    other => other.map_err(Error::io(&place))?,
                }
            }
        }
        for path in self.made.iter().rev().map(|path| self.root.join(path)) {
            let is_dir = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir());
            // A folder that the command has put something into stays.
            let _ = if is_dir { fs::remove_dir(&path) } else { fs::remove_file(&path) };
        }
        for (dir, time) in dated {
            let path = self.root.join(dir);
            if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
                utimensat(CWD, &path, &time, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| Error::io(&path)(e.into()))?;
            }
        }
        fs::remove_dir_all(&self.aside).map_err(Error::io(&self.aside))
    }
}

fn remove(place: &Path) -> io::Result<()> {
    if fs::symlink_metadata(place)?.is_dir() { fs::remove_dir_all(place) } else { fs::remove_file(place) }
}

/// Puts a mount's files to a place, where nothing is. Returns where they go back to.
fn put(mount: &Mount, place: &Path) -> io::Result<Option<PathBuf>> {
    match mount {
        Mount::Bind { source, read_only, .. } => return bind(source, place, *read_only),
        Mount::Overlay { .. } => return Err(io::Error::other("layers cannot be mounted here")),
        Mount::Tmpfs { mode, .. } => folder(place, *mode)?,
        Mount::File { content, mode, uid, gid, .. } => {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(place)?;
            file.write_all(content)?;
            chown(place, Some(*uid), Some(*gid))?;
            file.set_permissions(Permissions::from_mode(*mode))?;
        }
    }
    Ok(None)
}

fn bind(source: &Path, place: &Path, read_only: bool) -> io::Result<Option<PathBuf>> {
    let source = fs::canonicalize(source)?;
    let meta = fs::metadata(&source)?;
    let kind = meta.file_type();
    if kind.is_socket() {
        // Another name for it is as good as the first.
        fs::hard_link(&source, place)?;
    } else if kind.is_char_device() || kind.is_block_device() {
        device(&source, place)?;
    } else if read_only {
        let mut copier = Copier::new(How::Copy);
        if kind.is_dir() { copier.tree(&source, place)? } else { copier.file(&source, place, &meta)? }
    } else {
        fs::rename(&source, place)?;
        return Ok(Some(source));
    }
    Ok(None)
}

fn folder(place: &Path, mode: u32) -> io::Result<()> {
    fs::create_dir(place)?;
    fs::set_permissions(place, Permissions::from_mode(mode))
}

/// One of the kernel's folders, as far as files can be it.
fn kernel(which: &Path, place: &Path) -> io::Result<()> {
    folder(place, 0o755)?;
    match which.to_str() {
        Some("proc") => {
            for name in MACHINE {
                // A container may hide one.
                if let Ok(text) = fs::read(Path::new("/proc").join(name)) {
                    fs::write(place.join(name), text)?;
                }
            }
            fs::create_dir_all(place.join("self/fd"))?;
            for name in OWN {
                fs::OpenOptions::new().write(true).create_new(true).mode(0o0).open(place.join("self").join(name))?;
            }
            std::os::unix::fs::symlink("self/mounts", place.join("mounts"))?;
        }
        Some("dev") => {
            for name in DEVICES {
                match device(&Path::new("/dev").join(name), &place.join(name)) {
                    // Without the right to make devices: what is written there is thrown away in the end. For the others nothing
                    // can stand, least of all for the random ones.
                    Err(e) if Errno::from_io_error(&e) == Some(Errno::PERM) => {
                        if *name == "null" {
                            let file = File::create(place.join(name))?;
                            file.set_permissions(Permissions::from_mode(0o666))?;
                        }
                    }
                    other => other?,
                }
            }
            folder(&place.join("shm"), 0o1777)?;
            for (name, target) in DEVICE_LINKS.iter().filter(|(_, target)| target.starts_with("/proc")) {
                std::os::unix::fs::symlink(target, place.join(name))?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Makes a device node like another.
fn device(model: &Path, place: &Path) -> io::Result<()> {
    let meta = fs::metadata(model)?;
    let kind = FileType::from_raw_mode(meta.mode());
    mknodat(CWD, place, kind, Mode::from_raw_mode(0o600), meta.rdev())?;
    chown(place, Some(meta.uid()), Some(meta.gid()))?;
    fs::set_permissions(place, Permissions::from_mode(meta.mode() & 0o7777))
}

/// Whether devices can be made here, for who wants to know it before.
pub(crate) fn makes_devices(dir: &Path) -> bool {
    let place = dir.join(format!("device-{}", std::process::id()));
    let made = device(Path::new("/dev/null"), &place);
    let opened = made.is_ok() && fs::OpenOptions::new().write(true).open(&place).is_ok();
    let _ = fs::remove_file(&place);
    opened
}
