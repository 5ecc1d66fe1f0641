//! Images in one file: what `docker save` writes and `docker load` reads. It is an OCI layout in a tar, with docker's older
//! `manifest.json` for readers of that time; such older archives, which have nothing else, are read too.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use archipel_oci::{
    Descriptor, Document, ImageConfig, Manifest, Platform, RawManifest, Reference, is_attestation, media_type,
};
use archipel_store::{Draft, Store};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use crate::exec::{archive, blocking};
use crate::export::{OciLayout, Saved, document, unnamed};
use crate::image::{self, parse};
use crate::layout::{self, Layout, Name};
use crate::parts::{Parts, blobs_of};
use crate::progress::Work;
use crate::steps::Steps;
use crate::{Engine, Error, Sink};

/// The largest `manifest.json` that is read.
const MAX_DOCUMENT: u64 = 4 * 1024 * 1024;
/// More than the first bytes of any compressed layer that tell what it is.
const MAGIC: usize = 4;

/// What an archive brought.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The name that it has now, if it came with one.
    pub name: Option<Reference>,
    /// What that stands for.
    pub top: Descriptor,
}

impl Engine {
    /// Writes images of the store into one archive: `dest`, or standard output. Platforms that are here in part are left out.
    ///
    /// # Errors
    /// An image that is not here, or what cannot be read or written.
    pub async fn save(&self, names: &[Reference], dest: Option<&Path>, sink: &Sink) -> Result<(), Error> {
        let work = Work::start(sink, &Steps::default(), "saving images".to_owned(), Vec::new());
        let saved = self.save_with(names, dest, &work).await;
        work.finish(saved)
    }

    async fn save_with(&self, names: &[Reference], dest: Option<&Path>, work: &Work) -> Result<(), Error> {
        let (mut all, mut entries, mut documents) = (Parts::new(), Vec::new(), Vec::new());
        for name in names {
            let parts = self.whole_parts(name).await?;
            let Some(top) = parts.top().cloned() else { continue };
            let shown: Vec<Name> = name.tag().map(|_| Name::of(name)).into_iter().collect();
            entries.extend(layout::entries(&top, &shown));
            let named = name.tag().map(|_| name);
            let saved = |manifest: Manifest| {
                Saved::new(&manifest.config.digest, manifest.layers.iter().map(|layer| &layer.digest), named)
            };
            documents.extend(one_platform(&parts)?.map(saved));
            all.join(parts);
        }
        work.expect(all.blobs.values().map(|blob| blob.descriptor.size).sum());
        let document = document(&documents)?;
        let layout = OciLayout::of(all, entries, &self.client);
        let (dest, work) = (dest.map(Path::to_owned), work.clone());
        blocking(move || layout.write_tar(dest.as_deref(), &[("manifest.json", document)], &work)).await
    }

    /// An image of the store, as far as it is here.
    async fn whole_parts(&self, name: &Reference) -> Result<Parts, Error> {
        let missing = || Error::Request(format!("{} is not in the store; `pull` or `build` it", name.familiar()));
        let top = self.local_top(name).await?.ok_or_else(missing)?;
        let get = async |child: &Descriptor| {
            let Some(raw) = self.local_manifest(child).await? else { return Ok(None) };
            Ok(self.is_whole(name, &raw).await?.then_some(raw))
        };
        let parts = Parts::gather(top.clone(), get, |descriptor| self.stored_blob(descriptor, None)).await?;
        if !self.is_whole(name, &top).await? || one_platform(&parts)?.is_none() {
            return Err(Error::Request(format!("{} is here only in part: pull it again", name.familiar())));
        }
        Ok(parts)
    }

    /// Whether all blobs of a manifest are here.
    async fn is_whole(&self, name: &Reference, raw: &RawManifest) -> Result<bool, Error> {
        let Document::Manifest(manifest) = parse(name, raw)? else { return Ok(true) };
        for blob in blobs_of(&manifest) {
            if !self.has(blob).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads the images of an archive into the store, under the names that they have there.
    ///
    /// # Errors
    /// A file that is no such archive, or whose content is damaged.
    pub async fn load(&self, archive: &Path, sink: &Sink) -> Result<Vec<Loaded>, Error> {
        let work = Work::start(sink, &Steps::default(), "loading images".to_owned(), Vec::new());
        let loaded = self.load_with(archive, &work).await;
        work.finish(loaded)
    }

    async fn load_with(&self, archive: &Path, work: &Work) -> Result<Vec<Loaded>, Error> {
        let (store, path) = (self.store.clone(), archive.to_owned());
        let unpacked = blocking(move || unpack(&store, &path)).await?;
        let folder = unpacked.upper().to_owned();
        let images = match folder.join("index.json").exists() {
            true => self.of_layout(&folder, work).await?,
            false => {
                let store = self.store.clone();
                blocking(move || of_docker(&folder, &store)).await?
            }
        };
        let mut loaded: Vec<Loaded> = Vec::new();
        for (name, raw) in images {
            let kept = name.clone().map_or_else(|| unnamed(raw.digest()), Ok)?;
            self.name(&kept, &raw).await?;
            self.images.forget(&kept);
            loaded.push(Loaded { name, top: raw.descriptor() });
        }
        Ok(loaded)
    }

    async fn of_layout(&self, folder: &Path, work: &Work) -> Result<Vec<(Option<Reference>, RawManifest)>, Error> {
        let layout = Arc::new(Layout::open(folder)?);
        let mut images = Vec::new();
        for (name, entry) in layout.named() {
            // Platforms that were left out are no reason not to have the others.
            let get = async |child: &Descriptor| match layout.path(&child.digest).exists() {
                true => layout.manifest(child).map(Some),
                false => Ok(None),
            };
            let top = layout.manifest(&entry)?;
            let parts = Parts::gather(top.clone(), get, |descriptor| self.stored_blob(descriptor, None)).await?;
            work.expect(parts.blobs.values().map(|blob| blob.descriptor.size).sum());
            let (layout, store, work) = (layout.clone(), self.store.clone(), work.clone());
            blocking(move || {
                for blob in parts.blobs.values() {
                    layout.bring(&blob.descriptor, &store)?;
                    work.add(blob.descriptor.size);
                }
                for raw in parts.manifests() {
                    store.blobs().put(raw.bytes())?;
                }
                Ok::<_, Error>(())
            })
            .await?;
            images.push((name, top));
        }
        Ok(images)
    }
}

/// Unpacks an archive, compressed or not, into a folder of the store that goes when the value does.
fn unpack(store: &Store, path: &Path) -> Result<Draft, Error> {
    let told = || Error::io(path.display().to_string());
    let open = || File::open(path).map_err(told());
    let Some(kind) = archive::kind(&open()?)? else {
        return Err(Error::Request(format!("{} is no archive of images: it is no tar", path.display())));
    };
    let draft = store.draft(None)?;
    archive::unpack(open()?, kind, draft.upper(), None)?;
    Ok(draft)
}

/// The images of an archive that has docker's `manifest.json` and no layout.
fn of_docker(folder: &Path, store: &Store) -> Result<Vec<(Option<Reference>, RawManifest)>, Error> {
    let wrong = |why: String| Error::Request(format!("it is no archive of images: {why}"));
    let read = |path: &str, limit: u64| {
        let mut bytes = Vec::new();
        let file = inside(folder, path)?;
        let read = file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io(path.to_owned()))?;
        if read as u64 > limit {
            return Err(wrong(format!("{path} has more than {limit} bytes")));
        }
        Ok(bytes)
    };
    let document = read("manifest.json", MAX_DOCUMENT)?;
    let saved: Vec<Saved> = serde_json::from_slice(&document).map_err(|e| wrong(format!("manifest.json: {e}")))?;
    let mut images = Vec::new();
    for entry in saved {
        let config = read(&entry.config, image::MAX_CONFIG)?;
        ImageConfig::parse(&config).map_err(|e| wrong(format!("{}: {e}", entry.config)))?;
        store.blobs().put(&config)?;
        let mut layers = Vec::new();
        for path in entry.layers.unwrap_or_default() {
            layers.push(layer(inside(folder, &path)?, &path, store)?);
        }
        let manifest = Manifest::new(Descriptor::of(media_type::OCI_CONFIG, &config), layers);
        let raw = RawManifest::from_manifest(&manifest);
        store.blobs().put(raw.bytes())?;
        let mut names = Vec::new();
        for tag in entry.repo_tags.unwrap_or_default() {
            names.push(Some(tag.parse().map_err(|e| wrong(format!("{tag:?} is no name of an image: {e}")))?));
        }
        let names = if names.is_empty() { vec![None] } else { names };
        images.extend(names.into_iter().map(|name| (name, raw.clone())));
    }
    Ok(images)
}

/// A file of the unpacked archive. Layers may be links to each other; nothing leads outside.
fn inside(folder: &Path, path: &str) -> Result<File, Error> {
    let told = || Error::io(format!("{path} in the archive"));
    let top = File::open(folder).map_err(told())?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let fd = openat2(&top, path, flags, Mode::empty(), resolve).map_err(|e| told()(e.into()))?;
    Ok(File::from(fd))
}

/// Brings a layer into the store.
fn layer(mut file: File, path: &str, store: &Store) -> Result<Descriptor, Error> {
    let told = || Error::io(format!("{path} in the archive"));
    let mut magic = Vec::new();
    std::io::Read::by_ref(&mut file).take(MAGIC as u64).read_to_end(&mut magic).map_err(told())?;
    let kind = match magic.as_slice() {
        [0x1f, 0x8b, ..] => media_type::OCI_LAYER_GZIP,
        [0x28, 0xb5, 0x2f, 0xfd] => media_type::OCI_LAYER_ZSTD,
        _ => media_type::OCI_LAYER,
    };
    let mut ingest = store.blobs().ingest(archipel_oci::Algorithm::Sha256)?;
    std::io::copy(&mut magic.as_slice().chain(file), &mut ingest).map_err(told())?;
    let (digest, size) = ingest.commit(None)?;
    Ok(Descriptor::new(kind, digest, size))
}

/// What older readers see of an image: one platform, this machine's where the image has it.
fn one_platform(parts: &Parts) -> Result<Option<Manifest>, Error> {
    let wrong = |e: archipel_oci::ManifestError| Error::Request(e.to_string());
    let mut best: Option<(u32, Manifest)> = None;
    let Some(top) = parts.top() else { return Ok(None) };
    if let Document::Manifest(manifest) = top.parse().map_err(wrong)? {
        return Ok(Some(*manifest));
    }
    let Document::Index(index) = top.parse().map_err(wrong)? else { return Ok(None) };
    for child in index.manifests.iter().filter(|child| !is_attestation(child)) {
        let Some(raw) = parts.manifests().iter().find(|raw| *raw.digest() == child.digest) else { continue };
        let Document::Manifest(manifest) = raw.parse().map_err(wrong)? else { continue };
        let distance = child.platform.as_ref().and_then(|has| Platform::host().distance(has)).unwrap_or(u32::MAX);
        if best.as_ref().is_none_or(|(known, _)| distance < *known) {
            best = Some((distance, *manifest));
        }
    }
    Ok(best.map(|(_, manifest)| manifest))
}
