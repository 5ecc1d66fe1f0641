//! Attestations in an index, in BuildKit's form: a manifest for each platform's, with the platform `unknown/unknown`, that says
//! whom it is about. Every reader of the time before OCI 1.1 knows it.

use std::collections::BTreeMap;

use archipel_oci::{Descriptor, DiffId, ImageConfig, Manifest, Platform, RawManifest, media_type};
use serde_json::Value;

use crate::attestation::Attestation;

/// What a statement is, as a layer.
const STATEMENT: &str = "application/vnd.in-toto+json";

/// What statements together are, as an artifact (BuildKit's).
const ARTIFACT: &str = "application/vnd.docker.attestation.manifest.v1+json";

/// The statements about a manifest as a manifest.
pub(super) struct Attested {
    pub(super) manifest: RawManifest,
    /// Its entry in the index.
    pub(super) entry: Descriptor,
    /// Statements and config.
    pub(super) blobs: Vec<(Descriptor, Vec<u8>)>,
}

/// Wraps what is attested of a manifest; `subjects` are its names. As an artifact it also refers to the manifest itself, so that a
/// registry can be asked for it (OCI 1.1, "Listing Referrers"). As an image it does not.
pub(super) fn attest(about: &Descriptor, attestations: &[Attestation], subjects: &[Value], image: bool) -> Attested {
    let mut blobs = Vec::new();
    for attestation in attestations {
        let statement = attestation.statement(subjects).to_string().into_bytes();
        let mut layer = Descriptor::of(STATEMENT, &statement);
        layer.annotations.insert("in-toto.io/predicate-type".into(), attestation.predicate_type.clone());
        blobs.push((layer, statement));
    }
    let layers: Vec<Descriptor> = blobs.iter().map(|(layer, _)| layer.clone()).collect();
    let (kind, config) = match image {
        true => (media_type::OCI_CONFIG, config(&layers)),
        false => (media_type::OCI_EMPTY, b"{}".to_vec()),
    };
    let descriptor = Descriptor::of(kind, &config);
    let mut manifest = Manifest::new(descriptor.clone(), layers);
    if !image {
        let subject = Descriptor { annotations: BTreeMap::new(), platform: None, ..about.clone() };
        (manifest.artifact_type, manifest.subject) = (Some(ARTIFACT.into()), Some(subject));
    }
    let manifest = RawManifest::from_manifest(&manifest);
    blobs.push((descriptor, config));
    let mut entry = manifest.descriptor();
    entry.platform = Some(unknown());
    entry.annotations.insert("vnd.docker.reference.digest".into(), about.digest.to_string());
    entry.annotations.insert("vnd.docker.reference.type".into(), "attestation-manifest".into());
    Attested { manifest, entry, blobs }
}

/// The config of an image that nobody runs.
fn config(layers: &[Descriptor]) -> Vec<u8> {
    let Platform { architecture, os, .. } = unknown();
    let mut config = ImageConfig { architecture, os, ..ImageConfig::default() };
    config.rootfs.diff_ids.extend(layers.iter().map(|layer| DiffId(layer.digest.clone())));
    config.to_bytes()
}

fn unknown() -> Platform {
    let unknown = || "unknown".to_owned();
    Platform { architecture: unknown(), os: unknown(), os_version: None, os_features: Vec::new(), variant: None }
}
