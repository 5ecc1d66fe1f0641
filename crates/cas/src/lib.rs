//! A content-addressed folder: ingest, verify, sync, rename, list. What a build's store and a registry share.
//!
//! ```text
//! <dir>/
//!   blobs/sha256/<hex>     finished content, named by its digest, read-only
//!   blobs/sha384/<hex>, blobs/sha512/<hex>
//!   ingest/<pid>-<n>       content on its way in; locked (flock) while its writer lives
//! ```
//!
//! A blob appears by rename and only when whole, verified and on disk: whoever sees a name sees its bytes, after a crash
//! too. Several processes may share a folder. Two writers of the same content do the work twice and the second rename
//! replaces equal bytes by equal bytes. What a dead writer left in `ingest/` is told from a live one's by its lock, and
//! swept by [`Cas::sweep`]. `blobs/` is the folder of that name in an OCI image layout.
#![forbid(unsafe_code)]

mod ingest;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use archipel_oci::{Algorithm, Digest};

pub use ingest::Ingest;

/// What can go wrong with a folder of blobs.
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
    /// The content is not what it was said to be. Nothing of it was kept.
    #[error("content has digest {actual}, expected {expected}: it was damaged on the way or is not what was asked for")]
    Mismatch {
        /// What was promised.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// There is no such blob.
    #[error("blob {0} is not here")]
    Missing(Digest),
}

pub(crate) trait At<T> {
    fn at(self, path: &Path) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, path: &Path) -> Result<T, Error> {
        self.map_err(|e| Error::Io { path: path.to_owned(), source: e.into() })
    }
}

/// A folder of blobs. Cheap to clone; every method may be called from several threads and processes at once.
#[derive(Clone, Debug)]
pub struct Cas {
    blobs: PathBuf,
    ingest: PathBuf,
    durable: bool,
}

impl Cas {
    /// Opens the folder, making it where it is missing.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let cas = Self { blobs: dir.join("blobs"), ingest: dir.join("ingest"), durable: true };
        let folders = Algorithm::ALL.map(|algorithm| cas.blobs.join(algorithm.name()));
        for folder in folders.iter().chain([&cas.ingest]) {
            fs::create_dir_all(folder).at(folder)?;
        }
        Ok(cas)
    }

    /// A folder whose blobs can be had again (a cache): they are not forced to disk before they get their name. After a
    /// power cut such a blob may be short, so readers must verify what matters.
    #[must_use]
    pub fn volatile(mut self) -> Self {
        self.durable = false;
        self
    }

    /// Starts to take in content of this algorithm.
    pub fn ingest(&self, algorithm: Algorithm) -> Result<Ingest, Error> {
        Ingest::start(self, algorithm)
    }

    /// Takes in bytes that are at hand.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        if self.contains(&digest) {
            return Ok(digest);
        }
        let mut ingest = self.ingest(Algorithm::Sha256)?;
        io::Write::write_all(&mut ingest, bytes).at(&self.ingest)?;
        Ok(ingest.commit(Some(&digest))?.0)
    }

    /// Where a blob is or would be.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        // A digest's hexadecimal is checked when it is made, so it cannot climb out of the folder.
        self.blobs.join(digest.algorithm().name()).join(digest.hex())
    }

    /// Whether the blob is here.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).exists()
    }

    /// Its length in bytes, or `None` where it is not here.
    pub fn size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let path = self.path(digest);
        match fs::metadata(&path) {
            Ok(meta) => Ok(Some(meta.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).at(&path),
        }
    }

    /// Opens it to read.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, Error> {
        let path = self.path(digest);
        match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Error::Missing(digest.clone())),
            other => other.at(&path),
        }
    }

    /// Reads it whole: for documents, not layers.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut self.open_blob(digest)?, &mut bytes).at(&self.path(digest))?;
        Ok(bytes)
    }

    /// Removes it. Readers that have it open keep it. Says whether it was there.
    pub fn remove(&self, digest: &Digest) -> Result<bool, Error> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e).at(&path),
        }
    }

    /// Every blob with its size, in no order.
    pub fn list(&self) -> Result<Vec<(Digest, u64)>, Error> {
        let mut found = Vec::new();
        for algorithm in Algorithm::ALL {
            let folder = self.blobs.join(algorithm.name());
            for entry in fs::read_dir(&folder).at(&folder)? {
                let entry = entry.at(&folder)?;
                let name = entry.file_name();
                let Some(digest) = name.to_str().and_then(|hex| format!("{}:{hex}", algorithm.name()).parse().ok())
                else {
                    continue; // not ours: leave it alone
                };
                match entry.metadata() {
                    Ok(meta) => found.push((digest, meta.len())),
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(e).at(&entry.path()),
                }
            }
        }
        Ok(found)
    }

    /// Removes what dead writers left behind and returns the bytes that were freed.
    pub fn sweep(&self) -> Result<u64, Error> {
        ingest::sweep(&self.ingest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn cas() -> (tempfile::TempDir, Cas) {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        (dir, cas)
    }

    #[test]
    fn what_goes_in_comes_out() {
        let (_dir, cas) = cas();
        let digest = cas.put(b"hello").unwrap();
        assert_eq!(cas.put(b"hello").unwrap(), digest);
        assert_eq!(cas.read(&digest).unwrap(), b"hello");
        assert_eq!(cas.list().unwrap(), [(digest.clone(), 5)]);
        assert!(cas.remove(&digest).unwrap());
        assert!(!cas.remove(&digest).unwrap());
        assert!(matches!(cas.open_blob(&digest), Err(Error::Missing(_))));
    }

    #[test]
    fn wrong_content_leaves_nothing() {
        let (dir, cas) = cas();
        let mut ingest = cas.ingest(Algorithm::Sha256).unwrap();
        ingest.write_all(b"evil").unwrap();
        let expected = Digest::of(b"good");
        assert!(matches!(ingest.commit(Some(&expected)), Err(Error::Mismatch { .. })));
        assert!(cas.list().unwrap().is_empty());
        assert_eq!(fs::read_dir(dir.path().join("ingest")).unwrap().count(), 0);
    }

    #[test]
    fn the_sweep_takes_dead_writers_only() {
        let (dir, cas) = cas();
        let mut live = cas.ingest(Algorithm::Sha256).unwrap();
        live.write_all(b"live").unwrap();
        fs::write(dir.path().join("ingest/1-0"), b"dead!").unwrap();
        assert_eq!(cas.sweep().unwrap(), 5);
        let (digest, size) = live.commit(None).unwrap();
        assert_eq!((cas.size(&digest).unwrap(), size), (Some(4), 4));
    }
}
