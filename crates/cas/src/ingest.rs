//! Content on its way in.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use archipel_oci::{Algorithm, Digest, Hasher};
use rustix::fs::{FlockOperation, flock};

use crate::{At as _, Cas, Error};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A blob that is being written: hashed as it comes, named when it is whole. Dropped without [`Ingest::commit`], it is gone.
#[derive(Debug)]
pub struct Ingest {
    cas: Cas,
    file: File,
    path: PathBuf,
    hasher: Hasher,
    size: u64,
    done: bool,
}

impl Ingest {
    pub(crate) fn start(cas: &Cas, algorithm: Algorithm) -> Result<Self, Error> {
        loop {
            // The pid keeps processes apart, the number threads; a pid that is used again meets `create_new`.
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = cas.ingest.join(format!("{}-{number}", std::process::id()));
            let file = match OpenOptions::new().write(true).read(true).create_new(true).open(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                other => other.at(&path)?,
            };
            flock(&file, FlockOperation::LockExclusive).at(&path)?;
            // A sweep may have come between the two: then the name is gone, or leads to another file.
            if same_file(&file, &path) {
                return Ok(Self { cas: cas.clone(), file, path, hasher: Hasher::new(algorithm), size: 0, done: false });
            }
        }
    }

    /// Bytes so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Checks the content against what was promised, brings it to disk and gives it its name. Returns digest and size.
    pub fn commit(mut self, expected: Option<&Digest>) -> Result<(Digest, u64), Error> {
        let digest = std::mem::take(&mut self.hasher).finish();
        if let Some(expected) = expected.filter(|e| **e != digest) {
            return Err(Error::Mismatch { expected: expected.clone(), actual: digest });
        }
        let target = self.cas.path(&digest);
        if self.cas.durable {
            self.file.sync_data().at(&self.path)?;
        }
        fs::rename(&self.path, &target).at(&target)?;
        self.done = true;
        if self.cas.durable {
            // The name is as much content as the bytes: without this a power cut may forget the rename.
            let folder = target.parent().unwrap_or(&self.cas.blobs);
            File::open(folder).and_then(|f| f.sync_all()).at(folder)?;
        }
        Ok((digest, self.size))
    }
}

impl Write for Ingest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        if !self.done {
            // Nothing to do about an error here: the sweep takes what stays.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(a), Ok(b)) => a.ino() == b.ino() && a.dev() == b.dev(),
        _ => false,
    }
}

pub(crate) fn sweep(folder: &Path) -> Result<u64, Error> {
    let mut freed = 0;
    for entry in fs::read_dir(folder).at(folder)? {
        let path = entry.at(folder)?.path();
        let Ok(file) = File::open(&path) else { continue }; // gone in the meantime
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue; // its writer lives
        }
        freed += file.metadata().map_or(0, |m| m.len());
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e).at(&path),
            _ => {}
        }
    }
    Ok(freed)
}
