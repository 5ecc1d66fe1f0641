//! What has happened to a tree, told by what its files were like before: for machines that have no overlay to keep it apart.
//!
//! Every change of a file changes its ctime, which nobody can set, so what has the old one needs no second look. The other way round
//! it may have changed and be what it was: owned anew by the same user, moved away and back, as is done to what mounts cover. Such
//! files are compared with those that the tree was made of, and are no change if they are equal.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use archipel_sandbox::copy::{Copier, How, Marks, attributes, dress};

use crate::Result;
use crate::disk::open;
use crate::error::At as _;
use crate::mark;
use crate::same::same_content;

/// What can be seen of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// What a layer keeps.
    kept: Kept,
    inode: u64,
    changed: (i64, i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    mode: u32,
    owner: (u32, u32),
    modified: (i64, i64),
    device: u64,
    /// Of a folder it means nothing.
    size: u64,
}

impl Seen {
    fn new(meta: &Metadata) -> Self {
        let size = if meta.is_dir() { 0 } else { meta.size() };
        let modified = (meta.mtime(), meta.mtime_nsec());
        let owner = (meta.uid(), meta.gid());
        Self {
            kept: Kept { mode: meta.mode(), owner, modified, device: meta.rdev(), size },
            inode: meta.ino(),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    fn is_dir(&self) -> bool {
        rustix::fs::FileType::from_raw_mode(self.kept.mode).is_dir()
    }
}

/// All files of a tree, but its root, as they were at one time.
#[derive(Debug, Default)]
pub(crate) struct Record(BTreeMap<PathBuf, Seen>);

impl Record {
    pub(crate) fn of(tree: &Path) -> Result<Self> {
        let mut record = BTreeMap::new();
        let mut open = vec![PathBuf::new()];
        while let Some(folder) = open.pop() {
            let whole = tree.join(&folder);
            for entry in fs::read_dir(&whole).at(&whole)? {
                let entry = entry.at(&whole)?;
                let path = folder.join(entry.file_name());
                let meta = entry.metadata().at(&whole)?;
                if meta.is_dir() {
                    open.push(path.clone());
                }
                record.insert(path, Seen::new(&meta));
            }
        }
        Ok(Self(record))
    }

    /// What is in a tree now and was not, or was otherwise, when this record was made, and what is gone. `original` finds the file
    /// that one of then was made of.
    pub(crate) fn changes(
        &self,
        now: &Self,
        tree: &Path,
        original: impl Fn(&Path) -> Option<PathBuf>,
    ) -> Result<Changes> {
        let mut changed = HashSet::new();
        let mut inodes = HashSet::new();
        for (path, seen) in &now.0 {
            let same = match self.0.get(path) {
                None => false,
                Some(before) if before == seen => true,
                Some(before) if before.kept != seen.kept => false,
                Some(_) => match original(path) {
                    Some(original) => equal(&tree.join(path), &original, seen).at(path)?,
                    None => false,
                },
            };
            if !same {
                changed.insert(path.as_path());
                if !seen.is_dir() {
                    inodes.insert(seen.inode);
                }
            }
        }
        // Every name of a file that has several: a layer cannot link to what it does not have.
        let linked = |(path, seen): &(&PathBuf, &Seen)| {
            changed.contains(path.as_path()) || !seen.is_dir() && inodes.contains(&seen.inode)
        };
        let changed = now.0.iter().filter(linked).map(|(path, _)| path.clone()).collect();
        let parent_stays = |path: &&PathBuf| match path.parent() {
            Some(parent) if parent != Path::new("") => now.0.get(parent).is_some_and(Seen::is_dir),
            _ => true,
        };
        let gone = self.0.keys().filter(|path| !now.0.contains_key(*path)).filter(parent_stays).cloned().collect();
        Ok(Changes { changed, gone })
    }
}

/// Whether two files that look the same are the same.
fn equal(one: &Path, other: &Path, seen: &Seen) -> io::Result<bool> {
    let kind = rustix::fs::FileType::from_raw_mode(seen.kept.mode);
    if kind.is_symlink() {
        return Ok(fs::read_link(one)? == fs::read_link(other)?);
    }
    if attributes(one, Marks::Left)? != attributes(other, Marks::Left)? {
        return Ok(false);
    }
    if kind.is_file() {
        return same_content(open(one)?, open(other)?);
    }
    Ok(true)
}

/// Paths in a tree, folders before what is in them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Changes {
    changed: Vec<PathBuf>,
    /// Only the topmost of what is gone.
    gone: Vec<PathBuf>,
}

impl Changes {
    /// Puts what has changed into an empty folder, in the form of a layer. The tree stays as it is.
    pub(crate) fn write(&self, tree: &Path, upper: &Path) -> Result<()> {
        let mut copier = Copier::new(How::Copy);
        let mut folders = vec![PathBuf::new()];
        for path in &self.changed {
            make_dirs(path.parent(), upper, &mut folders)?;
            let from = tree.join(path);
            let meta = fs::symlink_metadata(&from).at(&from)?;
            if meta.is_dir() {
                make_dirs(Some(path), upper, &mut folders)?;
            } else {
                copier.file(&from, &upper.join(path), &meta).at(&from)?;
            }
        }
        for path in &self.gone {
            make_dirs(path.parent(), upper, &mut folders)?;
            mark::hide(&upper.join(path)).at(&upper.join(path))?;
        }
        // Last, for every file that comes into a folder changes its time. What marks say in attributes of a folder stays.
        for path in folders {
            let (from, to) = (tree.join(&path), upper.join(&path));
            let meta = fs::symlink_metadata(&from).at(&from)?;
            dress(&from, &to, &meta, Marks::Left).at(&to)?;
        }
        Ok(())
    }
}

fn make_dirs(path: Option<&Path>, upper: &Path, made: &mut Vec<PathBuf>) -> Result<()> {
    let Some(path) = path.filter(|path| !path.as_os_str().is_empty()) else { return Ok(()) };
    let whole = upper.join(path);
    if fs::symlink_metadata(&whole).is_ok() {
        return Ok(());
    }
    make_dirs(path.parent(), upper, made)?;
    fs::create_dir(&whole).at(&whole)?;
    made.push(path.to_owned());
    Ok(())
}
