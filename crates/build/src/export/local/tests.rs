use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::sync::{Arc, Mutex};

use rustix::fs::{XattrFlags, getxattr, setxattr};

use super::*;
use crate::Event;
use crate::steps::Steps;

/// Copies, and returns what was warned of.
fn copy(from: &Path, to: &Path, epoch: Option<i64>) -> Vec<String> {
    copy_into(from, to, epoch, None)
}

fn copy_into(from: &Path, to: &Path, epoch: Option<i64>, place: Option<&str>) -> Vec<String> {
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let log = warnings.clone();
    let sink: Sink = Arc::new(move |event| {
        if let Event::Warning(warning) = event {
            log.lock().unwrap().push(warning.message);
        }
    });
    let work = Work::start(&sink, &Steps::default(), "exporting", Vec::new());
    let mut copy = Copy::new(epoch, place, &work);
    copy.tree(from, &open_top(to).unwrap(), to).unwrap();
    copy.tell_skipped(&sink);
    drop(sink);
    std::mem::take(&mut warnings.lock().unwrap())
}

fn two() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    fs::create_dir(&to).unwrap();
    (dir, from, to)
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_link_from_the_root_stays_in_its_platform_s_folder() {
    let (_dir, from, to) = two();
    symlink("/bin/busybox", from.join("absolute")).unwrap();
    symlink("../f", from.join("relative")).unwrap();
    assert!(copy_into(&from, &to, None, Some("linux_arm64")).is_empty());
    assert_eq!(fs::read_link(to.join("absolute")).unwrap(), Path::new("/linux_arm64/bin/busybox"));
    assert_eq!(fs::read_link(to.join("relative")).unwrap(), Path::new("../f"));
}

#[test]
fn modes_times_and_links_are_kept() {
    let (_dir, from, to) = two();
    fs::create_dir(from.join("d")).unwrap();
    fs::write(from.join("d/f"), "content").unwrap();
    fs::set_permissions(from.join("d/f"), fs::Permissions::from_mode(0o4750)).unwrap();
    fs::hard_link(from.join("d/f"), from.join("again")).unwrap();
    symlink("/nowhere", from.join("link")).unwrap();
    mknodat(CWD, from.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
    let old = std::time::UNIX_EPOCH + std::time::Duration::new(1_000, 5);
    File::open(from.join("d/f")).unwrap().set_modified(old).unwrap();
    File::open(from.join("d")).unwrap().set_modified(old).unwrap();
    fs::set_permissions(from.join("d"), fs::Permissions::from_mode(0o550)).unwrap();

    assert!(copy(&from, &to, None).is_empty());
    assert_eq!(fs::read(to.join("d/f")).unwrap(), b"content");
    assert_eq!((mode(&to.join("d/f")), mode(&to.join("d"))), (0o4750, 0o550));
    let [file, again] = ["d/f", "again"].map(|name| fs::metadata(to.join(name)).unwrap());
    assert_eq!((file.ino(), file.nlink()), (again.ino(), 2));
    for time in ["d", "d/f"].map(|name| fs::metadata(to.join(name)).unwrap().modified().unwrap()) {
        assert_eq!(time, old);
    }
    assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("/nowhere"));
    assert!(fs::symlink_metadata(to.join("fifo")).unwrap().file_type().is_fifo());
    fs::set_permissions(from.join("d"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(to.join("d"), fs::Permissions::from_mode(0o750)).unwrap();
    // Once more over the same: nothing is left of the way there.
    copy(&from, &to, Some(0));
    assert_eq!(fs::read_dir(&to).unwrap().count(), 4);
    assert_eq!(fs::metadata(to.join("d/f")).unwrap().mtime(), 0);
}

#[test]
fn attributes_of_files_and_folders_are_kept() {
    let (_dir, from, to) = two();
    fs::create_dir(from.join("d")).unwrap();
    fs::write(from.join("f"), "content").unwrap();
    let (name, nothing) = ("user.archipel", XattrFlags::empty());
    for path in ["d", "f"] {
        match setxattr(from.join(path), name, path.as_bytes(), nothing) {
            // Nothing to see where the file system has none.
            Err(Errno::NOTSUP) => return,
            set => set.unwrap(),
        }
    }
    fs::set_permissions(from.join("d"), fs::Permissions::from_mode(0o550)).unwrap();
    // The second time the folder is there, and read-only.
    for _ in 0..2 {
        copy(&from, &to, None);
        for path in ["d", "f"] {
            let mut value = vec![0; 16];
            let length = getxattr(to.join(path), name, value.as_mut_slice()).unwrap();
            assert_eq!(&value[..length], path.as_bytes());
        }
    }
}

#[test]
fn what_is_there_stays_unless_it_is_in_the_way() {
    let (_dir, from, to) = two();
    fs::create_dir_all(from.join("d/sub")).unwrap();
    fs::write(from.join("d/new"), "new").unwrap();
    fs::write(from.join("file"), "new").unwrap();
    fs::create_dir_all(to.join("d")).unwrap();
    fs::create_dir_all(to.join("file/was/a/folder")).unwrap();
    fs::write(to.join("d/old"), "old").unwrap();
    fs::write(to.join("d/new"), "old").unwrap();
    fs::write(to.join("d/sub"), "was a file").unwrap();
    copy(&from, &to, None);
    let read = |name: &str| fs::read_to_string(to.join(name)).unwrap();
    assert_eq!((read("d/old").as_str(), read("d/new").as_str(), read("file").as_str()), ("old", "new", "new"));
    assert!(to.join("d/sub").is_dir());
}

#[test]
fn nothing_leads_out_of_the_destination() {
    let (dir, from, to) = two();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "kept").unwrap();
    fs::create_dir_all(from.join("d")).unwrap();
    fs::write(from.join("d/planted"), "x").unwrap();
    fs::write(from.join("f"), "x").unwrap();
    symlink(&outside, to.join("d")).unwrap();
    symlink(outside.join("kept"), to.join("f")).unwrap();
    copy(&from, &to, None);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read(outside.join("kept")).unwrap(), b"kept");
    assert_eq!(fs::read(to.join("d/planted")).unwrap(), b"x");
    assert!(fs::symlink_metadata(to.join("f")).unwrap().is_file());
}

#[test]
fn sockets_are_left_out_and_told() {
    let (_dir, from, to) = two();
    for name in ["a", "b", "c", "d"] {
        drop(std::os::unix::net::UnixListener::bind(from.join(name)).unwrap());
    }
    let told = copy(&from, &to, None);
    assert_eq!(told, ["devices and sockets are left out of the folder: a, b, c and 1 more"]);
    assert_eq!(fs::read_dir(&to).unwrap().count(), 0);
}

#[test]
fn folders_as_deep_as_they_come() {
    let (_dir, from, to) = two();
    let deep: PathBuf = std::iter::repeat_n("d", 300).collect();
    fs::create_dir_all(from.join(&deep)).unwrap();
    copy(&from, &to, None);
    assert!(to.join(deep).is_dir());
}
