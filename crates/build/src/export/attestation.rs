//! Attestations in an index, in BuildKit's form: a manifest for each platform's, with the platform `unknown/unknown`, that says
//! whom it is about. It is an artifact with a subject; or an image, as readers of the time before OCI 1.1 know it.

use archipel_oci::{ATTESTED, Descriptor, DiffId, ImageConfig, Manifest, Platform, RawManifest, media_type};
use serde_json::Value;

use crate::attestation::Attestation;

/// What a statement is, as a layer.
const STATEMENT: &str = "application/vnd.in-toto+json";
/// What its manifest is, as an artifact.
const ARTIFACT: &str = "application/vnd.docker.attestation.manifest.v1+json";
/// The content of an artifact that has no configuration, and the same in base64.
const NOTHING: (&[u8], &str) = (b"{}", "e30=");

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
        false => (media_type::OCI_EMPTY, NOTHING.0.to_vec()),
    };
    let mut descriptor = Descriptor::of(kind, &config);
    descriptor.data = (!image).then(|| NOTHING.1.into());
    let mut manifest = Manifest::new(descriptor.clone(), layers);
    if !image {
        let subject = Descriptor::new(about.media_type.clone(), about.digest.clone(), about.size);
        (manifest.artifact_type, manifest.subject) = (Some(ARTIFACT.into()), Some(subject));
    }
    let manifest = RawManifest::from_manifest(&manifest);
    blobs.push((descriptor, config));
    let mut entry = manifest.descriptor();
    entry.platform = Some(unknown());
    entry.annotations.insert(ATTESTED.into(), about.digest.to_string());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_or_an_image() {
        let about = Descriptor::of(media_type::OCI_MANIFEST, b"image");
        let attestation = Attestation {
            file: "provenance.json".into(),
            predicate_type: "https://slsa.dev/provenance/v1".into(),
            predicate: Value::Null,
            subjects: Vec::new(),
        };
        let made = |image| {
            let attested = attest(&about, std::slice::from_ref(&attestation), &[], image);
            serde_json::from_slice::<Value>(attested.manifest.bytes()).unwrap()
        };
        let artifact = made(false);
        assert_eq!(artifact["artifactType"], ARTIFACT);
        assert_eq!(artifact["subject"]["digest"], about.digest.as_str());
        assert_eq!(artifact["config"]["mediaType"], "application/vnd.oci.empty.v1+json");
        assert_eq!(artifact["config"]["data"], "e30=");
        let image = made(true);
        assert!(image.get("subject").is_none() && image.get("artifactType").is_none());
        assert_eq!(image["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
    }
}
