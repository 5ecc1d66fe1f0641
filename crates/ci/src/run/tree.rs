//! The files of jobs: the working tree as a job sees it, and what goes from one job to the next.
//!
//! A job's tree is an overlay: the person's working tree below, untouched, and a folder for changes above. What is to be kept is copied
//! out of it by patterns; what a job gets from others is laid into the folder for changes before it starts.
//!
//! All of it was written by scripts. No link in it is ever followed here, and nothing else runs in the tree meanwhile.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

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
    /// Git knows no folders, so only patterns take them for themselves.
    fn takes(&self, path: &str, folder: bool) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| glob::covers(pattern, path));
        let untracked = || !folder && self.untracked.is_some_and(|tracked| !tracked.contains(path));
        (any(self.paths) || untracked()) && !any(self.exclude)
    }
}

/// Copies what a selection takes of a tree; how many files and folders that were.
pub(super) fn collect(tree: &Path, selection: &Selection<'_>, to: &Path) -> io::Result<usize> {
    let mut count = 0;
    let mut open = vec![PathBuf::new()];
    let mut folders = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(tree.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            let meta = entry.metadata()?;
            if path == Path::new(".git") {
                continue;
            }
            let taken = selection.takes(&path.to_string_lossy(), meta.is_dir());
            if !meta.is_dir() {
                count += usize::from(taken && copy(&entry.path(), &meta, to, &path)?);
            } else {
                if taken {
                    count += 1;
                    folders.push((make_folders(to, &path)?, meta));
                }
                open.push(path);
            }
            if count > MAX_FILES {
                return Err(io::Error::other(format!("more than {MAX_FILES} files match")));
            }
        }
    }
    // At the end: what comes into a folder changes its time, and its mode may let nothing in.
    folders.iter().try_for_each(|(folder, meta)| dress(folder, meta))?;
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
    dress(&target, meta)?;
    Ok(true)
}

/// Gives a copy the owner, mode and time of what it is a copy of: programs such as make decide by times, and a job's user may be
/// another than root.
fn dress(target: &Path, meta: &Metadata) -> io::Result<()> {
    match lchown(target, Some(meta.uid()), Some(meta.gid())) {
        // An owner that this user namespace does not have.
        Err(e) if matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput) => {}
        other => other?,
    }
    if !meta.is_symlink() {
        fs::set_permissions(target, fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    }
    let modified = Timespec { tv_sec: meta.mtime(), tv_nsec: meta.mtime_nsec() as _ };
    let times = Timestamps { last_access: modified, last_modification: modified };
    Ok(utimensat(CWD, target, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Makes the folders of a path, and nothing where it ends.
fn make_way(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::other("a path without a name"))?;
    let at = make_folders(root, path.parent().unwrap_or(Path::new("")))?.join(name);
    match fs::symlink_metadata(&at) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(&at)?,
        Ok(_) => fs::remove_file(&at)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    Ok(at)
}

/// Makes every folder of a path. A link in the way is removed, never followed.
fn make_folders(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut at = root.to_owned();
    for part in path {
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
        // Three files and the two folders that they lie in.
        assert_eq!(collect(tree.path(), &selection, to.path()).unwrap(), 5);
        assert_eq!(files(to.path()), ["out/a.txt", "out/deep/b.txt", "out/link"]);
        assert!(fs::symlink_metadata(to.path().join("out/link")).unwrap().is_symlink());
        let selection = Selection { paths: &[], exclude: &[], untracked: Some(&tracked) };
        let to = tempfile::tempdir().unwrap();
        collect(tree.path(), &selection, to.path()).unwrap();
        assert!(files(to.path()).contains(&"new".to_owned()) && !files(to.path()).contains(&"src/x".to_owned()));
    }

    #[test]
    fn a_copy_is_as_what_it_is_a_copy_of() {
        let (tree, kept, job) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let entries = ["out", "out/empty", "out/closed", "out/closed/tool", "out/link"];
        fs::create_dir_all(tree.path().join("out/empty")).unwrap();
        fs::create_dir_all(tree.path().join("out/closed")).unwrap();
        fs::create_dir(tree.path().join("other")).unwrap();
        fs::write(tree.path().join("out/closed/tool"), "x").unwrap();
        symlink("nowhere", tree.path().join("out/link")).unwrap();
        for (n, (path, mode)) in
            [("out/closed/tool", 0o4711), ("out/closed", 0o555), ("out/empty", 0o2750), ("out", 0o755)]
                .into_iter()
                .enumerate()
        {
            let path = tree.path().join(path);
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let time = Timespec { tv_sec: 1_000_000_000 + n as i64, tv_nsec: 123_456_789 };
            utimensat(CWD, &path, &Timestamps { last_access: time, last_modification: time }, AtFlags::empty())
                .unwrap();
        }
        let paths = ["out".to_owned()];
        let selection = Selection { paths: &paths, exclude: &[], untracked: None };
        assert_eq!(collect(tree.path(), &selection, kept.path()).unwrap(), entries.len());
        lay(kept.path(), job.path()).unwrap();
        let seen = |root: &Path, path: &str| {
            let meta = fs::symlink_metadata(root.join(path)).unwrap();
            (meta.mode(), meta.mtime(), meta.mtime_nsec(), meta.uid(), meta.gid())
        };
        for path in entries {
            assert_eq!(seen(job.path(), path), seen(tree.path(), path), "{path}");
        }
        assert_eq!(fs::read_link(job.path().join("out/link")).unwrap(), Path::new("nowhere"));
        assert!(!job.path().join("other").exists());
        // So that the temporary folders can go.
        for root in [&tree, &kept, &job] {
            fs::set_permissions(root.path().join("out/closed"), fs::Permissions::from_mode(0o755)).unwrap();
        }
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
