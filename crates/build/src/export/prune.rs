//! `type=local,mode=delete`: what is in the folder and in no result is removed from it.
//!
//! It happens last, so that an export that fails has taken nothing away. As where files are written nothing is followed: what is
//! removed lies below the folder, and of a link the link.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, fchmod, fstat, futimens, openat, statat};
use rustix::io::Errno;

use super::local::{FOLDER, both, failed, open_top};
use super::rootfs::Root;
use crate::Error;
use crate::tree::{mtime, names, remove_all};

/// Removes from a folder, into which the files of all platforms were written, everything else.
pub(super) fn prune(dest: &Path, roots: &[Root]) -> Result<(), Error> {
    let told = |e| failed(dest, e);
    let top = open_top(dest).map_err(told)?;
    let source = |root: &Root| openat(CWD, root.path(), FOLDER, Mode::empty()).map_err(told);
    let places: Vec<OsString> = roots.iter().filter_map(|root| root.place.as_ref().map(OsString::from)).collect();
    if places.is_empty() {
        let sources = roots.iter().map(source).collect::<Result<Vec<_>, _>>()?;
        return below(&top, &sources).map_err(told);
    }
    for name in names(&top).map_err(told)?.iter().filter(|name| !places.contains(name)) {
        remove_all(&top, name).map_err(told)?;
    }
    for (root, place) in roots.iter().zip(&places) {
        let folder = openat(&top, place.as_os_str(), FOLDER, Mode::empty()).map_err(told)?;
        below(&folder, &[source(root)?]).map_err(told)?;
    }
    Ok(())
}

/// Removes what is in a folder and in none of the sources.
fn below(folder: &OwnedFd, sources: &[OwnedFd]) -> Result<(), Errno> {
    let mut gone = Vec::new();
    for name in names(folder)? {
        let (mut known, mut inner) = (false, Vec::new());
        for source in sources {
            match statat(source, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() => {
                    inner.push(openat(source, name.as_os_str(), FOLDER, Mode::empty())?);
                }
                Ok(_) => known = true,
                Err(Errno::NOENT) => {}
                Err(e) => return Err(e),
            }
        }
        if !inner.is_empty() {
            below(&openat(folder, name.as_os_str(), FOLDER, Mode::empty())?, &inner)?;
        } else if !known {
            gone.push(name);
        }
    }
    if gone.is_empty() {
        return Ok(());
    }
    // The folder looks already as it should, and may be one that nothing can be removed from.
    let stat = fstat(folder)?;
    fchmod(folder, Mode::from_raw_mode(stat.st_mode & 0o7777) | Mode::RWXU)?;
    for name in &gone {
        remove_all(folder, name)?;
    }
    fchmod(folder, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    futimens(folder, &both(mtime(&stat)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    use std::path::PathBuf;

    fn tree(root: &Path, files: &[&str]) {
        for file in files {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "").unwrap();
        }
    }

    fn left(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![folder.to_owned()];
        while let Some(next) = open.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                found.push(path.strip_prefix(folder).unwrap().display().to_string());
                if !path.is_symlink() && path.is_dir() {
                    open.push(path);
                }
            }
        }
        found.sort();
        found
    }

    fn opened(path: PathBuf) -> OwnedFd {
        openat(CWD, path, FOLDER, Mode::empty()).unwrap()
    }

    #[test]
    fn only_what_no_source_has_goes_and_nothing_outside() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        tree(
            root,
            &["outside/kept", "one/a", "one/d/f", "two/d/g", "to/a", "to/d/f", "to/d/g", "to/d/old", "to/old/deep/f"],
        );
        symlink(root.join("outside"), root.join("to/link")).unwrap();
        symlink(root.join("outside"), root.join("to/d/link")).unwrap();
        let inner = root.join("to/d");
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o555)).unwrap();
        let before = fs::metadata(&inner).unwrap();
        below(&opened(root.join("to")), &[opened(root.join("one")), opened(root.join("two"))]).unwrap();
        assert_eq!(left(&root.join("to")), ["a", "d", "d/f", "d/g"]);
        assert_eq!(left(&root.join("outside")), ["kept"]);
        let after = fs::metadata(&inner).unwrap();
        let of = |meta: &fs::Metadata| (meta.mode(), meta.mtime(), meta.mtime_nsec());
        assert_eq!(of(&before), of(&after));
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o755)).unwrap();
    }
}
