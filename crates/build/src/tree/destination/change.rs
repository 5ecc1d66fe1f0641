//! Changes that are no copies: what frontends ask for beside them.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, fchown, futimens, openat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::super::walk::names;
use super::{Destination, failed, split, times};
use crate::Error;

impl Destination {
    /// Fails where the directory that a path is in is not there.
    pub(crate) fn must_have_parent(&mut self, path: &Path) -> Result<(), Error> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        let real = self.resolve(parent)?;
        self.dir(&real).map(drop).map_err(|e| failed(parent, e))
    }

    /// Makes a directory whose parent is there; one that is there already stays as it is.
    pub(crate) fn make_one_dir(&mut self, path: &Path) -> Result<(), Error> {
        let real = self.resolve(path)?;
        let (parent, name) = split(&real);
        match self.make_dir(parent, name) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(e) => Err(failed(&real, e)),
        }
    }

    /// Writes a file whose directory is there. A link is followed.
    pub(crate) fn write_file(&mut self, path: &Path, mode: u32, content: &[u8]) -> Result<(), Error> {
        let real = self.resolve(path)?;
        let owner = self.ownership.owner.unwrap_or((0, 0));
        let fill = |file: &mut File| std::io::Write::write_all(file, content);
        let written = match self.rewrite(&real, owner, fill) {
            Ok(true) => Ok(()),
            Ok(false) => self.create(&real, mode, owner, self.now, fill),
            Err(e) => Err(e),
        };
        written.map_err(|e| Error::Io { what: format!("write {}", path.display()), source: e })
    }

    /// Writes a file anew that is there, under all its names and with the mode that it has (BuildKit). Says whether there is one.
    fn rewrite(
        &mut self,
        real: &Path,
        owner: (u32, u32),
        fill: impl FnOnce(&mut File) -> std::io::Result<()>,
    ) -> std::io::Result<bool> {
        let (parent, name) = split(real);
        let dir = self.dir(parent)?;
        if !statat(&*dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| is_file(&stat)) {
            return Ok(false);
        }
        let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&*dir, name, flags, Mode::empty())?);
        fill(&mut file)?;
        fchown(&file, Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)))?;
        futimens(&file, &times(self.now))?;
        Ok(true)
    }

    /// Makes a link whose directory is there, and whose name is not.
    pub(crate) fn link(&mut self, path: &Path, target: &str) -> Result<(), Error> {
        let real = self.resolve(path)?;
        let (parent, name) = split(&real);
        let owner = self.ownership.owner.unwrap_or((0, 0));
        let made = self.touch(parent).and_then(|dir| {
            symlinkat(target, &*dir, name)?;
            self.own(&dir, name, owner, self.now)
        });
        made.map_err(|e| Error::Io { what: format!("link {}", path.display()), source: e.into() })
    }

    /// Takes away a file, or a directory with all that is in it. Says whether there was anything. The last part is no link that is followed.
    pub(crate) fn remove(&mut self, path: &Path) -> Result<bool, Error> {
        let (parent, name) = split(path);
        let told = |e: Errno| Error::Io { what: format!("remove {}", path.display()), source: e.into() };
        let removed = self.resolve(parent).and_then(|real| {
            let dir = self.touch(&real).map_err(told)?;
            remove_all(&dir, name).map_err(told)
        });
        match removed {
            Ok(()) => Ok(true),
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }
}

fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_file()
}

/// Removes a name with all that is below it. Links are taken away and not followed.
pub(crate) fn remove_all(dir: impl AsFd, name: &OsStr) -> Result<(), Errno> {
    match unlinkat(&dir, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        other => return other,
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inner = openat(&dir, name, flags, Mode::empty())?;
    for child in names(&inner)? {
        remove_all(&inner, &child)?;
    }
    unlinkat(&dir, name, AtFlags::REMOVEDIR)
}
