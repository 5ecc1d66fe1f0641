//! Referrers: which manifests are about which.

use std::path::PathBuf;

use archipel_oci::Digest;

use super::super::Result;
use super::tree::{Kind, Tree, names, remove};
use crate::name::Name;

impl Tree {
    fn referrer(&self, name: &Name, subject: &Digest, digest: &Digest) -> PathBuf {
        let file = format!("{}-{}", digest.algorithm().name(), digest.hex());
        self.link(name, Kind::Referrers, subject).join(file)
    }

    pub(super) fn add_referrer(&self, name: &Name, subject: &Digest, digest: &Digest) -> Result<()> {
        self.mark(&self.referrer(name, subject, digest))
    }

    pub(super) fn remove_referrer(&self, name: &Name, subject: &Digest, digest: &Digest) -> Result<bool> {
        remove(&self.referrer(name, subject, digest))
    }

    /// What says that it is about this manifest. One that a crash left may lead to a manifest that is gone.
    pub(super) fn referrers(&self, name: &Name, subject: &Digest) -> Result<Vec<Digest>> {
        let names = names(&self.link(name, Kind::Referrers, subject))?.unwrap_or_default();
        let mut found: Vec<Digest> = names.iter().filter_map(|file| file.replacen('-', ":", 1).parse().ok()).collect();
        found.sort_unstable();
        Ok(found)
    }
}
