//! One layer's files on top of other layers: what merges and differences of file systems are made of.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Mode, Timespec, Timestamps, XattrFlags, lgetxattr, llistxattr, lsetxattr, mknodat, utimensat,
};
use rustix::io::Errno;

use crate::error::At as _;
use crate::{Error, Result, Snapshot, SnapshotId, Store, View};

/// More than any attribute has.
const MAX_ATTRIBUTE: usize = 64 * 1024;

impl Store {
    /// Lays the files of a snapshot (its own, not those below it) on `parent`, with the marks of what it removed of that. Nothing is
    /// copied: snapshots never change, so two can have the same files by links.
    ///
    /// # Errors
    /// [`Error::Missing`], or the file system's.
    pub fn lay(&self, layer: &SnapshotId, parent: Option<&SnapshotId>, id: &SnapshotId) -> Result<Snapshot> {
        if let Some(known) = self.snapshot(id)? {
            return Ok(known);
        }
        let layer = self.snapshot(layer)?.ok_or_else(|| Error::Missing(layer.clone()))?;
        let mut draft = self.draft(parent)?;
        draft.skipped = layer.skipped;
        // What is as it was below is so by chance here, and elsewhere would be missed.
        draft.keep_whole();
        let below = parent.map(|parent| self.view(Some(parent))).transpose()?;
        link_tree(&layer.path, draft.upper(), below.as_ref().map(View::path))?;
        drop(below);
        draft.commit(id)
    }
}

/// Makes the folders of a tree once more, and links everything else into them. A mark that hides nothing of what is `below` is left
/// out: where there is no other layer with that folder, the kernel shows it as a file.
fn link_tree(from: &Path, to: &Path, below: Option<&Path>) -> Result<()> {
    let mut folders = HashMap::new();
    let mut open = vec![(PathBuf::new(), below.map(Path::to_owned))];
    while let Some((folder, below)) = open.pop() {
        let (source, target) = (from.join(&folder), to.join(&folder));
        let meta = fs::symlink_metadata(&source).at(&source)?;
        for entry in fs::read_dir(&source).at(&source)? {
            let entry = entry.at(&source)?;
            let (path, place) = (folder.join(entry.file_name()), target.join(entry.file_name()));
            let below = below.as_ref().map(|below| below.join(entry.file_name()));
            let hidden = below.as_ref().and_then(|below| fs::symlink_metadata(below).ok());
            let meta = entry.metadata().at(&source)?;
            if meta.is_dir() {
                fs::create_dir(&place).at(&place)?;
                open.push((path, below.filter(|_| hidden.is_some_and(|hidden| hidden.is_dir()))));
            } else if hidden.is_some() || !is_mark(&meta) {
                fs::hard_link(entry.path(), &place).at(&place)?;
            }
        }
        folders.insert(folder, meta);
    }
    // Last, for every file that comes into a folder changes its time.
    for (folder, meta) in folders {
        dress(&from.join(&folder), &to.join(&folder), &meta).at(to)?;
    }
    Ok(())
}

/// Whether it says that there is nothing, in the way of overlayfs.
fn is_mark(meta: &Metadata) -> bool {
    meta.file_type().is_char_device() && meta.rdev() == 0
}

/// Gives a file or folder what another one has beside its content: owner, mode, attributes, time.
pub(crate) fn dress(from: &Path, to: &Path, meta: &Metadata) -> io::Result<()> {
    chown(to, Some(meta.uid()), Some(meta.gid()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    for (name, value) in attributes_of(from)? {
        match lsetxattr(to, &name, &value, XattrFlags::empty()) {
            // The machine's own, which only it may give.
            Ok(()) | Err(Errno::NOTSUP | Errno::PERM | Errno::ACCESS) => {}
            Err(e) => return Err(e.into()),
        }
    }
    time(to, meta)
}

fn time(of: &Path, meta: &Metadata) -> io::Result<()> {
    let mtime = Timespec { tv_sec: meta.mtime(), tv_nsec: meta.mtime_nsec() };
    let times = Timestamps { last_access: mtime, last_modification: mtime };
    Ok(utimensat(CWD, of, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Copies what is no folder, with all that it has.
pub(crate) fn copy_node(from: &Path, to: &Path, meta: &Metadata) -> Result<()> {
    let kind = meta.file_type();
    if kind.is_symlink() {
        let target = fs::read_link(from).at(from)?;
        symlink(target, to).and_then(|()| lchown(to, Some(meta.uid()), Some(meta.gid()))).at(to)?;
        return time(to, meta).at(to);
    }
    if kind.is_file() {
        fs::copy(from, to).at(from)?;
    } else {
        let (raw, mode) = (rustix::fs::FileType::from_raw_mode(meta.mode()), Mode::from_raw_mode(meta.mode()));
        mknodat(CWD, to, raw, mode, meta.rdev()).map_err(io::Error::from).at(to)?;
    }
    dress(from, to, meta).at(to)
}

/// A file's attributes, overlayfs's own among them: they say what a folder hides.
pub(crate) fn attributes_of(path: &Path) -> io::Result<BTreeMap<OsString, Vec<u8>>> {
    let mut names = vec![0; MAX_ATTRIBUTE];
    let length = match llistxattr(path, names.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(e) => return Err(e.into()),
    };
    let mut found = BTreeMap::new();
    for name in names.get(..length).unwrap_or_default().split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let name = OsStr::from_bytes(name);
        let mut value = vec![0; MAX_ATTRIBUTE];
        match lgetxattr(path, name, value.as_mut_slice()) {
            Ok(length) => value.truncate(length),
            // Some are listed and not given.
            Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM | Errno::ACCESS) => continue,
            Err(e) => return Err(e.into()),
        }
        found.insert(name.to_owned(), value);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use archipel_oci::Digest;

    fn made(store: &Store, name: &str, parent: Option<&SnapshotId>, fill: impl FnOnce(&Path)) -> SnapshotId {
        let id = SnapshotId::step(&Digest::of(name.as_bytes()));
        let draft = store.draft(parent).unwrap();
        fill(draft.upper());
        draft.commit(&id).unwrap();
        id
    }

    #[test]
    fn a_layer_on_another() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let below = made(&store, "below", None, |upper| fs::write(upper.join("a"), "a").unwrap());
        let other = made(&store, "other", None, |upper| {
            fs::create_dir_all(upper.join("d/e")).unwrap();
            fs::write(upper.join("d/e/b"), "b").unwrap();
            std::os::unix::fs::symlink("a", upper.join("l")).unwrap();
            fs::set_permissions(upper.join("d"), fs::Permissions::from_mode(0o2750)).unwrap();
        });
        let id = SnapshotId::step(&Digest::of(b"laid"));
        let laid = store.lay(&other, Some(&below), &id).unwrap();
        assert_eq!(laid.parent, Some(below));
        assert_eq!(fs::read_to_string(laid.path.join("d/e/b")).unwrap(), "b");
        assert_eq!(fs::symlink_metadata(laid.path.join("d")).unwrap().mode() & 0o7777, 0o2750);
        assert_eq!(fs::read_link(laid.path.join("l")).unwrap(), Path::new("a"));
        let original = fs::metadata(store.snapshot(&other).unwrap().unwrap().path.join("d/e/b")).unwrap();
        assert_eq!(fs::metadata(laid.path.join("d/e/b")).unwrap().ino(), original.ino());
    }
}
