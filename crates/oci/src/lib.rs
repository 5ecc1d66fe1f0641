//! Digests, references, platforms, manifests, indexes and image configs: the nouns of the field, pure, without I/O.
//!
//! Two rules hold everywhere. A document that somebody else wrote is never written again: [`RawManifest`] and
//! [`ImageConfig`] keep what was read, because a digest is over bytes and a field that we do not know may matter to
//! somebody. And identities that look alike are different types: a [`Digest`] names stored bytes, a [`DiffId`] names the
//! uncompressed tar of a layer, a [`ChainId`] names a stack of layers.
#![forbid(unsafe_code)]

mod config;
mod descriptor;
mod digest;
mod index;
mod manifest;
pub mod media_type;
mod platform;
mod raw;
mod reference;
mod select;

pub use config::{ContainerConfig, Healthcheck, History, ImageConfig, RootFs};
pub use descriptor::Descriptor;
pub use digest::{Algorithm, ChainId, DiffId, Digest, DigestError, Hasher};
pub use index::Index;
pub use manifest::Manifest;
pub use platform::{Platform, PlatformError};
pub use raw::{Document, MAX_MANIFEST_SIZE, ManifestError, RawManifest};
pub use reference::{DOCKER_HUB, Reference, ReferenceError, is_loopback, valid_repository, valid_tag};
pub use select::{ATTESTED, attested, is_attestation, select, select_all};
