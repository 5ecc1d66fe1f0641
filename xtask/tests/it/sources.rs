//! What every source file keeps to.

use std::fs;
use std::path::{Path, PathBuf};

/// Longer than this, a file has more than one subject.
const MAX_LINES: usize = 800;

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                if entry.file_name() != "data" {
                    walk(&path, found);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    for dir in ["crates", "xtask"] {
        walk(&super::root().join(dir), &mut found);
    }
    assert!(found.len() > 20, "where are the sources?");
    found
}

#[test]
fn no_file_is_too_long() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{}: {lines} lines, more than {MAX_LINES}", path.display());
    }
}

/// The workspace denies unsafe code; every crate but `sandbox` forbids it, so that no attribute further down can allow it.
#[test]
fn only_the_sandbox_is_unsafe() {
    for (path, text) in sources() {
        let root = path.parent().is_some_and(|dir| dir.ends_with("src"))
            && path.file_name().is_some_and(|name| name == "lib.rs" || name == "main.rs");
        let sandbox = path.starts_with(super::root().join("crates/sandbox"));
        // Split, or this file would find itself.
        let (lint, forbids) = (concat!("unsafe", "_code"), concat!("#![forbid(unsafe", "_code)]"));
        if root && !sandbox {
            assert!(text.contains(forbids), "{}: {forbids} is missing", path.display());
        } else if !sandbox {
            assert!(!text.contains(lint), "{}: {lint} is the sandbox's alone", path.display());
        }
    }
}
