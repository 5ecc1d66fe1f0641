//! Indexes put together from what registries have: `index create`, `add` and `remove`, `manifest create`, `imagetools create`.
//!
//! A source is a name or a digest at any registry. What it stands for comes in flat: the children of an index are the new
//! index's own, with the attestations about them, since clients look one level deep. A source that stands alone says in its
//! config which platform it is for.
//!
//! Nothing here is kept: an index is a value, made of what registries answered, and pushed or thrown away.

use std::collections::BTreeMap;

use archipel_oci::{
    Descriptor, Digest, Document, ImageConfig, Index, Manifest, Platform, RawManifest, Reference, attested,
    is_attestation, media_type,
};
use futures_util::future::try_join_all;

use crate::image::parse;
use crate::parts::{Blob, Parts, blobs_of};
use crate::progress::Work;
use crate::steps::Steps;
use crate::{Engine, Error, Sink};

/// An index within an index within an index is more than anybody has.
const MAX_DEPTH: usize = 3;
/// More manifests than the largest index has.
const MAX_MANIFESTS: usize = 2000;
/// The largest image config that is read. Real ones have some kilobytes.
const MAX_CONFIG: u64 = 8 * 1024 * 1024;

/// A member of an index that is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// What the index says of it: its platform and annotations too.
    pub descriptor: Descriptor,
    /// Where it is, by digest.
    pub origin: Reference,
}

/// What a source stood for when it was asked.
#[derive(Clone, Debug)]
pub struct IndexSource {
    /// How it was asked for.
    pub reference: Reference,
    /// The index, or the manifest that stands alone.
    pub manifest: RawManifest,
    /// Its members.
    pub entries: Vec<IndexEntry>,
}

/// An index that is to be pushed.
#[derive(Clone, Debug)]
pub struct NewIndex {
    manifest: RawManifest,
    members: Members,
}

#[derive(Clone, Debug)]
enum Members {
    /// Put together by us.
    Entries(Vec<IndexEntry>),
    /// Somebody's index as it is, and where that is.
    Whole(Reference),
}

impl IndexEntry {
    /// Whether it is about another member, and never something to run.
    #[must_use]
    pub fn is_attestation(&self) -> bool {
        is_attestation(&self.descriptor)
    }

    fn is_about(&self, digest: &Digest) -> bool {
        attested(&self.descriptor) == Some(digest.as_str())
    }
}

impl IndexSource {
    /// Whether it is an index itself.
    #[must_use]
    pub fn is_index(&self) -> bool {
        self.manifest.is_index()
    }

    /// The index that it is; one without anything in it where it is none.
    fn index(&self) -> Result<Index, Error> {
        match parse(&self.reference, &self.manifest)? {
            Document::Index(index) => Ok(*index),
            Document::Manifest(_) => Ok(Index::new(Vec::new())),
        }
    }
}

impl NewIndex {
    /// Puts sources together. One index alone stays what it is, byte for byte: its digest may be signed.
    pub fn of(sources: &[IndexSource], annotations: BTreeMap<String, String>) -> Result<Self, Error> {
        if let ([only], true) = (sources, annotations.is_empty())
            && only.is_index()
        {
            let origin = only.reference.with_digest(only.manifest.digest().clone());
            return Ok(Self { manifest: only.manifest.clone(), members: Members::Whole(origin) });
        }
        let entries = sources.iter().flat_map(|source| source.entries.iter().cloned()).collect();
        let mut index = Index::new(Vec::new());
        index.annotations = annotations;
        Self::from_entries(index, entries)
    }

    /// Puts members together. Each comes once, however many sources have it.
    pub fn of_entries(entries: Vec<IndexEntry>) -> Result<Self, Error> {
        Self::from_entries(Index::new(Vec::new()), entries)
    }

    /// An index with more members. One for a platform that was there takes that one's place, and its attestations go: an
    /// index with two images for one platform is one of which half is never seen.
    pub fn extended(
        target: &IndexSource,
        sources: &[IndexSource],
        annotations: BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        let more: Vec<IndexEntry> = sources.iter().flat_map(|source| source.entries.iter().cloned()).collect();
        let replaces = |old: &IndexEntry| {
            more.iter().any(|new| !new.is_attestation() && new.descriptor.platform == old.descriptor.platform)
        };
        let (gone, mut entries): (Vec<IndexEntry>, Vec<IndexEntry>) =
            target.entries.iter().cloned().partition(|old| !old.is_attestation() && replaces(old));
        entries.retain(|entry| !gone.iter().any(|gone| entry.is_about(&gone.descriptor.digest)));
        entries.extend(more);
        let mut index = target.index()?;
        index.annotations.extend(annotations);
        Self::from_entries(index, entries)
    }

    /// An index without the members that `unwanted` finds, and without the attestations about them.
    pub fn reduced(target: &IndexSource, unwanted: impl Fn(&IndexEntry) -> bool) -> Result<Self, Error> {
        let (gone, mut entries): (Vec<IndexEntry>, Vec<IndexEntry>) =
            target.entries.iter().cloned().partition(|entry| unwanted(entry));
        if gone.is_empty() {
            let has = entries.iter().filter(|entry| !entry.is_attestation());
            let has: Vec<String> = has.map(|entry| shown(&entry.descriptor)).collect();
            let familiar = target.reference.familiar();
            return Err(Error::Request(format!("{familiar} has no such member; it has {}", has.join(", "))));
        }
        entries.retain(|entry| !gone.iter().any(|gone| entry.is_about(&gone.descriptor.digest)));
        Self::from_entries(target.index()?, entries)
    }

    fn from_entries(mut index: Index, entries: Vec<IndexEntry>) -> Result<Self, Error> {
        let mut kept: Vec<IndexEntry> = Vec::new();
        for entry in entries {
            let same = |known: &IndexEntry| {
                known.descriptor.digest == entry.descriptor.digest
                    && known.descriptor.platform == entry.descriptor.platform
            };
            if !kept.iter().any(same) {
                kept.push(entry);
            }
        }
        if kept.iter().all(IndexEntry::is_attestation) {
            return Err(Error::Request("an index without any image is of no use to anybody".into()));
        }
        index.manifests = kept.iter().map(|entry| entry.descriptor.clone()).collect();
        // Docker's list may hold Docker's manifests only, and knows no annotations. Whoever has all in Docker's form may have
        // a reason: old registries and old clients.
        let is_docker = |d: &Descriptor| d.media_type == media_type::DOCKER_MANIFEST && d.annotations.is_empty();
        let docker = index.manifests.iter().all(is_docker) && index.annotations.is_empty() && index.subject.is_none();
        let media_type = if docker { media_type::DOCKER_LIST } else { media_type::OCI_INDEX };
        index.media_type = Some(media_type.into());
        Ok(Self { manifest: RawManifest::from_index(&index), members: Members::Entries(kept) })
    }

    /// The index as it is pushed.
    #[must_use]
    pub fn manifest(&self) -> &RawManifest {
        &self.manifest
    }

    /// Its members, where it was put together from such.
    #[must_use]
    pub fn entries(&self) -> &[IndexEntry] {
        match &self.members {
            Members::Entries(entries) => entries,
            Members::Whole(_) => &[],
        }
    }
}

fn shown(descriptor: &Descriptor) -> String {
    descriptor.platform.as_ref().map_or_else(|| descriptor.digest.to_string(), ToString::to_string)
}

impl Engine {
    /// Asks a registry what a source is now.
    pub async fn index_source(&self, reference: &Reference) -> Result<IndexSource, Error> {
        let found = match reference.digest() {
            Some(digest) => Descriptor::new("", digest.clone(), 0),
            // Not what a build remembers of it: the question is what the name stands for now.
            None => self.client.resolve(reference).await?,
        };
        let manifest = self.manifest(reference, &found).await?;
        let entries = self.flatten(reference, manifest.clone()).await?;
        Ok(IndexSource { reference: reference.clone(), manifest, entries })
    }

    /// Asks for several sources at once; they come back in their order.
    pub async fn index_sources(&self, references: &[Reference]) -> Result<Vec<IndexSource>, Error> {
        try_join_all(references.iter().map(|reference| self.index_source(reference))).await
    }

    /// What a name stands for now; nothing if it is gone.
    pub async fn index_top(&self, reference: &Reference) -> Result<Option<Digest>, Error> {
        match self.client.resolve(reference).await {
            Ok(found) => Ok(Some(found.digest)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What a manifest is as members of an index, or what is in it.
    async fn flatten(&self, reference: &Reference, top: RawManifest) -> Result<Vec<IndexEntry>, Error> {
        let mut entries = Vec::new();
        let mut todo = vec![(top.descriptor(), Some(top), 0)];
        let mut seen = 0;
        while let Some((said, raw, depth)) = todo.pop() {
            seen += 1;
            if seen > MAX_MANIFESTS {
                return Err(Error::Request(format!("{} has too many children", reference.familiar())));
            }
            let origin = reference.with_digest(said.digest.clone());
            let is_member = media_type::is_manifest(&said.media_type);
            if raw.is_none() && is_member && (said.platform.is_some() || is_attestation(&said)) {
                entries.push(IndexEntry { descriptor: said, origin });
                continue;
            }
            let raw = match raw {
                Some(raw) => raw,
                None => self.manifest(reference, &said).await?,
            };
            match parse(reference, &raw)? {
                Document::Manifest(manifest) => {
                    let descriptor = self.describe(reference, &manifest, said).await?;
                    entries.push(IndexEntry { descriptor, origin });
                }
                Document::Index(_) if depth == MAX_DEPTH => {
                    return Err(Error::Request(format!("{reference} has indexes within indexes within indexes")));
                }
                // The last is taken first.
                Document::Index(index) => {
                    todo.extend(index.manifests.into_iter().rev().map(|child| (child, None, depth + 1)));
                }
            }
        }
        Ok(entries)
    }

    /// What an index should say of a manifest that stands alone: its config knows.
    async fn describe(
        &self,
        reference: &Reference,
        manifest: &Manifest,
        mut descriptor: Descriptor,
    ) -> Result<Descriptor, Error> {
        if descriptor.platform.is_some() || is_attestation(&descriptor) {
            return Ok(descriptor);
        }
        let config = &manifest.config;
        if !matches!(config.media_type.as_str(), media_type::OCI_CONFIG | media_type::DOCKER_CONFIG) {
            // An artifact is for no platform.
            let kind = manifest.artifact_type.as_deref().unwrap_or(&config.media_type);
            descriptor.artifact_type.get_or_insert_with(|| kind.to_owned());
            return Ok(descriptor);
        }
        let bytes = self.document(reference, config, MAX_CONFIG).await?;
        let config = ImageConfig::parse(&bytes)
            .map_err(|e| Error::Request(format!("{reference} has a config that is not valid: {e}")))?;
        if config.os.is_empty() || config.architecture.is_empty() {
            let familiar = reference.familiar();
            return Err(Error::Request(format!("the config of {familiar} does not say which platform it is for")));
        }
        let mut platform = config.platform();
        platform.os_version.clone_from(&config.os_version);
        platform.os_features.clone_from(&config.os_features);
        descriptor.platform = Some(platform);
        Ok(descriptor)
    }

    /// Pushes an index under names: its members first, from wherever they are, and the names last.
    pub async fn push_index(&self, index: &NewIndex, names: &[Reference], sink: &Sink) -> Result<(), Error> {
        let familiar = names.iter().map(Reference::familiar).collect::<Vec<_>>().join(", ");
        let work = Work::start(sink, &Steps::default(), format!("pushing {familiar}"), platforms(index));
        let pushed = async {
            let parts = self.index_parts(index).await?;
            self.publish(&parts, names, &work).await
        };
        let pushed = pushed.await;
        work.finish(pushed)
    }

    async fn index_parts(&self, index: &NewIndex) -> Result<Parts, Error> {
        let entries = match &index.members {
            Members::Entries(entries) => entries,
            Members::Whole(origin) => {
                let get = async |child: &Descriptor| self.manifest(origin, child).await.map(Some);
                let place = |descriptor: Descriptor| self.stored_blob(descriptor, Some(origin));
                return Parts::gather(index.manifest.clone(), get, place).await;
            }
        };
        let mut parts = Parts::new();
        let raws = try_join_all(entries.iter().map(|entry| self.manifest(&entry.origin, &entry.descriptor))).await?;
        for (raw, IndexEntry { origin, .. }) in raws.into_iter().zip(entries) {
            if let Document::Manifest(manifest) = parse(origin, &raw)? {
                for blob in blobs_of(&manifest) {
                    let place = || -> Blob { self.stored_blob(blob.clone(), Some(origin)) };
                    parts.blobs.entry(blob.digest.clone()).or_insert_with(place);
                }
            }
            parts.add_manifest(raw);
        }
        parts.add_manifest(index.manifest.clone());
        Ok(parts)
    }
}

fn platforms(index: &NewIndex) -> Vec<Platform> {
    let images = index.entries().iter().filter(|entry| !entry.is_attestation());
    images.filter_map(|entry| entry.descriptor.platform.clone()).collect()
}

#[cfg(test)]
mod tests;
