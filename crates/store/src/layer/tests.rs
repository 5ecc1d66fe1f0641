use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use super::compress::compress;
use super::{Compression, Form, Header, Kind, Writer, apply, decompress, extract, write_tree};
use crate::Error;

fn archive(entries: &[(Header, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (header, content) in entries {
        let header = Header { size: content.len() as u64, ..header.clone() };
        writer.append(&header, *content).unwrap();
    }
    writer.finish().unwrap()
}

fn link(kind: Kind, path: &str, target: &str) -> Header {
    Header { link: target.into(), ..Header::new(kind, path) }
}

fn file(path: &str) -> Header {
    Header::new(Kind::File, path)
}

fn written(root: &Path, form: Form) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    write_tree(root, b"", form, None, &mut writer).unwrap();
    writer.finish().unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let long = "n".repeat(200);
    fs::create_dir_all(from.path().join("d/").join(&long)).unwrap();
    fs::write(from.path().join("d").join(&long).join("f"), b"deep").unwrap();
    fs::write(from.path().join("a"), b"first").unwrap();
    fs::hard_link(from.path().join("a"), from.path().join("z")).unwrap();
    fs::set_permissions(from.path().join("a"), fs::Permissions::from_mode(0o4755)).unwrap();
    symlink("t".repeat(150), from.path().join("s")).unwrap();
    let tar = written(from.path(), Form::Layer { base: None });
    assert_eq!(apply(tar.as_slice(), to.path()).unwrap(), super::Skipped::default());
    assert_eq!(written(to.path(), Form::Layer { base: None }), tar);
    let meta = fs::metadata(to.path().join("z")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.nlink()), (0o4755, 2));
}

#[test]
fn other_readers_understand_it() {
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(90));
    let headers = [
        Header { mtime: (-5, 250_000_000), uid: 3_000_000, ..file("odd") },
        Header { attributes: vec![(b"user.k".to_vec(), b"\0=\xff".to_vec())], ..file(&long) },
        Header::new(Kind::Dir, "e".repeat(300)),
    ];
    let bytes = archive(&headers.map(|h| (h, b"".as_slice())));
    let mut archive = tar::Archive::new(bytes.as_slice());
    let mut seen = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let pax: Vec<(String, Vec<u8>)> = entry
            .pax_extensions()
            .unwrap()
            .map(|all| all.map(|e| e.unwrap()).map(|e| (e.key().unwrap().into(), e.value_bytes().to_vec())).collect())
            .unwrap_or_default();
        seen.push((entry.path_bytes().into_owned(), pax));
    }
    assert_eq!(seen[0].1, [("mtime".into(), b"-4.75".to_vec()), ("uid".into(), b"3000000".to_vec())]);
    let attribute = ("SCHILY.xattr.user.k".into(), b"\0=\xff".to_vec());
    let path = ("path".into(), long.clone().into_bytes());
    assert_eq!(seen[1], (long.into_bytes(), vec![attribute, path]));
    assert_eq!(seen[2].0, format!("{}/", "e".repeat(300)).into_bytes());
}

#[test]
fn times_of_an_archive_are_exact_from_1970_to_2262() {
    for (written, expected) in [
        ((5, 250_000_000), (5, 250_000_000)),
        ((9_000_000_000, 0), (9_000_000_000, 0)),
        ((-5, 250_000_000), (0, 0)),
        ((10_000_000_000, 0), (0, 0)),
    ] {
        let to = tempfile::tempdir().unwrap();
        let tar = archive(&[(Header { mtime: written, ..file("f") }, b"")]);
        extract(tar.as_slice(), to.path()).unwrap();
        let meta = fs::metadata(to.path().join("f")).unwrap();
        assert_eq!((meta.mtime(), meta.mtime_nsec()), expected);
    }
}

#[test]
fn nothing_gets_out() {
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("root");
    fs::create_dir(&root).unwrap();
    let tar = archive(&[
        (file("../../escaped"), b"1"),
        (file("/absolute"), b"2"),
        (link(Kind::Symlink, "up", "../.."), b""),
        (file("up/through"), b"3"),
        (link(Kind::Symlink, "out", outer.path().to_str().unwrap()), b""),
        (file("out/over"), b"4"),
        (link(Kind::Symlink, "target", "/absolute"), b""),
        (file("target"), b"5"),
    ]);
    apply(tar.as_slice(), &root).unwrap();
    assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1);
    for (path, content) in [("escaped", "1"), ("absolute", "2"), ("through", "3"), ("target", "5")] {
        assert_eq!(fs::read_to_string(root.join(path)).unwrap(), content);
    }
    // The link's folder was made inside.
    let inside = outer.path().strip_prefix("/").unwrap();
    assert_eq!(fs::read_to_string(root.join(inside).join("over")).unwrap(), "4");
}

#[test]
fn a_hard_link_to_the_outside_is_refused() {
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(outer.path().join("secret"), b"x").unwrap();
    let tar = archive(&[(link(Kind::Hardlink, "l", "../secret"), b"")]);
    assert!(matches!(apply(tar.as_slice(), &root), Err(Error::Tar { .. })));
    let tar = archive(&[(link(Kind::Symlink, "s", "../secret"), b""), (link(Kind::Hardlink, "l", "s"), b"")]);
    apply(tar.as_slice(), &root).unwrap();
    assert!(fs::symlink_metadata(root.join("l")).unwrap().is_symlink());
}

#[test]
fn whiteouts_remove_what_was_there_before_only() {
    let root = tempfile::tempdir().unwrap();
    for path in ["d/old", "d/kept/old", "gone/x"] {
        fs::create_dir_all(root.path().join(path).parent().unwrap()).unwrap();
        fs::write(root.path().join(path), b"old").unwrap();
    }
    let tar = archive(&[
        (Header::new(Kind::Dir, "d"), b""),
        (file("d/new"), b"new"),
        (file("d/kept/new"), b"new"),
        (file("d/.wh..wh..opq"), b""),
        (file(".wh.gone"), b""),
        (file(".wh.never"), b""),
    ]);
    apply(tar.as_slice(), root.path()).unwrap();
    let has = |path: &str| root.path().join(path).exists();
    assert!(has("d/new") && has("d/kept/new"));
    assert!(!has("d/old") && !has("d/kept/old") && !has("gone") && !has("d/.wh..wh..opq"));
    // In an archive that is no layer the names mean nothing.
    extract(archive(&[(file(".wh.d"), b"")]).as_slice(), root.path()).unwrap();
    assert!(has("d") && has(".wh.d"));
}

#[test]
fn files_replace_folders_and_the_other_way_round() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("dir/inner")).unwrap();
    fs::write(root.path().join("file"), b"").unwrap();
    fs::create_dir(root.path().join("both")).unwrap();
    fs::write(root.path().join("both/old"), b"").unwrap();
    let tar =
        archive(&[(file("dir"), b"now"), (Header::new(Kind::Dir, "file"), b""), (Header::new(Kind::Dir, "both"), b"")]);
    apply(tar.as_slice(), root.path()).unwrap();
    assert!(
        root.path().join("dir").is_file() && root.path().join("file").is_dir() && root.path().join("both/old").exists()
    );
}

#[test]
fn damage_is_an_error() {
    let to = tempfile::tempdir().unwrap();
    let tar = archive(&[(file("f"), &[7; 3000])]);
    for length in [100, 600, 2000, 3500] {
        assert!(matches!(extract(&tar[..length], to.path()), Err(Error::Tar { .. })), "{length}");
    }
    let mut broken = tar.clone();
    broken[3] ^= 1;
    assert!(matches!(extract(broken.as_slice(), to.path()), Err(Error::Tar { .. })));
    // Without the two empty blocks it is whole all the same.
    extract(&tar[..tar.len() - 1024], to.path()).unwrap();
}

fn squeezed(compression: Compression, threads: usize, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let produce = |w: &mut dyn io::Write| w.write_all(data).map_err(|e| Error::io(Path::new("x"), e));
    compress(compression, threads, &mut out, produce, |e| Error::io(Path::new("x"), e)).unwrap();
    out
}

#[test]
fn compressed_bytes_do_not_depend_on_the_threads() {
    let data: Vec<u8> = (0..3_500_000_u32).flat_map(|n| [(n % 251) as u8, (n / 7) as u8]).take(3_500_000).collect();
    for compression in [Compression::Gzip { level: None }, Compression::Zstd { level: None }] {
        let one = squeezed(compression, 1, &data);
        assert_eq!(one, squeezed(compression, 3, &data));
        let mut back = Vec::new();
        decompress(io::Cursor::new(one)).unwrap().read_to_end(&mut back).unwrap();
        assert!(back == data);
    }
    let mut child = Command::new("gzip").arg("-t").stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&squeezed(Compression::Gzip { level: Some(1) }, 2, &data)).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_full_disk_ends_compression() {
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let produce = |w: &mut dyn io::Write| {
        (0..20).try_for_each(|_| w.write_all(&[0; 1 << 20])).map_err(|e| Error::io(Path::new("pipe"), e))
    };
    let told = compress(Compression::Gzip { level: None }, 2, &mut Full, produce, |e| Error::io(Path::new("x"), e));
    assert!(matches!(told, Err(Error::NoSpace { .. })));
}

#[test]
fn a_layer_has_whole_seconds_and_no_attributes_but_capabilities() {
    let from = tempfile::tempdir().unwrap();
    let path = from.path().join("f");
    let file = fs::File::create(&path).unwrap();
    rustix::fs::fsetxattr(&file, "user.k", b"v", rustix::fs::XattrFlags::empty()).unwrap();
    let time = rustix::fs::Timespec { tv_sec: 7, tv_nsec: 500_000_000 };
    rustix::fs::futimens(&file, &rustix::fs::Timestamps { last_access: time, last_modification: time }).unwrap();
    let of = |form: Form<'_>| {
        let bytes = written(from.path(), form);
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
        let attributes = entry.pax_extensions().unwrap().map_or(0, Iterator::count);
        (entry.header().mtime().unwrap(), attributes)
    };
    assert_eq!(of(Form::Layer { base: None }), (7, 0));
    assert_eq!(of(Form::Files), (8, 1));
}

/// The digest of what Go writes for the same headers, in PAX form.
#[test]
fn the_bytes_are_those_of_go() {
    let long = format!("{}/{}", "l".repeat(70), "m".repeat(70));
    let headers = [
        Header { mode: 0o4755, uid: 7, gid: 8, mtime: (981_173_106, 0), ..file("a") },
        file(&long),
        Header { uid: 3_000_000, ..file(&format!("{long}/\u{e4}")) },
        Header::new(Kind::Dir, "\u{fc}"),
        Header::new(Kind::Dir, "d".repeat(99)),
        Header { device: (1, 3), ..Header::new(Kind::Char, "null") },
        link(Kind::Symlink, "s", &"t".repeat(120)),
        Header { mtime: (-5, 0), ..file("old") },
        Header { attributes: vec![(b"security.capability".to_vec(), vec![1, 0, 2])], ..file("c") },
    ];
    let bytes = archive(&headers.map(|h| (h, b"".as_slice())));
    let go = "559ca6ac6bf413c12a40f79f9438884848eebf18071cb94c0e5145b3096c72e6";
    assert_eq!(archipel_oci::Digest::of(&bytes).hex(), go);
}
