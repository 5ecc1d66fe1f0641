//! What a step does to a tree becomes the same layer with mounts and without.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use archipel_oci::Digest;
use rustix::fs::{XattrFlags, lsetxattr};

use crate::layer::{Form, Writer, write_tree};
use crate::{SnapshotId, Store};

fn step(name: &str) -> SnapshotId {
    SnapshotId::step(&Digest::of(name.as_bytes()))
}

/// Makes a snapshot by working in a tree.
fn make(store: &Store, name: &str, parent: Option<&SnapshotId>, work: impl FnOnce(&Path)) -> SnapshotId {
    let draft = store.draft(parent).unwrap();
    let tree = draft.mount().unwrap();
    work(tree.path());
    drop(tree);
    draft.commit(&step(name)).unwrap();
    step(name)
}

fn base(tree: &Path) {
    for folder in ["etc", "usr/lib", "var/cache/old"] {
        fs::create_dir_all(tree.join(folder)).unwrap();
    }
    for (path, text) in [("etc/passwd", "root"), ("etc/hosts", "here"), ("usr/lib/a", "aaaa"), ("var/cache/old/x", "x")]
    {
        fs::write(tree.join(path), text).unwrap();
    }
    fs::hard_link(tree.join("usr/lib/a"), tree.join("usr/lib/b")).unwrap();
    symlink("a", tree.join("usr/lib/l")).unwrap();
}

fn change(tree: &Path) {
    let path = |sub: &str| tree.join(sub);
    fs::write(path("etc/passwd"), "root, me").unwrap();
    fs::remove_file(path("etc/hosts")).unwrap();
    fs::remove_dir_all(path("var/cache/old")).unwrap();
    fs::create_dir_all(path("new/deep")).unwrap();
    fs::write(path("new/deep/file"), "new").unwrap();
    fs::set_permissions(path("usr"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::remove_file(path("usr/lib/l")).unwrap();
    fs::create_dir(path("usr/lib/l")).unwrap();
    fs::write(path("usr/lib/l/inside"), "").unwrap();
}

/// The names in a snapshot's archive, whiteouts among them.
fn names(store: &Store, id: &SnapshotId, form: Form<'_>) -> Vec<String> {
    let path = store.snapshot(id).unwrap().unwrap().path;
    names_in(&path, form)
}

fn names_in(path: &Path, form: Form<'_>) -> Vec<String> {
    let mut archive = Writer::new(Vec::new());
    write_tree(path, b"", form, None, &mut archive).unwrap();
    let bytes = archive.finish().unwrap();
    let mut names = Vec::new();
    for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
        names.push(entry.unwrap().path().unwrap().display().to_string());
    }
    names
}

#[test]
fn changes_become_a_layer() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap().without_mounts();
    let below = make(&store, "base", None, base);
    let above = make(&store, "change", Some(&below), change);
    assert_eq!(
        names(&store, &above, Form::Layer { base: None }),
        [
            "etc/",
            "etc/.wh.hosts",
            "etc/passwd",
            "new/",
            "new/deep/",
            "new/deep/file",
            "usr/",
            "usr/lib/",
            "usr/lib/l/",
            "usr/lib/l/inside",
            "var/",
            "var/cache/",
            "var/cache/.wh.old"
        ]
    );
    let view = store.view(Some(&above)).unwrap();
    let seen = names_in(view.path(), Form::Files);
    assert!(!seen.iter().any(|name| name.contains("old") || name.contains("hosts")), "{seen:?}");
    assert_eq!(fs::read_to_string(view.path().join("etc/passwd")).unwrap(), "root, me");
    assert_eq!(fs::metadata(view.path().join("usr")).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn what_is_as_it_was_is_no_change() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap().without_mounts();
    let below = make(&store, "base", None, base);
    let above = make(&store, "nothing", Some(&below), |tree| {
        // Away and back, as what a mount covers: another ctime, and nothing else.
        fs::rename(tree.join("etc/hosts"), tree.join("aside")).unwrap();
        fs::rename(tree.join("aside"), tree.join("etc/hosts")).unwrap();
        let times = |path: &Path| archipel_sandbox::copy::times(&fs::metadata(path).unwrap());
        let model = store.snapshot(&below).unwrap().unwrap().path;
        for folder in ["", "etc"] {
            let (to, time) = (tree.join(folder), times(&model.join(folder)));
            rustix::fs::utimensat(rustix::fs::CWD, to, &time, rustix::fs::AtFlags::empty()).unwrap();
        }
        fs::set_permissions(tree.join("etc/passwd"), fs::Permissions::from_mode(0o644)).unwrap();
    });
    assert_eq!(names(&store, &above, Form::Layer { base: None }), Vec::<String>::new());
}

#[test]
fn changes_that_hide() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap().without_mounts();
    let below = make(&store, "base", None, base);
    let above = make(&store, "hidden", Some(&below), |tree| {
        // The same size and time, other content.
        let (file, meta) = (tree.join("etc/passwd"), fs::metadata(tree.join("etc/passwd")).unwrap());
        fs::write(&file, "ROOT").unwrap();
        let times = archipel_sandbox::copy::times(&meta);
        rustix::fs::utimensat(rustix::fs::CWD, &file, &times, rustix::fs::AtFlags::empty()).unwrap();
        lsetxattr(tree.join("etc/hosts"), "user.note", b"x", XattrFlags::empty()).unwrap();
    });
    assert_eq!(names(&store, &above, Form::Layer { base: None }), ["etc/", "etc/hosts", "etc/passwd"]);
}

#[test]
fn a_file_with_several_names_stays_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap().without_mounts();
    let below = make(&store, "base", None, base);
    let above = make(&store, "linked", Some(&below), |tree| {
        assert_eq!(fs::metadata(tree.join("usr/lib/a")).unwrap().nlink(), 2);
        fs::hard_link(tree.join("usr/lib/a"), tree.join("usr/lib/c")).unwrap();
    });
    assert_eq!(
        names(&store, &above, Form::Layer { base: None }),
        ["usr/", "usr/lib/", "usr/lib/a", "usr/lib/b", "usr/lib/c"]
    );
    let layer = store.snapshot(&above).unwrap().unwrap().path;
    assert_eq!(fs::metadata(layer.join("usr/lib/c")).unwrap().nlink(), 3);
}

#[test]
fn a_step_begins_with_the_tree_of_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap().without_mounts();
    let below = make(&store, "base", None, base);
    let mut inode = 0;
    let one = make(&store, "one", Some(&below), |tree| {
        inode = fs::metadata(tree.join("etc/passwd")).unwrap().ino();
        change(tree);
    });
    let two = make(&store, "two", Some(&one), |tree| {
        assert_eq!(fs::metadata(tree.join("etc/passwd")).unwrap().ino(), inode);
        fs::write(tree.join("second"), "2").unwrap();
    });
    assert_eq!(names(&store, &two, Form::Layer { base: None }), ["second"]);
    // It can be read meanwhile, and is there again afterwards.
    let view = store.view(Some(&two)).unwrap();
    assert_eq!(fs::metadata(view.path().join("etc/passwd")).unwrap().ino(), inode);
    let another = store.view(Some(&two)).unwrap();
    assert_eq!(fs::read_to_string(another.path().join("second")).unwrap(), "2");
    assert_ne!(another.path(), view.path());
    drop((view, another));
    assert_eq!(fs::metadata(store.view(Some(&two)).unwrap().path().join("etc/passwd")).unwrap().ino(), inode);
    // A sibling has a tree of its own: what the other wrote is not in it.
    let _ = make(&store, "three", Some(&one), |tree| {
        assert!(!tree.join("second").exists());
        assert!(!tree.join("etc/hosts").exists());
        assert!(tree.join("new/deep/file").exists());
    });
    // Snapshots do not change with the trees.
    assert_eq!(fs::read_to_string(store.snapshot(&below).unwrap().unwrap().path.join("etc/passwd")).unwrap(), "root");
}

#[test]
fn folders_from_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap().without_mounts();
    let context = dir.path().join("context");
    base(&context);
    let marks = store.draft(None).unwrap();
    marks.hide(Path::new("etc/hosts")).unwrap();
    let tree = marks.over(&context).unwrap();
    let seen = names_in(tree.path(), Form::Files);
    assert!(seen.contains(&"etc/passwd".into()) && !seen.contains(&"etc/hosts".into()), "{seen:?}");
    assert!(context.join("etc/hosts").exists());
}
