//! What pipelines keep from one run to the next, beside the store: the registry that they have of their own, the caches of jobs, and the
//! stores that jobs build in.
//! A run has the store open, so whoever has that alone has this alone too, but for a registry that is served by itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use archipel_registry::{FsStorage, Policy, Storage as _};
use archipel_store::{remove_all, size_on_disk};

use crate::environment::Environment;
use crate::errors::Error;
use crate::runtime;

/// Where it is.
pub(super) struct Kept {
    /// The registry.
    pub(super) registry: PathBuf,
    /// The caches.
    pub(super) caches: PathBuf,
    /// The stores.
    pub(super) stores: PathBuf,
}

/// Bytes on disk.
pub(super) struct Usage {
    pub(super) registry: u64,
    pub(super) caches: u64,
    pub(super) stores: u64,
}

impl Usage {
    pub(super) fn total(&self) -> u64 {
        self.registry + self.caches + self.stores
    }
}

impl Kept {
    pub(super) fn of(environment: &Environment) -> Result<Self, Error> {
        let folder = environment.pipelines_dir()?;
        let [registry, caches, stores] = ["registry", "caches", "stores"].map(|name| folder.join(name));
        Ok(Self { registry, caches, stores })
    }

    /// What it takes.
    pub(super) fn usage(&self) -> Usage {
        Usage {
            registry: size_on_disk(&self.registry),
            caches: size_on_disk(&self.caches),
            stores: size_on_disk(&self.stores),
        }
    }

    /// Removes the caches, the stores, and what has no name in the registry; with `all` everything there. Returns the bytes that were freed.
    pub(super) fn prune(&self, all: bool) -> Result<u64, Error> {
        let before = self.usage().total();
        for folder in [&self.caches, &self.stores] {
            remove_all(folder).map_err(Error::io(folder.display().to_string()))?;
        }
        if self.registry.is_dir() {
            let told = |e| Error::io(self.registry.display().to_string())(std::io::Error::other(e));
            runtime::block_on(async { clear(&self.registry, all).await.map_err(told) })?;
        }
        Ok(before.saturating_sub(self.usage().total()))
    }
}

/// Not by removing the folder: it may be served at this moment.
async fn clear(root: &Path, all: bool) -> Result<(), archipel_registry::storage::Error> {
    let storage = FsStorage::open(root)?;
    let mut policy = Policy { untagged: true, ..Policy::default() };
    if all {
        policy.age = Duration::ZERO;
        for name in storage.repositories().await? {
            for tag in storage.tags(&name).await?.unwrap_or_default() {
                storage.delete_tag(&name, &tag).await?;
            }
        }
    }
    storage.collect(&policy).map(drop)
}
