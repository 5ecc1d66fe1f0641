//! Small records by key: what a step made, what files had which digest.

use std::path::PathBuf;

use archipel_oci::Digest;

use crate::{Result, Store, disk};

impl Store {
    fn record(&self, key: &Digest) -> PathBuf {
        let hex = key.hex();
        self.root().join("cache").join(hex.get(..2).unwrap_or(hex)).join(hex)
    }

    /// What was remembered under a key.
    ///
    /// # Errors
    /// The file system's.
    pub fn cache_get(&self, key: &Digest) -> Result<Option<Vec<u8>>> {
        disk::read(&self.record(key))
    }

    /// Remembers something under a key.
    ///
    /// # Errors
    /// The file system's.
    pub fn cache_put(&self, key: &Digest, value: &[u8]) -> Result<()> {
        disk::write(&self.record(key), value)
    }
}
