//! Which repositories there are.

use std::fs;
use std::path::Path;

use archipel_oci::Algorithm;

use super::super::{At as _, Result};
use super::tree::{Kind, Tree, names};
use crate::name::Name;

impl Tree {
    /// Every repository that has a manifest, sorted.
    pub(super) fn repositories(&self) -> Result<Vec<Name>> {
        let mut found = Vec::new();
        self.any_repository(|name| {
            let manifests = self.folder(name, Kind::Manifests);
            for algorithm in Algorithm::ALL {
                if has_entry(&manifests.join(algorithm.name()))? {
                    found.push(name.clone());
                    break;
                }
            }
            Ok(false)
        })?;
        found.sort_unstable();
        Ok(found)
    }

    /// Every name that has ever had content is shown, in no order, until one is the right one.
    pub(super) fn any_repository(&self, mut is_it: impl FnMut(&Name) -> Result<bool>) -> Result<bool> {
        let mut waiting = vec![String::new()];
        while let Some(prefix) = waiting.pop() {
            let entries = names(&self.repositories.join(&prefix))?.unwrap_or_default();
            let is_repository = entries.iter().any(|entry| entry.starts_with('_'));
            if let Some(name) = Name::new(&prefix).filter(|_| is_repository)
                && is_it(&name)?
            {
                return Ok(true);
            }
            let below = entries.into_iter().filter(|entry| !entry.starts_with('_'));
            waiting.extend(below.map(|entry| if prefix.is_empty() { entry } else { format!("{prefix}/{entry}") }));
        }
        Ok(false)
    }
}

fn has_entry(folder: &Path) -> Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e).at(folder),
    }
}
