//! Git repositories: which commit a name stands for, and that commit's files as a snapshot.
//!
//! For each remote the store keeps a bare repository (among the folders of cache mounts, so that it is pruned with them). Of
//! what is fetched only one commit's files come, where the server can do that. `refs/archipel/<object>` there says that an
//! object is whole: servers that know nothing but files are read object by object, and a fetch of theirs that was stopped
//! leaves commits without files.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use archipel_dockerfile::{GitSource, redacted};
use archipel_oci::Digest;
use archipel_store::{MountLock, SnapshotId};
use rustix::process::{getegid, geteuid};
use serde_json::json;

use super::checkout;
use super::command::{Git, Refused};
use super::once;
use crate::exec::blocking;
use crate::{Engine, Error, Request};

/// Changes when the same commit would give other files: old snapshots are then not found.
const FORMAT: u32 = 1;

/// How often a repository that another process works in is asked for.
const PATIENCE: Duration = Duration::from_millis(50);

/// A commit that a source stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GitCommit {
    /// What the reference names: a commit, or a tag that is an object of its own.
    pub(crate) object: String,
    /// What such a tag is for.
    pub(crate) peeled: Option<String>,
    /// The reference's full name, where it is not the object itself.
    pub(crate) reference: Option<String>,
}

/// A commit's files.
#[derive(Clone, Debug)]
pub(crate) struct GitTree {
    /// A snapshot's folder: it never changes.
    pub(crate) path: PathBuf,
    /// When the commit was made, in seconds since 1970.
    pub(crate) time: i64,
}

/// What makes two questions the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name {
    remote: String,
    reference: Option<String>,
}

/// The bare repository of a remote, for one process at a time.
#[derive(Debug)]
pub(super) struct Repository {
    pub(super) folder: PathBuf,
    _lock: MountLock,
}

impl GitCommit {
    /// What its files depend on, for a step's key.
    pub(crate) fn key(&self, source: &GitSource) -> Digest {
        let keeps = keeps_git_dir(source);
        let document = json!({
            "git": FORMAT,
            // Of a tag and its commit the files are the same, `.git` is not.
            "object": if keeps { &self.object } else { self.commit() },
            "reference": self.reference.as_ref().filter(|_| keeps),
            // It is in `.git`, and submodules are found relative to it.
            "remote": source.remote,
            "subdir": source.subdir,
            "keep": keeps,
            "submodules": source.submodules.unwrap_or(true),
            "commit-time": source.commit_time,
        });
        Digest::of(document.to_string().as_bytes())
    }

    pub(crate) fn commit(&self) -> &str {
        self.peeled.as_deref().unwrap_or(&self.object)
    }
}

/// A subdirectory has no `.git`.
pub(super) fn keeps_git_dir(source: &GitSource) -> bool {
    source.keep_git_dir.unwrap_or(false) && source.subdir.is_none()
}

impl Engine {
    /// The commit that a source stands for now. The remote is asked once, and nothing is fetched. It must be the commit that
    /// `checksum` (of an ADD) or the source itself begins to spell, if any does.
    pub(crate) async fn git_commit(
        &self,
        source: &GitSource,
        checksum: Option<&str>,
        request: &Request,
    ) -> Result<GitCommit, Error> {
        let checksum = match (checksum, source.checksum.as_deref()) {
            (Some(a), Some(b)) if a != b => {
                return Err(Error::Request(format!(
                    "checksum mismatch: --checksum={a}, and {b} in {}",
                    redacted(&source.text)
                )));
            }
            (a, b) => a.or(b),
        };
        if let Some(wrong) = checksum.filter(|c| c.is_empty() || !c.bytes().all(|b| b.is_ascii_hexdigit())) {
            let message = format!("invalid checksum {wrong} for Git URL, expected hex commit hash");
            return Err(Error::Request(message));
        }
        let found = match (&source.reference, checksum) {
            (Some(reference), _) if is_commit(reference) => {
                GitCommit { object: reference.clone(), peeled: None, reference: None }
            }
            (reference, Some(commit)) if source.fetch_by_commit => {
                if !is_commit(commit) {
                    return Err(Error::Request(format!("fetch-by-commit needs a whole commit, and {commit} is none")));
                }
                let full =
                    |name: &String| if name.starts_with("refs/") { name.clone() } else { format!("refs/heads/{name}") };
                GitCommit { object: commit.into(), peeled: None, reference: reference.as_ref().map(full) }
            }
            (_, None) if source.fetch_by_commit => {
                return Err(Error::Request("fetch-by-commit needs the commit: &commit=...".into()));
            }
            (reference, _) => {
                let name = Name { remote: source.remote.clone(), reference: reference.clone() };
                once(&self.sources.commits, name, async {
                    let git = Git::new(self, source, request).await?;
                    self.git_waits(resolve(&git, self.store.root(), source)).await
                })
                .await?
            }
        };
        match checksum {
            Some(wanted) if !found.object.starts_with(wanted) && !found.commit().starts_with(wanted) => {
                let also = found.peeled.as_ref().map(|commit| format!(" or {commit}")).unwrap_or_default();
                Err(Error::Request(format!("expected checksum to match {wanted}, got {}{also}", found.object)))
            }
            _ => Ok(found),
        }
    }

    /// A commit's files. They are fetched unless they are here.
    pub(crate) async fn git_tree(
        &self,
        source: &GitSource,
        commit: &GitCommit,
        request: &Request,
    ) -> Result<GitTree, Error> {
        let key = commit.key(source);
        if let Some(tree) = self.git_known(&key).await? {
            return Ok(tree);
        }
        let git = Git::new(self, source, request).await?;
        self.git_waits(async {
            let repository = self.git_repository(&git, source, commit).await?;
            if let Some(tree) = self.git_known(&key).await? {
                return Ok(tree);
            }
            fetch(&git, &repository.folder, source, commit).await?;
            let time = checkout::time(&git, &repository.folder, commit).await?;
            let store = self.store.clone();
            let draft = blocking(move || store.draft(None)).await?;
            checkout::checkout(&git, &repository.folder, source, commit, time, &draft).await?;
            let (store, id) = (self.store.clone(), SnapshotId::step(&key));
            let snapshot = blocking(move || {
                let snapshot = draft.commit(&id)?;
                store.cache_put(&key, time.to_string().as_bytes())?;
                Ok::<_, Error>(snapshot)
            })
            .await?;
            Ok(GitTree { path: snapshot.path, time })
        })
        .await
    }

    async fn git_known(&self, key: &Digest) -> Result<Option<GitTree>, Error> {
        let (store, key) = (self.store.clone(), key.clone());
        blocking(move || {
            let time = store.cache_get(&key)?.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
            let snapshot = store.snapshot(&SnapshotId::step(&key))?;
            Ok(time.zip(snapshot).map(|(time, snapshot)| GitTree { path: snapshot.path, time }))
        })
        .await
    }

    /// Finds or makes the repository of a remote, and waits until nobody else works in it.
    async fn git_repository(&self, git: &Git, source: &GitSource, commit: &GitCommit) -> Result<Repository, Error> {
        // The two kinds of hashes do not mix.
        let kind = if commit.object.len() == 64 { "sha256" } else { "sha1" };
        let (store, name) = (self.store.clone(), format!("git\0{kind}\0{}", source.remote));
        let owner = (geteuid().as_raw(), getegid().as_raw());
        let lock = loop {
            match store.lock_mount(&name, true)? {
                Some(lock) => break lock,
                None => tokio::time::sleep(PATIENCE).await,
            }
        };
        let folder = store.cache_mount(&lock, false, None, owner, 0o755)?;
        if !folder.join("HEAD").exists() {
            let format = format!("--object-format={kind}");
            git.run(&folder, &["init", "--quiet", "--bare", "--template=", &format, "."]).await?;
        }
        Ok(Repository { folder, _lock: lock })
    }

    async fn git_waits<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Error::Interrupted),
            done = work => done,
        }
    }
}

/// Asks the remote what a name stands for.
async fn resolve(git: &Git, folder: &Path, source: &GitSource) -> Result<GitCommit, Error> {
    let reference = match &source.reference {
        Some(reference) if reference.starts_with('-') => {
            return Err(git.error(&format!("invalid git ref {reference:?}")));
        }
        Some(reference) => reference.clone(),
        None => {
            let heads = git.run(folder, &["ls-remote", "--symref", "--", &source.remote, "HEAD"]).await?;
            let branch = heads.lines().find_map(|line| line.strip_prefix("ref: ")?.strip_suffix("\tHEAD"));
            if let Some(branch) = branch {
                branch.to_owned()
            } else {
                let object = heads.lines().find_map(|line| line.strip_suffix("\tHEAD")).filter(|line| is_commit(line));
                let object = object.ok_or_else(|| git.error("it has no default branch; name one with #BRANCH"))?;
                return Ok(GitCommit { object: object.into(), peeled: None, reference: None });
            }
        }
    };
    let peeled = format!("{reference}^{{}}");
    let listed = git.run(folder, &["ls-remote", "--", &source.remote, &reference, &peeled]).await?;
    choose(&listed, &reference).ok_or_else(|| git.error(&format!("repository does not contain ref {reference}")))
}

/// The line of `ls-remote` that a name means: itself, a branch, a tag, in this order, as `git checkout` has it.
fn choose(listed: &str, reference: &str) -> Option<GitCommit> {
    let find = |wanted: &str| {
        let line = listed.lines().find_map(|line| line.strip_suffix(wanted)?.strip_suffix('\t'));
        line.filter(|object| is_commit(object)).map(str::to_owned)
    };
    let named = |prefix: &str| format!("{prefix}{}", reference.strip_prefix(prefix).unwrap_or(reference));
    for name in [named("refs/"), named("refs/heads/")] {
        if let Some(object) = find(&name) {
            let peeled = find(&format!("{name}^{{}}"));
            return Some(GitCommit { object, peeled, reference: Some(name) });
        }
    }
    let name = named("refs/tags/");
    let object = find(&name)?;
    Some(GitCommit { object, peeled: find(&format!("{name}^{{}}")), reference: Some(name) })
}

/// Where a repository keeps what is whole.
pub(super) fn kept(commit: &GitCommit) -> String {
    format!("refs/archipel/{}", commit.object)
}

/// Brings an object into the repository.
async fn fetch(git: &Git, repository: &Path, source: &GitSource, commit: &GitCommit) -> Result<(), Error> {
    let kept = kept(commit);
    if holds(git, repository, &kept, commit).await? {
        return Ok(());
    }
    // What a killed process left.
    let _ = std::fs::remove_file(repository.join("shallow.lock"));
    let object = commit.object.as_str();
    let wanted = commit.reference.as_deref().filter(|_| !source.fetch_by_commit).unwrap_or(object);
    let mut said = fetch_one(git, repository, source, wanted, &kept).await?;
    if said.is_none() && !holds(git, repository, &kept, commit).await? {
        // The name stands for something else by now; what it stood for when it was asked for is what was promised.
        said = fetch_one(git, repository, source, object, &kept).await?;
    }
    if said.is_some() && wanted == object {
        // Not every server gives out a commit that no name stands for. Then all of it is fetched, and the commit is in it.
        let unshallow: &[&str] = if repository.join("shallow").exists() { &["--unshallow"] } else { &[] };
        let args = [
            &["fetch", "--quiet", "--force", "--no-tags"],
            unshallow,
            &["--", source.remote.as_str(), "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"],
        ];
        if git.attempt(repository, &args.concat()).await?.is_ok()
            && git.attempt(repository, &["update-ref", &kept, object]).await?.is_ok()
        {
            said = None;
        }
    }
    match said {
        Some(Refused(said)) => Err(git.error(&said)),
        None if holds(git, repository, &kept, commit).await? => Ok(()),
        None => Err(git.error(&format!("it no longer has {object}"))),
    }
}

/// Fetches one reference or object. Returns what git said if it did not.
async fn fetch_one(
    git: &Git,
    repository: &Path,
    source: &GitSource,
    wanted: &str,
    kept: &str,
) -> Result<Option<Refused>, Error> {
    let spec = format!("+{wanted}:{kept}");
    let args = ["fetch", "--quiet", "--no-tags", "--depth=1", "--", &source.remote, &spec].map(OsStr::new);
    Ok(git.attempt_shallow(repository, &args).await?.err())
}

/// Whether an object is there and whole.
async fn holds(git: &Git, repository: &Path, kept: &str, commit: &GitCommit) -> Result<bool, Error> {
    let found = git.attempt(repository, &["rev-parse", "--verify", "--quiet", kept]).await?;
    Ok(found.is_ok_and(|found| found.trim() == commit.object))
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
pub(super) mod tests;
