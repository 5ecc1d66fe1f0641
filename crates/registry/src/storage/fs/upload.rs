//! Blobs on their way in: a file that grows, and a hash that follows it.
//!
//! The file is the truth about an upload; it survives restarts and cut connections. The running hash is a help that is
//! kept in memory between requests: where it is missing, or behind the file, the rest is hashed at the end.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use archipel_oci::{Algorithm, Digest, Hasher};
use bytes::Bytes;
use tokio::sync::OwnedMutexGuard;
use tokio::task::{JoinHandle, spawn_blocking};

use super::super::{At as _, Error, Result, Upload};
use super::tree::{Kind, Tree, remove, sync_parent};
use crate::name::Name;

/// How long a request waits for another one on the same upload. A client that was cut off and comes back at once meets
/// its own first request, which has yet to notice.
const PATIENCE: Duration = Duration::from_secs(10);

/// More hashes than this are not kept; forgetting one costs a second read of its file.
const MAX_SESSIONS: usize = 4096;

/// The SHA-256 of the first `length` bytes of an upload.
#[derive(Debug, Default)]
struct Running {
    hasher: Hasher,
    length: u64,
}

/// The running hashes of this process's uploads. Whoever has the lock of one has the upload.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions(Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<Running>>>>>);

impl Sessions {
    fn get(&self, id: &str) -> Arc<tokio::sync::Mutex<Running>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_SESSIONS && !all.contains_key(id) {
            all.retain(|_, running| Arc::strong_count(running) > 1);
        }
        Arc::clone(all.entry(id.into()).or_default())
    }

    fn forget(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

impl Tree {
    /// An upload's file. The digest of the repository's name in it makes an upload's id worthless elsewhere.
    fn upload(&self, name: &Name, id: &str) -> PathBuf {
        self.uploads.join(format!("{id}.{}", Digest::of(name.as_str().as_bytes()).short()))
    }

    pub(super) fn start_upload(&self, name: &Name) -> Result<String> {
        let source = Path::new("/dev/urandom");
        let mut bytes = [0; 16];
        File::open(source).and_then(|mut f| f.read_exact(&mut bytes)).at(source)?;
        let id = uuid(bytes);
        let path = self.upload(name, &id);
        File::create_new(&path).at(&path)?;
        Ok(id)
    }
}

/// A version 4 UUID (RFC 9562, section 5.4): the specification wants one in an upload's address.
fn uuid(bytes: [u8; 16]) -> String {
    let number = u128::from_be_bytes(bytes);
    let number = number & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
    let hex = format!("{number:032x}");
    let (a, rest) = hex.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    format!("{a}-{b}-{c}-{d}-{e}")
}

fn is_uuid(id: &str) -> bool {
    id.len() == 36 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}

/// What a worker thread needs; with it goes the right to the upload.
#[derive(Debug)]
struct Work {
    file: File,
    path: PathBuf,
    length: u64,
    running: OwnedMutexGuard<Running>,
}

impl Work {
    fn append(&mut self, batch: &[Bytes]) -> Result<()> {
        for bytes in batch {
            self.file.write_all(bytes).at(&self.path)?;
            if self.running.length == self.length {
                self.running.hasher.update(bytes);
                self.running.length += bytes.len() as u64;
            }
            self.length += bytes.len() as u64;
        }
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> Result<()> {
        self.file.set_len(length).at(&self.path)?;
        self.length = length;
        if self.running.length > length {
            *self.running = Running::default();
        }
        Ok(())
    }

    fn digest(&mut self, algorithm: Algorithm) -> Result<Digest> {
        use std::io::Seek as _;
        let (mut hasher, done) = match algorithm {
            Algorithm::Sha256 => (self.running.hasher.clone(), self.running.length),
            Algorithm::Sha384 | Algorithm::Sha512 => (Hasher::new(algorithm), 0),
        };
        if done < self.length {
            self.file.seek(io::SeekFrom::Start(done)).at(&self.path)?;
            io::copy(&mut io::BufReader::with_capacity(1 << 20, &self.file), &mut hasher).at(&self.path)?;
        }
        Ok(hasher.finish())
    }

    fn commit(mut self, tree: &Tree, name: &Name, expected: &Digest) -> Result<std::result::Result<(), Digest>> {
        let actual = self.digest(expected.algorithm())?;
        if actual != *expected {
            // Bytes that are wrong stay wrong: whoever goes on starts again.
            remove(&self.path)?;
            return Ok(Err(actual));
        }
        self.file.sync_data().at(&self.path)?;
        let _linking = tree.linking()?;
        // Written long ago perhaps, and content only now: see `collect`.
        self.file.set_modified(SystemTime::now()).at(&self.path)?;
        let target = tree.cas.path(expected);
        fs::rename(&self.path, &target).at(&target)?;
        sync_parent(&target)?;
        tree.mark(&tree.link(name, Kind::Blobs, expected))?;
        Ok(Ok(()))
    }
}

#[derive(Debug)]
enum State {
    Idle(Work),
    /// A batch is being written while the next one comes in from the network.
    Writing(JoinHandle<(Work, Result<()>)>),
    /// A worker died, or the upload was used up.
    Lost,
}

/// An upload in the hands of one request.
#[derive(Debug)]
pub struct FsUpload {
    tree: Arc<Tree>,
    sessions: Sessions,
    name: Name,
    id: String,
    size: u64,
    state: State,
}

impl FsUpload {
    pub(super) async fn open(tree: &Arc<Tree>, sessions: &Sessions, name: &Name, id: &str) -> Result<Option<Self>> {
        if !is_uuid(id) {
            return Ok(None);
        }
        let path = tree.upload(name, id);
        let open = |path: &Path| match File::options().read(true).append(true).open(path) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).at(path),
        };
        // Looked at first, so that made-up ids do not fill the table; and again under the lock, for then it is ours.
        if open(&path)?.is_none() {
            return Ok(None);
        }
        let session = sessions.get(id);
        let running = tokio::time::timeout(PATIENCE, session.lock_owned()).await.map_err(|_| Error::Busy)?;
        let Some(file) = open(&path)? else {
            sessions.forget(id);
            return Ok(None);
        };
        let length = file.metadata().at(&path)?.len();
        Ok(Some(Self {
            tree: Arc::clone(tree),
            sessions: sessions.clone(),
            name: name.clone(),
            id: id.into(),
            size: length,
            state: State::Idle(Work { file, path, length, running }),
        }))
    }

    /// Waits for the batch that is being written, and takes the work.
    async fn settle(&mut self) -> Result<Work> {
        match std::mem::replace(&mut self.state, State::Lost) {
            State::Idle(work) => Ok(work),
            State::Writing(job) => {
                let (work, result) = job.await.map_err(|_| Error::Worker)?;
                self.size = work.length;
                match result {
                    Ok(()) => Ok(work),
                    Err(e) => {
                        self.state = State::Idle(work);
                        Err(e)
                    }
                }
            }
            State::Lost => Err(Error::Worker),
        }
    }
}

impl Upload for FsUpload {
    fn size(&self) -> u64 {
        self.size
    }

    async fn write(&mut self, batch: Vec<Bytes>) -> Result<()> {
        let mut work = self.settle().await?;
        self.size += batch.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
        self.state = State::Writing(spawn_blocking(move || {
            let result = work.append(&batch);
            (work, result)
        }));
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        let work = self.settle().await?;
        self.state = State::Idle(work);
        Ok(())
    }

    async fn truncate(&mut self, size: u64) -> Result<()> {
        let mut work = self.settle().await?;
        let (work, result) = spawn_blocking(move || {
            let result = work.truncate(size);
            (work, result)
        })
        .await
        .map_err(|_| Error::Worker)?;
        self.size = work.length;
        self.state = State::Idle(work);
        result
    }

    async fn commit(mut self, digest: &Digest) -> Result<std::result::Result<(), Digest>> {
        let work = self.settle().await?;
        let (tree, name, digest) = (Arc::clone(&self.tree), self.name.clone(), digest.clone());
        // Goes on when the client leaves: what is whole may as well become a blob.
        let done = spawn_blocking(move || work.commit(&tree, &name, &digest)).await.map_err(|_| Error::Worker)?;
        if done.is_ok() {
            self.sessions.forget(&self.id);
        }
        done
    }

    async fn cancel(mut self) -> Result<()> {
        let work = self.settle().await?;
        spawn_blocking(move || remove(&work.path)).await.map_err(|_| Error::Worker)??;
        self.sessions.forget(&self.id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_4_uuids() {
        assert_eq!(uuid([0; 16]), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert!(is_uuid(&uuid([7; 16])));
        assert!(!is_uuid("../../../../../../etc/passwd00000000"));
    }
}
