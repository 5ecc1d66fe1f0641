//! Blobs: who has them, and reading them.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use archipel_oci::Digest;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};

use super::super::{At as _, Blob, Result};
use super::tree::{Kind, Tree, modified, remove, sync_parent};
use crate::name::Name;

/// How much is read at a time: large enough that a thread's wake-up does not count, small enough that a thousand slow
/// readers need no more than 128 MiB.
const CHUNK: u64 = 128 * 1024;

/// A link that is asked for is freshened when it is older than this; below the shortest sensible age of garbage.
const FRESH: Duration = Duration::from_secs(60);

impl Tree {
    pub(super) fn blob_size(&self, name: &Name, digest: &Digest) -> Result<Option<u64>> {
        if !freshen_old(&self.link(name, Kind::Blobs, digest))? {
            return Ok(None);
        }
        Ok(self.cas.size(digest)?)
    }

    pub(super) fn open_blob(&self, name: &Name, digest: &Digest) -> Result<Option<FsBlob>> {
        if modified(&self.link(name, Kind::Blobs, digest))?.is_none() {
            return Ok(None);
        }
        match self.cas.open_blob(digest) {
            Ok(file) => {
                let size = file.metadata().at(&self.cas.path(digest))?.len();
                Ok(Some(FsBlob { file: Arc::new(file), size }))
            }
            Err(archipel_cas::Error::Missing(_)) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    pub(super) fn mount_blob(&self, name: &Name, from: Option<&Name>, digest: &Digest) -> Result<bool> {
        let _linking = self.linking()?;
        let has = |name: &Name| Ok(modified(&self.link(name, Kind::Blobs, digest))?.is_some());
        let there = match from {
            Some(from) => has(from)?,
            // The content alone is no proof that a repository has it: a manifest is content too, and so is garbage.
            None => self.cas.contains(digest) && self.any_repository(has)?,
        };
        // The content is freshened before the link is made: see `collect`.
        if !there || !freshen(&self.cas.path(digest))? {
            return Ok(false);
        }
        self.mark(&self.link(name, Kind::Blobs, digest))?;
        Ok(true)
    }

    pub(super) fn delete_blob(&self, name: &Name, digest: &Digest) -> Result<bool> {
        let _removing = self.removing()?;
        let link = self.link(name, Kind::Blobs, digest);
        let was_there = remove(&link)?;
        if was_there {
            sync_parent(&link)?;
        }
        Ok(was_there)
    }

    /// Whether a repository has this as blob or manifest.
    pub(super) fn has(&self, name: &Name, digest: &Digest) -> Result<bool> {
        Ok(modified(&self.link(name, Kind::Blobs, digest))?.is_some()
            || modified(&self.link(name, Kind::Manifests, digest))?.is_some())
    }
}

/// Keeps what is asked for from being garbage for a while, and says whether it is there. Should the collector win the
/// race, the answer is that it is gone.
pub(super) fn freshen_old(path: &Path) -> Result<bool> {
    match modified(path)? {
        Some(time) if time.elapsed().is_ok_and(|age| age > FRESH) => freshen(path),
        time => Ok(time.is_some()),
    }
}

/// Gives a file the present time, and says whether it was there.
pub(super) fn freshen(path: &Path) -> Result<bool> {
    match File::open(path) {
        Ok(file) => {
            file.set_modified(SystemTime::now()).at(path)?;
            // Removed since it was opened: then what was freshened is nothing.
            Ok(fs::exists(path).at(path)?)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e).at(path),
    }
}

/// An open blob.
#[derive(Debug)]
pub struct FsBlob {
    file: Arc<File>,
    size: u64,
}

impl Blob for FsBlob {
    fn size(&self) -> u64 {
        self.size
    }

    fn stream(self, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        // The buffer goes with the state: once a chunk has left, its memory is used for a later one.
        let state = (self.file, range, BytesMut::new());
        stream::try_unfold(state, |(file, range, mut buffer)| async move {
            if range.is_empty() {
                return Ok(None);
            }
            let length = (range.end - range.start).min(CHUNK);
            let start = range.start;
            let reading = tokio::task::spawn_blocking(move || {
                buffer.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
                file.read_exact_at(&mut buffer, start)?;
                Ok::<_, io::Error>((file, buffer))
            });
            let (file, mut buffer) = reading.await.map_err(io::Error::other)??;
            let chunk = buffer.split().freeze();
            Ok(Some((chunk, (file, start + length..range.end, buffer))))
        })
    }
}
