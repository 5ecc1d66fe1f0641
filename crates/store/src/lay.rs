//! One layer's files on top of other layers: what merges and differences of file systems are made of.

use std::fs;

use crate::compare::{Comparison, has};
use crate::error::At as _;
use crate::{Error, Result, Snapshot, SnapshotId, Store, View};

impl Store {
    /// Lays what a snapshot changes of what is below it on `parent`, with marks of what it removed. Nothing is copied: snapshots never
    /// change, so two can have the same files by links.
    ///
    /// Where it has a folder anew, only what was in that before is gone, and what others have there stays. A mark that hides nothing
    /// of `parent` is left out: where there is no other layer with that folder, the kernel shows it as a file.
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
        // These are changes, and what is as it is below is so by chance here, and elsewhere would be missed.
        draft.keep_whole();
        let view = |id: Option<&SnapshotId>| id.map(|id| self.view(Some(id))).transpose();
        let (base, below) = (view(layer.parent.as_ref())?, view(parent)?);
        let base = base.as_ref().map(View::path);
        let changes = Comparison { files: &layer.path, marked: true, base, whole: layer.whole };
        changes.put(
            draft.upper(),
            |path| below.as_ref().is_some_and(|below| has(below.path(), path)),
            |from, to, _| fs::hard_link(from, to).at(to),
        )?;
        drop(below);
        draft.commit(id)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::path::Path;

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
