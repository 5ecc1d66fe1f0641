//! What docker's templates see of an image's platforms beside their manifests: configs, and what is attested of them.

use archipel_oci::{Descriptor, Document, RawManifest, attested, is_attestation};
use serde_json::{Map, Value, json};

use super::place::{Place, parse};
use crate::errors::Error;

const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";
const SPDX: &str = "https://spdx.dev/Document";
const SLSA: &str = "https://slsa.dev/provenance/";

/// The parts that a template may ask for. Each is something to fetch, so only what is asked for is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The configs.
    Image,
    /// How it was made.
    Provenance,
    /// What is in it.
    Sbom,
}

impl Part {
    pub(super) const ALL: [Self; 3] = [Self::Image, Self::Provenance, Self::Sbom];

    /// Its field in a template.
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::Image => "Image",
            Self::Provenance => "Provenance",
            Self::Sbom => "SBOM",
        }
    }
}

/// A part of an image: of one for several platforms, by platform; of one that stands alone or is for one platform, itself.
pub(super) async fn part(place: &Place, top: &RawManifest, part: Part) -> Result<Value, Error> {
    let index = match parse(top)? {
        Document::Manifest(manifest) if part == Part::Image => return json_of(place, &manifest.config).await,
        Document::Manifest(_) => return Ok(json!({})),
        Document::Index(index) => index,
    };
    let (attestations, images): (Vec<_>, Vec<_>) = index.manifests.iter().partition(|child| is_attestation(child));
    let mut found = Map::new();
    for image in &images {
        let Some(platform) = &image.platform else { continue };
        let value = match part {
            Part::Image => match parse(&place.manifest(image).await?)? {
                Document::Manifest(manifest) => json_of(place, &manifest.config).await?,
                Document::Index(_) => continue,
            },
            Part::Provenance | Part::Sbom => {
                let mut predicates = Vec::new();
                for attestation in attestations.iter().filter(|child| attested(child) == Some(image.digest.as_str())) {
                    predicates.extend(self::predicates(place, attestation, part).await?);
                }
                named(part, predicates)
            }
        };
        found.insert(platform.to_string(), value);
    }
    let alone = (found.len() == 1).then(|| found.values().next().cloned()).flatten();
    Ok(alone.unwrap_or(Value::Object(found)))
}

/// The predicates of one kind in an attestation.
async fn predicates(place: &Place, attestation: &Descriptor, part: Part) -> Result<Vec<Value>, Error> {
    let Document::Manifest(manifest) = parse(&place.manifest(attestation).await?)? else { return Ok(Vec::new()) };
    let wanted = |layer: &&Descriptor| {
        let kind = layer.annotations.get(PREDICATE_TYPE);
        kind.is_some_and(|kind| if part == Part::Sbom { kind == SPDX } else { kind.starts_with(SLSA) })
    };
    let mut found = Vec::new();
    for layer in manifest.layers.iter().filter(wanted) {
        found.push(json_of(place, layer).await?["predicate"].take());
    }
    Ok(found)
}

/// Docker's names for them.
fn named(part: Part, mut predicates: Vec<Value>) -> Value {
    if predicates.is_empty() {
        return json!({});
    }
    let first = predicates.remove(0);
    match part {
        Part::Sbom if predicates.is_empty() => json!({ "SPDX": first }),
        Part::Sbom => json!({ "SPDX": first, "AdditionalSPDXs": predicates }),
        Part::Image | Part::Provenance => json!({ "SLSA": first }),
    }
}

async fn json_of(place: &Place, descriptor: &Descriptor) -> Result<Value, Error> {
    let told = |source| Error::Io { what: format!("{} of {}", descriptor.digest, place.reference), source };
    let bytes = place.document(descriptor).await?;
    let bytes = bytes.ok_or_else(|| told(std::io::Error::other("it is too large for what it should be")))?;
    serde_json::from_slice(&bytes).map_err(|e| told(e.into()))
}
