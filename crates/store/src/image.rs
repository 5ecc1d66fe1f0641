//! Names of images.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use archipel_oci::{Descriptor, Digest, Reference};
use serde::{Deserialize, Serialize};

use crate::error::At as _;
use crate::{Result, Store, disk};

/// A name and what it stands for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Image {
    /// The name.
    pub reference: Reference,
    /// The index or manifest.
    pub descriptor: Descriptor,
    /// When it got the name, in seconds since 1970.
    pub created: i64,
}

impl Store {
    /// A name may be longer than a file name and has slashes: its digest stands for it, after a part that people can read.
    fn name_file(&self, reference: &Reference) -> PathBuf {
        let name = reference.to_string();
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '+' };
        let shown: String = name.chars().map(plain).take(100).collect();
        self.root().join("images").join(format!("{shown}@{}.json", Digest::of(name.as_bytes()).short()))
    }

    /// Gives something a name, which may have stood for something else before.
    ///
    /// # Errors
    /// The file system's.
    pub fn tag(&self, reference: &Reference, descriptor: &Descriptor) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let created = i64::try_from(now).unwrap_or(i64::MAX);
        let image = Image { reference: reference.clone(), descriptor: descriptor.clone(), created };
        let path = self.name_file(reference);
        disk::write(&path, &serde_json::to_vec(&image).map_err(io::Error::from).at(&path)?)
    }

    /// Takes a name away and says whether there was one.
    ///
    /// # Errors
    /// The file system's.
    pub fn untag(&self, reference: &Reference) -> Result<bool> {
        let path = self.name_file(reference);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e).at(&path),
        }
    }

    /// All names, sorted.
    ///
    /// # Errors
    /// The file system's.
    pub fn images(&self) -> Result<Vec<Image>> {
        let mut found = Vec::new();
        for path in disk::list(&self.root().join("images"))? {
            // What cannot be read is not a name: a draft of another process, or cut short by a power failure.
            if let Some(bytes) = disk::read(&path)?
                && let Ok(image) = serde_json::from_slice::<Image>(&bytes)
            {
                found.push(image);
            }
        }
        found.sort_by_key(|image| image.reference.to_string());
        Ok(found)
    }

    /// What a name stands for.
    ///
    /// # Errors
    /// The file system's.
    pub fn resolve_image(&self, reference: &Reference) -> Result<Option<Descriptor>> {
        let Some(bytes) = disk::read(&self.name_file(reference))? else { return Ok(None) };
        Ok(serde_json::from_slice::<Image>(&bytes).ok().map(|image| image.descriptor))
    }
}
