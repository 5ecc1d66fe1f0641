//! What one tree has beyond another, as a layer: for file systems of which neither was made from the other.

use archipel_sandbox::copy::{Copier, How};

use crate::compare::Comparison;
use crate::error::At as _;
use crate::{Result, Snapshot, SnapshotId, Store};

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
        let changes = Comparison { files: above.path(), marked: false, base: Some(below.path()), whole: false };
        // It lies on nothing, and yet has every mark: what they hide is what it is laid on.
        let copy = |from: &_, to: &_, meta: &_| Copier::new(How::Copy).file(from, to, meta).at(from);
        changes.put(draft.upper(), |_| true, copy)?;
        draft.commit(id)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use archipel_oci::Digest;

    use super::*;

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
    #[test]
    fn no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let outside = dir.path().join("outside");
        let fill = |folder: &Path, names: &[&str]| {
            fs::create_dir_all(folder).unwrap();
            for name in names {
                let file = File::create(folder.join(name)).unwrap();
                file.set_modified(std::time::UNIX_EPOCH).unwrap();
            }
        };
        fill(&outside.join("sub"), &["known", "secret"]);
        for (n, link) in [outside.clone(), Path::new("../../../../outside").into()].into_iter().enumerate() {
            let linked = |upper: &Path| symlink(&link, upper.join("d")).unwrap();
            let lower = made(&store, &format!("lower {n}"), |upper| {
                linked(upper);
                assert!(upper.join("d/sub").is_dir());
            });
            let upper = made(&store, &format!("upper {n}"), |upper| fill(&upper.join("d/sub"), &["known"]));
            let id = |name: &str| SnapshotId::step(&Digest::of(format!("{name} {n}").as_bytes()));
            let found = store.difference(Some(&lower), Some(&upper), &id("difference")).unwrap().path;
            let names = |folder: &Path| -> Vec<_> {
                fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
            };
            assert_eq!(names(&found.join("d/sub")), ["known"]);
            // Neither does a mark count for what is behind a link of what it is laid on.
            let more = made(&store, &format!("more {n}"), |upper| fill(&upper.join("d/sub"), &["known", "secret"]));
            let gone = store.difference(Some(&more), Some(&upper), &id("gone")).unwrap();
            assert_eq!(names(&gone.path.join("d/sub")), ["secret"]);
            let laid = store.lay(&gone.id, Some(&lower), &id("laid")).unwrap();
            assert_eq!(names(&laid.path.join("d/sub")), [""; 0]);
        }
    }
}
