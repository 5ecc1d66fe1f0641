//! The store itself.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use archipel_cas::Cas;
use rustix::fs::{FlockOperation, flock};

use crate::error::At as _;
use crate::{Error, Result, disk, work};

/// A store on disk. Several threads and processes may use one at the same time.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    blobs: Cas,
    /// Locked, shared, as long as the store is open.
    pub(crate) lock: File,
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
        Ok(Self { root, blobs, lock })
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
}
