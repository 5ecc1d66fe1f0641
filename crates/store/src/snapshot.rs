//! Snapshots: the files of one layer, and what it lies on.

use std::fmt;
use std::path::{Path, PathBuf};

use archipel_oci::{ChainId, Digest};
use serde::{Deserialize, Serialize};

use crate::layer::Skipped;
use crate::{Error, Result, Store, disk};

/// More layers than overlayfs can stack.
const MAX_DEPTH: usize = 500;

/// The name of a snapshot: a plain file name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotId(String);

/// A text that names no snapshot.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0:?} is not the name of a snapshot")]
pub struct BadId(String);

impl SnapshotId {
    /// The snapshot of an image's layers.
    #[must_use]
    pub fn chain(chain: &ChainId) -> Self {
        Self(format!("chain-{}", chain.digest().hex()))
    }

    /// The snapshot that a build step made, by the step's cache key.
    #[must_use]
    pub fn step(key: &Digest) -> Self {
        Self(format!("step-{}", key.hex()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SnapshotId {
    type Error = BadId;

    fn try_from(text: String) -> std::result::Result<Self, BadId> {
        // It becomes a path: nothing but what we write ourselves may come through.
        let hex = text.strip_prefix("chain-").or_else(|| text.strip_prefix("step-")).unwrap_or_default();
        let good = (32..=128).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit());
        if good { Ok(Self(text)) } else { Err(BadId(text)) }
    }
}

impl From<SnapshotId> for String {
    fn from(id: SnapshotId) -> Self {
        id.0
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A layer's files on disk. They never change.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its name.
    pub id: SnapshotId,
    /// The folder with its own files, as overlayfs keeps them.
    pub path: PathBuf,
    /// What it lies on.
    pub parent: Option<SnapshotId>,
    /// What its archive wanted and this machine does not give.
    pub skipped: Skipped,
    /// Whether its layer is made of all its files, whatever was below when they came.
    pub whole: bool,
}

/// `layer.json`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) parent: Option<SnapshotId>,
    #[serde(default)]
    pub(crate) skipped: Skipped,
    #[serde(default)]
    pub(crate) whole: bool,
}

impl Record {
    /// The snapshot that has this record in its folder.
    pub(crate) fn snapshot(self, id: &SnapshotId, folder: &Path) -> Snapshot {
        let Self { parent, skipped, whole } = self;
        Snapshot { id: id.clone(), path: folder.join("fs"), parent, skipped, whole }
    }
}

impl Store {
    /// Where a snapshot is or would be.
    pub(crate) fn snapshot_dir(&self, id: &SnapshotId) -> PathBuf {
        self.root().join("snapshots").join(id.as_str())
    }

    /// Finds a snapshot.
    ///
    /// # Errors
    /// The file system's.
    pub fn snapshot(&self, id: &SnapshotId) -> Result<Option<Snapshot>> {
        let folder = self.snapshot_dir(id);
        let Some(bytes) = disk::read(&folder.join("layer.json"))? else { return Ok(None) };
        // A record that was cut short by a power failure is none: the snapshot is made again.
        let Ok(record) = serde_json::from_slice::<Record>(&bytes) else { return Ok(None) };
        Ok(Some(record.snapshot(id, &folder)))
    }

    /// A snapshot and all that it lies on.
    pub(crate) fn stack(&self, id: &SnapshotId) -> Result<Vec<Snapshot>> {
        let mut found = Vec::new();
        let mut next = Some(id.clone());
        while let Some(id) = next {
            if found.len() == MAX_DEPTH {
                return Err(Error::tar(format!("snapshot {id} lies on more than {MAX_DEPTH} layers")));
            }
            let snapshot = self.snapshot(&id)?.ok_or(Error::Missing(id))?;
            next = snapshot.parent.clone();
            found.push(snapshot);
        }
        Ok(found)
    }

    /// The folders of a snapshot and all that it lies on, topmost first, as overlayfs wants them.
    ///
    /// # Errors
    /// [`Error::Missing`] with the name of the one that is not here.
    pub fn lower_dirs(&self, id: &SnapshotId) -> Result<Vec<PathBuf>> {
        Ok(self.stack(id)?.into_iter().map(|snapshot| snapshot.path).collect())
    }
}
