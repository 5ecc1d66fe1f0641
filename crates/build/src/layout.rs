//! OCI image layouts (OCI image specification, "Image Layout"), in and out.
//!
//! A layout that somebody hands us is hostile: names come from digests alone, sizes are bounded, content is checked. One
//! that we write into may be somebody's already: blobs are added under temporary names, and `index.json`, which makes them
//! an image, is replaced last.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use archipel_oci::{Descriptor, Digest, Hasher, Index, MAX_MANIFEST_SIZE, RawManifest, Reference, media_type};
use archipel_remote::Client;
use archipel_store::Store;

use crate::Error;
use crate::export::file::Whole;
use crate::parts::{Blob, Parts};
use crate::progress::Work;

/// The `oci-layout` file.
pub(crate) const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// The name of an entry, for tools that look for a tag.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The whole name, for containerd and docker.
const IMAGE_NAME: &str = "io.containerd.image.name";

/// A name in a layout's index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    tag: String,
    full: Option<String>,
}

impl Name {
    pub(crate) fn tag(tag: String) -> Self {
        Self { tag, full: None }
    }

    pub(crate) fn of(reference: &Reference) -> Self {
        let tag = reference.tag_or_latest().to_owned();
        Self { full: Some(format!("{}:{tag}", reference.name())), tag }
    }
}

/// The tag of what has no name, in a folder where others may come beside it.
pub(crate) const NAMELESS: &str = "latest";

/// What stands for an image in `index.json`: one entry for each name, or one without.
pub(crate) fn entries(top: &RawManifest, names: &[Name]) -> Vec<Descriptor> {
    if names.is_empty() {
        return vec![top.descriptor()];
    }
    let entry = |name: &Name| {
        let mut entry = top.descriptor();
        entry.annotations.insert(REF_NAME.into(), name.tag.clone());
        if let Some(full) = &name.full {
            entry.annotations.insert(IMAGE_NAME.into(), full.clone());
        }
        entry
    };
    names.iter().map(entry).collect()
}

/// A layout to read from.
#[derive(Debug)]
pub(crate) struct Layout {
    path: PathBuf,
    index: Index,
}

impl Layout {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let wrong = |why: String| Error::Request(format!("{} is not an OCI layout: {why}", path.display()));
        let marker = read(&path.join("oci-layout"), 4096).map_err(|e| wrong(format!("oci-layout: {e}")))?;
        let marker: serde_json::Value =
            serde_json::from_slice(&marker).map_err(|e| wrong(format!("oci-layout: {e}")))?;
        let version = marker.get("imageLayoutVersion").and_then(|v| v.as_str()).unwrap_or("none");
        if !version.starts_with("1.") {
            return Err(wrong(format!("its version is `{version}`, and 1.0.0 is what can be read")));
        }
        let bytes = read(&path.join("index.json"), MAX_MANIFEST_SIZE).map_err(|e| wrong(format!("index.json: {e}")))?;
        let index = serde_json::from_slice(&bytes).map_err(|e| wrong(format!("index.json: {e}")))?;
        Ok(Self { path: path.to_owned(), index })
    }

    /// The entry of a name: a tag, a whole reference or a digest. Without one, the only image that there is.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<Descriptor, Error> {
        let names = |d: &Descriptor| [REF_NAME, IMAGE_NAME].map(|key| d.annotations.get(key).cloned());
        let found: Vec<&Descriptor> = match name {
            None => self.index.manifests.iter().collect(),
            Some(name) => self
                .index
                .manifests
                .iter()
                .filter(|d| d.digest.as_str() == name || names(d).iter().flatten().any(|n| n == name))
                .collect(),
        };
        let digests: BTreeSet<&Digest> = found.iter().map(|d| &d.digest).collect();
        match (found.first(), digests.len()) {
            (Some(only), 1) => Ok((*only).clone()),
            (first, _) => {
                let known: Vec<String> = self.index.manifests.iter().flat_map(names).flatten().collect();
                let known = if known.is_empty() { "none has a name".into() } else { known.join(", ") };
                let what = match (first, name) {
                    (None, Some(name)) => format!("has no image `{name}`"),
                    (None, None) => "has no image".into(),
                    (Some(_), _) => "has several images; say which".into(),
                };
                Err(Error::Request(format!("{} {what} ({known})", self.path.display())))
            }
        }
    }

    /// The entry with a tag, if there is one.
    pub(crate) fn entry(&self, tag: &str) -> Option<Descriptor> {
        let named = |d: &&Descriptor| d.annotations.get(REF_NAME).is_some_and(|name| name == tag);
        self.index.manifests.iter().find(named).cloned()
    }

    /// All entries, with the whole names that they have.
    pub(crate) fn named(&self) -> Vec<(Option<Reference>, Descriptor)> {
        let name = |d: &Descriptor| {
            // Where only the other annotation is, it may be a whole name too, and not just a tag.
            let other = d.annotations.get(REF_NAME).filter(|name| name.contains([':', '/']));
            d.annotations.get(IMAGE_NAME).or(other)?.parse().ok()
        };
        self.index.manifests.iter().map(|d| (name(d), d.clone())).collect()
    }

    /// Where a blob should be.
    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        blob_path(&self.path, digest)
    }

    /// A manifest, with its digest checked.
    pub(crate) fn manifest(&self, descriptor: &Descriptor) -> Result<RawManifest, Error> {
        let path = self.path(&descriptor.digest);
        let bytes = read(&path, MAX_MANIFEST_SIZE).map_err(Error::io(path.display().to_string()))?;
        let mut hasher = Hasher::new(descriptor.digest.algorithm());
        hasher.update(&bytes);
        let found = hasher.finish();
        if found != descriptor.digest {
            return Err(Error::Request(format!("{} is damaged: its content has the digest {found}", path.display())));
        }
        RawManifest::new(bytes, Some(&descriptor.media_type)).map_err(|e| Error::Request(e.to_string()))
    }

    /// Copies a blob into the store, with its size and digest checked. Does nothing where the store has it.
    pub(crate) fn bring(&self, blob: &Descriptor, store: &Store) -> Result<(), Error> {
        if store.blobs().size(&blob.digest)? == Some(blob.size) {
            return Ok(());
        }
        let path = self.path(&blob.digest);
        let told = || Error::io(path.display().to_string());
        let mut ingest = store.blobs().ingest(blob.digest.algorithm())?;
        let mut file = File::open(&path).map_err(told())?.take(blob.size.saturating_add(1));
        let size = io::copy(&mut file, &mut ingest).map_err(told())?;
        if size != blob.size {
            return Err(Error::Request(format!(
                "{} is damaged: it has not the {} bytes that it should",
                path.display(),
                blob.size
            )));
        }
        ingest.commit(Some(&blob.digest))?;
        Ok(())
    }
}

fn blob_path(layout: &Path, digest: &Digest) -> PathBuf {
    layout.join("blobs").join(digest.algorithm().name()).join(digest.hex())
}

fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {limit} bytes")));
    }
    Ok(bytes)
}

/// Writes an image into a folder, which becomes a layout or is one. Blocks.
pub(crate) fn write_folder(
    folder: &Path,
    parts: &Parts,
    entries: Vec<Descriptor>,
    client: &Client,
    work: &Work,
) -> Result<(), Error> {
    let told = |path: &Path| Error::io(path.display().to_string());
    let index_path = folder.join("index.json");
    let index = match index_path.exists() {
        true => merged(Layout::open(folder)?.index, entries),
        false => Index::new(entries),
    };
    let mut written = Vec::new();
    for raw in parts.manifests() {
        written.push((raw.digest(), raw.bytes()));
    }
    for folder in written.iter().map(|(d, _)| *d).chain(parts.blobs.keys()).map(|d| blob_path(folder, d)) {
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent).map_err(told(parent))?;
        }
    }
    for blob in parts.blobs.values() {
        let path = blob_path(folder, &blob.descriptor.digest);
        if fs::metadata(&path).is_ok_and(|meta| meta.len() == blob.descriptor.size) {
            work.add(blob.descriptor.size);
            continue;
        }
        let mut file = Whole::create(&path)?;
        copy(blob, client, &mut file, work)?;
        file.finish()?;
    }
    for (digest, bytes) in written {
        whole(&blob_path(folder, digest), bytes)?;
    }
    whole(&folder.join("oci-layout"), MARKER)?;
    whole(&index_path, &index_bytes(&index)?)
}

fn whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = Whole::create(path)?;
    file.write_all(bytes).map_err(Error::io(path.display().to_string()))?;
    file.finish()
}

/// The bytes of an `index.json`.
pub(crate) fn index_bytes(index: &Index) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(index).map_err(|e| Error::Request(format!("index.json: {e}")))
}

/// New entries take the names of old ones. An old image that loses its last name is gone.
fn merged(mut index: Index, entries: Vec<Descriptor>) -> Index {
    let same = |old: &Descriptor, new: &Descriptor| {
        let [a, b] = [old, new].map(|d| (d.annotations.get(REF_NAME), d.annotations.get(IMAGE_NAME)));
        // `a/x:1` and `b/x:1` are two images, though both have the tag `1`.
        a.0 == b.0 && (a.1 == b.1 || a.1.is_none() || b.1.is_none())
    };
    index.manifests.retain(|old| !entries.iter().any(|new| same(old, new)));
    index.manifests.extend(entries);
    index.schema_version = 2;
    index.media_type.get_or_insert_with(|| media_type::OCI_INDEX.into());
    index
}

/// Copies a blob's bytes and checks that they are its.
pub(crate) fn copy(blob: &Blob, client: &Client, to: &mut dyn Write, work: &Work) -> Result<(), Error> {
    let Descriptor { digest, size, .. } = &blob.descriptor;
    let failed = |source| Error::Io { what: format!("copy {digest}"), source };
    // One byte more than it should have, to see whether it ends where it should.
    let mut reader = blob.open(client, 0).map_err(failed)?.take(size.saturating_add(1));
    let mut hasher = Hasher::new(digest.algorithm());
    let mut buffer = vec![0; 256 * 1024];
    let mut copied = 0;
    loop {
        let n = reader.read(&mut buffer).map_err(failed)?;
        let Some(piece) = buffer.get(..n).filter(|piece| !piece.is_empty()) else { break };
        copied += n as u64;
        if copied > *size {
            break;
        }
        hasher.update(piece);
        to.write_all(piece).map_err(failed)?;
        work.add(n as u64);
    }
    let found = hasher.finish();
    if copied != *size || found != *digest {
        let wrong = format!("the blob is damaged: it has {copied} bytes of {size}, and the digest {found}");
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, wrong)));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
