//! Puts an image together: layers of snapshots, configs, manifests, and an index where there are several platforms.

use std::sync::Arc;

use archipel_oci::{Descriptor, DiffId, Digest, ImageConfig, Index, Manifest, RawManifest, Reference, media_type};
use archipel_store::{LayerOptions, SnapshotId, Store};
use tokio::task::JoinSet;

use super::annotations::{Annotations, On};
use super::attestation::attest;
use super::terms::{described, in_terms};
use super::{PlatformResult, ResultLayer};
use crate::engine::rfc3339;
use crate::exec::blocking;
use crate::image::BaseLayer;
use crate::parts::{Blob, Parts};
use crate::progress::Work;
use crate::request::{Compression, ImageOptions};
use crate::{Engine, Error, Request, provenance};

/// When what a descriptor leads to was made (OCI image specification).
const CREATED: &str = "org.opencontainers.image.created";

/// The time that no file of a layer is younger than, where that was asked for (BuildKit's).
const REWRITTEN: &str = "buildkit/rewritten-timestamp";

/// An image that is ready to go somewhere: config and manifests are in the store.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) parts: Parts,
    /// In the order of the build's platforms.
    pub(super) members: Vec<Member>,
    /// The index, or the only manifest.
    pub(super) top: RawManifest,
    /// What leads to the top, with what is noted on it.
    pub(super) entry: Descriptor,
}

/// The image for one platform.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) manifest: Digest,
    pub(super) config: Digest,
    pub(super) layers: Vec<Descriptor>,
}

/// A layer with what a manifest and a config say of it.
#[derive(Clone, Debug)]
struct Layer {
    descriptor: Descriptor,
    diff_id: DiffId,
    origin: Option<Reference>,
}

impl Engine {
    /// Makes the image in the form that the options ask for.
    pub(super) async fn assemble(
        &self,
        request: &Request,
        results: &[PlatformResult],
        options: &ImageOptions,
        attested: Option<&[Reference]>,
        work: &Work,
    ) -> Result<Image, Error> {
        let annotations = Annotations::parse(&request.annotations, &options.annotations)?;
        let single = results.len() == 1 && !request.multi_platform()?;
        if single && attested.is_none() && annotations.need_index() {
            return Err(Error::Request(
                "index annotations not supported for single platform export: there is no index".into(),
            ));
        }
        if options.docker_types && !annotations.is_empty() {
            return Err(Error::Request(
                "Docker's media types have no annotations: leave out oci-mediatypes=false".into(),
            ));
        }
        if options.docker_types && attested.is_some() {
            return Err(Error::Request(
                "Docker's media types have no attestations: leave out oci-mediatypes=false".into(),
            ));
        }
        let mut made = self.layers(results, options, work).await?;
        for layer in made.iter_mut().flatten() {
            layer.descriptor = described(&layer.descriptor, options.docker_types);
            if options.docker_types {
                layer.descriptor.annotations.remove(REWRITTEN);
            }
        }
        let mut parts = Parts::new();
        let (mut members, mut entries, mut documents) = (Vec::new(), Vec::new(), Vec::new());
        for (result, layers) in results.iter().zip(made) {
            let (config, raw) = member(result, &layers, &annotations, options);
            for layer in &layers {
                let blob = || self.stored_blob(layer.descriptor.clone(), layer.origin.as_ref());
                parts.blobs.entry(layer.descriptor.digest.clone()).or_insert_with(blob);
            }
            let descriptor = Descriptor::of(in_terms(media_type::OCI_CONFIG, options.docker_types), &config);
            let file = Some(self.store.blobs().path(&descriptor.digest));
            let digest = descriptor.digest.clone();
            parts.blobs.insert(digest.clone(), Blob { descriptor, file, origin: None });
            members.push(Member {
                manifest: raw.digest().clone(),
                config: digest,
                layers: layers.into_iter().map(|layer| layer.descriptor).collect(),
            });
            let mut entry = raw.descriptor();
            entry.platform = Some(result.platform.clone());
            entry.annotations = annotations.of(On::ManifestDescriptor, Some(&result.platform));
            entries.push(entry);
            documents.push(config);
            documents.push(raw.bytes().to_vec());
            parts.add_manifest(raw);
        }
        if let Some(names) = attested {
            let attested = results.iter().zip(entries.clone()).filter(|(result, _)| !result.attestations.is_empty());
            for (result, about) in attested {
                let subjects = provenance::image_subjects(names, &result.platform, &about.digest);
                let attestation = attest(&about, &result.attestations, &subjects, options.attestation_images);
                for (descriptor, bytes) in attestation.blobs {
                    let (file, digest) = (Some(self.store.blobs().path(&descriptor.digest)), descriptor.digest.clone());
                    parts.blobs.insert(digest, Blob { descriptor, file, origin: None });
                    documents.push(bytes);
                }
                documents.push(attestation.manifest.bytes().to_vec());
                entries.push(attestation.entry);
                parts.add_manifest(attestation.manifest);
            }
        }
        let mut entry = match entries.as_slice() {
            [only] if single => only.clone(),
            _ => {
                let mut index = Index::new(entries);
                index.annotations = annotations.of(On::Index, None);
                index.media_type = Some(in_terms(media_type::OCI_INDEX, options.docker_types).into());
                let raw = RawManifest::from_index(&index);
                documents.push(raw.bytes().to_vec());
                let mut entry = raw.descriptor();
                entry.annotations = annotations.of(On::IndexDescriptor, None);
                parts.add_manifest(raw);
                entry
            }
        };
        if let Some(created) = created(results, options) {
            entry.annotations.entry(CREATED.into()).or_insert(created);
        }
        let store = self.store.clone();
        blocking(move || documents.iter().try_for_each(|bytes| store.blobs().put(bytes).map(drop))).await?;
        let top = parts.top().cloned().ok_or_else(|| Error::Request("there is no platform to build for".into()))?;
        Ok(Image { parts, members, top, entry })
    }

    /// The layers of each platform. A snapshot that several platforms share is made a layer of once.
    async fn layers(
        &self,
        results: &[PlatformResult],
        options: &ImageOptions,
        work: &Work,
    ) -> Result<Vec<Vec<Layer>>, Error> {
        let forced = options.force_compression;
        let options = layer_options(options);
        let mut making = JoinSet::new();
        let mut asked: Vec<&SnapshotId> = Vec::new();
        for layer in results.iter().flat_map(|result| &result.layers) {
            let ResultLayer::Snapshot(id) = layer else { continue };
            if !asked.contains(&id) {
                asked.push(id);
                let (store, id, options) = (self.store.clone(), id.clone(), options.clone());
                making.spawn_blocking(move || layer_of(&store, id, &options));
            }
        }
        let mut made: Vec<(SnapshotId, Layer)> = Vec::new();
        while let Some(ended) = making.join_next().await {
            let (id, layer) = ended.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))?;
            work.add(layer.descriptor.size);
            made.push((id, layer));
        }
        let mut all = Vec::new();
        for result in results {
            let mut layers = Vec::new();
            for layer in &result.layers {
                layers.extend(match layer {
                    ResultLayer::Base { layer, reference } if forced => {
                        Some(self.recompressed(layer, reference, options.compression, work).await?)
                    }
                    ResultLayer::Base { layer, reference } => Some(Layer {
                        descriptor: described(&layer.descriptor, false),
                        diff_id: layer.diff_id.clone(),
                        origin: Some(reference.clone()),
                    }),
                    ResultLayer::Snapshot(id) => {
                        made.iter().find(|(known, _)| known == id).map(|(_, layer)| layer.clone())
                    }
                });
            }
            all.push(layers);
        }
        Ok(all)
    }

    /// A base's layer in another compression; left as it is where it has that one.
    async fn recompressed(
        &self,
        layer: &BaseLayer,
        reference: &Reference,
        compression: archipel_store::Compression,
        work: &Work,
    ) -> Result<Layer, Error> {
        let descriptor = described(&layer.descriptor, false);
        let diff_id = layer.diff_id.clone();
        if descriptor.media_type == compression.media_type() || media_type::is_foreign_layer(&descriptor.media_type) {
            return Ok(Layer { descriptor, diff_id, origin: Some(reference.clone()) });
        }
        self.fetch(reference, &layer.descriptor, &|bytes| work.add(bytes)).await?;
        let store = self.store.clone();
        let descriptor = blocking(move || store.recompress(&descriptor, compression)).await?;
        Ok(Layer { descriptor, diff_id, origin: None })
    }

    /// Fetches what an image has of its bases and the store has not, so that it can be used without their registries.
    pub(super) async fn complete(&self, image: &Image, work: &Work) -> Result<Parts, Error> {
        let mut parts = image.parts.clone();
        let mut fetching = JoinSet::new();
        for blob in parts.blobs.values().filter(|blob| blob.file.is_none()) {
            let Some(origin) = blob.origin.clone() else { continue };
            work.expect(blob.descriptor.size);
            let (engine, descriptor, work) = (self.clone(), blob.descriptor.clone(), work.clone());
            fetching.spawn(async move { engine.fetch(&origin, &descriptor, &|bytes| work.add(bytes)).await });
        }
        while let Some(ended) = fetching.join_next().await {
            ended.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))?;
        }
        for blob in parts.blobs.values_mut() {
            blob.file.get_or_insert_with(|| self.store.blobs().path(&blob.descriptor.digest));
        }
        Ok(parts)
    }
}

/// When an image was made. Not now, as with BuildKit: the same again should be the same, with and without an epoch.
fn created(results: &[PlatformResult], options: &ImageOptions) -> Option<String> {
    let own = |result: &PlatformResult| result.config.created.as_ref()?.parse().ok();
    let newest = || results.iter().filter_map(own).max().map(jiff::Timestamp::as_second);
    options.source_date_epoch.map(|epoch| epoch.0).or_else(newest).map(rfc3339)
}

fn layer_options(options: &ImageOptions) -> LayerOptions {
    let compression = match options.compression.unwrap_or(Compression::Gzip) {
        Compression::Uncompressed => archipel_store::Compression::None,
        Compression::Gzip => archipel_store::Compression::Gzip { level: options.level },
        Compression::Zstd => archipel_store::Compression::Zstd { level: options.level },
    };
    let epoch = options.source_date_epoch.filter(|_| options.rewrite_timestamp).map(|epoch| epoch.0);
    LayerOptions { compression, epoch }
}

fn layer_of(store: &Arc<Store>, id: SnapshotId, options: &LayerOptions) -> Result<(SnapshotId, Layer), Error> {
    let layer = store.layer(&id, options)?;
    let mut descriptor = layer.descriptor;
    if let Some(epoch) = options.epoch {
        descriptor.annotations.insert(REWRITTEN.into(), epoch.to_string());
    }
    Ok((id, Layer { descriptor, diff_id: layer.diff_id, origin: None }))
}

/// The config's bytes and the manifest of one platform.
fn member(
    result: &PlatformResult,
    layers: &[Layer],
    annotations: &Annotations,
    options: &ImageOptions,
) -> (Vec<u8>, RawManifest) {
    let mut config: ImageConfig = result.config.clone();
    config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id.clone()).collect();
    if let Some(epoch) = options.source_date_epoch {
        let own = result.base.as_ref().map_or(0, |base| base.config.history.len());
        let created = Some(rfc3339(epoch.0));
        config.history.iter_mut().skip(own).for_each(|entry| entry.created.clone_from(&created));
        config.created = created;
    }
    let docker = options.docker_types;
    let config = config.to_bytes();
    let descriptor = Descriptor::of(in_terms(media_type::OCI_CONFIG, docker), &config);
    let mut manifest = Manifest::new(descriptor, layers.iter().map(|layer| layer.descriptor.clone()).collect());
    manifest.media_type = Some(in_terms(media_type::OCI_MANIFEST, docker).into());
    manifest.annotations = annotations.of(On::Manifest, Some(&result.platform));
    (config, RawManifest::from_manifest(&manifest))
}

#[cfg(test)]
mod tests;
