//! What the store takes, and giving it back.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use archipel_oci::{ChainId, Descriptor, Digest, ImageConfig, Index, Manifest, media_type};
use rustix::fs::{FlockOperation, flock};

use crate::error::At as _;
use crate::{Error, Image, Result, SnapshotId, Store, disk};

/// Bytes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many names there are.
    pub images: u64,
    /// Manifests, configs, compressed layers.
    pub blobs: u64,
    /// Unpacked files.
    pub snapshots: u64,
    /// What steps left for the next build: records, and the folders of cache mounts.
    pub cache: u64,
}

/// What images need.
#[derive(Default)]
struct Kept {
    blobs: HashSet<Digest>,
    snapshots: HashSet<SnapshotId>,
}

impl Store {
    /// What the store takes on disk.
    ///
    /// # Errors
    /// The file system's.
    pub fn disk_usage(&self) -> Result<Usage> {
        let size = |name: &str| disk::size(&self.root().join(name));
        Ok(Usage {
            images: self.images()?.len() as u64,
            blobs: self.blobs().list()?.iter().map(|(_, size)| size).sum(),
            snapshots: size("snapshots"),
            cache: size("cache") + size("mounts"),
        })
    }

    /// Waits for nobody: has the store alone, or says that others have it open. They cannot open it until this is dropped.
    ///
    /// # Errors
    /// [`Error::InUse`] while another process has the store open, or the file system's.
    pub fn alone(&self) -> Result<Alone<'_>> {
        match flock(&self.lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                // The kernel gives up the old lock before it tries for the new one.
                flock(&self.lock, FlockOperation::LockShared).at(self.root())?;
                return Err(Error::InUse(self.root().to_owned()));
            }
            other => other.at(self.root())?,
        }
        Ok(Alone(self))
    }

    fn prune_alone(&self, wanted: impl Fn(&Image) -> bool) -> Result<u64> {
        let mut kept = Kept::default();
        let mut freed = 0;
        for path in disk::list(&self.root().join("images"))? {
            // What cannot be read is nobody's draft now, and keeps nothing.
            let image = disk::read(&path)?.and_then(|bytes| serde_json::from_slice::<Image>(&bytes).ok());
            match image.filter(&wanted) {
                Some(image) => self.keep(&image.descriptor, &mut kept)?,
                None => freed += remove(&path)?,
            }
        }
        for (digest, size) in self.blobs().list()? {
            if !kept.blobs.contains(&digest) && self.blobs().remove(&digest)? {
                freed += size;
            }
        }
        for path in disk::list(&self.root().join("snapshots"))? {
            let id = path.file_name().and_then(|name| SnapshotId::try_from(name.to_str()?.to_owned()).ok());
            if id.is_none_or(|id| !kept.snapshots.contains(&id)) {
                freed += remove(&path)?;
            }
        }
        Ok(freed + empty(&self.root().join("cache"))? + empty(&self.root().join("mounts"))?)
    }

    /// An image may be here in part: what is not here needs nothing.
    fn keep(&self, descriptor: &Descriptor, kept: &mut Kept) -> Result<()> {
        let digest = &descriptor.digest;
        if !kept.blobs.insert(digest.clone()) || !self.blobs().contains(digest) {
            return Ok(());
        }
        match descriptor.media_type.as_str() {
            media_type::OCI_INDEX | media_type::DOCKER_LIST => {
                let Ok(index) = serde_json::from_slice::<Index>(&self.blobs().read(digest)?) else { return Ok(()) };
                index.manifests.iter().try_for_each(|child| self.keep(child, kept))
            }
            media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST => {
                let Ok(manifest) = serde_json::from_slice::<Manifest>(&self.blobs().read(digest)?) else {
                    return Ok(());
                };
                kept.blobs.extend(manifest.layers.iter().map(|layer| layer.digest.clone()));
                kept.blobs.insert(manifest.config.digest.clone());
                if !self.blobs().contains(&manifest.config.digest) {
                    return Ok(());
                }
                let config = self.blobs().read(&manifest.config.digest)?;
                let Ok(config) = serde_json::from_slice::<ImageConfig>(&config) else { return Ok(()) };
                let mut chain: Option<ChainId> = None;
                for diff_id in &config.rootfs.diff_ids {
                    let next = ChainId::extend(chain.as_ref(), diff_id);
                    kept.snapshots.insert(SnapshotId::chain(&next));
                    chain = Some(next);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// A store that nobody else has open.
#[derive(Debug)]
pub struct Alone<'a>(&'a Store);

impl Alone<'_> {
    /// Removes the images that are not wanted, and what none of the others needs. Returns the bytes that were freed.
    ///
    /// # Errors
    /// The file system's.
    pub fn prune(&self, wanted: impl Fn(&Image) -> bool) -> Result<u64> {
        self.0.prune_alone(wanted)
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        // A lock that cannot be given back goes with the process, which keeps others out for as long.
        let _ = flock(&self.0.lock, FlockOperation::LockShared);
    }
}

fn remove(path: &Path) -> Result<u64> {
    let size = disk::size(path);
    match fs::symlink_metadata(path).at(path)?.is_dir() {
        true => disk::remove_all(path).at(path)?,
        false => fs::remove_file(path).at(path)?,
    }
    Ok(size)
}

fn empty(folder: &Path) -> Result<u64> {
    disk::list(folder)?.iter().map(|path| remove(path)).sum()
}
