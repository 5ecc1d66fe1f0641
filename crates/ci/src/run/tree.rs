//! The files of jobs: the working tree as a job sees it, and what goes from one job to the next.
//!
//! A job's tree is an overlay: the person's working tree below, untouched, and a folder for changes above. What is to be kept is copied
//! out of it by patterns; what a job gets from others is laid into the folder for changes before it starts.
//!
//! All of it was written by scripts. No link in it is ever followed here, and nothing else runs in the tree meanwhile.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use crate::glob;

/// The most files that one selection may have. A pattern that is too wide should not fill the disk.
const MAX_FILES: usize = 1_000_000;

/// What to take of a tree.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    pub(super) paths: &'a [String],
    pub(super) exclude: &'a [String],
    /// Take everything but these, too.
    pub(super) untracked: Option<&'a HashSet<String>>,
}

impl Selection<'_> {
    fn takes(&self, path: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| glob::covers(pattern, path));
        let untracked = || self.untracked.is_some_and(|tracked| !tracked.contains(path));
        (any(self.paths) || untracked()) && !any(self.exclude)
    }
}

/// Copies what a selection takes of a tree; how many files that were.
pub(super) fn collect(tree: &Path, selection: &Selection<'_>, to: &Path) -> io::Result<usize> {
    let mut count = 0;
    let mut open = vec![PathBuf::new()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(tree.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            let meta = entry.metadata()?;
            if path == Path::new(".git") {
                continue;
            }
            if meta.is_dir() {
                open.push(path);
            } else if selection.takes(&path.to_string_lossy()) {
                count += usize::from(copy(&entry.path(), &meta, to, &path)?);
                if count > MAX_FILES {
                    return Err(io::Error::other(format!("more than {MAX_FILES} files match")));
                }
            }
        }
    }
    Ok(count)
}

/// Lays all files of a folder over a tree.
pub(super) fn lay(from: &Path, to: &Path) -> io::Result<()> {
    let everything = [".".to_owned()];
    let selection = Selection { paths: &everything, exclude: &[], untracked: None };
    collect(from, &selection, to).map(drop)
}

/// Copies a file or link, in place of whatever is there. Other kinds of files are not copied.
fn copy(source: &Path, meta: &Metadata, to: &Path, path: &Path) -> io::Result<bool> {
    if !meta.is_file() && !meta.is_symlink() {
        return Ok(false);
    }
    let target = make_way(to, path)?;
    if meta.is_symlink() {
        symlink(fs::read_link(source)?, &target)?;
    } else {
        fs::copy(source, &target)?;
    }
    Ok(true)
}

/// Makes the folders of a path, and nothing where it ends. A link in the way is removed, never followed.
fn make_way(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut at = root.to_owned();
    let mut parts: Vec<OsString> = path.components().map(|part| part.as_os_str().to_owned()).collect();
    let name = parts.pop().ok_or_else(|| io::Error::other("a path without a name"))?;
    for part in parts {
        at.push(part);
        match fs::symlink_metadata(&at) {
            Ok(meta) if meta.is_dir() => continue,
            Ok(_) => fs::remove_file(&at)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        fs::create_dir(&at)?;
        // Whatever user the job's image has must be able to work in it, as the runner sees to.
        fs::set_permissions(&at, fs::Permissions::from_mode(0o777))?;
    }
    at.push(name);
    match fs::symlink_metadata(&at) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(&at)?,
        Ok(_) => fs::remove_file(&at)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    Ok(at)
}

/// A file of a tree, as much of it as `limit`; `None` where there is no plain file.
pub(super) fn read(tree: &Path, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut at = tree.to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::CurDir => continue,
            Component::Normal(part) => at.push(part),
            _ => return Ok(None),
        }
        match fs::symlink_metadata(&at) {
            Ok(meta) if meta.is_symlink() => return Ok(None),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        }
    }
    if !fs::symlink_metadata(&at)?.is_file() {
        return Ok(None);
    }
    let mut content = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(fs::File::open(&at)?, limit as u64), &mut content)?;
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(root: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![PathBuf::new()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(root.join(&folder)).unwrap().map(Result::unwrap) {
                let path = folder.join(entry.file_name());
                if entry.metadata().unwrap().is_dir() {
                    open.push(path)
                } else {
                    found.push(path.display().to_string())
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn patterns_choose() {
        let (tree, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for path in ["out/a.txt", "out/deep/b.txt", "out/c.log", "src/x", ".git/config", "new"] {
            let path = tree.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        symlink("/etc/passwd", tree.path().join("out/link")).unwrap();
        let (paths, exclude) = (["out/".to_owned()], ["**/*.log".to_owned()]);
        let tracked: HashSet<String> = ["src/x".to_owned()].into();
        let selection = Selection { paths: &paths, exclude: &exclude, untracked: None };
        assert_eq!(collect(tree.path(), &selection, to.path()).unwrap(), 3);
        assert_eq!(files(to.path()), ["out/a.txt", "out/deep/b.txt", "out/link"]);
        assert!(fs::symlink_metadata(to.path().join("out/link")).unwrap().is_symlink());
        let selection = Selection { paths: &[], exclude: &[], untracked: Some(&tracked) };
        let to = tempfile::tempdir().unwrap();
        collect(tree.path(), &selection, to.path()).unwrap();
        assert!(files(to.path()).contains(&"new".to_owned()) && !files(to.path()).contains(&"src/x".to_owned()));
    }

    #[test]
    fn links_are_not_followed() {
        let (outside, from, to) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(from.path().join("out")).unwrap();
        fs::write(from.path().join("out/x"), "new").unwrap();
        fs::write(outside.path().join("x"), "old").unwrap();
        symlink(outside.path(), to.path().join("out")).unwrap();
        lay(from.path(), to.path()).unwrap();
        assert_eq!(fs::read_to_string(outside.path().join("x")).unwrap(), "old");
        assert_eq!(fs::read_to_string(to.path().join("out/x")).unwrap(), "new");
        symlink(outside.path(), to.path().join("env")).unwrap();
        assert_eq!(read(to.path(), "env/x", 9).unwrap(), None);
        assert_eq!(read(to.path(), "../x", 9).unwrap(), None);
        assert_eq!(read(to.path(), "./out/x", 2).unwrap(), Some(b"ne".to_vec()));
    }
}
