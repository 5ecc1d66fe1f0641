//! Manifests as bytes: what was read or will be sent, beside its parsed view.

use serde::{Deserialize, Serialize};

use crate::{Descriptor, Digest, Index, Manifest, media_type};

/// The largest manifest that is read: the limit that registries have (OCI distribution specification, "Pushing Manifests").
pub const MAX_MANIFEST_SIZE: usize = 4 * 1024 * 1024;

/// Why bytes are not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON of the expected form.
    #[error("manifest {digest} is not valid: {source}")]
    Json {
        /// The digest of the bytes.
        digest: Digest,
        /// What the JSON reader says.
        source: serde_json::Error,
    },
    /// A type that is neither an index nor an image manifest.
    #[error("manifest {digest} has the unsupported type `{media_type}`")]
    MediaType {
        /// The digest of the bytes.
        digest: Digest,
        /// The type that was found.
        media_type: String,
    },
    /// More than [`MAX_MANIFEST_SIZE`].
    #[error("manifest has {size} bytes, more than the {MAX_MANIFEST_SIZE} that registries allow")]
    TooLarge {
        /// Its size.
        size: usize,
    },
}

/// A manifest or index, byte for byte. Invariant: `digest` is the digest of `bytes`.
#[derive(Clone, PartialEq, Eq)]
pub struct RawManifest {
    media_type: String,
    digest: Digest,
    bytes: Vec<u8>,
}

/// The parsed view of a [`RawManifest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// An index or manifest list.
    Index(Box<Index>),
    /// An image manifest.
    Manifest(Box<Manifest>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default, deserialize_with = "is_there")]
    manifests: bool,
    #[serde(default, deserialize_with = "is_there")]
    config: bool,
}

/// Some writers put `null` for an empty list: the field is there all the same.
fn is_there<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl RawManifest {
    /// Takes bytes as they came. `declared` is the transport's type (`Content-Type`); the document's own `mediaType` wins
    /// over it, and where both are missing the fields decide.
    pub fn new(bytes: Vec<u8>, declared: Option<&str>) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_MANIFEST_SIZE {
            return Err(ManifestError::TooLarge { size: bytes.len() });
        }
        let digest = Digest::of(&bytes);
        let probe: Probe = match serde_json::from_slice(&bytes) {
            Ok(probe) => probe,
            Err(source) => return Err(ManifestError::Json { digest, source }),
        };
        let declared = declared.map(|d| d.split(';').next().unwrap_or(d).trim());
        let media_type = match probe.media_type.as_deref().or(declared) {
            Some(t) if media_type::is_index(t) || media_type::is_manifest(t) => t,
            other => match (probe.manifests, probe.config) {
                (true, false) => media_type::OCI_INDEX,
                (false, true) => media_type::OCI_MANIFEST,
                _ => return Err(ManifestError::MediaType { digest, media_type: other.unwrap_or("none").into() }),
            },
        };
        Ok(Self { media_type: media_type.into(), digest, bytes })
    }

    /// Writes a manifest of ours.
    #[must_use]
    pub fn from_manifest(manifest: &Manifest) -> Self {
        Self::write(manifest, manifest.media_type.as_deref().unwrap_or(media_type::OCI_MANIFEST))
    }

    /// Writes an index of ours.
    #[must_use]
    pub fn from_index(index: &Index) -> Self {
        Self::write(index, index.media_type.as_deref().unwrap_or(media_type::OCI_INDEX))
    }

    fn write(document: &impl Serialize, media_type: &str) -> Self {
        // Plain structs with string keys: there is nothing in them that JSON cannot hold.
        let bytes = serde_json::to_vec(document).unwrap_or_default();
        Self { media_type: media_type.into(), digest: Digest::of(&bytes), bytes }
    }

    /// Its type.
    #[must_use]
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it is an index.
    #[must_use]
    pub fn is_index(&self) -> bool {
        media_type::is_index(&self.media_type)
    }

    /// What an index or a layout says of it.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type.clone(), self.digest.clone(), self.bytes.len() as u64)
    }

    /// The parsed view.
    pub fn parse(&self) -> Result<Document, ManifestError> {
        let json = |source| ManifestError::Json { digest: self.digest.clone(), source };
        Ok(if self.is_index() {
            Document::Index(Box::new(serde_json::from_slice(&self.bytes).map_err(json)?))
        } else {
            Document::Manifest(Box::new(serde_json::from_slice(&self.bytes).map_err(json)?))
        })
    }
}

impl std::fmt::Debug for RawManifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RawManifest({} {} {} bytes)", self.media_type, self.digest, self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_comes_from_the_document_then_the_transport_then_the_fields() {
        let index = RawManifest::from_index(&Index::new(Vec::new()));
        let again = RawManifest::new(index.bytes().to_vec(), Some("text/plain")).unwrap();
        assert_eq!(again, index);
        let bare = br#"{"schemaVersion":2,"manifests":null}"#.to_vec();
        assert_eq!(RawManifest::new(bare.clone(), None).unwrap().media_type(), media_type::OCI_INDEX);
        let listed =
            RawManifest::new(bare, Some("application/vnd.docker.distribution.manifest.list.v2+json; charset=utf-8"));
        assert_eq!(listed.unwrap().media_type(), media_type::DOCKER_LIST);
        assert!(matches!(RawManifest::new(b"{}".to_vec(), None), Err(ManifestError::MediaType { .. })));
        assert!(matches!(RawManifest::new(b"<html>".to_vec(), None), Err(ManifestError::Json { .. })));
    }
}
