//! What files are, as the protocol tells it: with the bits of Go's `os.FileMode`.

use std::path::Path;

use archipel_dockerfile::glob_match;
use archipel_gateway::pb;
use rustix::fs::{AtFlags, FileType, Stat, major, minor, readlinkat, statat};
use rustix::io::Errno;

use crate::Error;
use crate::tree::View;

/// Go's bits: a letter each of `dalTLDpSugct?`, from the highest down.
const DIR: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;
const DEVICE: u32 = 1 << 26;
const PIPE: u32 = 1 << 25;
const SOCKET: u32 = 1 << 24;
const SET_UID: u32 = 1 << 23;
const SET_GID: u32 = 1 << 22;
const CHARACTER: u32 = 1 << 21;
const STICKY: u32 = 1 << 20;
const IRREGULAR: u32 = 1 << 19;

/// The file of a path, where links of it lead.
pub(super) fn of(view: &View, path: &str) -> Result<pb::Stat, Error> {
    let told = |e: Errno| Error::io(format!("lstat {path}"))(e.into());
    let place = view.locate(Path::new(path), true).map_err(told)?;
    let name = place.path.file_name().map_or_else(|| "/".into(), |name| name.to_string_lossy().into_owned());
    Ok(stat(name, &place.stat, None))
}

/// The files in a folder, in the order of their names; with a pattern those that it fits.
pub(super) fn list(view: &View, path: &str, pattern: &str) -> Result<Vec<pb::Stat>, Error> {
    let told = |e: Errno| Error::io(format!("open {path}"))(e.into());
    let place = view.locate(Path::new(path), true).map_err(told)?;
    let dir = view.open_dir(&place.path).map_err(told)?;
    let mut found = Vec::new();
    for name in view.names(&place.path).map_err(told)? {
        let shown = name.to_string_lossy().into_owned();
        if !(pattern.is_empty() || glob_match(pattern, &shown)) {
            continue;
        }
        let Ok(file) = statat(&dir, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let link = readlinkat(&dir, name.as_os_str(), Vec::new());
        found.push(stat(shown, &file, link.ok().map(|target| target.to_string_lossy().into_owned())));
    }
    Ok(found)
}

#[expect(clippy::unnecessary_cast, reason = "the types of these fields differ between architectures")]
fn stat(path: String, file: &Stat, linkname: Option<String>) -> pb::Stat {
    let device = i64::from(major(file.st_rdev as _));
    pb::Stat {
        path,
        mode: mode(file.st_mode),
        uid: file.st_uid,
        gid: file.st_gid,
        size: file.st_size as i64,
        mod_time: (file.st_mtime as i64).saturating_mul(1_000_000_000).saturating_add(file.st_mtime_nsec as i64),
        linkname: linkname.unwrap_or_default(),
        devmajor: device,
        devminor: i64::from(minor(file.st_rdev as _)),
        ..pb::Stat::default()
    }
}

fn mode(raw: u32) -> u32 {
    let kind = match FileType::from_raw_mode(raw) {
        FileType::RegularFile => 0,
        FileType::Directory => DIR,
        FileType::Symlink => SYMLINK,
        FileType::Fifo => PIPE,
        FileType::Socket => SOCKET,
        FileType::BlockDevice => DEVICE,
        FileType::CharacterDevice => DEVICE | CHARACTER,
        FileType::Unknown => IRREGULAR,
    };
    let special = [(0o4000, SET_UID), (0o2000, SET_GID), (0o1000, STICKY)];
    special.iter().filter(|(bit, _)| raw & bit != 0).fold(kind | raw & 0o777, |mode, (_, go)| mode | go)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn files_in_go() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        std::fs::write(dir.path().join("f"), "four").unwrap();
        std::fs::set_permissions(dir.path().join("f"), std::fs::Permissions::from_mode(0o4711)).unwrap();
        symlink("f", dir.path().join("l")).unwrap();
        let view = View::open(dir.path(), None, true).unwrap();
        let found = list(&view, "/", "").unwrap();
        let told: Vec<_> = found.iter().map(|s| (s.path.as_str(), s.mode & !0o777, s.linkname.as_str())).collect();
        assert_eq!(told, [("d", DIR, ""), ("f", SET_UID, ""), ("l", SYMLINK, "f")]);
        assert_eq!(list(&view, "", "[fl]").unwrap().len(), 2);
        let file = of(&view, "/f").unwrap();
        assert_eq!((file.size, file.mode & 0o777), (4, 0o711));
        assert_eq!(of(&view, "l").unwrap().size, 4);
        assert!(of(&view, "none").is_err());
    }
}
