//! Manifests: their bytes are content like any other; a repository's link to them holds the media type.

use std::io::Write as _;

use archipel_oci::Digest;

use super::super::{At as _, NewManifest, Result, StoredManifest};
use super::blob::{freshen, freshen_old};
use super::tree::{Kind, Tree, modified, read, remove, sync_parent};
use crate::name::{Name, Target};

impl Tree {
    pub(super) fn manifest(&self, name: &Name, target: &Target) -> Result<Option<StoredManifest>> {
        let digest = match target {
            Target::Digest(digest) => digest.clone(),
            Target::Tag(tag) => match self.resolve(name, tag)? {
                Some(digest) => digest,
                None => return Ok(None),
            },
        };
        // A client that asks may be about to push an index over it.
        freshen_old(&self.link(name, Kind::Manifests, &digest))?;
        self.read_manifest(name, &digest)
    }

    pub(super) fn read_manifest(&self, name: &Name, digest: &Digest) -> Result<Option<StoredManifest>> {
        let Some(media_type) = read(&self.link(name, Kind::Manifests, digest))? else { return Ok(None) };
        match self.cas.read(digest) {
            Ok(bytes) => Ok(Some(StoredManifest { digest: digest.clone(), media_type, bytes: bytes.into() })),
            Err(archipel_cas::Error::Missing(_)) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    pub(super) fn put_manifest(&self, name: &Name, new: &NewManifest) -> Result<Vec<Digest>> {
        let _linking = self.linking()?;
        let mut missing = Vec::new();
        for digest in &new.needs {
            if !self.has(name, digest)? {
                missing.push(digest.clone());
            }
        }
        if !missing.is_empty() {
            return Ok(missing);
        }
        let StoredManifest { digest, media_type, bytes } = &new.manifest;
        if !freshen(&self.cas.path(digest))? {
            let mut ingest = self.cas.ingest(digest.algorithm())?;
            ingest.write_all(bytes).at(&self.cas.path(digest))?;
            ingest.commit(Some(digest))?;
        }
        if let Some(subject) = &new.subject {
            self.add_referrer(name, subject, digest)?;
        }
        let link = self.link(name, Kind::Manifests, digest);
        if read(&link)?.as_deref() == Some(media_type) && freshen(&link)? {
            sync_parent(&link)?;
        } else {
            self.write(&link, media_type.as_bytes())?;
        }
        for tag in &new.tags {
            self.set_tag(name, tag, digest)?;
        }
        Ok(missing)
    }

    pub(super) fn delete_manifest(&self, name: &Name, digest: &Digest, subject: Option<&Digest>) -> Result<bool> {
        // No push may move one of the tags, or come to need this manifest, between the look and the removal.
        let _removing = self.removing()?;
        let link = self.link(name, Kind::Manifests, digest);
        if modified(&link)?.is_none() {
            return Ok(false);
        }
        for tag in self.tags(name)?.unwrap_or_default() {
            if self.resolve(name, &tag)?.as_ref() == Some(digest) {
                self.delete_tag(name, &tag)?;
            }
        }
        let was_there = remove(&link)?;
        sync_parent(&link)?;
        if let Some(subject) = subject {
            self.remove_referrer(name, subject, digest)?;
        }
        Ok(was_there)
    }
}
