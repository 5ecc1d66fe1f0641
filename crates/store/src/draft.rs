//! A layer in the making.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use archipel_sandbox::overlay::Layers;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::error::At as _;
use crate::layer::Skipped;
use crate::snapshot::Record;
use crate::view::Tree;
use crate::work::Work;
use crate::{Error, Result, Snapshot, SnapshotId, Store, disk};

/// Folders for an overlay that is written to. Thrown away unless it is committed.
#[derive(Debug)]
pub struct Draft {
    work: Work,
    snapshots: PathBuf,
    upper: PathBuf,
    scratch: PathBuf,
    lower: Vec<PathBuf>,
    parent: Option<SnapshotId>,
    pub(crate) skipped: Skipped,
    pub(crate) whole: bool,
}

impl Store {
    /// Starts a layer on top of a snapshot.
    ///
    /// # Errors
    /// [`Error::Missing`], or the file system's.
    pub fn draft(&self, parent: Option<&SnapshotId>) -> Result<Draft> {
        let lower = parent.map(|id| self.lower_dirs(id)).transpose()?.unwrap_or_default();
        let work = Work::new(self.root())?;
        let (upper, scratch) = (work.folder("upper")?, work.folder("work")?);
        match lower.first() {
            // The merged root has the mode and owner of the upper folder: without this each layer would reset them.
            Some(below) => like(&upper, below).at(&upper)?,
            None => fs::set_permissions(&upper, fs::Permissions::from_mode(0o755)).at(&upper)?,
        }
        let snapshots = self.root().join("snapshots");
        let (parent, skipped) = (parent.cloned(), Skipped::default());
        Ok(Draft { work, snapshots, upper, scratch, lower, parent, skipped, whole: false })
    }
}

fn like(folder: &Path, model: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(model)?;
    chown(folder, Some(meta.uid()), Some(meta.gid()))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    let mtime = Timespec { tv_sec: meta.mtime(), tv_nsec: meta.mtime_nsec() };
    Ok(utimensat(CWD, folder, &Timestamps { last_access: mtime, last_modification: mtime }, AtFlags::empty())?)
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

    /// Mounts the whole tree to be written to. Where nothing lies below it is the upper folder itself.
    ///
    /// # Errors
    /// A mount's.
    pub fn mount(&self) -> Result<Tree> {
        if self.lower.is_empty() {
            return Ok(Tree::folder(self.upper.clone()));
        }
        let target = self.work.path().join("merged");
        fs::create_dir_all(&target).at(&target)?;
        Tree::mount(&Layers { lower: &self.lower, upper: Some((&self.upper, &self.scratch)) }, &target)
    }

    /// Makes it a snapshot. If another was faster, theirs is taken and this one thrown away.
    ///
    /// # Errors
    /// The file system's.
    pub fn commit(self, id: &SnapshotId) -> Result<Snapshot> {
        let staged = self.work.folder("staged")?;
        let record = Record { parent: self.parent.clone(), skipped: self.skipped, whole: self.whole };
        let text = serde_json::to_vec(&record).map_err(io::Error::from).at(&staged)?;
        disk::write(&staged.join("layer.json"), &text)?;
        fs::rename(&self.upper, staged.join("fs")).at(&self.upper)?;
        let folder = self.snapshots.join(id.as_str());
        match fs::rename(&staged, &folder) {
            Err(e) if matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {
                let known = disk::read(&folder.join("layer.json"))?;
                if known.is_none_or(|bytes| serde_json::from_slice::<Record>(&bytes).is_err()) {
                    // Half a snapshot, which a power failure left: nobody can be using it.
                    let old = self.work.path().join("old");
                    fs::rename(&folder, &old).and_then(|()| fs::rename(&staged, &folder)).at(&folder)?;
                }
            }
            other => other.at(&folder)?,
        }
        let bytes = disk::read(&folder.join("layer.json"))?.ok_or_else(|| Error::Missing(id.clone()))?;
        let record: Record = serde_json::from_slice(&bytes).map_err(io::Error::from).at(&folder)?;
        Ok(record.snapshot(id, &folder))
    }
}
