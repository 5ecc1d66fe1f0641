//! Attestations in an index, in BuildKit's form: a manifest for each platform's, with the platform `unknown/unknown`, that says
//! whom it is about. Every reader of the time before OCI 1.1 knows it.

use archipel_oci::{Descriptor, DiffId, Digest, ImageConfig, Manifest, Platform, RawManifest, media_type};
use serde_json::Value;

use crate::attestation::Attestation;

/// What a statement is, as a layer.
const STATEMENT: &str = "application/vnd.in-toto+json";

/// The statements about a manifest as a manifest.
pub(super) struct Attested {
    pub(super) manifest: RawManifest,
    /// Its entry in the index.
    pub(super) entry: Descriptor,
    /// Statements and config.
    pub(super) blobs: Vec<(Descriptor, Vec<u8>)>,
}

/// Wraps what is attested of a manifest; `subjects` are its names.
pub(super) fn attest(about: &Digest, attestations: &[Attestation], subjects: &[Value]) -> Attested {
    let unknown = Platform {
        architecture: "unknown".into(),
        os: "unknown".into(),
        os_version: None,
        os_features: Vec::new(),
        variant: None,
    };
    let mut config = ImageConfig { architecture: "unknown".into(), os: "unknown".into(), ..ImageConfig::default() };
    let mut blobs = Vec::new();
    for attestation in attestations {
        let statement = attestation.statement(subjects).to_string().into_bytes();
        let mut layer = Descriptor::of(STATEMENT, &statement);
        layer.annotations.insert("in-toto.io/predicate-type".into(), attestation.predicate_type.clone());
        config.rootfs.diff_ids.push(DiffId(layer.digest.clone()));
        blobs.push((layer, statement));
    }
    let config = config.to_bytes();
    let descriptor = Descriptor::of(media_type::OCI_CONFIG, &config);
    let layers = blobs.iter().map(|(layer, _)| layer.clone()).collect();
    let manifest = RawManifest::from_manifest(&Manifest::new(descriptor.clone(), layers));
    blobs.push((descriptor, config));
    let mut entry = manifest.descriptor();
    entry.platform = Some(unknown);
    entry.annotations.insert("vnd.docker.reference.digest".into(), about.to_string());
    entry.annotations.insert("vnd.docker.reference.type".into(), "attestation-manifest".into());
    Attested { manifest, entry, blobs }
}
