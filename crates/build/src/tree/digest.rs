//! What a cache key says of a selection: names, kinds, modes, attributes and contents, not times. Owners only where they mean
//! something.

use std::io::Read as _;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;

use archipel_oci::{Digest, Hasher};
use rustix::fs::{FileType, Mode, OFlags, openat, readlinkat};

use super::walk::Entry;
use super::{Match, View, xattr};
use crate::Error;

/// The digest of everything that the matches stand for; `named` says that their own names are a part of it.
pub(crate) fn digest(view: &View, matches: &[Match], named: bool) -> Result<Digest, Error> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 256 * 1024];
    for found in matches {
        field(&mut hasher, b"match");
        // A directory stands for its contents, whatever its own name.
        field(&mut hasher, if found.is_dir() && !named { b"" } else { found.name.as_bytes() });
        found.visit(view, &mut |entry| {
            add(&mut hasher, entry, view.keeps_owners, &mut buffer)
                .map_err(|e| Error::Io { what: found.path().join(entry.path).display().to_string(), source: e })
        })?;
    }
    Ok(hasher.finish())
}

fn add(hasher: &mut Hasher, entry: &Entry<'_>, owners: bool, buffer: &mut [u8]) -> std::io::Result<()> {
    let stat = entry.stat;
    let kind = FileType::from_raw_mode(stat.st_mode);
    field(hasher, entry.path.as_os_str().as_bytes());
    let mode = if kind.is_symlink() { stat.st_mode & !0o7777 } else { stat.st_mode };
    hasher.update(&mode.to_le_bytes());
    if owners {
        hasher.update(&stat.st_uid.to_le_bytes());
        hasher.update(&stat.st_gid.to_le_bytes());
    }
    match kind {
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let mut file = std::fs::File::from(openat(entry.dir, entry.name, flags, Mode::empty())?);
            let mut content = Hasher::default();
            loop {
                let n = file.read(buffer)?;
                if n == 0 {
                    break;
                }
                content.update(&buffer[..n]);
            }
            field(hasher, content.finish().as_str().as_bytes());
            attributes(hasher, &file, owners)?;
        }
        FileType::Directory => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            attributes(hasher, openat(entry.dir, entry.name, flags, Mode::empty())?, owners)?;
        }
        FileType::Symlink => field(hasher, readlinkat(entry.dir, entry.name, Vec::new())?.as_bytes()),
        FileType::CharacterDevice | FileType::BlockDevice => hasher.update(&stat.st_rdev.to_le_bytes()),
        _ => {}
    }
    Ok(())
}

/// Adds what [`xattr::copy`] would copy.
fn attributes(hasher: &mut Hasher, file: impl AsFd, trusted: bool) -> std::io::Result<()> {
    for (name, value) in xattr::read(file, trusted)? {
        field(hasher, b"attribute");
        field(hasher, &name);
        field(hasher, &value);
    }
    Ok(())
}

/// Adds a field with its length before it, so that two fields cannot pass for others with the same bytes.
fn field(hasher: &mut Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Selection, select};

    #[test]
    fn a_directorys_own_name_counts_where_it_is_copied_itself() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join("f"), "same").unwrap();
        }
        let view = View::open(dir.path(), None, false).unwrap();
        let of =
            |name: &str, named| digest(&view, &select(&view, name, &Selection::default()).unwrap(), named).unwrap();
        assert_eq!(of("a", false), of("b", false));
        assert_ne!(of("a", true), of("b", true));
    }
}
