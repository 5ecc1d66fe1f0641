//! A tree to read from: a build context, or the files of a stage or image. Nothing outside its root can be reached through
//! it, whatever links are in it.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archipel_dockerfile::IgnoreFile;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Stat, openat, openat2, readlinkat, statat};
use rustix::io::Errno;

use super::walk::names;
use crate::Error;

/// How many symbolic links one path may go through: Linux's own limit.
const MAX_LINKS: usize = 40;

/// A readable tree.
#[derive(Debug, Clone)]
pub(crate) struct View {
    root: Arc<OwnedFd>,
    ignore: Option<Arc<IgnoreFile>>,
    /// Whether owners mean something: in a stage they do, in a context they are the person's own.
    pub(crate) keeps_owners: bool,
}

/// Where a path really is: the directory that holds it, its name there, and its path from the root without any link.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) dir: OwnedFd,
    pub(crate) name: std::ffi::OsString,
    pub(crate) path: PathBuf,
    pub(crate) stat: Stat,
}

impl View {
    /// The tree below a folder. With `ignore`, what that leaves out is not there.
    pub(crate) fn open(root: &Path, ignore: Option<Arc<IgnoreFile>>, keeps_owners: bool) -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(rustix::fs::CWD, root, flags, Mode::empty())
            .map_err(|e| Error::Io { what: format!("open {}", root.display()), source: e.into() })?;
        Ok(Self { root: Arc::new(fd), ignore, keeps_owners })
    }

    /// The same tree with what the ignore file leaves out.
    pub(super) fn without_ignore(&self) -> Self {
        Self { ignore: None, ..self.clone() }
    }

    /// Whether the ignore file leaves a path out.
    pub(crate) fn ignores(&self, path: &Path) -> bool {
        self.ignore
            .as_ref()
            .is_some_and(|ignore| !path.as_os_str().is_empty() && ignore.matches(&path.to_string_lossy()))
    }

    /// Whether nothing below a directory that is left out can be let in again.
    pub(crate) fn may_prune(&self, path: &Path) -> bool {
        self.ignore.as_ref().is_some_and(|ignore| ignore.may_prune(&path.to_string_lossy()))
    }

    /// Everything that the ignore file leaves out; of a folder with nothing let in again below, only the folder.
    pub(crate) fn ignored(&self) -> Result<Vec<PathBuf>, Error> {
        let mut found = Vec::new();
        let mut open = vec![PathBuf::new()];
        while let Some(folder) = open.pop() {
            let told = |path: &Path, e: Errno| Error::Io { what: format!("read {}", path.display()), source: e.into() };
            let dir = self.open_dir(&folder).map_err(|e| told(&folder, e))?;
            for name in names(&dir).map_err(|e| told(&folder, e))? {
                let path = folder.join(&name);
                let Ok(stat) = statat(&dir, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
                match (self.ignores(&path), is_dir(&stat)) {
                    (false, false) => {}
                    (true, true) if self.may_prune(&path) => found.push(path),
                    (_, true) => open.push(path),
                    (true, false) => found.push(path),
                }
            }
        }
        Ok(found)
    }

    /// Opens a directory by its real path (one without links).
    pub(crate) fn open_dir(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat2(&*self.root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
    }

    /// The names in a directory by its real path, in byte order; without those that are left out.
    pub(crate) fn names(&self, path: &Path) -> Result<Vec<std::ffi::OsString>, Errno> {
        let mut names = names(self.open_dir(path)?)?;
        names.retain(|name| !self.ignores(&path.join(name)));
        Ok(names)
    }

    /// Finds where a path really is. `..` stops at the root, links are taken as if the root were `/`; the last part is
    /// followed too where `follow` says so.
    pub(crate) fn locate(&self, path: &Path, follow: bool) -> Result<Place, Errno> {
        let mut real = PathBuf::new();
        let mut todo: Vec<std::ffi::OsString> = parts(path).rev().map(OsStr::to_owned).collect();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == ".." {
                real.pop();
                continue;
            }
            let dir = self.open_dir(&real)?;
            let stat = statat(&dir, part.as_os_str(), AtFlags::SYMLINK_NOFOLLOW)?;
            let last = todo.is_empty();
            if is_link(&stat) && (!last || follow) {
                if self.ignores(&real.join(&part)) {
                    return Err(Errno::NOENT);
                }
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP);
                }
                let target = readlinkat(&dir, part.as_os_str(), Vec::new())?;
                let target = Path::new(OsStr::from_bytes(target.as_bytes()));
                if target.is_absolute() {
                    real.clear();
                }
                todo.extend(parts(target).rev().map(OsStr::to_owned));
                continue;
            }
            if last {
                let path = real.join(&part);
                return Ok(Place { dir, name: part, path, stat });
            }
            real.push(part);
        }
        // The path was the root, or ended in `..`, or a link led to a directory.
        let dir = self.open_dir(&real)?;
        let stat = statat(&dir, ".", AtFlags::empty())?;
        Ok(Place { dir, name: ".".into(), path: real, stat })
    }

    /// A whole file, for small ones such as `/etc/passwd`; `None` where there is none.
    pub(crate) fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        use std::io::Read as _;
        let io = |e: std::io::Error| Error::Io { what: format!("read {}", path.display()), source: e };
        let place = match self.locate(path, true) {
            Ok(place) => place,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(e) => return Err(io(e.into())),
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = openat(&place.dir, place.name.as_os_str(), flags, Mode::empty()).map_err(|e| io(e.into()))?;
        let mut bytes = Vec::new();
        std::fs::File::from(fd).take(limit).read_to_end(&mut bytes).map_err(io)?;
        Ok(Some(bytes))
    }
}

/// The parts of a path, without `/` and `.`.
pub(super) fn parts(path: &Path) -> impl DoubleEndedIterator<Item = &OsStr> {
    path.as_os_str()
        .as_bytes()
        .split(|b| *b == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(OsStr::from_bytes)
}

pub(super) fn is_link(stat: &Stat) -> bool {
    rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink()
}

pub(super) fn is_dir(stat: &Stat) -> bool {
    rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("sub/deep")).unwrap();
        std::fs::write(dir.path().join("outside"), "secret").unwrap();
        std::fs::write(root.join("outside"), "inside").unwrap();
        symlink("../../../../outside", root.join("sub/climb")).unwrap();
        symlink("/sub", root.join("absolute")).unwrap();
        symlink("b", root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        let view = View::open(&root, None, false).unwrap();
        assert_eq!(view.read(Path::new("sub/climb"), 100).unwrap().unwrap(), b"inside");
        assert_eq!(view.read(Path::new("../../outside"), 100).unwrap().unwrap(), b"inside");
        assert_eq!(view.locate(Path::new("absolute/deep"), true).unwrap().path, Path::new("sub/deep"));
        assert_eq!(view.locate(Path::new("absolute"), false).unwrap().path, Path::new("absolute"));
        assert_eq!(view.locate(Path::new("/"), true).unwrap().path, Path::new(""));
        assert_eq!(view.locate(Path::new("a"), true).unwrap_err(), Errno::LOOP);
        let ignore = IgnoreFile::parse("absolute").unwrap();
        let view = View::open(&root, Some(Arc::new(ignore)), false).unwrap();
        assert_eq!(view.locate(Path::new("absolute/deep"), true).unwrap_err(), Errno::NOENT);
    }
}
