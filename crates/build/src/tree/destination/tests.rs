use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use super::*;
use crate::tree::{Selection, select};

const NOW: i64 = 1_700_000_000;

/// A destination whose files belong to whoever runs the test.
fn destination(root: &Path, mode: Option<&str>) -> Destination {
    let owner = Some((rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()));
    let mode = mode.map(|text| Chmod::parse(text).unwrap());
    Destination::open(root, Ownership { owner, mode }, NOW).unwrap()
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn told<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    let error = result.unwrap_err();
    match &error {
        Error::Io { source, .. } => format!("{error}: {source}"),
        _ => error.to_string(),
    }
}

/// Copies one path of a view.
fn copied(from: &Path, path: &str, to: &mut Destination, dest: &str, contents: bool) -> Result<(), Error> {
    let view = View::open(from, None, false).unwrap();
    let found = select(&view, path, &Selection::default()).unwrap();
    to.copy_dirs(&view, &found, dest, contents)
}

#[test]
fn folders_are_made_one_at_a_time_or_all() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir(root.join("there")).unwrap();
    fs::set_permissions(root.join("there"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink("there", root.join("link")).unwrap();
    let mut destination = destination(root, Some("711"));
    destination.make_one_dir(Path::new("/there")).unwrap();
    destination.make_one_dir(Path::new("/link/in")).unwrap();
    assert!(told(destination.make_one_dir(Path::new("/a/b"))).contains("No such file"));
    assert!(!root.join("a").exists());
    destination.make_dirs(Path::new("/a/b")).unwrap();
    destination.must_have_parent(Path::new("/a/b/new")).unwrap();
    assert!(destination.must_have_parent(Path::new("/x/y")).is_err());
    destination.finish().unwrap();
    assert_eq!((mode(root.join("there")), mode(root.join("there/in")), mode(root.join("a"))), (0o700, 0o711, 0o711));
    assert_eq!(fs::metadata(root.join("a/b")).unwrap().mtime(), NOW);
}

#[test]
fn files_and_links_are_written_where_links_lead() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    symlink("/target", root.join("link")).unwrap();
    let mut to = destination(root, None).dated(Some(-1_500_000_000));
    to.write_file(Path::new("/link"), 0o640, b"one").unwrap();
    to.write_file(Path::new("/link"), 0o600, b"two").unwrap();
    assert!(told(to.write_file(Path::new("/no/f"), 0o600, b"")).contains("write /no/f: "));
    to.link(Path::new("/new"), "../anything").unwrap();
    assert!(told(to.link(Path::new("/new2/x"), "y")).contains("link /new2/x: "));
    assert!(told(to.link(Path::new("/target"), "y")).contains("File exists"));
    to.finish().unwrap();
    let target = fs::symlink_metadata(root.join("target")).unwrap();
    assert_eq!((fs::read(root.join("target")).unwrap(), target.mode() & 0o777), (b"two".to_vec(), 0o640));
    // Before 1970 too the nanoseconds go up.
    assert_eq!((target.mtime(), target.mtime_nsec()), (-2, 500_000_000));
    let link = fs::symlink_metadata(root.join("new")).unwrap();
    assert_eq!((fs::read_link(root.join("new")).unwrap(), link.mtime()), ("../anything".into(), -2));
}

#[test]
fn what_is_removed_is_gone_and_what_links_lead_to_stays() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir_all(root.join("d/deep/er")).unwrap();
    fs::write(root.join("d/deep/f"), "").unwrap();
    fs::create_dir(root.join("kept")).unwrap();
    fs::write(root.join("kept/f"), "").unwrap();
    symlink("../kept", root.join("d/deep/link")).unwrap();
    symlink("kept", root.join("link")).unwrap();
    let before = fs::metadata(root).unwrap();
    let mut to = destination(root, None);
    assert!(to.remove(Path::new("/d")).unwrap());
    assert!(!to.remove(Path::new("/d")).unwrap());
    assert!(!to.remove(Path::new("/no/such")).unwrap());
    assert!(to.remove(Path::new("/link")).unwrap());
    assert!(to.remove(Path::new("/kept/../kept/f")).unwrap());
    to.finish().unwrap();
    let left: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!((left, fs::read_dir(root.join("kept")).unwrap().count()), (vec!["kept".into()], 0));
    // A folder does not get the time of the build because something went out of it.
    assert_eq!(fs::metadata(root).unwrap().mtime(), before.mtime());
}

#[test]
fn one_kind_replaces_another_only_where_that_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir_all(from.join("tree/x")).unwrap();
    fs::write(from.join("tree/x/in"), "in").unwrap();
    fs::write(from.join("tree/y"), "y").unwrap();
    let prepare = || {
        let _ = fs::remove_dir_all(&to);
        fs::create_dir_all(to.join("y/full/of")).unwrap();
        fs::write(to.join("x"), "a file").unwrap();
    };
    prepare();
    let refused = copied(&from, "tree", &mut destination(&to, None), "/", true);
    assert_eq!(told(refused), "cannot copy to non-directory /x");
    fs::remove_file(to.join("x")).unwrap();
    let refused = copied(&from, "tree", &mut destination(&to, None), "/", true);
    assert_eq!(told(refused), "cannot replace to directory /y with file");
    prepare();
    let mut replacing = destination(&to, None).replacing(true);
    copied(&from, "tree", &mut replacing, "/", true).unwrap();
    replacing.finish().unwrap();
    assert_eq!(fs::read(to.join("x/in")).unwrap(), b"in");
    assert_eq!(fs::read(to.join("y")).unwrap(), b"y");
}

#[test]
fn a_folder_goes_into_a_folder_where_it_is_meant_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir_all(from.join("d/sub")).unwrap();
    fs::write(from.join("d/f"), "f").unwrap();
    fs::set_permissions(from.join("d"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::create_dir_all(to.join("there")).unwrap();
    let mut destination = destination(&to, None);
    copied(&from, "d", &mut destination, "/there", false).unwrap();
    copied(&from, "d", &mut destination, "/new", false).unwrap();
    copied(&from, "d", &mut destination, "/slash/", false).unwrap();
    copied(&from, "d", &mut destination, "/contents", true).unwrap();
    destination.finish().unwrap();
    for path in ["there/d/f", "there/d/sub", "new/f", "slash/d/f", "contents/f"] {
        assert!(to.join(path).exists(), "{path}");
    }
    // Itself means its mode too.
    assert_eq!((mode(to.join("there/d")), mode(to.join("new")), mode(to.join("contents"))), (0o750, 0o750, 0o755));
}

#[test]
fn a_file_that_is_there_is_written_anew_under_all_its_names() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::write(root.join("x"), "a longer text").unwrap();
    fs::set_permissions(root.join("x"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::hard_link(root.join("x"), root.join("y")).unwrap();
    let mut to = destination(root, None);
    to.write_file(Path::new("/x"), 0o644, b"new").unwrap();
    to.finish().unwrap();
    assert_eq!((mode(root.join("x")), fs::read_to_string(root.join("y")).unwrap().as_str()), (0o755, "new"));
    assert_eq!(fs::metadata(root.join("y")).unwrap().mtime(), NOW);
}
