//! What the page shows: repositories made of images, and an image is what somebody would pull.
//!
//! Manifests were made by whoever pushed them. Nothing here trusts them to be sensible: how much is read for one page is
//! bounded, indexes in indexes are followed to a depth, and a child that is gone is shown as gone.

use std::collections::{BTreeMap, HashMap, HashSet};

use archipel_oci::{Descriptor, Digest, ImageConfig, Index, Manifest, Platform, attested, is_attestation, media_type};
use futures_util::StreamExt as _;

use crate::name::{Name, Tag, Target};
use crate::storage::{Blob as _, Result, Storage, StoredManifest};

/// What all manifests and configs of one page may weigh.
const BUDGET: usize = 64 << 20;

/// What a manifest costs besides its bytes, so that very many small ones end as well.
const EACH: usize = 4096;

/// A config larger than this is not looked into.
const MAX_CONFIG: u64 = 1 << 20;

/// Platforms that one image shows.
const MAX_ENTRIES: usize = 64;

/// Longer than any platform or media type that means something.
const MAX_LABEL: usize = 100;

/// How deep indexes lie in indexes.
const MAX_DEPTH: usize = 3;

/// A repository and some of its images.
#[derive(Debug)]
pub(super) struct Repository {
    pub(super) name: Name,
    pub(super) images: Vec<Image>,
    /// Tags that there was no room for.
    pub(super) more: usize,
    /// The last tag that was looked at.
    pub(super) last: Option<Tag>,
}

/// What one or several tags lead to.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) tags: Vec<Tag>,
    pub(super) digest: Digest,
    pub(super) is_index: bool,
    /// The sum of all that is pulled for all platforms, what they share counted once.
    pub(super) size: u64,
    pub(super) entries: Vec<Entry>,
    /// Attestations about none of the entries.
    pub(super) attestations: Vec<Digest>,
    /// Entries that there was no room for.
    pub(super) more: usize,
}

/// One platform of an image.
#[derive(Debug)]
pub(super) struct Entry {
    /// The platform, or what kind of artifact it is.
    pub(super) label: String,
    pub(super) is_platform: bool,
    pub(super) digest: Digest,
    /// `None` where it could not be read.
    pub(super) size: Option<u64>,
    /// Tags that lead to just this platform.
    pub(super) tags: Vec<Tag>,
    /// Attestations about it.
    pub(super) attestations: Vec<Digest>,
}

impl Entry {
    /// What `--platform` takes. A platform with anything odd in it is not shown in a command: those are copied into
    /// shells.
    pub(super) fn platform(&self) -> Option<&str> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-');
        Some(self.label.as_str()).filter(|label| self.is_platform && label.bytes().all(plain))
    }
}

/// Somebody's text as a label: not a megabyte long, and without letters that turn the text around them.
fn label(text: &str) -> String {
    text.chars().take(MAX_LABEL).map(|c| if c.is_ascii_graphic() { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// Reads images for one page.
#[derive(Debug)]
pub(super) struct Reader<'a, S> {
    storage: &'a S,
    left: usize,
}

impl<'a, S: Storage> Reader<'a, S> {
    pub(super) fn new(storage: &'a S) -> Self {
        Self { storage, left: BUDGET }
    }

    /// The repository's images by their tags after `after`, `limit` tags at most, `latest` before the others.
    pub(super) async fn repository(
        &mut self,
        name: &Name,
        after: Option<&Tag>,
        limit: usize,
    ) -> Result<Option<Repository>> {
        let Some(all) = self.storage.tags(name).await? else { return Ok(None) };
        let mut tags: Vec<Tag> = all.into_iter().filter(|tag| after.is_none_or(|after| tag > after)).collect();
        let more = tags.len().saturating_sub(limit);
        tags.truncate(limit);
        let last = tags.last().cloned();
        tags.sort_by_key(|tag| tag.as_str() != "latest");
        let mut images: Vec<Image> = Vec::new();
        let mut places: HashMap<Digest, usize> = HashMap::new();
        for tag in tags {
            let Some(manifest) = self.manifest(name, &Target::Tag(tag.clone())).await? else { continue };
            if let Some(image) = places.get(&manifest.digest).and_then(|place| images.get_mut(*place)) {
                image.tags.push(tag);
                continue;
            }
            places.insert(manifest.digest.clone(), images.len());
            images.push(self.image(name, tag, manifest).await?);
        }
        Ok(Some(Repository { name: name.clone(), images: fold(images), more, last }))
    }

    async fn manifest(&mut self, name: &Name, target: &Target) -> Result<Option<StoredManifest>> {
        if self.left == 0 {
            return Ok(None);
        }
        let manifest = self.storage.manifest(name, target).await?;
        let cost = manifest.as_ref().map_or(0, |manifest| manifest.bytes.len()) + EACH;
        self.left = self.left.saturating_sub(cost);
        Ok(manifest)
    }

    async fn image(&mut self, name: &Name, tag: Tag, manifest: StoredManifest) -> Result<Image> {
        let mut image = Image {
            tags: vec![tag],
            digest: manifest.digest.clone(),
            is_index: media_type::is_index(&manifest.media_type),
            size: 0,
            entries: Vec::new(),
            attestations: Vec::new(),
            more: 0,
        };
        let mut blobs = BTreeMap::new();
        let mut about: HashMap<String, Vec<Digest>> = HashMap::new();
        let mut seen = HashSet::from([manifest.digest.clone()]);
        // Children in the index's order; a nested index stands where its children belong.
        let mut waiting = vec![(None, manifest, 0)];
        while let Some((child, manifest, depth)) = waiting.pop() {
            if !media_type::is_index(&manifest.media_type) {
                image.entries.push(self.entry(name, child.as_ref(), &manifest, &mut blobs).await?);
                continue;
            }
            let Ok(index) = serde_json::from_slice::<Index>(&manifest.bytes) else { continue };
            let mut children = Vec::new();
            for child in index.manifests {
                if is_attestation(&child) {
                    let subject = attested(&child).map(str::to_owned);
                    about.entry(subject.unwrap_or_default()).or_default().push(child.digest);
                } else if image.entries.len() + children.len() >= MAX_ENTRIES || depth >= MAX_DEPTH {
                    image.more += 1;
                } else if seen.insert(child.digest.clone()) {
                    match self.manifest(name, &Target::Digest(child.digest.clone())).await? {
                        Some(manifest) => children.push((Some(child), manifest, depth + 1)),
                        None => image.entries.push(gone(child)),
                    }
                }
            }
            waiting.extend(children.into_iter().rev());
        }
        for entry in &mut image.entries {
            entry.attestations = about.remove(entry.digest.as_str()).unwrap_or_default();
        }
        image.attestations = about.into_values().flatten().collect();
        image.size = blobs.values().fold(0, |sum, size| sum.saturating_add(*size));
        Ok(image)
    }

    async fn entry(
        &mut self,
        name: &Name,
        child: Option<&Descriptor>,
        manifest: &StoredManifest,
        blobs: &mut BTreeMap<Digest, u64>,
    ) -> Result<Entry> {
        let mut entry = Entry {
            label: "unreadable".into(),
            is_platform: false,
            digest: manifest.digest.clone(),
            size: None,
            tags: Vec::new(),
            attestations: Vec::new(),
        };
        let Ok(document) = serde_json::from_slice::<Manifest>(&manifest.bytes) else { return Ok(entry) };
        let parts = document.layers.iter().chain([&document.config]);
        entry.size = Some(parts.clone().fold(0, |sum, part| sum.saturating_add(part.size)));
        blobs.extend(parts.map(|part| (part.digest.clone(), part.size)));
        let platform = match child.and_then(|child| child.platform.clone()) {
            Some(platform) => Some(platform),
            None if is_image(&document) => self.platform(name, &document.config).await?,
            None => None,
        };
        entry.is_platform = platform.is_some();
        entry.label = match platform {
            Some(platform) => label(&platform.normalized().to_string()),
            None => label(&document.artifact_type.unwrap_or(document.config.media_type)),
        };
        Ok(entry)
    }

    /// What an image's config says that it runs on.
    async fn platform(&mut self, name: &Name, config: &Descriptor) -> Result<Option<Platform>> {
        let Some(blob) = self.storage.open_blob(name, &config.digest).await? else { return Ok(None) };
        let size = blob.size();
        if size > MAX_CONFIG || self.left == 0 {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let mut stream = Box::pin(blob.stream(0..size));
        while let Some(Ok(chunk)) = stream.next().await {
            bytes.extend_from_slice(&chunk);
        }
        self.left = self.left.saturating_sub(bytes.len() + EACH);
        let config = serde_json::from_slice::<ImageConfig>(&bytes).ok();
        let config = config.filter(|config| !config.os.is_empty() && !config.architecture.is_empty());
        Ok(config.map(|config| Platform::new(&config.os, &config.architecture, config.variant.as_deref())))
    }
}

fn is_image(manifest: &Manifest) -> bool {
    matches!(manifest.config.media_type.as_str(), media_type::OCI_CONFIG | media_type::DOCKER_CONFIG)
}

fn gone(child: Descriptor) -> Entry {
    let platform = child.platform.map(Platform::normalized);
    Entry {
        is_platform: platform.is_some(),
        label: label(&platform.map_or(child.media_type, |platform| platform.to_string())),
        digest: child.digest,
        size: None,
        tags: Vec::new(),
        attestations: Vec::new(),
    }
}

/// A tag that leads to one platform of an index beside it (`latest-arm64`) is shown at that platform: it is the same
/// image.
fn fold(mut images: Vec<Image>) -> Vec<Image> {
    let single = images.iter().filter(|image| !image.is_index);
    let single: HashMap<Digest, Vec<Tag>> = single.map(|image| (image.digest.clone(), image.tags.clone())).collect();
    let mut folded = HashSet::new();
    for entry in images.iter_mut().filter(|image| image.is_index).flat_map(|image| &mut image.entries) {
        if let Some(tags) = single.get(&entry.digest) {
            entry.tags.clone_from(tags);
            folded.insert(entry.digest.clone());
        }
    }
    images.retain(|image| !folded.contains(&image.digest));
    images
}
