//! Folders for what is being made. They go with the process that made them, at the latest when the next one starts.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::disk;
use crate::error::At as _;

/// A folder that is removed with all that is in it when it is dropped.
#[derive(Debug)]
pub(crate) struct Work {
    path: PathBuf,
    _lock: File,
}

impl Work {
    pub(crate) fn new(root: &Path) -> Result<Self> {
        loop {
            let path = root.join("work").join(format!("{}-{}", std::process::id(), disk::number()));
            match fs::create_dir(&path) {
                Ok(()) => {}
                // Process ids are not unique among containers that share a store.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(e).at(&path),
            }
            // A sweep may come in between; then it has the lock, or has already removed the file that we lock.
            let lock = match disk::open_lock(&path.join("lock")) {
                Ok(lock) => lock,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e).at(&path),
            };
            if disk::try_lock(&lock).at(&path)? && lock.metadata().at(&path)?.nlink() > 0 {
                return Ok(Self { path, _lock: lock });
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a folder inside.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir(&path).at(&path)?;
        Ok(path)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // What is left is swept by the next process.
        let _ = disk::remove_all(&self.path);
    }
}

/// Removes the folders of dead processes. What this process may not remove is left for one that may.
pub(crate) fn sweep(root: &Path) -> Result<()> {
    for path in disk::list(&root.join("work"))? {
        let Ok(lock) = disk::open_lock(&path.join("lock")) else { continue };
        if matches!(disk::try_lock(&lock), Ok(true)) {
            let _ = disk::remove_all(&path);
        }
    }
    Ok(())
}
