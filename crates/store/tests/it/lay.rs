//! Layers on what they were not made on.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

use archipel_oci::Digest;
use archipel_store::{SnapshotId, Store};

use super::overlay::{inside, names};
use super::{base, plain, store};

fn step(name: &str) -> SnapshotId {
    SnapshotId::step(&Digest::of(name.as_bytes()))
}

fn unpacked(store: &Store, files: &[(&str, &str)]) -> SnapshotId {
    let (descriptor, diff_id, chain) = base(store, files);
    store.unpack(&descriptor, &diff_id, None, &chain).unwrap().id
}

fn changed(store: &Store, name: &str, below: &SnapshotId, change: impl FnOnce(&Path)) -> SnapshotId {
    let draft = store.draft(Some(below)).unwrap();
    let tree = draft.mount().unwrap();
    change(tree.path());
    drop(tree);
    draft.commit(&step(name)).unwrap().id
}

fn listed(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn archived(store: &Store, id: &SnapshotId) -> Vec<String> {
    names(&store.blobs().read(&store.layer(id, &plain()).unwrap().descriptor.digest).unwrap())
}

#[test]
fn needs_userns_what_a_layer_removed_it_removes_wherever_it_is_laid() {
    inside("lay::needs_userns_what_a_layer_removed_it_removes_wherever_it_is_laid", || {
        let (_dir, store) = store();
        let below = unpacked(&store, &[("a/", ""), ("a/gone", "1"), ("a/stays", "2"), ("b/", ""), ("b/old", "3")]);
        let files = [("a/", ""), ("a/gone", "other"), ("b/", ""), ("b/old", "other"), ("b/other", ""), ("c", "other")];
        let other = unpacked(&store, &files);
        let changed_below = changed(&store, "changed", &below, |root| {
            fs::remove_file(root.join("a/gone")).unwrap();
            fs::remove_dir_all(root.join("b")).unwrap();
            fs::create_dir(root.join("b")).unwrap();
            fs::write(root.join("b/new"), b"5").unwrap();
        });

        let laid = store.lay(&changed_below, Some(&other), &step("laid")).unwrap();
        assert_eq!(laid.parent, Some(other));
        let view = store.view(Some(&laid.id)).unwrap();
        let seen = ["", "a", "b"].map(|folder| listed(&view.path().join(folder)));
        // What it never saw stays, also in a folder that it has anew.
        assert_eq!(seen, [vec!["a", "b", "c"], vec![], vec!["new", "other"]]);
        drop(view);
        assert_eq!(archived(&store, &laid.id), ["a/", "a/.wh.gone", "b/", "b/new", "b/.wh.old"]);
        // On nothing, and on what does not have it, there is nothing where something was removed.
        let small = unpacked(&store, &[("b/", ""), ("d", "")]);
        for (n, parent) in [None, Some(&small)].into_iter().enumerate() {
            let laid = store.lay(&changed_below, parent, &step(&format!("on {n}"))).unwrap();
            let view = store.view(Some(&laid.id)).unwrap();
            assert_eq!(["a", "b"].map(|folder| listed(&view.path().join(folder)).len()), [0, 1]);
        }
        // Who writes to what was laid does not write to where it came from.
        let above = changed(&store, "above", &laid.id, |root| fs::write(root.join("b/new"), b"6").unwrap());
        assert_eq!(fs::read(store.view(Some(&above)).unwrap().path().join("b/new")).unwrap(), b"6");
        assert_eq!(fs::read(store.view(Some(&changed_below)).unwrap().path().join("b/new")).unwrap(), b"5");
    });
}

#[test]
fn needs_userns_what_a_layer_does_not_change_it_does_not_bring() {
    inside("lay::needs_userns_what_a_layer_does_not_change_it_does_not_bring", || {
        let (_dir, store) = store();
        let below = unpacked(&store, &[("d/", ""), ("d/same", "old"), ("e/", ""), ("e/f", "old"), ("f", "old")]);
        let other = unpacked(&store, &[("d/", ""), ("d/same", "newer"), ("e/", ""), ("e/f", "newer"), ("f", "newer")]);
        // Overlayfs copies them up all the same.
        let touched = changed(&store, "touched", &below, |root| {
            for path in ["f", "d/same", "e", "e/f"] {
                chown(root.join(path), Some(0), Some(0)).unwrap();
            }
            fs::write(root.join("d/new"), "new").unwrap();
        });
        let laid = store.lay(&touched, Some(&other), &step("laid")).unwrap();
        let view = store.view(Some(&laid.id)).unwrap();
        for path in ["f", "d/same", "e/f"] {
            assert_eq!(fs::read_to_string(view.path().join(path)).unwrap(), "newer");
        }
        drop(view);
        assert_eq!(archived(&store, &laid.id), ["d/", "d/new"]);
        // What is the same by chance where it is laid is in it, for it may be laid elsewhere next.
        let written = changed(&store, "written", &below, |root| {
            fs::write(root.join("f"), "newer").unwrap();
            let time = fs::metadata(root.join("d/same")).unwrap().modified().unwrap();
            fs::File::options().write(true).open(root.join("f")).unwrap().set_modified(time).unwrap();
        });
        let laid = store.lay(&written, Some(&other), &step("by chance")).unwrap();
        assert_eq!(archived(&store, &laid.id), ["f"]);
        // A layer that is whole is laid whole.
        let mut draft = store.draft(Some(&below)).unwrap();
        draft.keep_whole();
        let tree = draft.mount().unwrap();
        chown(tree.path().join("f"), Some(0), Some(0)).unwrap();
        drop(tree);
        let whole = draft.commit(&step("whole")).unwrap().id;
        let laid = store.lay(&whole, Some(&other), &step("whole, laid")).unwrap();
        assert_eq!(fs::read_to_string(store.view(Some(&laid.id)).unwrap().path().join("f")).unwrap(), "old");
    });
}
