//! Caches that are images: an image's config says which step of its build each of its own layers is (`--cache-to type=inline`,
//! `BUILDKIT_INLINE_CACHE`). So whoever has the image has the cache, and nothing else must be pushed or kept.

use std::collections::HashMap;

use archipel_oci::{Descriptor, DiffId, Digest, Document, ImageConfig, RawManifest, Reference, is_attestation};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::exec::Record;
use crate::image::{self, MAX_CONFIG};
use crate::{Engine, Error};

/// Where it stands in a config. BuildKit's own field, `moby.buildkit.cache.v0`, is about its own keys.
const FIELD: &str = "archipel.cache.v1";
/// More platforms than any image has.
const MAX_PLATFORMS: usize = 64;

/// A layer of an image, and the step that made it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The layer's place, from 0.
    pub(crate) layer: usize,
    pub(crate) key: Digest,
    pub(crate) record: Record,
}

/// A step that an image elsewhere has.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) reference: Reference,
    pub(crate) record: Record,
    pub(crate) diff_id: DiffId,
    pub(crate) layer: Descriptor,
}

/// By the steps' keys.
pub(crate) type Known = HashMap<Digest, Found>;

/// Writes what a build knows of its layers; what a base image's build knew is not for this one.
pub(crate) fn write(config: &mut ImageConfig, entries: Option<&[Entry]>) {
    config.extra.remove(FIELD);
    if let Some(entries) = entries {
        config.extra.insert(FIELD.into(), json!(entries));
    }
}

impl Engine {
    /// Reads the steps of an image, all platforms. One that is not there, or says nothing of its steps, has none.
    pub(crate) async fn inline_steps(&self, reference: &Reference, known: &mut Known) -> Result<(), Error> {
        let raw = match self.client.manifest(reference).await {
            Ok(raw) => raw,
            Err(e) if e.is_not_found() => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        let mut manifests = vec![raw];
        if let Document::Index(index) = image::parse(reference, &manifests[0])? {
            manifests.clear();
            for child in index.manifests.iter().filter(|child| !is_attestation(child)).take(MAX_PLATFORMS) {
                manifests.push(self.client.manifest(&reference.with_digest(child.digest.clone())).await?);
            }
        }
        for raw in &manifests {
            self.steps_of(reference, raw, known).await?;
        }
        Ok(())
    }

    async fn steps_of(&self, reference: &Reference, raw: &RawManifest, known: &mut Known) -> Result<(), Error> {
        let Document::Manifest(manifest) = image::parse(reference, raw)? else { return Ok(()) };
        let config = self.document(reference, &manifest.config, MAX_CONFIG).await?;
        // What is no image has no steps.
        let Ok(mut config) = ImageConfig::parse(&config) else { return Ok(()) };
        let Some(entries) = config.extra.remove(FIELD) else { return Ok(()) };
        let Ok(entries) = serde_json::from_value::<Vec<Entry>>(entries) else { return Ok(()) };
        for Entry { layer, key, record } in entries {
            let both = manifest.layers.get(layer).zip(config.rootfs.diff_ids.get(layer));
            if let Some((layer, diff_id)) = both {
                let (layer, diff_id) = (layer.clone(), diff_id.clone());
                known.entry(key).or_insert(Found { reference: reference.clone(), record, diff_id, layer });
            }
        }
        Ok(())
    }
}
