//! The facade: what a command holds to build, move and run images.

use std::sync::Arc;

use archipel_oci::Digest;
use archipel_remote::Client;
use archipel_sandbox::emulation::Emulation;
use archipel_store::Store;

use crate::{Error, How, Request, Sink};

/// A store, a registry client and a way to run foreign binaries. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) store: Arc<Store>,
    pub(crate) client: Client,
    pub(crate) emulation: Arc<Emulation>,
}

/// What a build made.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Built {
    /// The digest of the index, or of the only manifest. `None` where no image was made (`type=local`).
    pub digest: Option<Digest>,
    /// Each platform, in the order asked for.
    pub platforms: Vec<BuiltPlatform>,
    /// What `--metadata-file` holds.
    pub metadata: serde_json::Value,
}

/// One platform of a result: a row of the table at the end.
#[derive(Clone, Debug, serde::Serialize)]
pub struct BuiltPlatform {
    /// Which.
    pub platform: archipel_oci::Platform,
    /// How its RUN steps ran.
    pub how: How,
    /// Seconds from the build's start until this platform was done.
    pub seconds: f64,
    /// How many layers it has.
    pub layers: usize,
    /// Their compressed size in bytes.
    pub size: u64,
    /// Its manifest's digest.
    pub digest: Option<Digest>,
    /// Its config's digest: docker's image id (`--iidfile` of a one-platform build).
    pub config: Option<Digest>,
}

impl Engine {
    /// Puts the parts together.
    #[must_use]
    pub fn new(store: Store, client: Client, emulation: Emulation) -> Self {
        Self { store: Arc::new(store), client, emulation: Arc::new(emulation) }
    }

    /// Builds.
    pub async fn build(&self, _request: &Request, _sink: &Sink) -> Result<Built, Error> {
        Err(Error::Request("not built yet".into()))
    }
}
