//! Base images: what a name and a platform stand for, without their layers.
//!
//! A name in the store wins unless the registry is to be asked. A tag is resolved once in a process, so that all platforms
//! and stages of a build stand on the same index even while somebody pushes. Manifests and configs are kept in the store by
//! digest, and what is there is not asked for again: a build whose bases are known costs one HEAD for each tag.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use archipel_oci::{
    ChainId, Descriptor, DiffId, Digest, Document, ImageConfig, Index, Manifest, Platform, RawManifest, Reference,
    media_type, select, select_all,
};
use tokio::sync::{OnceCell, OwnedMutexGuard};

use crate::exec::blocking;
use crate::{Engine, Error};

/// The largest image config that is read. Real ones have some kilobytes.
pub(crate) const MAX_CONFIG: u64 = 8 * 1024 * 1024;

/// An image for one platform.
#[derive(Clone, Debug)]
pub(crate) struct BaseImage {
    /// How it was asked for.
    pub(crate) reference: Reference,
    /// What its name stood for: an index's digest, or its own.
    pub(crate) top: Digest,
    pub(crate) config: ImageConfig,
    /// Lowest first.
    pub(crate) layers: Vec<BaseLayer>,
    /// What its config says it is for. An image that is not in an index may be for another platform than was asked for.
    pub(crate) platform: Platform,
}

/// A layer of it.
#[derive(Clone, Debug)]
pub(crate) struct BaseLayer {
    pub(crate) descriptor: Descriptor,
    pub(crate) diff_id: DiffId,
}

impl BaseImage {
    /// The identity of its files; `None` for an image without layers.
    pub(crate) fn chain(&self) -> Option<ChainId> {
        self.config.chain()
    }

    /// The identities of its lowest layer, of its two lowest, and so on.
    pub(crate) fn chains(&self) -> Vec<ChainId> {
        let mut chains: Vec<ChainId> = Vec::new();
        for layer in &self.layers {
            chains.push(ChainId::extend(chains.last(), &layer.diff_id));
        }
        chains
    }
}

/// What an engine remembers of images while it lives.
#[derive(Debug, Default)]
pub(crate) struct Images {
    /// What tags stood for when they were first asked for.
    tops: Mutex<HashMap<Reference, Arc<OnceCell<RawManifest>>>>,
    /// What somebody works on.
    busy: Mutex<HashMap<Job, Weak<tokio::sync::Mutex<()>>>>,
}

/// What two should not do at the same time. Kinds are apart: of an uncompressed layer, blob and chain have one digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Job {
    Fetch(Digest),
    Unpack(ChainId),
}

impl Images {
    /// Waits until nobody else in this process does this, and keeps others from it.
    pub(crate) async fn lock(&self, job: Job) -> OwnedMutexGuard<()> {
        let lock = {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            match busy.get(&job).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    busy.retain(|_, lock| lock.strong_count() > 0);
                    let lock = Arc::new(tokio::sync::Mutex::new(()));
                    busy.insert(job, Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }

    fn top(&self, reference: &Reference) -> Arc<OnceCell<RawManifest>> {
        self.tops.lock().unwrap_or_else(PoisonError::into_inner).entry(reference.clone()).or_default().clone()
    }

    /// A name was given to something else.
    pub(crate) fn forget(&self, reference: &Reference) {
        self.tops.lock().unwrap_or_else(PoisonError::into_inner).remove(reference);
    }
}

impl Engine {
    /// The image of a name for a platform. With `pull` the registry is asked although the name is in the store.
    pub(crate) async fn base_image(
        &self,
        reference: &Reference,
        platform: &Platform,
        pull: bool,
    ) -> Result<Arc<BaseImage>, Error> {
        let local = if pull { None } else { self.local_top(reference).await? };
        let Some(local) = local else {
            let top = self.remote_top(reference).await?;
            return self.variant(reference, &top, platform).await.map(Arc::new);
        };
        let lacking = match self.variant(reference, &local, platform).await {
            Ok(image) if runs(platform, &image.platform) => return Ok(Arc::new(image)),
            Ok(image) => vec![image.platform],
            Err(Error::NoPlatform(missing)) => missing.available,
            Err(e) => return Err(e),
        };
        // What is here was built or pulled for another platform. The registry may have the one that is wanted.
        match self.remote_top(reference).await {
            Ok(top) => self.variant(reference, &top, platform).await.map(Arc::new),
            Err(error) => {
                tracing::debug!(%error, "no other platforms");
                Err(Error::no_platform(reference, platform, lacking))
            }
        }
    }

    /// What the store has under a name.
    pub(crate) async fn local_top(&self, reference: &Reference) -> Result<Option<RawManifest>, Error> {
        let (store, wanted) = (self.store.clone(), reference.clone());
        let found = blocking(move || store.resolve_image(&wanted)).await?;
        match found {
            Some(descriptor) => self.local_manifest(&descriptor).await,
            None => Ok(None),
        }
    }

    /// What the registry has under a name now; asked once for each name.
    pub(crate) async fn remote_top(&self, reference: &Reference) -> Result<RawManifest, Error> {
        let cell = self.images.top(reference);
        let resolve = async || {
            let descriptor = match reference.digest() {
                Some(digest) => Descriptor::new("", digest.clone(), 0),
                None => self.client.resolve(reference).await?,
            };
            self.manifest(reference, &descriptor).await
        };
        cell.get_or_try_init(resolve).await.cloned()
    }

    /// A manifest by digest: the store's, else the registry's, which the store then has.
    pub(crate) async fn manifest(&self, reference: &Reference, descriptor: &Descriptor) -> Result<RawManifest, Error> {
        if let Some(here) = self.local_manifest(descriptor).await? {
            return Ok(here);
        }
        let manifest = self.client.manifest(&reference.with_digest(descriptor.digest.clone())).await?;
        let (store, bytes) = (self.store.clone(), manifest.bytes().to_vec());
        blocking(move || store.blobs().put(&bytes)).await?;
        Ok(manifest)
    }

    /// A manifest by digest from the store.
    pub(crate) async fn local_manifest(&self, descriptor: &Descriptor) -> Result<Option<RawManifest>, Error> {
        let (store, digest) = (self.store.clone(), descriptor.digest.clone());
        let found = blocking(move || match store.blobs().contains(&digest) {
            true => store.blobs().read(&digest).map(Some),
            false => Ok(None),
        })
        .await?;
        let Some(bytes) = found else { return Ok(None) };
        let declared = Some(descriptor.media_type.as_str()).filter(|t| !t.is_empty());
        RawManifest::new(bytes, declared).map(Some).map_err(|e| Error::Request(e.to_string()))
    }

    /// The member of an index for a platform, or the image itself where there is no index.
    pub(crate) async fn variant(
        &self,
        reference: &Reference,
        top: &RawManifest,
        platform: &Platform,
    ) -> Result<BaseImage, Error> {
        let (raw, said) = match parse(reference, top)? {
            Document::Manifest(_) => (top.clone(), None),
            Document::Index(index) => {
                let child = choose(reference, &index, platform)?;
                (self.manifest(reference, child).await?, child.platform.clone())
            }
        };
        let Document::Manifest(manifest) = parse(reference, &raw)? else {
            return Err(Error::Request(format!("{reference} has an index within an index for {platform}")));
        };
        check(reference, &manifest)?;
        let bytes = self.document(reference, &manifest.config, MAX_CONFIG).await?;
        let config = ImageConfig::parse(&bytes)
            .map_err(|e| Error::Request(format!("{reference} has a config that is not valid: {e}")))?;
        assemble(reference, top.digest().clone(), *manifest, config, said.unwrap_or_else(|| platform.clone()))
    }

    /// A small blob, whole.
    pub(crate) async fn document(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, Error> {
        if descriptor.size > limit {
            let size = descriptor.size;
            return Err(Error::Request(format!("{reference} has a config of {size} bytes; up to {limit} are read")));
        }
        self.fetch(reference, descriptor, &|_| {}).await?;
        let (store, digest) = (self.store.clone(), descriptor.digest.clone());
        Ok(blocking(move || store.blobs().read(&digest)).await?)
    }
}

/// Whether a machine for `want` runs `have`.
pub(crate) fn runs(want: &Platform, have: &Platform) -> bool {
    want.distance(have).is_some()
}

pub(crate) fn parse(reference: &Reference, raw: &RawManifest) -> Result<Document, Error> {
    raw.parse().map_err(|e| Error::Request(format!("{reference}: {e}")))
}

/// The same architecture first; else a smaller one that the machine also runs (386 on amd64).
pub(crate) fn choose<'a>(
    reference: &Reference,
    index: &'a Index,
    platform: &Platform,
) -> Result<&'a Descriptor, Error> {
    select(index, platform, false)
        .or_else(|| select(index, platform, true))
        .ok_or_else(|| Error::no_platform(reference, platform, select_all(index)))
}

/// Whether a manifest is an image and not some artifact in an image's clothes.
fn check(reference: &Reference, manifest: &Manifest) -> Result<(), Error> {
    let config = manifest.config.media_type.as_str();
    if !matches!(config, media_type::OCI_CONFIG | media_type::DOCKER_CONFIG) {
        return Err(Error::Request(format!("{reference} is not an image: its config has the type `{config}`")));
    }
    match manifest.layers.iter().find(|layer| !media_type::is_layer(&layer.media_type)) {
        Some(layer) => {
            Err(Error::Request(format!("{reference} is not an image: a layer has the type `{}`", layer.media_type)))
        }
        None => Ok(()),
    }
}

fn assemble(
    reference: &Reference,
    top: Digest,
    manifest: Manifest,
    config: ImageConfig,
    said: Platform,
) -> Result<BaseImage, Error> {
    let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
    if layers != diff_ids {
        return Err(Error::Request(format!(
            "{reference} is damaged: its manifest has {layers} layers and its config names {diff_ids}"
        )));
    }
    let pairs = manifest.layers.into_iter().zip(config.rootfs.diff_ids.iter().cloned());
    let layers = pairs.map(|(descriptor, diff_id)| BaseLayer { descriptor, diff_id }).collect();
    // Some images made by hand do not say.
    let platform = if config.os.is_empty() || config.architecture.is_empty() { said } else { config.platform() };
    Ok(BaseImage { reference: reference.clone(), top, config, layers, platform })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(config: &str, layer: &str) -> Manifest {
        let config = Descriptor::of(config, b"{}");
        Manifest::new(config, vec![Descriptor::of(layer, b"layer")])
    }

    #[test]
    fn artifacts_are_no_images() {
        let reference: Reference = "example.com/x:1".parse().unwrap();
        let image = manifest(media_type::DOCKER_CONFIG, media_type::OCI_LAYER_ZSTD);
        assert!(check(&reference, &image).is_ok());
        for (config, layer) in
            [(media_type::OCI_EMPTY, media_type::OCI_LAYER), (media_type::OCI_CONFIG, "application/vnd.in-toto+json")]
        {
            let error = check(&reference, &manifest(config, layer)).unwrap_err().to_string();
            assert!(error.contains("example.com/x:1 is not an image"), "{error}");
        }
    }

    #[test]
    fn layers_and_diff_ids_must_agree() {
        let reference: Reference = "example.com/x:1".parse().unwrap();
        let image = manifest(media_type::OCI_CONFIG, media_type::OCI_LAYER);
        let mut config = ImageConfig::default();
        let said = Platform::new("linux", "arm64", None);
        assert!(assemble(&reference, Digest::of(b"top"), image.clone(), config.clone(), said.clone()).is_err());
        config.rootfs.diff_ids.push(DiffId(Digest::of(b"layer")));
        let base = assemble(&reference, Digest::of(b"top"), image, config, said.clone()).unwrap();
        assert_eq!((base.platform, base.layers.len()), (said, 1));
    }

    #[test]
    fn a_smaller_architecture_where_there_is_no_other() {
        let reference: Reference = "example.com/x:1".parse().unwrap();
        let child = |p: &str| {
            let mut d = Descriptor::of(media_type::OCI_MANIFEST, p.as_bytes());
            d.platform = Some(p.parse().unwrap());
            d
        };
        let index = Index::new(vec![child("linux/386"), child("linux/arm64")]);
        let chosen = |p: &str| choose(&reference, &index, &p.parse().unwrap()).map(|d| d.platform.clone().unwrap());
        assert_eq!(chosen("linux/amd64").unwrap().to_string(), "linux/386");
        let error = chosen("linux/s390x").unwrap_err().to_string();
        assert!(error.contains("no image for linux/s390x; it has linux/386, linux/arm64"), "{error}");
    }

    #[tokio::test]
    async fn one_at_a_time_for_each_job() {
        let images = Images::default();
        let digest = Digest::of(b"a");
        let held = images.lock(Job::Fetch(digest.clone())).await;
        let _other = images.lock(Job::Unpack(ChainId(digest.clone()))).await;
        let mut waiting = std::pin::pin!(images.lock(Job::Fetch(digest)));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        drop(held);
        waiting.await;
    }
}
