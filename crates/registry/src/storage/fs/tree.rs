//! The folders, and the few ways in which files get into and out of them.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use archipel_cas::Cas;
use archipel_oci::Digest;

use super::super::{At as _, Result};
use crate::name::Name;

/// The four kinds of things in a repository's folder.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Blobs,
    Manifests,
    Tags,
    Referrers,
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Blobs => "_blobs",
            Self::Manifests => "_manifests",
            Self::Tags => "_tags",
            Self::Referrers => "_referrers",
        }
    }
}

/// A registry's folder. Every method blocks.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) cas: Cas,
    pub(super) repositories: PathBuf,
    pub(super) uploads: PathBuf,
    tmp: PathBuf,
    lock: PathBuf,
    next: AtomicU64,
}

impl Tree {
    pub(super) fn open(root: &Path) -> Result<Self> {
        let tree = Self {
            cas: Cas::open(root)?,
            repositories: root.join("repositories"),
            uploads: root.join("uploads"),
            tmp: root.join("tmp"),
            lock: root.join("lock"),
            next: AtomicU64::new(0),
        };
        for folder in [&tree.repositories, &tree.uploads, &tree.tmp] {
            fs::create_dir_all(folder).at(folder)?;
        }
        File::options().create(true).append(true).open(&tree.lock).at(&tree.lock)?;
        Ok(tree)
    }

    /// Removes what a crash left behind, as long as it is old enough that nobody can be at it.
    pub(super) fn sweep(&self, age: Duration) -> Result<()> {
        self.cas.sweep()?;
        let Some(before) = SystemTime::now().checked_sub(age) else { return Ok(()) };
        for folder in [&self.uploads, &self.tmp] {
            for entry in fs::read_dir(folder).at(folder)? {
                let path = entry.at(folder)?.path();
                if modified(&path)?.is_some_and(|time| time < before) {
                    remove(&path)?;
                }
            }
        }
        Ok(())
    }

    /// Held while content is linked: garbage is not removed meanwhile.
    pub(super) fn linking(&self) -> Result<File> {
        let file = File::open(&self.lock).at(&self.lock)?;
        file.lock_shared().at(&self.lock)?;
        Ok(file)
    }

    /// Held while garbage is removed: nothing is linked meanwhile.
    pub(super) fn removing(&self) -> Result<File> {
        let file = File::open(&self.lock).at(&self.lock)?;
        file.lock().at(&self.lock)?;
        Ok(file)
    }

    /// Where a repository keeps things of one kind.
    pub(super) fn folder(&self, name: &Name, kind: Kind) -> PathBuf {
        self.repositories.join(name.as_str()).join(kind.folder())
    }

    /// Where a repository has its link to a blob or manifest.
    pub(super) fn link(&self, name: &Name, kind: Kind, digest: &Digest) -> PathBuf {
        let mut path = self.folder(name, kind);
        path.push(digest.algorithm().name());
        path.push(digest.hex());
        path
    }

    /// Makes an empty file durably, or freshens the one that is there.
    pub(super) fn mark(&self, path: &Path) -> Result<()> {
        // One `open` for both: a file that somebody removes between two calls would be acknowledged and gone.
        let file = with_folder(path, || File::options().create(true).append(true).open(path))?;
        file.set_modified(SystemTime::now()).at(path)?;
        sync_parent(path)
    }

    /// Makes or replaces a small file, durably and at once: a reader sees the old content or the new.
    pub(super) fn write(&self, path: &Path, content: &[u8]) -> Result<()> {
        // The time keeps a process apart from an earlier one of the same pid, in another container perhaps.
        let nanos = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |t| t.as_nanos());
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let temporary = self.tmp.join(format!("{}-{nanos}-{number}", std::process::id()));
        let result = (|| {
            let mut file = File::options().write(true).create_new(true).open(&temporary).at(&temporary)?;
            file.write_all(content).at(&temporary)?;
            file.sync_data().at(&temporary)?;
            with_folder(path, || fs::rename(&temporary, path))
        })();
        if result.is_err() {
            let _ = fs::remove_file(&temporary); // what stays is swept
        }
        result?;
        sync_parent(path)
    }
}

/// Does something in a folder that may have to be made first.
fn with_folder<T>(path: &Path, act: impl Fn() -> io::Result<T>) -> Result<T> {
    match act() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                make_folder(folder)?;
            }
            act().at(path)
        }
        other => other.at(path),
    }
}

/// Makes a folder and those above it. Each new name is synced: a link in a folder that a power cut forgets is lost.
fn make_folder(folder: &Path) -> Result<()> {
    match fs::create_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            if let Some(above) = folder.parent() {
                make_folder(above)?;
            }
            match fs::create_dir(folder) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                other => other.at(folder).and_then(|()| sync_parent(folder)),
            }
        }
        other => other.at(folder).and_then(|()| sync_parent(folder)),
    }
}

/// Brings a name to disk.
pub(super) fn sync_parent(path: &Path) -> Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    File::open(folder).and_then(|f| f.sync_all()).at(folder)
}

/// Removes a file and says whether it was there.
pub(super) fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if is_absent(&e) => Ok(false),
        Err(e) => Err(e).at(path),
    }
}

/// When a file was last written, or `None` where it is not there.
pub(super) fn modified(path: &Path) -> Result<Option<SystemTime>> {
    match fs::metadata(path).and_then(|m| m.modified()) {
        Ok(time) => Ok(Some(time)),
        Err(e) if is_absent(&e) => Ok(None),
        Err(e) => Err(e).at(path),
    }
}

/// Reads a small file, or `None` where it is not there.
pub(super) fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if is_absent(&e) => Ok(None),
        Err(e) => Err(e).at(path),
    }
}

/// The names in a folder, or none where it is not there.
pub(super) fn names(folder: &Path) -> Result<Option<Vec<String>>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if is_absent(&e) => return Ok(None),
        other => other.at(folder)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        // A name that is no text is none of ours.
        names.extend(entry.at(folder)?.file_name().into_string());
    }
    Ok(Some(names))
}

/// Every digest that has a file `<algorithm>/<hex>` below a folder.
pub(super) fn digests(folder: &Path) -> Result<Vec<Digest>> {
    let mut found = Vec::new();
    for algorithm in archipel_oci::Algorithm::ALL.map(archipel_oci::Algorithm::name) {
        let names = names(&folder.join(algorithm))?.unwrap_or_default();
        found.extend(names.iter().filter_map(|hex| format!("{algorithm}:{hex}").parse::<Digest>().ok()));
    }
    Ok(found)
}

/// A repository `a` has no folder `a/b/_blobs` where `a/b` is a file; both mean that the thing is not there.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
