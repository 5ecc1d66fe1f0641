//! Where an image's documents come from: the store if it has them, else the registry.

use archipel_oci::{Descriptor, Document, RawManifest, Reference};
use archipel_remote::Client;
use archipel_store::Store;

use super::shared;
use crate::environment::Environment;
use crate::errors::Error;

/// Configs are small, lists of what is in an image less so. What is larger is neither.
const MAX_DOCUMENT: u64 = 48 << 20;

/// An image, and where its documents are looked for.
pub(super) struct Place {
    pub(super) reference: Reference,
    store: Store,
    client: Client,
}

impl Place {
    /// An image by name, or by id where the store has it.
    pub(super) fn of(image: &str, environment: &Environment) -> Result<Self, Error> {
        let (store, client) = (shared::store(environment)?, shared::client(environment)?);
        Ok(Self { reference: shared::reference(&store, image)?, store, client })
    }

    /// The index or manifest.
    pub(super) async fn top(&self) -> Result<RawManifest, Error> {
        match self.store.resolve_image(&self.reference)? {
            Some(descriptor) => self.manifest(&descriptor).await,
            None => Ok(self.client.manifest(&self.reference).await?),
        }
    }

    pub(super) async fn manifest(&self, descriptor: &Descriptor) -> Result<RawManifest, Error> {
        match shared::stored_manifest(&self.store, descriptor)? {
            Some(manifest) => Ok(manifest),
            None => Ok(self.client.manifest(&self.reference.with_digest(descriptor.digest.clone())).await?),
        }
    }

    /// A config or a statement; nothing if it is too large to be one.
    pub(super) async fn document(&self, descriptor: &Descriptor) -> Result<Option<Vec<u8>>, Error> {
        if descriptor.size > MAX_DOCUMENT {
            return Ok(None);
        }
        if let Some(bytes) = shared::stored_blob(&self.store, &descriptor.digest)? {
            return Ok(Some(bytes));
        }
        let (mut bytes, mut blob) = (vec![], self.client.blob(&self.reference, descriptor, 0).await?);
        while let Some(piece) = blob.chunk().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(Some(bytes))
    }
}

pub(super) fn parse(raw: &RawManifest) -> Result<Document, Error> {
    raw.parse().map_err(|e| Error::Io { what: raw.digest().to_string(), source: std::io::Error::other(e) })
}
