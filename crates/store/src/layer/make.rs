//! Snapshots to layers.

use std::io::{self, Write};

use archipel_oci::{Algorithm, Descriptor, DiffId, Hasher, media_type};
use serde::{Deserialize, Serialize};

use super::compress::{Compression, compress};
use super::tree::{Form, write_tree};
use super::writer::Writer;
use crate::error::At as _;
use crate::{Error, Result, SnapshotId, Store, disk};

/// Changes when the same snapshot would become other bytes: what was made before is then made anew.
const FORMAT: u32 = 1;

/// How a layer is made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LayerOptions {
    /// The blob's compression.
    pub compression: Compression,
    /// What is younger gets this time.
    pub epoch: Option<i64>,
}

/// A layer as it goes into an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The blob.
    pub descriptor: Descriptor,
    /// The digest of the archive inside.
    pub diff_id: DiffId,
}

impl LayerOptions {
    fn name(&self) -> String {
        let level = |level: Option<i32>| level.map_or_else(|| "default".into(), |level| level.to_string());
        let compression = match self.compression {
            Compression::None => "tar".into(),
            Compression::Gzip { level: l } => format!("gzip-{}", level(l)),
            Compression::Zstd { level: l } => format!("zstd-{}", level(l)),
        };
        let epoch = self.epoch.map_or_else(String::new, |epoch| format!("-epoch{epoch}"));
        format!("{FORMAT}-{compression}{epoch}.json")
    }
}

impl Store {
    /// Makes a snapshot a layer, whose blob is then in the store. What was made once is remembered.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Level`], or the file system's.
    pub fn layer(&self, id: &SnapshotId, options: &LayerOptions) -> Result<Layer> {
        options.compression.check()?;
        let snapshot = self.snapshot(id)?.ok_or_else(|| Error::Missing(id.clone()))?;
        let memo = self.snapshot_dir(id).join("layers").join(options.name());
        if let Some(bytes) = disk::read(&memo)?
            && let Ok(layer) = serde_json::from_slice::<Layer>(&bytes)
            && self.blobs().size(&layer.descriptor.digest)? == Some(layer.descriptor.size)
        {
            return Ok(layer);
        }
        let mut blob = self.blobs().ingest(Algorithm::Sha256)?;
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let produce = |out: &mut dyn Write| {
            let mut writer = Writer::new(Hashing { inner: out, hasher: Hasher::default() });
            write_tree(&snapshot.path, b"", Form::Layer, options.epoch, &mut writer)?;
            Ok(DiffId(writer.finish().at(&snapshot.path)?.hasher.finish()))
        };
        let failed = |e: io::Error| Error::io(self.root(), e);
        let diff_id = compress(options.compression, threads, &mut blob, produce, failed)?;
        let (digest, size) = blob.commit(None)?;
        let media_type = match options.compression {
            Compression::None => media_type::OCI_LAYER,
            Compression::Gzip { .. } => media_type::OCI_LAYER_GZIP,
            Compression::Zstd { .. } => media_type::OCI_LAYER_ZSTD,
        };
        let layer = Layer { descriptor: Descriptor::new(media_type, digest, size), diff_id };
        disk::write(&memo, &serde_json::to_vec(&layer).map_err(io::Error::from).at(&memo)?)?;
        Ok(layer)
    }
}

struct Hashing<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
