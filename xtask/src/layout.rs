//! Writing an OCI image layout: one index of one-layer images.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use archipel_oci::{
    Algorithm, ContainerConfig, Descriptor, DiffId, Digest, Hasher, History, ImageConfig, Index, Manifest, Platform,
    RawManifest, media_type,
};
use flate2::{Compression, GzBuilder};

use crate::tree::Tree;

const CREATED: &str = "2023-11-14T22:13:20Z";

/// A layout being written.
#[derive(Debug)]
pub(crate) struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// Starts one in a new folder.
    pub(crate) fn create(dir: &Path) -> Result<Self> {
        if dir.exists() {
            fs::remove_dir_all(dir).with_context(|| format!("{}", dir.display()))?;
        }
        fs::create_dir_all(dir.join("blobs/sha256")).with_context(|| format!("{}", dir.display()))?;
        Ok(Self { dir: dir.into() })
    }

    /// Adds the image of one platform and describes it. `name` keeps the scratch files of parallel calls apart.
    pub(crate) fn image(
        &self,
        name: &str,
        platform: &Platform,
        config: ContainerConfig,
        tree: &Tree,
    ) -> Result<Descriptor> {
        let scratch = self.dir.join(format!("{name}.layer"));
        let file = Hashing::new(BufWriter::new(File::create(&scratch)?));
        // No time stamp in the gzip header: the same tree gives the same blob.
        let gzip = GzBuilder::new().mtime(0).write(file, Compression::new(6));
        let (gzip, diff_id, _) = tree.write_tar(Hashing::new(gzip))?.finish();
        let (mut file, digest, size) = gzip.finish()?.finish();
        file.flush()?;
        fs::rename(&scratch, self.blob_path(&digest))?;

        let mut image = ImageConfig::empty(platform);
        image.created = Some(CREATED.into());
        image.config = config;
        image.rootfs.diff_ids = vec![DiffId(diff_id)];
        image.history = vec![History {
            created: Some(CREATED.into()),
            created_by: Some("xtask bases".into()),
            ..History::default()
        }];
        let config = self.blob(media_type::OCI_CONFIG, &image.to_bytes())?;
        let layer = Descriptor::new(media_type::OCI_LAYER_GZIP, digest, size);
        let manifest = RawManifest::from_manifest(&Manifest::new(config, vec![layer]));
        let mut descriptor = self.blob(manifest.media_type(), manifest.bytes())?;
        descriptor.platform = Some(platform.clone().normalized());
        Ok(descriptor)
    }

    /// Writes the index, and the layout's own documents: from here on it is readable.
    pub(crate) fn finish(self, images: Vec<Descriptor>) -> Result<()> {
        let index = RawManifest::from_index(&Index::new(images));
        let mut top = self.blob(index.media_type(), index.bytes())?;
        top.annotations.insert("org.opencontainers.image.ref.name".into(), "latest".into());
        fs::write(self.dir.join("index.json"), serde_json::to_vec(&Index::new(vec![top]))?)?;
        fs::write(self.dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(())
    }

    fn blob(&self, kind: &str, bytes: &[u8]) -> Result<Descriptor> {
        let descriptor = Descriptor::of(kind, bytes);
        fs::write(self.blob_path(&descriptor.digest), bytes)?;
        Ok(descriptor)
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }
}

/// Digests and counts what passes through.
struct Hashing<W> {
    inner: W,
    hasher: Hasher,
    size: u64,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::new(Algorithm::Sha256), size: 0 }
    }

    fn finish(self) -> (W, Digest, u64) {
        (self.inner, self.hasher.finish(), self.size)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.hasher.update(buf.get(..n).unwrap_or(buf));
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
