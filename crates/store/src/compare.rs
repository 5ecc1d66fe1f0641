//! What files change of what lies below them: what archives of layers, merges and differences are made of.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use archipel_sandbox::copy::{Marks, dress, times};
use rustix::fs::{AtFlags, CWD, utimensat};

use crate::error::At as _;
use crate::same::unchanged;
use crate::{Result, mark};

/// Files, and what they are seen against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison<'a> {
    /// The files.
    pub(crate) files: &'a Path,
    /// Whether they are one layer's own, with overlayfs's marks. Else they are all that there are, and what is not among them is gone.
    pub(crate) marked: bool,
    /// The merged files below. Without them nothing is as it was, and all marks count.
    pub(crate) base: Option<&'a Path>,
    /// Whether also what is as it was counts.
    pub(crate) whole: bool,
}

/// What has become of one path.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'a> {
    /// There is a folder that is new, is otherwise than before, or holds something that is.
    Folder(&'a Metadata),
    /// There is something else that is new or otherwise.
    File(&'a Metadata),
    /// There is nothing where something was.
    Gone,
    /// Of the folder, which was told just before, nothing is left that may be below. Where there is a base it is told by name
    /// what that is.
    Emptied,
}

/// A folder that is being looked at.
struct Folder {
    /// The paths in it, last name first.
    left: Vec<Vec<u8>>,
    /// Whether the base has a folder there.
    in_base: bool,
    /// Whether nothing in that is seen.
    hides: bool,
    /// How many folders above it have not been told of yet.
    above: usize,
}

impl Comparison<'_> {
    /// Tells of all changes, by path, folders before what is in them. The root is none.
    ///
    /// No link is followed, here or in the base: a path is looked for there only if all folders above it are folders there.
    pub(crate) fn changes(&self, mut tell: impl FnMut(&[u8], Change<'_>) -> Result<()>) -> Result<()> {
        // Folders that are as they were, and are told only if something in them is not.
        let mut waiting: Vec<(Vec<u8>, Metadata)> = Vec::new();
        let mut told = |waiting: &mut Vec<(Vec<u8>, Metadata)>, path: &[u8], change: Change<'_>| {
            for (path, meta) in waiting.drain(..) {
                tell(&path, Change::Folder(&meta))?;
            }
            tell(path, change)
        };
        // A stack of our own: nothing bounds how deep a RUN step's folders go.
        let mut open = vec![self.folder(&[], self.base.is_some(), !self.marked, 0)?];
        while let Some(folder) = open.last_mut() {
            let Some(path) = folder.left.pop() else {
                waiting.truncate(folder.above);
                open.pop();
                continue;
            };
            let (above, in_base, hides) = (waiting.len(), folder.in_base, folder.hides);
            let before = match self.base.filter(|_| in_base) {
                Some(base) => found(&full(base, &path))?.map(|meta| (full(base, &path), meta)),
                None => None,
            };
            let file = full(self.files, &path);
            let Some(meta) = found(&file)?.filter(|meta| !self.marked || !mark::is_gone(&file, meta)) else {
                if self.base.is_none() || before.is_some() {
                    told(&mut waiting, &path, Change::Gone)?;
                }
                continue;
            };
            let same = match before.as_ref().filter(|_| !self.whole) {
                Some((old, before)) => unchanged(old, before, &file, &meta).at(&file)?,
                None => false,
            };
            if !meta.is_dir() {
                if !same {
                    told(&mut waiting, &path, Change::File(&meta))?;
                }
                continue;
            }
            let opaque = self.marked && mark::is_opaque(&file);
            if same {
                waiting.push((path.clone(), meta));
            } else {
                told(&mut waiting, &path, Change::Folder(&meta))?;
            }
            if opaque && self.base.is_none() {
                told(&mut waiting, &path, Change::Emptied)?;
            }
            let in_base = before.is_some_and(|(_, before)| before.is_dir());
            open.push(self.folder(&path, in_base, hides || opaque, above)?);
        }
        Ok(())
    }

    /// Begins a folder: with the paths in it, and those that only the base has where all of that is hidden.
    fn folder(&self, folder: &[u8], in_base: bool, hides: bool, above: usize) -> Result<Folder> {
        let mut left = paths(self.files, folder)?;
        if let Some(base) = self.base.filter(|_| in_base && hides) {
            left.extend(paths(base, folder)?);
        }
        left.sort_unstable_by(|a, b| b.cmp(a));
        left.dedup();
        Ok(Folder { left, in_base, hides, above })
    }

    /// Puts all changes into an empty folder, in the form of a layer. `file` makes what is no folder; what is gone is marked where
    /// `hides` says that a mark hides something.
    pub(crate) fn put(
        &self,
        target: &Path,
        hides: impl Fn(&[u8]) -> bool,
        file: impl Fn(&Path, &Path, &Metadata) -> Result<()>,
    ) -> Result<()> {
        let mut folders = Vec::new();
        self.changes(|path, change| {
            let (from, to) = (full(self.files, path), full(target, path));
            match change {
                Change::Folder(meta) => {
                    fs::create_dir(&to).at(&to)?;
                    folders.push((from, to, meta.clone()));
                }
                Change::File(meta) => file(&from, &to, meta)?,
                Change::Gone if hides(path) => mark::hide(&to).at(&to)?,
                Change::Gone | Change::Emptied => {}
            }
            Ok(())
        })?;
        // The deepest first, and only now: what comes into a folder changes its time.
        for (from, to, meta) in folders.iter().rev() {
            dress(from, to, meta, Marks::Left).at(to)?;
        }
        let root = fs::symlink_metadata(self.files).at(self.files)?;
        utimensat(CWD, target, &times(&root), AtFlags::empty()).map_err(io::Error::from).at(target)
    }
}

/// Whether there is anything under a path of a tree, of whose folders none is a link.
pub(crate) fn has(tree: &Path, path: &[u8]) -> bool {
    let path = Path::new(OsStr::from_bytes(path));
    let is_folder = |folder: &Path| fs::symlink_metadata(tree.join(folder)).is_ok_and(|meta| meta.is_dir());
    // From the root on, for to ask for what is below a link is to follow it.
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    above.into_iter().all(is_folder) && fs::symlink_metadata(tree.join(path)).is_ok()
}

fn full(root: &Path, path: &[u8]) -> PathBuf {
    root.join(OsStr::from_bytes(path))
}

fn found(path: &Path) -> Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.at(path).map(Some),
    }
}

fn paths(root: &Path, folder: &[u8]) -> Result<Vec<Vec<u8>>> {
    let path = full(root, folder);
    let mut found = Vec::new();
    for entry in fs::read_dir(&path).at(&path)? {
        let name = entry.at(&path)?.file_name();
        let name = name.as_bytes();
        found.push(if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() });
    }
    Ok(found)
}
