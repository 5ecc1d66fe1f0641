//! What one tree has beyond another, as a layer: for file systems of which neither was made from the other.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, FileType, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use archipel_sandbox::copy::{Copier, How, Marks, attributes, dress};

use crate::error::At as _;
use crate::{Result, Snapshot, SnapshotId, Store, mark};

/// Bytes that are compared at once.
const BUFFER: usize = 64 * 1024;

impl Store {
    /// Makes a layer of what `upper` has that `lower` has not, or has otherwise, and of marks for what is only in `lower`. Times alone
    /// are no difference of folders, for they follow from what is in them.
    ///
    /// # Errors
    /// [`crate::Error::Missing`], or the file system's.
    pub fn difference(
        &self,
        lower: Option<&SnapshotId>,
        upper: Option<&SnapshotId>,
        id: &SnapshotId,
    ) -> Result<Snapshot> {
        let (below, above) = (self.view(lower)?, self.view(upper)?);
        let draft = self.draft(None)?;
        let trees = Trees { below: below.path(), above: above.path(), made: draft.upper() };
        let mut folders = BTreeSet::new();
        trees.compare(&mut folders)?;
        // The deepest first: what comes into a folder changes its time.
        for folder in folders.iter().rev() {
            let source = trees.above.join(folder);
            let meta = fs::symlink_metadata(&source).at(&source)?;
            dress(&source, &trees.made.join(folder), &meta, Marks::Left).at(&source)?;
        }
        draft.commit(id)
    }
}

struct Trees<'a> {
    below: &'a Path,
    above: &'a Path,
    made: &'a Path,
}

impl Trees<'_> {
    /// Goes through both trees, and notes the folders that it makes.
    fn compare(&self, folders: &mut BTreeSet<PathBuf>) -> Result<()> {
        let mut open = vec![PathBuf::new()];
        while let Some(folder) = open.pop() {
            let (old, new) = (names(&self.below.join(&folder))?, names(&self.above.join(&folder))?);
            for name in old.keys().filter(|name| !new.contains_key(*name)) {
                self.folder(&folder, folders)?;
                let mark = self.made.join(&folder).join(name);
                mark::hide(&mark).at(&mark)?;
            }
            for (name, meta) in &new {
                let path = folder.join(name);
                let before = old.get(name);
                let both_folders = meta.is_dir() && before.is_some_and(Metadata::is_dir);
                if !before.is_some_and(|before| same(&path, before, meta, self).unwrap_or(false)) {
                    self.folder(&folder, folders)?;
                    match meta.is_dir() {
                        true => self.folder(&path, folders)?,
                        false => {
                            let (from, to) = (self.above.join(&path), self.made.join(&path));
                            Copier::new(How::Copy).file(&from, &to, meta).at(&from)?;
                        }
                    }
                }
                if both_folders || meta.is_dir() {
                    open.push(path);
                }
            }
        }
        Ok(())
    }

    fn folder(&self, path: &Path, folders: &mut BTreeSet<PathBuf>) -> Result<()> {
        if folders.contains(path) {
            return Ok(());
        }
        let target = self.made.join(path);
        fs::create_dir_all(&target).at(&target)?;
        folders.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }
}

/// The entries of a folder; none where there is no folder.
fn names(folder: &Path) -> Result<BTreeMap<OsString, Metadata>> {
    let Ok(meta) = fs::symlink_metadata(folder) else { return Ok(BTreeMap::new()) };
    if !meta.is_dir() {
        return Ok(BTreeMap::new());
    }
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).at(folder)? {
        let entry = entry.at(folder)?;
        found.insert(entry.file_name(), entry.metadata().at(folder)?);
    }
    Ok(found)
}

fn same(path: &Path, old: &Metadata, new: &Metadata, trees: &Trees<'_>) -> io::Result<bool> {
    let what = |meta: &Metadata| (kind(meta.file_type()), meta.mode(), meta.uid(), meta.gid(), meta.rdev());
    if what(old) != what(new) {
        return Ok(false);
    }
    let (below, above) = (trees.below.join(path), trees.above.join(path));
    if new.is_symlink() {
        return Ok(fs::read_link(below)? == fs::read_link(above)?);
    }
    if attributes(&below, Marks::Left)? != attributes(&above, Marks::Left)? {
        return Ok(false);
    }
    if !new.is_file() {
        return Ok(true);
    }
    let times = |meta: &Metadata| (meta.len(), meta.mtime(), meta.mtime_nsec());
    Ok(times(old) == times(new) && same_content(&below, &above)?)
}

fn kind(file: FileType) -> u8 {
    let kinds = [file.is_dir(), file.is_file(), file.is_symlink(), file.is_fifo(), file.is_char_device()];
    kinds.iter().position(|is| *is).and_then(|n| u8::try_from(n).ok()).unwrap_or(u8::MAX)
}

fn same_content(a: &Path, b: &Path) -> io::Result<bool> {
    let (mut a, mut b) = (File::open(a)?, File::open(b)?);
    let (mut x, mut y) = (vec![0; BUFFER], vec![0; BUFFER]);
    loop {
        let n = a.read(&mut x)?;
        if n == 0 {
            return Ok(b.read(&mut y)? == 0);
        }
        match b.read_exact(&mut y[..n]) {
            Ok(()) if x[..n] == y[..n] => {}
            Ok(()) => return Ok(false),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use archipel_oci::Digest;
    use std::os::unix::fs::symlink;

    fn made(store: &Store, name: &str, fill: impl FnOnce(&Path)) -> SnapshotId {
        let id = SnapshotId::step(&Digest::of(name.as_bytes()));
        let draft = store.draft(None).unwrap();
        fill(draft.upper());
        draft.commit(&id).unwrap();
        id
    }

    #[test]
    fn what_is_new_and_what_is_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        let write = |path: &Path, text: &str| {
            fs::write(path, text).unwrap();
            File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        };
        let lower = made(&store, "lower", |upper| {
            fs::create_dir_all(upper.join("d/same")).unwrap();
            write(&upper.join("d/same/f"), "same");
            write(&upper.join("d/other"), "old!");
            symlink("a", upper.join("l")).unwrap();
        });
        let upper = made(&store, "upper", |upper| {
            fs::create_dir_all(upper.join("d/same")).unwrap();
            fs::create_dir_all(upper.join("new/deep")).unwrap();
            write(&upper.join("d/same/f"), "same");
            write(&upper.join("d/other"), "new!");
            write(&upper.join("new/deep/g"), "g");
            symlink("b", upper.join("l")).unwrap();
        });
        let id = SnapshotId::step(&Digest::of(b"difference"));
        let found = store.difference(Some(&lower), Some(&upper), &id).unwrap().path;
        assert_eq!(fs::read_to_string(found.join("d/other")).unwrap(), "new!");
        assert_eq!(fs::read_to_string(found.join("new/deep/g")).unwrap(), "g");
        assert_eq!(fs::read_link(found.join("l")).unwrap(), Path::new("b"));
        assert!(!found.join("d/same").exists());
        assert_eq!(fs::metadata(found.join("d/other")).unwrap().modified().unwrap(), time);
        let none = store.difference(Some(&upper), Some(&upper), &SnapshotId::step(&Digest::of(b"none"))).unwrap();
        assert_eq!(fs::read_dir(none.path).unwrap().count(), 0);
    }
}
