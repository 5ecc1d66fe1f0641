//! The store itself.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use archipel_cas::Cas;
use archipel_sandbox::overlay;
use rustix::fs::{FlockOperation, flock};

use crate::error::At as _;
use crate::merged::Spares;
use crate::work::Work;
use crate::{Error, Result, disk, work};

/// A store on disk. Several threads and processes may use one at the same time.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    blobs: Cas,
    /// Locked, shared, as long as the store is open.
    pub(crate) lock: File,
    pub(crate) spares: Arc<Spares>,
    mounts: OnceLock<bool>,
}

impl Store {
    /// Opens the store, making it where it is missing, and sweeps what dead processes left.
    ///
    /// # Errors
    /// The file system's; [`Error::InUse`] while it is pruned.
    pub fn open(root: &Path) -> Result<Self> {
        for folder in ["snapshots", "cache", "images", "mounts", "work"] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).at(&folder)?;
        }
        // Overlayfs wants absolute paths: ours must stay right wherever a thread or a child works.
        let root = fs::canonicalize(root).at(root)?;
        let path = root.join("lock");
        let lock = disk::open_lock(&path).at(&path)?;
        match flock(&lock, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::InUse(root)),
            other => other.at(&path)?,
        }
        let blobs = Cas::open(&root)?.volatile();
        work::sweep(&root)?;
        blobs.sweep()?;
        Ok(Self { root, blobs, lock, spares: Arc::default(), mounts: OnceLock::new() })
    }

    /// The blobs: manifests, configs, compressed layers.
    #[must_use]
    pub fn blobs(&self) -> &Cas {
        &self.blobs
    }

    /// The folder that it is in.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether this process can mount overlays here. Found out by trying, when it first matters.
    pub(crate) fn mounts(&self) -> Result<bool> {
        if let Some(known) = self.mounts.get() {
            return Ok(*known);
        }
        let work = Work::new(&self.root)?;
        Ok(*self.mounts.get_or_init(|| overlay::works_in(work.path()).is_ok()))
    }

    /// As on a machine that mounts nothing.
    #[cfg(test)]
    pub(crate) fn without_mounts(self) -> Self {
        Self { mounts: OnceLock::from(false), ..self }
    }
}
