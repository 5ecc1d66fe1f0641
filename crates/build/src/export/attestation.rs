//! Attestations in an index, in BuildKit's form: a manifest for each platform's, with the platform `unknown/unknown`, that says
//! whom it is about. It is an artifact with a subject; or an image, as readers of the time before OCI 1.1 know it.

use archipel_oci::{Descriptor, DiffId, Digest, ImageConfig, Manifest, Platform, RawManifest, media_type};

/// What a statement is, as a layer.
const STATEMENT: &str = "application/vnd.in-toto+json";
/// What its manifest is, as an artifact.
const ARTIFACT: &str = "application/vnd.docker.attestation.manifest.v1+json";
/// The content of an artifact that has no configuration, and the same in base64.
const NOTHING: (&[u8], &str) = (b"{}", "e30=");

/// A statement as a manifest.
pub(super) struct Attestation {
    pub(super) manifest: RawManifest,
    /// Its entry in the index.
    pub(super) entry: Descriptor,
    /// Config and statement.
    pub(super) blobs: [(Descriptor, Vec<u8>); 2],
}

/// Wraps a statement about a manifest.
pub(super) fn attest(about: &Descriptor, predicate_type: &str, statement: Vec<u8>, artifact: bool) -> Attestation {
    let unknown = Platform {
        architecture: "unknown".into(),
        os: "unknown".into(),
        os_version: None,
        os_features: Vec::new(),
        variant: None,
    };
    let mut layer = Descriptor::of(STATEMENT, &statement);
    layer.annotations.insert("in-toto.io/predicate-type".into(), predicate_type.into());
    let (config_descriptor, config) = if artifact { no_config() } else { config(&statement) };
    let mut manifest = Manifest::new(config_descriptor.clone(), vec![layer.clone()]);
    if artifact {
        manifest.artifact_type = Some(ARTIFACT.into());
        manifest.subject = Some(Descriptor::new(about.media_type.clone(), about.digest.clone(), about.size));
    }
    let manifest = RawManifest::from_manifest(&manifest);
    let mut entry = manifest.descriptor();
    entry.platform = Some(unknown);
    entry.annotations.insert("vnd.docker.reference.digest".into(), about.digest.to_string());
    entry.annotations.insert("vnd.docker.reference.type".into(), "attestation-manifest".into());
    Attestation { manifest, entry, blobs: [(config_descriptor, config), (layer, statement)] }
}

fn no_config() -> (Descriptor, Vec<u8>) {
    let (content, encoded) = NOTHING;
    let mut descriptor = Descriptor::of(media_type::OCI_EMPTY, content);
    descriptor.data = Some(encoded.into());
    (descriptor, content.to_vec())
}

/// The statement as a layer of an image.
fn config(statement: &[u8]) -> (Descriptor, Vec<u8>) {
    let mut config = ImageConfig { architecture: "unknown".into(), os: "unknown".into(), ..ImageConfig::default() };
    config.rootfs.diff_ids.push(DiffId(Digest::of(statement)));
    let config = config.to_bytes();
    (Descriptor::of(media_type::OCI_CONFIG, &config), config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_or_an_image() {
        let about = Descriptor::of(media_type::OCI_MANIFEST, b"image");
        let made = |artifact| {
            let attestation = attest(&about, "https://slsa.dev/provenance/v1", b"{}".to_vec(), artifact);
            serde_json::from_slice::<serde_json::Value>(attestation.manifest.bytes()).unwrap()
        };
        let artifact = made(true);
        assert_eq!(artifact["artifactType"], ARTIFACT);
        assert_eq!(artifact["subject"]["digest"], about.digest.as_str());
        assert_eq!(artifact["config"]["mediaType"], "application/vnd.oci.empty.v1+json");
        assert_eq!(artifact["config"]["data"], "e30=");
        let image = made(false);
        assert!(image.get("subject").is_none() && image.get("artifactType").is_none());
        assert_eq!(image["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
    }
}
