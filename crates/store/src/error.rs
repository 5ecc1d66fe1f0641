//! What can go wrong with a store.

use std::io;
use std::path::{Path, PathBuf};

use archipel_oci::DiffId;

use crate::SnapshotId;

/// Why a store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk, or what this user may have of it, is full.
    #[error("{path}: no space left on device; what was finished before is kept, and what was begun is removed", path = .path.display())]
    NoSpace {
        /// Where.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A blob.
    #[error(transparent)]
    Cas(archipel_cas::Error),
    /// A mount.
    #[error(transparent)]
    Sandbox(#[from] archipel_sandbox::Error),
    /// An archive that cannot be read, or that wants what no archive may.
    #[error("archive: {reason}")]
    Tar {
        /// What is wrong with it.
        reason: String,
    },
    /// A layer whose content is not what its image's config promises.
    #[error("layer has diff id {actual}, expected {expected}: it was damaged or is not what was asked for")]
    DiffId {
        /// What the config says.
        expected: DiffId,
        /// What came.
        actual: DiffId,
    },
    /// A snapshot that others stand on is gone.
    #[error("snapshot {0} is not here")]
    Missing(SnapshotId),
    /// Compression of a strength that there is not.
    #[error("compression level {level} is not in {least}..={most}")]
    Level {
        /// What was asked for.
        level: i32,
        /// The weakest.
        least: i32,
        /// The strongest.
        most: i32,
    },
    /// Others work with it.
    #[error("store {path} is in use by another process; try again when it is done", path = .0.display())]
    InUse(PathBuf),
}

impl From<archipel_cas::Error> for Error {
    fn from(error: archipel_cas::Error) -> Self {
        match error {
            archipel_cas::Error::Io { path, source } => Self::io(&path, source),
            other => Self::Cas(other),
        }
    }
}

impl Error {
    pub(crate) fn io(path: &Path, source: impl Into<io::Error>) -> Self {
        let (path, source) = (path.to_owned(), source.into());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path },
            _ => Self::Io { path, source },
        }
    }

    pub(crate) fn tar(reason: impl Into<String>) -> Self {
        Self::Tar { reason: reason.into() }
    }
}

/// Says of an error where it happened.
pub(crate) trait At<T> {
    fn at(self, path: &Path) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, path: &Path) -> Result<T, Error> {
        self.map_err(|e| Error::io(path, e))
    }
}
