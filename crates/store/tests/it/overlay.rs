//! Layers on layers, which want mounts: each test runs again in a user namespace of its own.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use archipel_oci::{ChainId, Digest};
use archipel_store::layer::{Form, Writer, write_tree};
use archipel_store::{LayerOptions, SnapshotId, Store};

use super::{base, plain, store};

/// Says that this process is the one inside.
const INSIDE: &str = "ARCHIPEL_TEST_INSIDE";

pub(super) fn inside(name: &str, test: impl FnOnce()) {
    if std::env::vars_os().any(|(key, _)| key == INSIDE) {
        return test();
    }
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

pub(super) fn names(archive: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(archive);
    archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
}

fn merged(store: &Store, id: &SnapshotId) -> Vec<u8> {
    let view = store.view(Some(id)).unwrap();
    let mut writer = Writer::new(Vec::new());
    // Of times a layer has whole seconds only.
    write_tree(view.path(), b"", Form::Files, Some(0), &mut writer).unwrap();
    writer.finish().unwrap()
}

#[test]
fn needs_userns_changes_become_a_layer_that_makes_the_same_tree() {
    inside("overlay::needs_userns_changes_become_a_layer_that_makes_the_same_tree", || {
        let files = [("a/", ""), ("a/gone", "1"), ("a/stays", "2"), ("b/", ""), ("b/old", "3"), ("c", "4")];
        let (_here, first) = store();
        let (descriptor, diff_id, chain) = base(&first, &files);
        let below = first.unpack(&descriptor, &diff_id, None, &chain).unwrap().id;

        let draft = first.draft(Some(&below)).unwrap();
        let tree = draft.mount().unwrap();
        fs::remove_file(tree.path().join("a/gone")).unwrap();
        fs::remove_dir_all(tree.path().join("b")).unwrap();
        fs::create_dir(tree.path().join("b")).unwrap();
        fs::write(tree.path().join("b/new"), b"5").unwrap();
        fs::hard_link(tree.path().join("b/new"), tree.path().join("d")).unwrap();
        drop(tree);
        let top = draft.commit(&SnapshotId::step(&Digest::of(b"step"))).unwrap();
        assert_eq!(top.parent.as_ref(), Some(&below));
        let layer = first.layer(&top.id, &plain()).unwrap();
        let bytes = first.blobs().read(&layer.descriptor.digest).unwrap();
        assert_eq!(names(&bytes), ["a/", "a/.wh.gone", "b/", "b/new", "b/.wh.old", "d"]);

        let (_there, second) = store();
        base(&second, &files);
        second.unpack(&descriptor, &diff_id, None, &chain).unwrap();
        second.blobs().put(&bytes).unwrap();
        let upper = ChainId::extend(Some(&chain), &layer.diff_id);
        let same = second.unpack(&layer.descriptor, &layer.diff_id, Some(&below), &upper).unwrap();
        assert!(merged(&second, &same.id) == merged(&first, &top.id));
        assert_eq!(fs::read_dir(second.root().join("work")).unwrap().count(), 0);
    });
}

#[test]
fn needs_userns_what_is_as_it_was_is_not_in_a_layer() {
    inside("overlay::needs_userns_what_is_as_it_was_is_not_in_a_layer", || {
        let files = [("a/", ""), ("a/b/", ""), ("a/b/f", "1"), ("a/g", "2"), ("d/", ""), ("d/s/", ""), ("d/s/f", "3")];
        let (_here, store) = store();
        let (descriptor, diff_id, chain) = base(&store, &files);
        let below = store.unpack(&descriptor, &diff_id, None, &chain).unwrap().id;
        let made = |name: &str, whole: bool, change: &dyn Fn(&Path)| {
            let mut draft = store.draft(Some(&below)).unwrap();
            if whole {
                draft.keep_whole();
            }
            let tree = draft.mount().unwrap();
            change(tree.path());
            drop(tree);
            let top = draft.commit(&SnapshotId::step(&Digest::of(name.as_bytes()))).unwrap();
            let layer = store.layer(&top.id, &plain()).unwrap();
            names(&store.blobs().read(&layer.descriptor.digest).unwrap())
        };
        // Overlayfs copies them up all the same.
        let touched = |root: &Path| {
            for file in ["a/g", "a/b/f", "a/b"] {
                std::os::unix::fs::chown(root.join(file), Some(0), None).unwrap();
            }
        };
        assert_eq!(made("untouched", false, &touched), [""; 0]);
        assert_eq!(made("whole", true, &touched), ["a/", "a/b/", "a/b/f", "a/g"]);
        let changed = |root: &Path| {
            touched(root);
            let file = fs::File::options().write(true).open(root.join("a/g")).unwrap();
            let before = file.metadata().unwrap().modified().unwrap();
            (&file).write_all(b"9").unwrap();
            file.set_modified(before).unwrap();
        };
        assert_eq!(made("changed", false, &changed), ["a/", "a/g"]);
        let replaced = |root: &Path| {
            fs::remove_dir_all(root.join("d")).unwrap();
            fs::create_dir_all(root.join("d/s")).unwrap();
            fs::remove_file(root.join("a/g")).unwrap();
            fs::create_dir(root.join("a/g")).unwrap();
        };
        assert_eq!(made("replaced", false, &replaced), ["a/", "a/g/", "d/", "d/s/", "d/s/.wh.f"]);
    });
}

#[test]
fn needs_userns_the_root_keeps_its_mode() {
    inside("overlay::needs_userns_the_root_keeps_its_mode", || {
        use std::os::unix::fs::PermissionsExt as _;
        let (_dir, store) = store();
        let draft = store.draft(None).unwrap();
        fs::set_permissions(draft.upper(), fs::Permissions::from_mode(0o1777)).unwrap();
        let below = draft.commit(&SnapshotId::step(&Digest::of(b"1"))).unwrap();
        let above = store.draft(Some(&below.id)).unwrap().commit(&SnapshotId::step(&Digest::of(b"2"))).unwrap();
        let view = store.view(Some(&above.id)).unwrap();
        assert_eq!(fs::metadata(view.path()).unwrap().mode() & 0o7777, 0o1777);
        assert_eq!(fs::read_dir(store.view(None).unwrap().path()).unwrap().count(), 0);
    });
}

#[test]
fn needs_userns_links_say_nothing_of_files_that_are_elsewhere() {
    inside("overlay::needs_userns_links_say_nothing_of_files_that_are_elsewhere", || {
        let (_dir, store) = store();
        let step = |name: &str| SnapshotId::step(&Digest::of(name.as_bytes()));
        let draft = store.draft(None).unwrap();
        fs::write(draft.upper().join("f"), "hi").unwrap();
        fs::hard_link(draft.upper().join("f"), draft.upper().join("f2")).unwrap();
        fs::write(draft.upper().join("one"), "1").unwrap();
        let below = draft.commit(&step("below")).unwrap();
        // Another name for a file of below is a file of its own, whether or not that had several names (BuildKit).
        let draft = store.draft(Some(&below.id)).unwrap();
        let tree = draft.mount().unwrap();
        for (from, to) in [("f", "g"), ("one", "two"), ("two", "three")] {
            fs::hard_link(tree.path().join(from), tree.path().join(to)).unwrap();
        }
        drop(tree);
        let linked = draft.commit(&step("linked")).unwrap();
        let layer = |id: &SnapshotId, epoch: i64| {
            let layer = store.layer(id, &LayerOptions { epoch: Some(epoch), ..plain() }).unwrap();
            store.blobs().read(&layer.descriptor.digest).unwrap()
        };
        let entries = |bytes: &[u8]| -> Vec<_> {
            let mut archive = tar::Archive::new(bytes);
            let entries = archive.entries().unwrap().map(Result::unwrap);
            entries.map(|e| (e.path().unwrap().display().to_string(), e.header().entry_type())).collect()
        };
        let (file, link) = (tar::EntryType::Regular, tar::EntryType::Link);
        let expected = [("g".to_owned(), file), ("three".into(), file), ("two".into(), link)];
        assert_eq!(entries(&layer(&linked.id, 1)), expected);
        // Snapshots that share its files change nothing. (Other epochs are never what is remembered.)
        let before = layer(&below.id, 1 << 40);
        for (n, of) in [&below.id, &linked.id, &below.id].into_iter().enumerate() {
            let laid = store.lay(of, None, &step(&format!("laid {n}"))).unwrap();
            assert_eq!(layer(&laid.id, 1 << 40) == before, *of == below.id);
        }
        assert_eq!(fs::metadata(below.path.join("one")).unwrap().nlink(), 3);
        assert!(layer(&below.id, 1 << 41) == before);
        assert_eq!(entries(&layer(&linked.id, 2)), expected);
    });
}
