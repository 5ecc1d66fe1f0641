//! One layer's files on top of other layers: what merges and differences of file systems are made of.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use archipel_sandbox::copy::{Marks, dress};

use crate::error::At as _;
use crate::{Error, Result, Snapshot, SnapshotId, Store, View, mark};

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
            } else if hidden.is_some() || !mark::is_gone(&entry.path(), &meta) {
                fs::hard_link(entry.path(), &place).at(&place)?;
            }
        }
        folders.insert(folder, meta);
    }
    // Last, for every file that comes into a folder changes its time.
    for (folder, meta) in folders {
        // Overlayfs's own attributes among them: they say what a folder hides.
        dress(&from.join(&folder), &to.join(&folder), &meta, Marks::Kept).at(to)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use archipel_oci::Digest;

    use super::*;

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
