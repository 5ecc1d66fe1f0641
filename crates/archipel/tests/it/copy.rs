//! What COPY and ADD put where, as BuildKit does it, also where that is a surprise.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use archipel_testkit::{Archipel, Reply, Script, requires};

use crate::util::archipel;

/// Builds a Dockerfile that begins with an empty image, and says what is in the result (`mode uid/gid path`) and what was told.
fn built(archipel: &Archipel, lines: &str) -> (Vec<String>, String) {
    let dockerfile = archipel.home.work().join("Dockerfile");
    std::fs::write(&dockerfile, format!("FROM scratch\n{lines}\n")).unwrap();
    let tar = archipel.home.path().join("result.tar").display().to_string();
    let output = format!("type=tar,dest={tar}");
    let finished = archipel.run(["build", "-f", &dockerfile.display().to_string(), "--output", &output, "c"]);
    assert_eq!(finished.code(), 0, "{lines}\n{}", finished.stderr());
    let listed = Command::new("tar").args(["--numeric-owner", "-tvf", &tar]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let shown = |line: &str| {
        let mut fields = line.split_whitespace();
        let (mode, owner) = (fields.next().unwrap(), fields.next().unwrap());
        format!("{mode} {owner} {}", fields.skip(3).collect::<Vec<_>>().join(" "))
    };
    (listed.lines().map(shown).collect(), finished.stderr())
}

#[test]
fn needs_userns_several_sources_without_a_folder_leave_the_last() {
    requires!(userns);
    let archipel = archipel();
    archipel.home.context("c", [("a", "a"), ("b", "bb"), ("d/f", "f")]);
    for lines in ["COPY a b /to", "COPY [ab] /to", "COPY a <<b /to\nbb\nb"] {
        let (files, told) = built(&archipel, lines);
        assert_eq!(files, ["-rw-r--r-- 0/0 to"], "{lines}");
        assert!(told.contains("only the last is kept; write /to/"), "{told}");
    }
    let (files, told) = built(&archipel, "COPY d a b /to");
    assert_eq!(files, ["drwxr-xr-x 0/0 to/", "-rw-r--r-- 0/0 to/a", "-rw-r--r-- 0/0 to/b", "-rw-r--r-- 0/0 to/f"]);
    assert!(!told.contains("only the last"), "{told}");
}

#[test]
fn needs_userns_a_folder_that_hands_its_group_on_does_so_to_those_made_in_it() {
    requires!(userns);
    let archipel = archipel();
    let context = archipel.home.context("c", [("a", "a"), ("p/d/f", "f")]);
    std::fs::set_permissions(context.join("p/d"), std::fs::Permissions::from_mode(0o2755)).unwrap();
    let (files, _) =
        built(&archipel, "COPY p /\nCOPY --chown=:7 p /\nCOPY a /d/x/\nCOPY --chown=5:6 a /d/y/\nWORKDIR /d/z");
    let folders: Vec<&String> = files.iter().filter(|file| file.ends_with('/')).collect();
    let expected = ["drwxr-sr-x 0/7 d/", "drwxr-sr-x 0/7 d/x/", "drwxr-sr-x 5/6 d/y/", "drwxr-sr-x 0/7 d/z/"];
    assert_eq!(folders, expected.iter().collect::<Vec<_>>());
}

#[test]
fn needs_userns_a_folder_itself_with_parents_is_nothing() {
    requires!(userns);
    let archipel = archipel();
    archipel.home.context("c", [("a", "a"), ("d/f", "f")]);
    for (source, dest) in [(".", "x"), ("./d/./", "y"), ("/", "z")] {
        let (files, told) = built(&archipel, &format!("COPY --parents {source} /{dest}"));
        assert_eq!(files, [format!("drwxr-xr-x 0/0 {dest}/")], "{source}");
        assert!(told.contains("stands for nothing; write what is in it, such as `*`"), "{told}");
    }
    let (files, told) = built(&archipel, "COPY --parents * /x");
    assert_eq!(files.len(), 4, "{files:?}");
    assert!(!told.contains("stands for nothing"), "{told}");
}

#[test]
fn needs_userns_a_chmod_is_for_the_files_and_a_number_for_folders_on_the_way() {
    requires!(userns);
    let archipel = archipel();
    archipel.home.context("c", [("a", "a")]);
    for (lines, expected) in [
        ("COPY --chmod=go-rwx a /x/f", ["drwxr-xr-x 0/0 x/", "-rw------- 0/0 x/f"]),
        ("COPY --chmod=4750 a /x/f", ["drwxr-x--- 0/0 x/", "-rwsr-x--- 0/0 x/f"]),
        ("COPY --chown=7: a /x/f", ["drwxr-xr-x 7/0 x/", "-rw-r--r-- 7/0 x/f"]),
    ] {
        assert_eq!(built(&archipel, lines).0, expected, "{lines}");
    }
    // Beside a --chmod, --link is nothing: links below are followed.
    let context = archipel.home.work().join("c");
    symlink("real", context.join("link")).unwrap();
    std::fs::create_dir(context.join("real")).unwrap();
    let (files, _) = built(&archipel, "COPY . /\nCOPY --link --chmod=600 a /link/");
    assert!(files.contains(&"-rw------- 0/0 real/a".to_owned()), "{files:?}");
}

#[test]
fn needs_userns_what_exclude_is_about() {
    requires!(userns);
    let archipel = archipel();
    archipel.home.context("c", [("a.txt", "a"), ("d/b.txt", "b"), ("d/e/c.go", "c"), ("d/e/c.txt", "c")]);
    let (files, told) = built(&archipel, "COPY --exclude=*.txt *.txt d /to/");
    let names: Vec<_> = files.iter().filter_map(|line| line.split(' ').nth(2)).collect();
    assert_eq!(names, ["to/", "to/a.txt", "to/e/", "to/e/c.go", "to/e/c.txt"]);
    assert!(told.contains("a.txt is copied: --exclude is about"), "{told}");
    let (files, _) = built(&archipel, "COPY --exclude=** --exclude=!**/*.go d /to/");
    let names: Vec<_> = files.iter().filter_map(|line| line.split(' ').nth(2)).collect();
    assert_eq!(names, ["to/", "to/e/", "to/e/c.go"]);
}

#[test]
fn needs_userns_links_to_nowhere() {
    requires!(userns);
    let archipel = archipel();
    let context = archipel.home.context("c", [("a", "a"), ("t/f", "f")]);
    symlink("/missing/deep", context.join("t/new")).unwrap();
    // Into a folder that is not there yet.
    let (files, _) = built(&archipel, "COPY t /\nCOPY a /new");
    assert!(files.contains(&"-rw-r--r-- 0/0 missing/deep".to_owned()), "{files:?}");
    std::fs::write(archipel.home.work().join("Dockerfile"), "FROM scratch\nCOPY t/* /to/\n").unwrap();
    let failed = archipel.run(["build", "-f", "Dockerfile", "c"]);
    assert!(failed.code() != 0 && failed.stderr().contains("\"/t/new\": not found"), "{}", failed.stderr());
}

#[test]
fn needs_userns_folders_that_parents_passes_through_are_not_given_away() {
    requires!(userns);
    let archipel = archipel();
    archipel.home.context("c", [("etc/app/conf", "c"), ("etc/other", "o")]);
    let (files, _) =
        built(&archipel, "COPY --chown=1 etc/other /etc/\nCOPY --parents --chown=7:8 --chmod=600 etc/app/conf /");
    let expected =
        ["drwxr-xr-x 1/1 etc/", "drw------- 7/8 etc/app/", "-rw------- 7/8 etc/app/conf", "-rw-r--r-- 1/1 etc/other"];
    assert_eq!(files, expected);
}

#[test]
fn needs_userns_a_file_that_is_packed_for_the_way_arrives_as_it_is() {
    requires!(userns);
    // `hello` as gzip writes it.
    let packed =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00\x00\x00";
    let server =
        Script::new().on("GET", "/f", Reply::new(200).header("Content-Encoding", "gzip").body(packed.to_vec())).start();
    let archipel = archipel();
    archipel.home.context("c", [("a", "a")]);
    let digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let (files, _) = built(&archipel, &format!("ADD --checksum={digest} http://{}/f /to", server.address()));
    assert_eq!(files, ["-rw------- 0/0 to"]);
    server.finish();
}

#[test]
fn needs_userns_an_archive_that_is_wrong_is_told_with_its_step() {
    requires!(userns);
    let archipel = archipel();
    let mut header = [0; 512];
    header[..1].copy_from_slice(b"f");
    header[100..107].copy_from_slice(b"0000644");
    header[156] = b'1';
    header[157..161].copy_from_slice(b"nope");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    archipel
        .home
        .context("c", [("Dockerfile", &b"FROM scratch\nADD t.tar /o/\n"[..]), ("t.tar", &[header, [0; 512]].concat())]);
    let failed = archipel.run(["build", "c"]).stderr();
    assert!(failed.contains("[1/1] ADD t.tar /o/ on "), "{failed}");
    assert!(failed.contains(": archive: f is a link to what is not there\n --> Dockerfile:2:1\n"), "{failed}");
}
