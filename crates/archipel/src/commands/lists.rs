//! What `docker manifest create` gathered, until `push` takes it.
//!
//! A list on disk is sources with the digests that they had, and what `annotate` said; nothing that a registry says is kept
//! beyond that. So nothing in it goes stale: what a digest stands for never changes, and whether a name still stands for its
//! digest is asked when it matters.

use std::path::PathBuf;

use archipel_oci::{Digest, Platform, Reference};
use serde::{Deserialize, Serialize};

use super::shared;
use crate::environment::Environment;
use crate::errors::Error;

/// One list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct List {
    /// Its name.
    pub(super) name: Reference,
    /// Whether a registry has it: then a new one may take its place without `--amend`.
    pub(super) pushed: bool,
    pub(super) sources: Vec<Source>,
}

/// A source, as it was when it was gathered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Source {
    pub(super) reference: Reference,
    pub(super) digest: Digest,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) notes: Vec<Note>,
}

/// What `annotate` said of a member.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Note {
    /// The member; the source itself where that is no index.
    pub(super) member: Digest,
    pub(super) platform: Platform,
}

/// The folder of lists.
#[derive(Debug)]
pub(super) struct Lists {
    folder: PathBuf,
}

impl Lists {
    pub(super) fn open(environment: &Environment) -> Result<Self, Error> {
        Ok(Self { folder: environment.docker_state()?.join("manifests") })
    }

    /// A name has slashes, and may be longer than a file's: its digest stands for it.
    fn path(&self, name: &Reference) -> PathBuf {
        let full = name.to_string();
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '+' };
        let shown: String = full.chars().map(plain).take(100).collect();
        self.folder.join(format!("{shown}@{}.json", Digest::of(full.as_bytes()).short()))
    }

    /// The list of a name.
    pub(super) fn get(&self, name: &Reference) -> Result<Option<List>, Error> {
        let path = self.path(name);
        let told = || Error::io(path.display().to_string());
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| told()(e.into())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(told()(e)),
        }
    }

    /// The list of a name, which must be there.
    pub(super) fn expect(&self, name: &Reference) -> Result<List, Error> {
        let none = || Error::Usage(format!("no such manifest list here: {name}; `docker manifest create` makes one"));
        self.get(name)?.ok_or_else(none)
    }

    pub(super) fn put(&self, list: &List) -> Result<(), Error> {
        shared::write_state(&self.path(&list.name), list)
    }

    /// Forgets a list, and says whether there was one.
    pub(super) fn remove(&self, name: &Reference) -> Result<bool, Error> {
        let path = self.path(name);
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io(path.display().to_string())(e)),
        }
    }
}
