//! Attestations in an index, in BuildKit's form: a manifest for each platform's, with the platform `unknown/unknown`, that says
//! whom it is about. Every reader of the time before OCI 1.1 knows it.

use archipel_oci::{Descriptor, DiffId, Digest, ImageConfig, Manifest, Platform, RawManifest, media_type};

/// What a statement is, as a layer.
const STATEMENT: &str = "application/vnd.in-toto+json";

/// A statement as a manifest.
pub(super) struct Attestation {
    pub(super) manifest: RawManifest,
    /// Its entry in the index.
    pub(super) entry: Descriptor,
    /// Config and statement.
    pub(super) blobs: [(Descriptor, Vec<u8>); 2],
}

/// Wraps a statement about a manifest.
pub(super) fn attest(about: &Digest, predicate_type: &str, statement: Vec<u8>) -> Attestation {
    let unknown = Platform {
        architecture: "unknown".into(),
        os: "unknown".into(),
        os_version: None,
        os_features: Vec::new(),
        variant: None,
    };
    let mut config = ImageConfig { architecture: "unknown".into(), os: "unknown".into(), ..ImageConfig::default() };
    config.rootfs.diff_ids.push(DiffId(Digest::of(&statement)));
    let config = config.to_bytes();
    let mut layer = Descriptor::of(STATEMENT, &statement);
    layer.annotations.insert("in-toto.io/predicate-type".into(), predicate_type.into());
    let config_descriptor = Descriptor::of(media_type::OCI_CONFIG, &config);
    let manifest = RawManifest::from_manifest(&Manifest::new(config_descriptor.clone(), vec![layer.clone()]));
    let mut entry = manifest.descriptor();
    entry.platform = Some(unknown);
    entry.annotations.insert("vnd.docker.reference.digest".into(), about.to_string());
    entry.annotations.insert("vnd.docker.reference.type".into(), "attestation-manifest".into());
    Attestation { manifest, entry, blobs: [(config_descriptor, config), (layer, statement)] }
}
