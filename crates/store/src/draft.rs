//! A layer in the making.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use archipel_sandbox as sandbox;
use archipel_sandbox::overlay::Layers;
use rustix::fs::{AtFlags, CWD, utimensat};

use crate::error::At as _;
use crate::layer::Skipped;
use crate::merged::{Merged, Spares, lay_over};
use crate::snapshot::Record;
use crate::view::Tree;
use crate::work::Work;
use crate::{Error, Result, Snapshot, SnapshotId, Store, disk, mark};
use archipel_sandbox::copy::{How, times};

/// Files to write to on top of others: folders for an overlay, or a tree that stands in for it. Thrown away unless it is committed.
#[derive(Debug)]
pub struct Draft {
    work: Work,
    root: PathBuf,
    upper: PathBuf,
    scratch: PathBuf,
    layers: Vec<Snapshot>,
    lower: Vec<PathBuf>,
    parent: Option<SnapshotId>,
    /// Whether there are overlays.
    mounts: bool,
    /// The tree, where there are none and somebody has asked for it.
    merged: Mutex<Option<Merged>>,
    spares: Arc<Spares>,
    pub(crate) skipped: Skipped,
    pub(crate) whole: bool,
}

impl Store {
    /// Starts a layer on top of a snapshot.
    ///
    /// # Errors
    /// [`Error::Missing`], or the file system's.
    pub fn draft(&self, parent: Option<&SnapshotId>) -> Result<Draft> {
        let layers = parent.map(|id| self.stack(id)).transpose()?.unwrap_or_default();
        let lower: Vec<PathBuf> = layers.iter().map(|layer| layer.path.clone()).collect();
        let work = Work::new(self.root())?;
        let (upper, scratch) = (work.folder("upper")?, work.folder("work")?);
        match lower.first() {
            // The merged root has the mode and owner of the upper folder: without this each layer would reset them.
            Some(below) => like(&upper, below).at(&upper)?,
            None => fs::set_permissions(&upper, fs::Permissions::from_mode(0o755)).at(&upper)?,
        }
        Ok(Draft {
            work,
            root: self.root().to_owned(),
            upper,
            scratch,
            layers,
            lower,
            parent: parent.cloned(),
            mounts: self.mounts()?,
            merged: Mutex::default(),
            spares: self.spares.clone(),
            skipped: Skipped::default(),
            whole: false,
        })
    }
}

fn like(folder: &Path, model: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(model)?;
    chown(folder, Some(meta.uid()), Some(meta.gid()))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    Ok(utimensat(CWD, folder, &times(&meta), AtFlags::empty())?)
}

impl Draft {
    /// Where changes go.
    #[must_use]
    pub fn upper(&self) -> &Path {
        &self.upper
    }

    /// Says that the layer is to be the same on whatever it lies: also what is there already is in it (`COPY --link`).
    pub fn keep_whole(&mut self) {
        self.whole = true;
    }

    /// The folder that overlayfs works in.
    #[must_use]
    pub fn work(&self) -> &Path {
        &self.scratch
    }

    /// What lies below, topmost first.
    #[must_use]
    pub fn lower(&self) -> &[PathBuf] {
        &self.lower
    }

    /// Shows the whole tree, to be written to. Where nothing lies below it is the upper folder itself.
    ///
    /// # Errors
    /// A mount's, or the file system's.
    pub fn mount(&self) -> Result<Tree> {
        if self.lower.is_empty() {
            return Ok(Tree::folder(self.upper.clone()));
        }
        if !self.mounts {
            return Ok(Tree::folder(self.merged()?));
        }
        let target = self.work.path().join("merged");
        fs::create_dir_all(&target).at(&target)?;
        Tree::mount(&Layers { lower: &self.lower, upper: Some((&self.upper, &self.scratch)) }, &target)
    }

    fn merged(&self) -> Result<PathBuf> {
        let mut merged = self.merged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(merged) = &*merged {
            return Ok(merged.path().to_owned());
        }
        Ok(merged.insert(self.spares.tree(&self.root, &self.layers)?).path().to_owned())
    }

    /// The same tree for a process. It may not be shown otherwise meanwhile.
    ///
    /// # Errors
    /// The file system's.
    pub fn rootfs(&self) -> Result<sandbox::Rootfs> {
        if !self.mounts {
            let folder = if self.lower.is_empty() { self.upper.clone() } else { self.merged()? };
            return Ok(sandbox::Rootfs::Directory(folder));
        }
        let (lower, upper, work) = (self.lower.clone(), self.upper.clone(), self.scratch.clone());
        Ok(sandbox::Rootfs::Overlay { lower, upper, work })
    }

    /// A folder from elsewhere as a mount that can be written to, with what is written coming here.
    ///
    /// # Errors
    /// The file system's.
    pub fn writable(&self, below: PathBuf, target: String) -> Result<sandbox::Mount> {
        if self.mounts {
            let (upper, work) = (self.upper.clone(), self.scratch.clone());
            return Ok(sandbox::Mount::Overlay { lower: below, upper, work, target });
        }
        lay_over(&below, &self.upper, How::Copy)?;
        Ok(sandbox::Mount::Bind { source: self.upper.clone(), target, read_only: false })
    }

    /// Shows a folder from elsewhere without what is marked as gone here ([`Draft::hide`]).
    ///
    /// # Errors
    /// A mount's, or the file system's.
    pub fn over(&self, below: &Path) -> Result<Tree> {
        if self.mounts {
            let layers = [self.upper.clone(), below.to_owned()];
            return Tree::mount(&Layers { lower: &layers, upper: None }, &self.scratch);
        }
        lay_over(below, &self.scratch, How::Copy)?;
        lay_over(&self.upper, &self.scratch, How::Copy)?;
        Ok(Tree::folder(self.scratch.clone()))
    }

    /// Marks a path of what lies below as gone.
    ///
    /// # Errors
    /// The file system's.
    pub fn hide(&self, path: &Path) -> Result<()> {
        let mark = self.upper.join(path);
        if let Some(folder) = mark.parent() {
            fs::create_dir_all(folder).at(folder)?;
        }
        mark::hide(&mark).at(&mark)
    }

    /// Makes it a snapshot. If another was faster, theirs is taken and this one thrown away.
    ///
    /// # Errors
    /// The file system's.
    pub fn commit(self, id: &SnapshotId) -> Result<Snapshot> {
        let mut merged = self.merged.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(merged) = &mut merged {
            merged.write_changes(&self.layers, &self.upper)?;
        }
        let staged = self.work.folder("staged")?;
        let record = Record { parent: self.parent.clone(), skipped: self.skipped, whole: self.whole };
        let text = serde_json::to_vec(&record).map_err(io::Error::from).at(&staged)?;
        disk::write(&staged.join("layer.json"), &text)?;
        fs::rename(&self.upper, staged.join("fs")).at(&self.upper)?;
        let folder = self.root.join("snapshots").join(id.as_str());
        match fs::rename(&staged, &folder) {
            Err(e) if matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {
                let known = disk::read(&folder.join("layer.json"))?;
                if known.is_none_or(|bytes| serde_json::from_slice::<Record>(&bytes).is_err()) {
                    // Half a snapshot, which a power failure left: nobody can be using it.
                    let old = self.work.path().join("old");
                    fs::rename(&folder, &old).and_then(|()| fs::rename(&staged, &folder)).at(&folder)?;
                }
            }
            other => {
                other.at(&folder)?;
                // Nobody was faster, so the tree is what the snapshot is.
                if let Some(merged) = merged {
                    self.spares.keep(id.clone(), merged);
                }
            }
        }
        let bytes = disk::read(&folder.join("layer.json"))?.ok_or_else(|| Error::Missing(id.clone()))?;
        let record: Record = serde_json::from_slice(&bytes).map_err(io::Error::from).at(&folder)?;
        Ok(record.snapshot(id, &folder))
    }
}
