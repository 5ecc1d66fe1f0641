//! Snapshots to layers.

use std::io::{self, Write};

use archipel_oci::{Algorithm, Descriptor, DiffId, Digest, Hasher};
use serde::{Deserialize, Serialize};

use super::compress::{Compression, compress};
use super::tree::{Form, write_tree};
use super::writer::Writer;
use crate::error::At as _;
use crate::{Error, Result, SnapshotId, Store, View, disk};

/// Changes when the same snapshot would become other bytes: what was made before is then made anew.
const FORMAT: u32 = 3;

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
        let below = match (&snapshot.parent, snapshot.whole) {
            (Some(parent), false) => Some(self.view(Some(parent))?),
            _ => None,
        };
        let form = Form::Layer { base: below.as_ref().map(View::path) };
        let produce = |out: &mut dyn Write| {
            let mut writer = Writer::new(Hashing { inner: out, hasher: Hasher::default() });
            write_tree(&snapshot.path, b"", form, options.epoch, &mut writer)?;
            Ok(DiffId(writer.finish().at(&snapshot.path)?.hasher.finish()))
        };
        let failed = |e: io::Error| Error::io(self.root(), e);
        let diff_id = compress(options.compression, threads, &mut blob, produce, failed)?;
        let (digest, size) = blob.commit(None)?;
        let layer = Layer { descriptor: Descriptor::new(options.compression.media_type(), digest, size), diff_id };
        disk::write(&memo, &serde_json::to_vec(&layer).map_err(io::Error::from).at(&memo)?)?;
        Ok(layer)
    }

    /// Compresses a layer's blob, which must be in the store, in another way; its archive stays the same.
    ///
    /// # Errors
    /// [`Error::Level`], or the file system's.
    pub fn recompress(&self, blob: &Descriptor, compression: Compression) -> Result<Descriptor> {
        compression.check()?;
        let media_type = compression.media_type();
        let identity = format!("recompress {FORMAT} {} {compression:?}", blob.digest);
        let memo = Digest::of(identity.as_bytes());
        if let Some(bytes) = self.cache_get(&memo)?
            && let Ok(known) = serde_json::from_slice::<Descriptor>(&bytes)
            && self.blobs().size(&known.digest)? == Some(known.size)
        {
            return Ok(known);
        }
        let path = self.blobs().path(&blob.digest);
        let mut archive = super::decompress(std::fs::File::open(&path).at(&path)?).at(&path)?;
        let mut made = self.blobs().ingest(Algorithm::Sha256)?;
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let produce = |out: &mut dyn Write| io::copy(&mut archive, out).at(&path);
        compress(compression, threads, &mut made, produce, |e| Error::io(self.root(), e))?;
        let (digest, size) = made.commit(None)?;
        let descriptor = Descriptor::new(media_type, digest, size);
        self.cache_put(&memo, &serde_json::to_vec(&descriptor).map_err(io::Error::from).at(&path)?)?;
        Ok(descriptor)
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
