//! `cache`: folders beside the store, one for each key of a project. One that is read is locked shared, one that is replaced is locked
//! alone, so that pipelines at the same time see whole caches only. What a killed run leaves, its draft or a cache that was on its way
//! out, has no lock any more, and the next run sees to it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use archipel_oci::Digest;

use super::tree::{self, Selection};
use crate::job::{Cache, CacheKey, CachePolicy};
use crate::variable::Values;

/// The largest file that names a cache by its content.
const MAX_KEY_FILE: usize = 64 << 20;

/// A cache of a job with everything expanded.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) key: String,
    fallbacks: Vec<String>,
    pub(super) paths: Vec<String>,
    pub(super) pull: bool,
    pub(super) push: bool,
}

/// Expands what a file says of a cache. `files` is the tree whose files may name it.
pub(super) fn resolve(cache: &Cache, values: &Values, files: &Path) -> io::Result<Resolved> {
    let key = match &cache.key {
        CacheKey::Text(text) => values.apply(text),
        CacheKey::Files { files: names, prefix } => {
            let mut content = Vec::new();
            for name in names {
                content.extend(tree::read(files, &values.apply(name), MAX_KEY_FILE)?.unwrap_or_default());
                content.push(0);
            }
            let hash = Digest::of(&content).hex().to_owned();
            prefix.as_ref().map_or_else(|| hash.clone(), |prefix| format!("{}-{hash}", values.apply(prefix)))
        }
    };
    let policy = match &cache.policy {
        CachePolicy::Variable(text) => {
            let said = values.apply(text);
            CachePolicy::parse(&said).ok_or_else(|| io::Error::other(format!("`{said}` is not a policy of a cache")))?
        }
        policy => policy.clone(),
    };
    Ok(Resolved {
        key,
        fallbacks: cache.fallback_keys.iter().map(|key| values.apply(key)).collect(),
        paths: cache.paths.iter().map(|path| values.apply(path)).collect(),
        pull: policy != CachePolicy::Push,
        push: policy != CachePolicy::Pull,
    })
}

/// Where caches of a project are.
#[derive(Clone, Debug)]
pub(super) struct Caches(PathBuf);

impl Caches {
    pub(super) fn new(root: &Path, project: &str) -> Self {
        Self(root.join(name(project)))
    }

    /// Lays a cache into a tree: the one of the key, else the first of the others that is there. Returns its key.
    pub(super) fn restore<'a>(&self, cache: &'a Resolved, to: &Path) -> io::Result<Option<&'a str>> {
        for key in std::iter::once(&cache.key).chain(&cache.fallbacks) {
            let place = self.place(&name(key));
            // Whoever keeps a cache makes its lock first.
            let lock = match File::open(&place.lock) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            lock.lock_shared()?;
            if place.cache.is_dir() {
                tree::lay(&place.cache, to)?;
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// Replaces a cache by what a tree has; how many files and folders that are.
    pub(super) fn keep(&self, key: &str, selection: &Selection<'_>, tree: &Path) -> io::Result<usize> {
        fs::create_dir_all(&self.0)?;
        let place = self.place(&name(key));
        // The long part is the copy, and nobody who reads the cache waits for it.
        let drafting = lock_file(&place.drafting)?;
        drafting.lock()?;
        remove(&place.draft)?;
        fs::create_dir(&place.draft)?;
        let kept = tree::collect(tree, selection, &place.draft).and_then(|count| {
            let lock = lock_file(&place.lock)?;
            lock.lock()?;
            place.replace()?;
            Ok(count)
        });
        if kept.is_err() {
            let _ = remove(&place.draft); // the error before it says more
        }
        kept
    }

    /// Brings in order what runs that were killed have left.
    pub(super) fn sweep(&self) -> io::Result<()> {
        let entries = match fs::read_dir(&self.0) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for entry in entries {
            let file = entry?.file_name();
            let Some(name) = file.to_str().and_then(|file| file.strip_suffix(DRAFTING)) else { continue };
            let place = self.place(name);
            let drafting = lock_file(&place.drafting)?;
            if drafting.try_lock().is_err() {
                continue; // somebody works there
            }
            if !place.draft.exists() && !place.old.exists() {
                continue; // nor is there a reason to wait for readers
            }
            let lock = lock_file(&place.lock)?;
            lock.lock()?;
            place.recover()?;
            remove(&place.draft)?;
        }
        Ok(())
    }

    fn place(&self, name: &str) -> Place {
        let path = |suffix: &str| self.0.join(format!("{name}{suffix}"));
        Place { cache: path(""), lock: path(".lock"), draft: path(".new"), drafting: path(DRAFTING), old: path(".old") }
    }
}

/// What the lock of a draft is called after its cache.
const DRAFTING: &str = ".new.lock";

/// Where a cache is, and what is beside it.
struct Place {
    cache: PathBuf,
    /// Held to read the cache, and alone to replace it.
    lock: PathBuf,
    /// What will be the cache.
    draft: PathBuf,
    /// Held by whoever makes the draft.
    drafting: PathBuf,
    /// What was the cache.
    old: PathBuf,
}

impl Place {
    /// Puts the draft in the place of the cache. If that cannot be done the cache stays.
    fn replace(&self) -> io::Result<()> {
        self.recover()?;
        match fs::rename(&self.cache, &self.old) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let replaced = fs::rename(&self.draft, &self.cache);
        self.recover()?;
        replaced
    }

    /// After a replacement, whole or not: the old cache goes, or comes back where there is no other.
    fn recover(&self) -> io::Result<()> {
        if self.old.is_dir() && !self.cache.is_dir() {
            return fs::rename(&self.old, &self.cache);
        }
        remove(&self.old)
    }
}

fn lock_file(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A file name for a text that anybody may have written.
fn name(text: &str) -> String {
    Digest::of(text.as_bytes()).hex().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Variable;

    fn cache(key: CacheKey) -> Cache {
        let paths = vec!["target".into()];
        let (policy, when) = (CachePolicy::PullPush, crate::job::ArtifactsWhen::OnSuccess);
        Cache { paths, untracked: false, key, fallback_keys: vec!["other".into()], policy, when }
    }

    #[test]
    fn what_is_kept_is_found_again() {
        let (root, tree, to) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(tree.path().join("target")).unwrap();
        fs::write(tree.path().join("target/a"), "1").unwrap();
        let values = [Variable::new("REF", "main")].into_iter().collect::<crate::Variables>().expand().unwrap();
        let cache = resolve(&cache(CacheKey::Text("$REF-x".into())), &values, tree.path()).unwrap();
        assert_eq!(cache.key, "main-x");
        let caches = Caches::new(root.path(), "group/project");
        assert_eq!(caches.restore(&cache, to.path()).unwrap(), None);
        let selection = Selection { paths: &cache.paths, exclude: &[], untracked: None };
        for content in ["2", "3"] {
            fs::write(tree.path().join("target/a"), content).unwrap();
            assert_eq!(caches.keep("other", &selection, tree.path()).unwrap(), 2);
        }
        assert_eq!(caches.restore(&cache, to.path()).unwrap(), Some("other"));
        assert_eq!(fs::read_to_string(to.path().join("target/a")).unwrap(), "3");
        assert_eq!(Caches::new(root.path(), "another").restore(&cache, to.path()).unwrap(), None);
    }

    /// A cache `k` with one file.
    fn kept() -> (tempfile::TempDir, Caches) {
        let (root, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(tree.path().join("a"), "old").unwrap();
        let caches = Caches::new(root.path(), "p");
        let everything = [".".to_owned()];
        caches.keep("k", &Selection { paths: &everything, exclude: &[], untracked: None }, tree.path()).unwrap();
        (root, caches)
    }

    fn restored(caches: &Caches) -> Option<String> {
        let to = tempfile::tempdir().unwrap();
        let cache = resolve(&cache(CacheKey::Text("k".into())), &crate::Values::default(), to.path()).unwrap();
        caches.restore(&cache, to.path()).unwrap()?;
        Some(fs::read_to_string(to.path().join("a")).unwrap())
    }

    #[test]
    fn a_cache_that_cannot_be_replaced_stays() {
        let (_root, caches) = kept();
        // There is no draft.
        assert_eq!(caches.place(&name("k")).replace().unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(restored(&caches).as_deref(), Some("old"));
    }

    #[test]
    fn a_cache_that_is_being_replaced_is_waited_for() {
        let (_root, caches) = kept();
        let place = caches.place(&name("k"));
        let lock = lock_file(&place.lock).unwrap();
        lock.lock().unwrap();
        fs::rename(&place.cache, &place.old).unwrap();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| restored(&caches));
            // Long enough for a reader that does not wait to find nothing.
            std::thread::sleep(std::time::Duration::from_millis(50));
            place.recover().unwrap();
            drop(lock);
            assert_eq!(reader.join().unwrap().as_deref(), Some("old"));
        });
    }

    #[test]
    fn what_a_killed_run_left_is_swept() {
        let (_root, caches) = kept();
        let place = caches.place(&name("k"));
        fs::rename(&place.cache, &place.old).unwrap();
        fs::create_dir(&place.draft).unwrap();
        let drafting = lock_file(&place.drafting).unwrap();
        drafting.lock().unwrap();
        caches.sweep().unwrap();
        assert!(place.draft.is_dir() && place.old.is_dir(), "what is worked at stays");
        drop(drafting);
        caches.sweep().unwrap();
        assert!(!place.draft.exists() && !place.old.exists());
        assert_eq!(restored(&caches).as_deref(), Some("old"));
        Caches::new(Path::new("/nowhere"), "p").sweep().unwrap();
    }

    #[test]
    fn files_name_a_cache() {
        let tree = tempfile::tempdir().unwrap();
        let key = || {
            let key = CacheKey::Files { files: vec!["Cargo.lock".into()], prefix: Some("p".into()) };
            resolve(&cache(key), &crate::Values::default(), tree.path()).unwrap().key
        };
        let before = key();
        fs::write(tree.path().join("Cargo.lock"), "x").unwrap();
        assert!(key() != before && key().starts_with("p-"));
    }
}
