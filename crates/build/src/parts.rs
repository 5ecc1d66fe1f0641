//! An image in all its parts: what is pushed, copied and written to layouts.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use archipel_oci::{Descriptor, Digest, Document, Manifest, RawManifest, Reference, media_type};
use archipel_remote::{BlobSource, BlobStream, Client};
use bytes::Bytes;

use crate::Error;
use crate::progress::Share;

/// An index within an index within an index is more than anybody has.
const MAX_DEPTH: usize = 3;
/// More manifests than the largest index has.
const MAX_MANIFESTS: usize = 2000;

/// Manifests and blobs, each once.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    /// Children before parents; the top is the last.
    manifests: Vec<RawManifest>,
    pub(crate) blobs: BTreeMap<Digest, Blob>,
}

/// A blob, and where its bytes are.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(crate) descriptor: Descriptor,
    /// A file that holds it.
    pub(crate) file: Option<PathBuf>,
    /// A repository that has it.
    pub(crate) origin: Option<Reference>,
}

impl Parts {
    /// Begins with nothing.
    pub(crate) fn new() -> Self {
        Self { manifests: Vec::new(), blobs: BTreeMap::new() }
    }

    /// Walks an image from its top. `get` gives an index's child, or nothing where it should be left out; `place` says where
    /// a blob is.
    pub(crate) async fn gather(
        top: RawManifest,
        get: impl AsyncFn(&Descriptor) -> Result<Option<RawManifest>, Error>,
        place: impl Fn(Descriptor) -> Blob,
    ) -> Result<Self, Error> {
        let mut parts = Self::new();
        // Breadth first, then turned round: a child that also stands higher up comes before all its parents.
        let mut found = vec![top];
        let mut level = 0..1;
        for depth in 0.. {
            let mut next = Vec::new();
            for raw in &found[level.clone()] {
                match raw.parse().map_err(|e| Error::Request(e.to_string()))? {
                    Document::Manifest(manifest) => parts.add_blobs(&manifest, &place),
                    Document::Index(index) => {
                        for child in &index.manifests {
                            next.extend(get(child).await?);
                        }
                    }
                }
            }
            if next.is_empty() {
                break;
            }
            if depth == MAX_DEPTH || found.len() + next.len() > MAX_MANIFESTS {
                return Err(Error::Request(format!("the index {} has too many children", found[0].digest())));
            }
            level = found.len()..found.len() + next.len();
            found.extend(next);
        }
        for raw in found.into_iter().rev() {
            parts.add_manifest(raw);
        }
        Ok(parts)
    }

    /// Adds a manifest. Its children must be there already.
    pub(crate) fn add_manifest(&mut self, raw: RawManifest) {
        if !self.manifests.iter().any(|m| m.digest() == raw.digest()) {
            self.manifests.push(raw);
        }
    }

    /// Adds all of another image.
    pub(crate) fn join(&mut self, other: Self) {
        other.manifests.into_iter().for_each(|raw| self.add_manifest(raw));
        self.blobs.extend(other.blobs);
    }

    fn add_blobs(&mut self, manifest: &Manifest, place: &impl Fn(Descriptor) -> Blob) {
        for descriptor in blobs_of(manifest) {
            self.blobs.entry(descriptor.digest.clone()).or_insert_with(|| place(descriptor.clone()));
        }
    }

    /// The top; nothing for an image without any part.
    pub(crate) fn top(&self) -> Option<&RawManifest> {
        self.manifests.last()
    }

    /// Children before parents; the top is the last.
    pub(crate) fn manifests(&self) -> &[RawManifest] {
        &self.manifests
    }

    /// The blobs of one of the manifests.
    pub(crate) fn blobs_of(&self, raw: &RawManifest) -> Result<Vec<&Blob>, Error> {
        match raw.parse().map_err(|e| Error::Request(e.to_string()))? {
            Document::Index(_) => Ok(Vec::new()),
            Document::Manifest(manifest) => Ok(blobs_of(&manifest).filter_map(|d| self.blobs.get(&d.digest)).collect()),
        }
    }
}

/// Config and layers, without layers that lie elsewhere than in registries.
pub(crate) fn blobs_of(manifest: &Manifest) -> impl Iterator<Item = &Descriptor> {
    let distributed = |d: &&Descriptor| !media_type::is_foreign_layer(&d.media_type) || d.urls.is_empty();
    std::iter::once(&manifest.config).chain(&manifest.layers).filter(distributed)
}

impl Blob {
    /// Its bytes from an offset on. A registry is asked at the first read, which must come from a thread that may block.
    pub(crate) fn open(&self, client: &Client, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        match (&self.file, &self.origin) {
            (Some(path), _) => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(offset))?;
                Ok(Box::new(file))
            }
            (None, Some(origin)) => Ok(Box::new(Far {
                client: client.clone(),
                origin: origin.clone(),
                descriptor: self.descriptor.clone(),
                offset,
                runtime: tokio::runtime::Handle::current(),
                stream: None,
                piece: Bytes::new(),
            })),
            (None, None) => Err(io::Error::new(io::ErrorKind::NotFound, "it is not here")),
        }
    }
}

/// A blob in a registry as a reader: so that it goes from one registry to another without being stored.
struct Far {
    client: Client,
    origin: Reference,
    descriptor: Descriptor,
    offset: u64,
    runtime: tokio::runtime::Handle,
    stream: Option<BlobStream>,
    piece: Bytes,
}

impl Read for Far {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            let runtime = self.runtime.clone();
            self.piece = runtime.block_on(self.next()).map_err(io::Error::other)?;
        }
        let n = buffer.len().min(self.piece.len());
        buffer[..n].copy_from_slice(&self.piece.split_to(n));
        Ok(n)
    }
}

impl Far {
    async fn next(&mut self) -> Result<Bytes, archipel_remote::Error> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(self.client.blob(&self.origin, &self.descriptor, self.offset).await?),
        };
        loop {
            match stream.chunk().await? {
                Some(piece) if piece.is_empty() => {}
                piece => return Ok(piece.unwrap_or_default()),
            }
        }
    }
}

/// A blob on its way to a registry.
pub(crate) struct Sending {
    pub(crate) client: Client,
    pub(crate) blob: Blob,
    pub(crate) share: Share,
}

impl BlobSource for Sending {
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        self.blob.open(&self.client, offset)
    }

    fn progress(&self, sent: u64) {
        self.share.at(sent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use archipel_oci::Index;

    fn image(name: &str) -> RawManifest {
        let layer = Descriptor::of(media_type::OCI_LAYER, b"shared");
        RawManifest::from_manifest(&Manifest::new(Descriptor::of(media_type::OCI_CONFIG, name.as_bytes()), vec![layer]))
    }

    fn here(descriptor: Descriptor) -> Blob {
        Blob { descriptor, file: None, origin: None }
    }

    #[tokio::test]
    async fn children_come_first_and_shared_blobs_once() {
        let children = [image("a"), image("b")];
        let index = RawManifest::from_index(&Index::new(children.iter().map(RawManifest::descriptor).collect()));
        let get = async |d: &Descriptor| Ok(children.iter().find(|c| *c.digest() == d.digest).cloned());
        let parts = Parts::gather(index.clone(), get, here).await.unwrap();
        assert_eq!(parts.manifests().len(), 3);
        assert_eq!(parts.top(), Some(&index));
        assert_eq!(parts.blobs.len(), 3);
        assert_eq!(parts.blobs_of(&children[0]).unwrap().len(), 2);
        // One child is not wanted.
        let get = async |d: &Descriptor| Ok((d.digest == *children[1].digest()).then(|| children[1].clone()));
        let parts = Parts::gather(index, get, here).await.unwrap();
        assert_eq!((parts.manifests().len(), parts.blobs.len()), (2, 2));
    }

    #[tokio::test]
    async fn an_index_that_never_ends_is_refused() {
        let mut raw = image("a");
        let mut all = Vec::new();
        for _ in 0..6 {
            all.push(raw.clone());
            raw = RawManifest::from_index(&Index::new(vec![raw.descriptor()]));
        }
        let get = async |d: &Descriptor| Ok(all.iter().find(|c| *c.digest() == d.digest).cloned());
        assert!(Parts::gather(raw, get, here).await.is_err());
    }

    #[test]
    fn foreign_layers_stay_where_they_are() {
        let mut foreign = Descriptor::of("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", b"x");
        foreign.urls.push("https://elsewhere.example/x".into());
        let manifest = Manifest::new(Descriptor::of(media_type::DOCKER_CONFIG, b"{}"), vec![foreign]);
        assert_eq!(blobs_of(&manifest).count(), 1);
    }
}
