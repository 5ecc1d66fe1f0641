//! Layers as one plain folder: what stands in for an overlay on machines that mount none.
//!
//! To be read, files are links to those of the snapshots, if no tree of theirs is there. To be written to, they are copies (which share blocks where the file system
//! can), with a record of what they are like, from which the layer is made in the end. Making such a tree is the price of every step;
//! so the tree that a step has worked in is kept, for it is what the next step of the stage begins with.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::changes::Record;
use crate::error::At as _;
use crate::work::Work;
use crate::{Result, Snapshot, SnapshotId, mark};
use archipel_sandbox::copy::{Copier, How, Marks, dress};

/// How many trees wait for a next step. Each is a whole root file system; more than two stages are seldom at work at once.
const SPARES: usize = 2;

/// A folder with all files of some layers, to be written to.
#[derive(Debug)]
pub(crate) struct Merged {
    _work: Work,
    folder: PathBuf,
    record: Record,
}

/// Trees that steps have left, each exactly as its snapshot is, the latest last.
#[derive(Debug, Default)]
pub(crate) struct Spares(Mutex<Vec<(SnapshotId, Merged)>>);

impl Spares {
    /// Makes a tree of layers, topmost first, out of the one that is nearest to it, which is nobody else's from then on.
    pub(crate) fn tree(&self, root: &Path, layers: &[Snapshot]) -> Result<Merged> {
        let (mut merged, left) = match self.take(layers) {
            Some((merged, 0)) => return Ok(merged),
            Some(found) => found,
            None => {
                let work = Work::new(root)?;
                let folder = work.folder("merged")?;
                (Merged { _work: work, folder, record: Record::default() }, layers.len())
            }
        };
        for layer in layers.iter().take(left).rev() {
            lay_over(&layer.path, &merged.folder, How::Copy)?;
        }
        merged.record = Record::of(&merged.folder)?;
        Ok(merged)
    }

    /// The nearest tree, and how many layers it lacks.
    fn take(&self, layers: &[Snapshot]) -> Option<(Merged, usize)> {
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = layers.iter().enumerate().find_map(|(lacking, layer)| {
            let place = spares.iter().position(|(id, _)| *id == layer.id)?;
            Some((place, lacking))
        });
        let (place, lacking) = found?;
        Some((spares.remove(place).1, lacking))
    }

    /// The tree of a snapshot, if it waits here. Nobody else has it until it is kept again.
    pub(crate) fn lend(&self, id: &SnapshotId) -> Option<Merged> {
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = spares.iter().position(|(known, _)| known == id)?;
        Some(spares.remove(place).1)
    }

    /// Keeps a tree that is exactly as a snapshot.
    pub(crate) fn keep(&self, id: SnapshotId, merged: Merged) {
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spares.push((id, merged));
        if spares.len() > SPARES {
            spares.remove(0);
        }
    }
}

impl Merged {
    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// Writes what has happened to the tree, since it was as these layers are, into an empty folder.
    pub(crate) fn write_changes(&mut self, layers: &[Snapshot], upper: &Path) -> Result<()> {
        let now = Record::of(&self.folder)?;
        let original = |path: &Path| {
            layers.iter().map(|layer| layer.path.join(path)).find(|path| fs::symlink_metadata(path).is_ok())
        };
        self.record.changes(&now, &self.folder, original)?.write(&self.folder, upper)?;
        self.record = now;
        Ok(())
    }
}

/// Puts the files of a layer over a tree: what it has in place of what is there, and without what it marks as gone.
pub(crate) fn lay_over(layer: &Path, tree: &Path, how: How) -> Result<()> {
    let mut copier = Copier::new(how);
    let mut folders = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(folder) = open.pop() {
        let (source, target) = (layer.join(&folder), tree.join(&folder));
        if mark::is_opaque(&source) {
            for entry in fs::read_dir(&target).at(&target)? {
                let path = entry.at(&target)?.path();
                mark::remove(&path).at(&path)?;
            }
        }
        for entry in fs::read_dir(&source).at(&source)? {
            let name = entry.at(&source)?.file_name();
            let (from, to) = (source.join(&name), target.join(&name));
            let meta = fs::symlink_metadata(&from).at(&from)?;
            if mark::is_gone(&from, &meta) {
                mark::remove(&to).at(&to)?;
                continue;
            }
            let stays = meta.is_dir() && fs::symlink_metadata(&to).is_ok_and(|there| there.is_dir());
            if !stays {
                mark::remove(&to).at(&to)?;
            }
            if !meta.is_dir() {
                copier.file(&from, &to, &meta).at(&from)?;
                continue;
            }
            if !stays {
                fs::create_dir(&to).at(&to)?;
            }
            open.push(folder.join(name));
        }
        folders.push(folder);
    }
    // Last, for every file that comes into a folder changes its time.
    for folder in folders {
        let (from, to) = (layer.join(&folder), tree.join(&folder));
        let meta = fs::symlink_metadata(&from).at(&from)?;
        dress(&from, &to, &meta, Marks::Left).at(&to)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
