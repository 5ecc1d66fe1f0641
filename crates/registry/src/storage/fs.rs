//! Repositories in a folder.
//!
//! ```text
//! <root>/
//!   blobs/<algorithm>/<hex>          content of all repositories, once (archipel-cas)
//!   ingest/                          manifests on their way in (archipel-cas)
//!   uploads/<id>.<tag>               blobs on their way in; <tag> binds the upload to its repository's name
//!   tmp/                             small files before their rename
//!   lock                             flock: shared while content is linked, exclusive while garbage is removed
//!   repositories/<name>/
//!     _blobs/<algorithm>/<hex>       empty: the repository has this blob
//!     _manifests/<algorithm>/<hex>   the media type: the repository has this manifest
//!     _tags/<tag>                    the digest it leads to
//!     _referrers/<algorithm>/<hex>/<algorithm>-<hex>
//!                                    empty: the second is a manifest about the first
//! ```
//!
//! No part of a repository's name starts with `_`, so a repository may lie in another's folder.
//!
//! **Crash safety.** A file gets its final name by rename when it is whole and on disk, or is empty and only its name
//! counts; a folder is synced before what it holds is acknowledged. Things are made in the order in which they lead to
//! each other, from the end: content, then the link to it, then the referrer, then the tag. They are removed in the other
//! order. So whatever is cut off in the middle is content that nothing leads to, which the next collection takes, or a
//! referrer or tag that leads to nothing, which readers pass over.
//!
//! **Garbage.** Content is live while a repository links it. See [`collect`] for how that stays true while others push.
//!
//! **Format break.** Any change that an older program would misread; there is none yet, so there is no version file.

mod blob;
mod catalog;
mod collect;
mod manifest;
mod referrer;
mod tag;
mod tree;
mod upload;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use archipel_oci::Digest;

use super::{Error, NewManifest, Result, Storage, StoredManifest};
use crate::name::{Name, Tag, Target};
use blob::FsBlob;
pub use collect::{Collected, Policy};
use tree::Tree;
use upload::{FsUpload, Sessions};

/// How long an upload that nobody writes to is kept. A client that was cut off comes back within minutes; a day allows
/// for a laptop that was closed.
const UPLOAD_AGE: Duration = Duration::from_secs(24 * 3600);

/// A registry's content in a folder. Several processes may use the same folder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FsStorage {
    tree: Arc<Tree>,
    sessions: Sessions,
}

impl FsStorage {
    /// Opens the folder, makes it where it is missing, and clears away what a crash left. Blocks.
    pub fn open(root: &Path) -> Result<Self> {
        let tree = Arc::new(Tree::open(root)?);
        tree.sweep(UPLOAD_AGE)?;
        Ok(Self { tree, sessions: Sessions::default() })
    }

    /// Removes what nothing leads to, while others push and pull. Blocks.
    pub fn collect(&self, policy: &Policy) -> Result<Collected> {
        self.tree.sweep(UPLOAD_AGE)?;
        collect::collect(&self.tree, policy)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Tree) -> Result<T> + Send + 'static) -> Result<T> {
        let tree = Arc::clone(&self.tree);
        tokio::task::spawn_blocking(move || work(&tree)).await.map_err(|_| Error::Worker)?
    }
}

impl Storage for FsStorage {
    type Blob = FsBlob;
    type Upload = FsUpload;

    async fn blob_size(&self, name: &Name, digest: &Digest) -> Result<Option<u64>> {
        let (name, digest) = (name.clone(), digest.clone());
        self.run(move |tree| tree.blob_size(&name, &digest)).await
    }

    async fn open_blob(&self, name: &Name, digest: &Digest) -> Result<Option<FsBlob>> {
        let (name, digest) = (name.clone(), digest.clone());
        self.run(move |tree| tree.open_blob(&name, &digest)).await
    }

    async fn mount_blob(&self, name: &Name, from: Option<&Name>, digest: &Digest) -> Result<bool> {
        let (name, from, digest) = (name.clone(), from.cloned(), digest.clone());
        self.run(move |tree| tree.mount_blob(&name, from.as_ref(), &digest)).await
    }

    async fn delete_blob(&self, name: &Name, digest: &Digest) -> Result<bool> {
        let (name, digest) = (name.clone(), digest.clone());
        self.run(move |tree| tree.delete_blob(&name, &digest)).await
    }

    async fn start_upload(&self, name: &Name) -> Result<String> {
        let name = name.clone();
        self.run(move |tree| tree.start_upload(&name)).await
    }

    async fn open_upload(&self, name: &Name, id: &str) -> Result<Option<FsUpload>> {
        FsUpload::open(&self.tree, &self.sessions, name, id).await
    }

    async fn manifest(&self, name: &Name, target: &Target) -> Result<Option<StoredManifest>> {
        let (name, target) = (name.clone(), target.clone());
        self.run(move |tree| tree.manifest(&name, &target)).await
    }

    async fn put_manifest(&self, name: &Name, new: NewManifest) -> Result<Vec<Digest>> {
        let name = name.clone();
        self.run(move |tree| tree.put_manifest(&name, &new)).await
    }

    async fn delete_manifest(&self, name: &Name, digest: &Digest, subject: Option<&Digest>) -> Result<bool> {
        let (name, digest, subject) = (name.clone(), digest.clone(), subject.cloned());
        self.run(move |tree| tree.delete_manifest(&name, &digest, subject.as_ref())).await
    }

    async fn delete_tag(&self, name: &Name, tag: &Tag) -> Result<bool> {
        let (name, tag) = (name.clone(), tag.clone());
        self.run(move |tree| tree.delete_tag(&name, &tag)).await
    }

    async fn tags(&self, name: &Name) -> Result<Option<Vec<Tag>>> {
        let name = name.clone();
        self.run(move |tree| tree.tags(&name)).await
    }

    async fn referrers(&self, name: &Name, subject: &Digest) -> Result<Vec<Digest>> {
        let (name, subject) = (name.clone(), subject.clone());
        self.run(move |tree| tree.referrers(&name, &subject)).await
    }

    async fn repositories(&self) -> Result<Vec<Name>> {
        self.run(Tree::repositories).await
    }
}
