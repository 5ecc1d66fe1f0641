//! The door: one client for all registries.

use std::sync::Arc;
use std::time::Duration;

use archipel_oci::{Descriptor, Index, RawManifest, Reference};

use crate::{BlobSource, BlobStream, Config, Credentials, Error, Pushed, Retry, Secret};

/// What is not about one registry.
#[derive(Debug, Clone)]
pub struct Options {
    /// How we introduce ourselves.
    pub user_agent: String,
    /// Blobs that travel at once to or from one host.
    pub max_requests_per_host: usize,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long nothing may come from a host that should send.
    pub idle_timeout: Duration,
    /// Upload in pieces of this many bytes instead of in one request.
    pub chunk_size: Option<u64>,
    /// What is done again, and when.
    pub retry: Retry,
}

/// A registry client. A clone shares connections, tokens and limits.
#[derive(Clone)]
pub struct Client {
    inner: Arc<()>,
}

impl Client {
    /// A client. Nothing is read or contacted before the first request. Must be used inside a tokio runtime.
    pub fn new(config: Config, credentials: Credentials, options: Options) -> Self {
        unimplemented!()
    }
    /// The descriptor that a reference points to now: HEAD, or GET where the registry's HEAD does not tell. Mirrors first.
    pub async fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        unimplemented!()
    }
    /// The manifest or index itself, by tag or digest. Mirrors first.
    pub async fn manifest(&self, reference: &Reference) -> Result<RawManifest, Error> {
        unimplemented!()
    }
    /// Whether the registry itself (no mirror) has it: what a push asks.
    pub async fn manifest_exists(&self, reference: &Reference) -> Result<Option<Descriptor>, Error> {
        unimplemented!()
    }
    /// Opens a blob for reading from `offset`. Mirrors first.
    pub async fn blob(&self, reference: &Reference, descriptor: &Descriptor, offset: u64) -> Result<BlobStream, Error> {
        unimplemented!()
    }
    /// Makes sure that the repository has the blob: asks, mounts from one of the repositories of the same registry, uploads.
    pub async fn push_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        source: &dyn BlobSource,
        mount_from: &[String],
    ) -> Result<Pushed, Error> {
        unimplemented!()
    }
    /// Puts a manifest or index under the reference's tag, or under its digest where it has no tag... 
    pub async fn push_manifest(&self, reference: &Reference, manifest: &RawManifest) -> Result<(), Error> {
        unimplemented!()
    }
    /// All tags of the repository.
    pub async fn tags(&self, reference: &Reference) -> Result<Vec<String>, Error> {
        unimplemented!()
    }
    /// All repositories of a registry.
    pub async fn catalog(&self, registry: &str) -> Result<Vec<String>, Error> {
        unimplemented!()
    }
    /// Deletes a manifest (by digest) or a tag.
    pub async fn delete_manifest(&self, reference: &Reference) -> Result<(), Error> {
        unimplemented!()
    }
    /// Deletes a blob.
    pub async fn delete_blob(&self, reference: &Reference, digest: &archipel_oci::Digest) -> Result<(), Error> {
        unimplemented!()
    }
    /// What refers to the manifest that the reference names by digest.
    pub async fn referrers(&self, reference: &Reference, artifact_type: Option<&str>) -> Result<Index, Error> {
        unimplemented!()
    }
    /// Whether the registry takes these credentials.
    pub async fn check_login(&self, registry: &str, user: &str, secret: &Secret) -> Result<(), Error> {
        unimplemented!()
    }
}
