//! Tiny images, made in memory.

use std::fs;
use std::io::Write;
use std::path::Path;

use archipel_oci::{
    Descriptor, DiffId, Digest, History, ImageConfig, Index, Manifest, Platform, RawManifest, media_type,
};
use flate2::{Compression, write::GzEncoder};

/// An image: what a registry needs of it.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its platform.
    pub platform: Platform,
    /// Its manifest.
    pub manifest: RawManifest,
    /// Its config and layers.
    pub blobs: Vec<(Digest, Vec<u8>)>,
}

impl Image {
    /// How an index refers to it.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        let mut descriptor = self.manifest.descriptor();
        descriptor.platform = Some(self.platform.clone());
        descriptor
    }
}

/// Collects what an image shall hold; every call of [`ImageBuilder::layer`] ends a layer.
#[derive(Debug)]
pub struct ImageBuilder {
    config: ImageConfig,
    platform: Platform,
    layers: Vec<Descriptor>,
    blobs: Vec<(Digest, Vec<u8>)>,
}

impl ImageBuilder {
    /// An empty image for a platform (`linux/arm64`).
    ///
    /// # Panics
    /// When the platform is not one.
    #[must_use]
    pub fn new(platform: &str) -> Self {
        let platform: Platform = platform.parse().expect("a platform");
        Self { config: ImageConfig::empty(&platform), platform, layers: Vec::new(), blobs: Vec::new() }
    }

    /// Changes the config.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut ImageConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Adds a layer of files: name, mode, content. A name that ends with `/` is a folder.
    #[must_use]
    pub fn layer<'a>(self, files: impl IntoIterator<Item = (&'a str, u32, &'a [u8])>) -> Self {
        self.tar_layer(tar(files))
    }

    /// Adds a tar as a layer, be it as odd as it may.
    ///
    /// # Panics
    /// Never: memory does not fail to be written.
    #[must_use]
    pub fn tar_layer(mut self, tar: Vec<u8>) -> Self {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&tar).expect("memory");
        let blob = gzip.finish().expect("memory");
        self.config.rootfs.diff_ids.push(DiffId(Digest::of(&tar)));
        self.config.history.push(History { created_by: Some("testkit".into()), ..History::default() });
        self.layers.push(Descriptor::of(media_type::OCI_LAYER_GZIP, &blob));
        self.blobs.push((Digest::of(&blob), blob));
        self
    }

    /// The image.
    #[must_use]
    pub fn build(mut self) -> Image {
        let config = self.config.to_bytes();
        let descriptor = Descriptor::of(media_type::OCI_CONFIG, &config);
        self.blobs.push((descriptor.digest.clone(), config));
        let manifest = RawManifest::from_manifest(&Manifest::new(descriptor, self.layers));
        Image { platform: self.platform, manifest, blobs: self.blobs }
    }
}

/// A tar of files and folders owned by root, from name, mode and content. Names are taken as they are: `../x` too.
fn tar<'a>(files: impl IntoIterator<Item = (&'a str, u32, &'a [u8])>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, mode, content) in files {
        let mut header = tar::Header::new_ustar();
        // Not set_path, which refuses the names that hostile tests are about.
        let field = &mut header.as_old_mut().name;
        assert!(name.len() <= field.len(), "a name of at most {} bytes", field.len());
        for (to, from) in field.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        header.set_entry_type(if name.ends_with('/') { tar::EntryType::Directory } else { tar::EntryType::Regular });
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, content).expect("memory");
    }
    tar.into_inner().expect("memory")
}

/// Writes images as an OCI layout with one index, tagged `latest`; returns the index.
///
/// # Panics
/// When it cannot be written.
pub fn write_layout(dir: &Path, images: &[Image]) -> RawManifest {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("a layout");
    let put = |digest: &Digest, bytes: &[u8]| fs::write(blobs.join(digest.hex()), bytes).expect("a blob");
    for image in images {
        put(image.manifest.digest(), image.manifest.bytes());
        for (digest, bytes) in &image.blobs {
            put(digest, bytes);
        }
    }
    let index = RawManifest::from_index(&Index::new(images.iter().map(Image::descriptor).collect()));
    put(index.digest(), index.bytes());
    let mut top = index.descriptor();
    top.annotations.insert("org.opencontainers.image.ref.name".into(), "latest".into());
    let top = serde_json::to_vec(&Index::new(vec![top])).expect("JSON");
    fs::write(dir.join("index.json"), top).expect("index.json");
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("oci-layout");
    index
}
