//! What the registry needs of whatever keeps its content.
//!
//! The trait speaks the registry's nouns, not a file system's: each method is one step that either happened or did not,
//! and what a method promises about order and durability is said at the method. The protocol (headers, ranges, errors,
//! paging) is not known here.

mod fs;

use std::future::Future;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use archipel_oci::Digest;
use bytes::Bytes;
use futures_util::Stream;

pub use fs::{Collected, FsStorage, Policy};

use crate::name::{Name, Tag, Target};

/// What can go wrong in a storage. The text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder of blobs refused.
    #[error(transparent)]
    Content(#[from] archipel_cas::Error),
    /// Another request has had the upload for too long.
    #[error("the upload is in use by another request")]
    Busy,
    /// A worker thread died.
    #[error("a worker of the storage ended early")]
    Worker,
}

impl Error {
    /// Whether there is no space left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let source = match self {
            Self::Io { source, .. } | Self::Content(archipel_cas::Error::Io { source, .. }) => source,
            _ => return false,
        };
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// What a storage's methods return.
pub type Result<T> = std::result::Result<T, Error>;

trait At<T> {
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io { path: path.to_owned(), source })
    }
}

/// A manifest as it was pushed.
#[derive(Clone, Debug)]
pub struct StoredManifest {
    /// Under which digest.
    pub digest: Digest,
    /// The type it was pushed with.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// A manifest that is to be stored, with everything in it that concerns a storage.
#[derive(Clone, Debug)]
pub struct NewManifest {
    /// The manifest; its digest is that of its bytes.
    pub manifest: StoredManifest,
    /// What must be in the repository already, blob or manifest alike.
    pub needs: Vec<Digest>,
    /// The manifest it is about, present or not.
    pub subject: Option<Digest>,
    /// The tags that will lead to it.
    pub tags: Vec<Tag>,
}

/// A blob that is open to be read. It stays readable when it is deleted meanwhile.
pub trait Blob: Send {
    /// Its length.
    fn size(&self) -> u64;
    /// Some of its bytes.
    fn stream(self, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static;
}

/// An upload that one request has for itself. Dropping it keeps every byte that was written and lets the next request
/// have it.
pub trait Upload: Send {
    /// The bytes it has.
    fn size(&self) -> u64;
    /// Appends. May return before the bytes are written; then a later call reports what went wrong.
    fn write(&mut self, batch: Vec<Bytes>) -> impl Future<Output = Result<()>> + Send;
    /// Waits for what was written.
    fn flush(&mut self) -> impl Future<Output = Result<()>> + Send;
    /// Takes back what is after `size`.
    fn truncate(&mut self, size: u64) -> impl Future<Output = Result<()>> + Send;
    /// Makes it a blob of its repository. When this returns `Ok(Ok)`, the blob survives a power cut. `Ok(Err)` is the
    /// digest that the bytes really have: then nothing of them is kept.
    fn commit(self, digest: &Digest) -> impl Future<Output = Result<std::result::Result<(), Digest>>> + Send;
    /// Throws it away.
    fn cancel(self) -> impl Future<Output = Result<()>> + Send;
}

/// Keeps repositories. Everything it returns survives a crash once it was returned.
pub trait Storage: Send + Sync + 'static {
    /// A blob that is being read.
    type Blob: Blob;
    /// A blob that is being written.
    type Upload: Upload;

    /// The size of a blob of this repository. Keeps it from being collected for a while: a client that asks is about to
    /// push a manifest that needs it.
    fn blob_size(&self, name: &Name, digest: &Digest) -> impl Future<Output = Result<Option<u64>>> + Send;
    /// Opens a blob of this repository.
    fn open_blob(&self, name: &Name, digest: &Digest) -> impl Future<Output = Result<Option<Self::Blob>>> + Send;
    /// Makes a blob of another repository, or of any if none is named, one of this repository too. Says whether it was
    /// there.
    fn mount_blob(
        &self,
        name: &Name,
        from: Option<&Name>,
        digest: &Digest,
    ) -> impl Future<Output = Result<bool>> + Send;
    /// Takes a blob out of this repository. Says whether it was there.
    fn delete_blob(&self, name: &Name, digest: &Digest) -> impl Future<Output = Result<bool>> + Send;

    /// Starts an upload and returns its name, which is hard to guess.
    fn start_upload(&self, name: &Name) -> impl Future<Output = Result<String>> + Send;
    /// Takes hold of an upload of this repository. The name is unchecked input.
    fn open_upload(&self, name: &Name, id: &str) -> impl Future<Output = Result<Option<Self::Upload>>> + Send;

    /// Reads a manifest.
    fn manifest(&self, name: &Name, target: &Target) -> impl Future<Output = Result<Option<StoredManifest>>> + Send;
    /// Stores a manifest and its tags, tags last; or returns what it needs and the repository lacks, and stores nothing.
    fn put_manifest(&self, name: &Name, new: NewManifest) -> impl Future<Output = Result<Vec<Digest>>> + Send;
    /// Deletes a manifest and the tags that lead to it. `subject` is what it is about. Says whether it was there.
    fn delete_manifest(
        &self,
        name: &Name,
        digest: &Digest,
        subject: Option<&Digest>,
    ) -> impl Future<Output = Result<bool>> + Send;
    /// Deletes a tag and nothing else. Says whether it was there.
    fn delete_tag(&self, name: &Name, tag: &Tag) -> impl Future<Output = Result<bool>> + Send;

    /// Every tag, sorted by bytes; `None` where there is no such repository.
    fn tags(&self, name: &Name) -> impl Future<Output = Result<Option<Vec<Tag>>>> + Send;
    /// The manifests that are about this one, sorted.
    fn referrers(&self, name: &Name, subject: &Digest) -> impl Future<Output = Result<Vec<Digest>>> + Send;
    /// Every repository that has a manifest, sorted by bytes.
    fn repositories(&self) -> impl Future<Output = Result<Vec<Name>>> + Send;
}
