//! Blobs to snapshots.

use std::io::{self, Read};

use archipel_oci::{ChainId, Descriptor, DiffId, Hasher};

use crate::error::At as _;
use crate::{Error, Result, Snapshot, SnapshotId, Store, layer};

impl Store {
    /// Unpacks a layer, whose blob is in the store, on top of `parent`. Does nothing where that was done before.
    ///
    /// # Errors
    /// [`Error::DiffId`] or [`Error::Tar`] for a layer that is damaged, [`Error::Missing`] for a parent, or the file system's.
    pub fn unpack(
        &self,
        descriptor: &Descriptor,
        diff_id: &DiffId,
        parent: Option<&SnapshotId>,
        chain: &ChainId,
    ) -> Result<Snapshot> {
        self.unpack_as(descriptor, diff_id, parent, &SnapshotId::chain(chain))
    }

    /// The same under another name: for a layer that is not an image's.
    ///
    /// # Errors
    /// As [`Store::unpack`].
    pub fn unpack_as(
        &self,
        descriptor: &Descriptor,
        diff_id: &DiffId,
        parent: Option<&SnapshotId>,
        id: &SnapshotId,
    ) -> Result<Snapshot> {
        if let Some(known) = self.snapshot(id)? {
            return Ok(known);
        }
        let unpacked = self.unpack_blob(descriptor, diff_id, parent, id);
        if matches!(unpacked, Err(Error::Tar { .. } | Error::DiffId { .. })) {
            self.distrust(descriptor)?;
        }
        unpacked
    }

    fn unpack_blob(
        &self,
        descriptor: &Descriptor,
        diff_id: &DiffId,
        parent: Option<&SnapshotId>,
        id: &SnapshotId,
    ) -> Result<Snapshot> {
        let path = self.blobs().path(&descriptor.digest);
        let blob = self.blobs().open_blob(&descriptor.digest)?;
        let mut draft = self.draft(parent)?;
        let tree = draft.mount()?;
        let inner = layer::decompress(blob).at(&path)?;
        let mut reader = Hashing { inner, hasher: Hasher::new(diff_id.digest().algorithm()) };
        draft.skipped = layer::apply(&mut reader, tree.path())?;
        // It came as a layer, and would be the same again.
        draft.keep_whole();
        drop(tree);
        let actual = DiffId(reader.hasher.finish());
        if actual != *diff_id {
            return Err(Error::DiffId { expected: diff_id.clone(), actual });
        }
        draft.commit(id)
    }

    /// Blobs are not forced to disk: after a power failure one may have the wrong bytes. Such a one must be fetched again.
    fn distrust(&self, descriptor: &Descriptor) -> Result<()> {
        let path = self.blobs().path(&descriptor.digest);
        let mut hasher = Hasher::new(descriptor.digest.algorithm());
        io::copy(&mut self.blobs().open_blob(&descriptor.digest)?, &mut hasher).at(&path)?;
        if hasher.finish() != descriptor.digest {
            self.blobs().remove(&descriptor.digest)?;
        }
        Ok(())
    }
}

struct Hashing<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}
