//! `cache`: folders beside the store, one for each key of a project. One that is read is locked shared, one that is replaced is locked
//! alone, so that pipelines at the same time see whole caches only.

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
            let folder = self.0.join(name(key));
            if folder.is_dir() {
                let _lock = self.lock(key, false)?;
                tree::lay(&folder, to)?;
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// Replaces a cache by what a tree has; how many files that are.
    pub(super) fn keep(&self, key: &str, selection: &Selection<'_>, tree: &Path) -> io::Result<usize> {
        fs::create_dir_all(&self.0)?;
        let fresh = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.0)?;
        let count = tree::collect(tree, selection, fresh.path())?;
        let folder = self.0.join(name(key));
        let _lock = self.lock(key, true)?;
        let old = tempfile::Builder::new().prefix(".old-").tempdir_in(&self.0)?;
        match fs::rename(&folder, old.path().join("cache")) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        fs::rename(fresh.keep(), &folder)?;
        Ok(count)
    }

    fn lock(&self, key: &str, alone: bool) -> io::Result<File> {
        let path = self.0.join(format!("{}.lock", name(key)));
        let file = File::options().create(true).append(true).open(path)?;
        if alone {
            file.lock()?
        } else {
            file.lock_shared()?
        }
        Ok(file)
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
            assert_eq!(caches.keep("other", &selection, tree.path()).unwrap(), 1);
        }
        assert_eq!(caches.restore(&cache, to.path()).unwrap(), Some("other"));
        assert_eq!(fs::read_to_string(to.path().join("target/a")).unwrap(), "3");
        assert_eq!(Caches::new(root.path(), "another").restore(&cache, to.path()).unwrap(), None);
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
