//! Caches elsewhere: `--cache-to` and `--cache-from`. (For those that are images see [`inline`].)
//!
//! Each step is an artifact of its own: its config is the step's record, its one layer the files that the step left. In a
//! registry it has the tag `<tag>-<key>`, in a folder the same name in an OCI layout. There is no document that lists all steps,
//! so jobs for several platforms write to one cache at the same time without any of them undoing another's, and a build asks only
//! for the steps that it lacks. BuildKit keeps one manifest for all, where the last writer wins.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use archipel_oci::{Descriptor, DiffId, Digest, Document, Manifest, RawManifest, Reference, media_type};
use archipel_store::{Compression, LayerOptions, SnapshotId};
use serde::{Deserialize, Serialize};

use crate::engine::warn;
use crate::exec::{Executor, Output, Record, blocking};
use crate::layout::{self, Layout};
use crate::parts::{Blob, Parts};
use crate::plan::{NodeId, Root};
use crate::progress::Work;
use crate::steps::Steps;
use crate::{Engine, Error, Sink, inline};

/// What an artifact of the cache says it is.
const ARTIFACT: &str = "application/vnd.archipel.cache.step.v1+json";
/// The most that is read of a record.
const MAX_RECORD: u64 = 64 * 1024;
/// How much of a key is in a tag: tags have up to 128 characters, and the rest is the person's.
const KEY_LENGTH: usize = 40;

/// Where a cache is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheLocation {
    /// `type=registry,ref=...`
    Registry(Reference),
    /// `type=local,dest=...` and `src=...`
    Local(PathBuf),
}

/// `--cache-to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheExport {
    /// Where to.
    pub location: CacheLocation,
    /// `mode=max`: every step, and not only those whose files are in the result.
    pub all: bool,
    /// `ignore-error=true`: a cache that cannot be written is told and no reason to fail.
    pub ignore_error: bool,
}

/// The config of an artifact.
#[derive(Debug, Serialize, Deserialize)]
struct Step {
    /// The whole key.
    key: Digest,
    /// What the local cache has under it.
    record: Record,
    diff_id: DiffId,
}

fn name_of(key: &Digest) -> &str {
    key.hex().get(..KEY_LENGTH).unwrap_or(key.hex())
}

impl CacheLocation {
    /// The artifact of a key in a registry.
    fn reference(reference: &Reference, key: &Digest) -> Result<Reference, Error> {
        let tag = format!("{}-{}", reference.tag_or_latest(), name_of(key));
        reference.with_tag(&tag).map_err(|e| Error::Request(format!("cache {reference}: {e}")))
    }
}

impl Executor {
    /// A step that the local cache does not have and one of the caches elsewhere does. It is brought here. A cache that cannot
    /// be asked, or whose content is damaged or gone, is told and no reason to fail: the step can be done.
    pub(crate) async fn imported(&self, key: &Digest, root: &Root) -> Result<Option<Record>, Error> {
        for (n, location) in self.request.cache_from.iter().enumerate().filter(|(n, _)| !self.is_lost(*n)) {
            let told = match self.engine.cached_in(location, key).await {
                Ok(None) => continue,
                Ok(Some((step, layer))) => {
                    let parent = self.materialize(root).await?;
                    self.unpack_step(key, parent, step.record, step.diff_id, layer).await
                }
                Err(e) => Err(e),
            };
            match told {
                Ok(record) => return Ok(Some(record)),
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(e) => {
                    // What is away now is away for the steps that follow: once is enough to wait and to be told.
                    self.lost_caches.lock().unwrap_or_else(PoisonError::into_inner).insert(n);
                    warn(&self.sink.0, format!("the cache {location} cannot be read: {e}"));
                }
            }
        }
        let known = self.inline.get_or_init(|| self.inline_caches()).await;
        let Some(inline::Found { reference, record, diff_id, layer }) = known.get(key).cloned() else {
            return Ok(None);
        };
        let parent = self.materialize(root).await?;
        let brought = async {
            self.engine.fetch(&reference, &layer, &|_| {}).await?;
            self.unpack_step(key, parent, record, diff_id, layer).await
        };
        match brought.await {
            Ok(record) => Ok(Some(record)),
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(e) => {
                warn(&self.sink.0, format!("the cache {} cannot be read: {e}", reference.familiar()));
                Ok(None)
            }
        }
    }

    fn is_lost(&self, n: usize) -> bool {
        self.lost_caches.lock().unwrap_or_else(PoisonError::into_inner).contains(&n)
    }

    /// What the images among the caches say of their layers. One that cannot be read is told.
    async fn inline_caches(&self) -> inline::Known {
        let mut known = inline::Known::new();
        for (_, location) in self.request.cache_from.iter().enumerate().filter(|(n, _)| !self.is_lost(*n)) {
            let CacheLocation::Registry(reference) = location else { continue };
            if let Err(e) = self.engine.inline_steps(reference, &mut known).await {
                warn(&self.sink.0, format!("the cache {location} cannot be read: {e}"));
            }
        }
        known
    }

    async fn unpack_step(
        &self,
        key: &Digest,
        parent: Option<SnapshotId>,
        record: Record,
        diff_id: DiffId,
        layer: Descriptor,
    ) -> Result<Record, Error> {
        let (store, snapshot) = (self.engine.store.clone(), record.snapshot(key));
        blocking(move || store.unpack_as(&layer, &diff_id, parent.as_ref(), &snapshot)).await?;
        Ok(record)
    }
}

impl Engine {
    /// Looks for a step, and fetches its layer.
    async fn cached_in(&self, location: &CacheLocation, key: &Digest) -> Result<Option<(Step, Descriptor)>, Error> {
        let (raw, bytes) = match location {
            CacheLocation::Registry(reference) => {
                let reference = CacheLocation::reference(reference, key)?;
                let raw = match self.client.manifest(&reference).await {
                    Ok(raw) => raw,
                    Err(e) if e.is_not_found() => return Ok(None),
                    Err(e) => return Err(e.into()),
                };
                let (config, layer) = parts_of(&raw)?;
                let bytes = self.document(&reference, &config, MAX_RECORD).await?;
                self.fetch(&reference, &layer, &|_| {}).await?;
                (raw, bytes)
            }
            CacheLocation::Local(folder) => {
                let (folder, key, store) = (folder.clone(), key.clone(), self.store.clone());
                let found = blocking(move || {
                    if !folder.join("index.json").exists() {
                        return Ok(None);
                    }
                    let layout = Layout::open(&folder)?;
                    let Some(entry) = layout.entry(name_of(&key)) else { return Ok(None) };
                    let raw = layout.manifest(&entry)?;
                    let (config, layer) = parts_of(&raw)?;
                    if config.size > MAX_RECORD {
                        return Err(Error::Request(format!("a record of {} bytes is none of ours", config.size)));
                    }
                    layout.bring(&config, &store)?;
                    layout.bring(&layer, &store)?;
                    let bytes = store.blobs().read(&config.digest)?;
                    Ok::<_, Error>(Some((raw, bytes)))
                });
                match found.await? {
                    Some(found) => found,
                    None => return Ok(None),
                }
            }
        };
        let step: Step =
            serde_json::from_slice(&bytes).map_err(|e| Error::Request(format!("a record of {location}: {e}")))?;
        let (_, layer) = parts_of(&raw)?;
        // Only a part of the key is in the name.
        Ok((step.key == *key).then_some((step, layer)))
    }

    /// Writes the steps of a build to the caches that the request names.
    pub(crate) async fn export_cache(
        &self,
        executor: &Arc<Executor>,
        results: &BTreeSet<NodeId>,
        sink: &Sink,
        steps: &Steps,
    ) -> Result<(), Error> {
        for export in &executor.request.cache_to {
            let work = Work::start(sink, steps, format!("exporting cache to {}", export.location), Vec::new());
            let written = self.write_cache(executor, export, results, &work).await;
            match work.finish(written) {
                Err(e) if export.ignore_error => {
                    warn(sink, format!("the cache {} was not written: {e}", export.location))
                }
                other => other?,
            }
        }
        Ok(())
    }

    async fn write_cache(
        &self,
        executor: &Arc<Executor>,
        export: &CacheExport,
        results: &BTreeSet<NodeId>,
        work: &Work,
    ) -> Result<(), Error> {
        for n in 0..executor.plan.nodes.len() {
            let id = NodeId(n);
            if !export.all && !results.contains(&id) {
                continue;
            }
            let output = executor.output(id)?.clone();
            let (parts, key) = self.artifact(output).await?;
            match &export.location {
                CacheLocation::Registry(reference) => {
                    let name = CacheLocation::reference(reference, &key)?;
                    self.publish(&parts, &[name], work).await?;
                }
                CacheLocation::Local(folder) => {
                    let (folder, client, work) = (folder.clone(), self.client.clone(), work.clone());
                    let names = [layout::Name::tag(name_of(&key).to_owned())];
                    let entries = parts.top().map(|top| layout::entries(top, &names)).unwrap_or_default();
                    blocking(move || layout::write_folder(&folder, &parts, entries, &client, &work)).await?;
                }
            }
        }
        Ok(())
    }

    /// A step as an artifact.
    async fn artifact(&self, output: Output) -> Result<(Parts, Digest), Error> {
        let Output { key, record, snapshot, .. } = output;
        let store = self.store.clone();
        let options = LayerOptions { compression: Compression::Gzip { level: None }, epoch: None };
        let layer = blocking(move || store.layer(&snapshot, &options)).await?;
        let step = Step { key, record, diff_id: layer.diff_id };
        let config = serde_json::to_vec(&step).map_err(|e| Error::Request(format!("a record of the cache: {e}")))?;
        let descriptor = Descriptor::of(ARTIFACT, &config);
        let mut manifest = Manifest::new(descriptor.clone(), vec![layer.descriptor.clone()]);
        manifest.artifact_type = Some(ARTIFACT.into());
        let raw = RawManifest::from_manifest(&manifest);
        let store = self.store.clone();
        blocking(move || store.blobs().put(&config)).await?;
        let mut parts = Parts::new();
        for descriptor in [descriptor, layer.descriptor] {
            let file = Some(self.store.blobs().path(&descriptor.digest));
            parts.blobs.insert(descriptor.digest.clone(), Blob { descriptor, file, origin: None });
        }
        parts.add_manifest(raw);
        Ok((parts, step.key))
    }
}

/// The record and the layer of an artifact.
fn parts_of(raw: &RawManifest) -> Result<(Descriptor, Descriptor), Error> {
    let not_ours = || Error::Request(format!("{} is no step of archipel's cache", raw.digest()));
    let Ok(Document::Manifest(manifest)) = raw.parse() else { return Err(not_ours()) };
    match manifest.layers.as_slice() {
        [layer] if manifest.config.media_type == ARTIFACT && media_type::is_layer(&layer.media_type) => {
            Ok((manifest.config.clone(), layer.clone()))
        }
        _ => Err(not_ours()),
    }
}

impl std::fmt::Display for CacheLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Registry(reference) => f.write_str(&reference.familiar()),
            Self::Local(folder) => write!(f, "{}", folder.display()),
        }
    }
}
