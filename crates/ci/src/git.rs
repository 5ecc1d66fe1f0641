//! What the `git` program knows of a working tree.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::predefined::{Ref, Repository};

/// The largest file that is read as a part of a pipeline. Longer ones are none.
const MAX_FILE: u64 = 4 << 20;

/// How far the fields of a commit are apart in git's answer: a character that no name has.
const FIELD: char = '\u{1}';

/// A working tree.
#[derive(Clone, Debug)]
pub struct WorkTree {
    git: PathBuf,
    root: PathBuf,
}

/// Why git does not answer.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The program.
    #[error("git cannot be run: {0}")]
    Program(io::Error),
    /// No repository, or one without a commit.
    #[error("{}: {reason}", .folder.display())]
    Repository {
        /// Where.
        folder: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// Another refusal.
    #[error("git {command}: {reason}")]
    Command {
        /// What was asked.
        command: String,
        /// What it said.
        reason: String,
    },
}

impl WorkTree {
    /// Finds the working tree that a folder is in. `git` is the program.
    ///
    /// # Errors
    /// There is none, or git is not there.
    pub fn find(git: &Path, folder: &Path) -> Result<Self, GitError> {
        let here = Self { git: git.to_owned(), root: folder.to_owned() };
        let output = here.output(["rev-parse", "--show-toplevel"])?;
        if !output.status.success() {
            let reason = "it is not in a git repository, which a pipeline runs for".to_owned();
            return Err(GitError::Repository { folder: folder.to_owned(), reason });
        }
        let root = String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned();
        Ok(Self { root: root.into(), ..here })
    }

    /// Its root.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What is known of the commit that is checked out.
    ///
    /// # Errors
    /// There is no commit yet, or git refuses.
    pub fn repository(&self) -> Result<Repository, GitError> {
        let format = format!("--format=%H{FIELD}%P{FIELD}%an <%ae>{FIELD}%cI{FIELD}%B");
        let output = self.output(["log", "-1", format.as_str()])?;
        if !output.status.success() {
            let reason = "it has no commit yet; a pipeline runs for one".to_owned();
            return Err(GitError::Repository { folder: self.root.clone(), reason });
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut fields = text.splitn(5, FIELD).map(str::to_owned);
        let mut field = || fields.next().unwrap_or_default();
        let (sha, parents, author, timestamp, message) = (field(), field(), field(), field(), field());
        let remote = self.maybe(["remote", "get-url", "origin"])?;
        Ok(Repository {
            reference: self.reference()?,
            parent: parents.split(' ').next().filter(|parent| !parent.is_empty()).map(str::to_owned),
            default_branch: self.default_branch()?,
            path: self.project(remote.as_deref()),
            remote: remote.map(|remote| without_credentials(&remote)),
            dirty: !self.ask(["status", "--porcelain", "--untracked-files=normal"])?.is_empty(),
            message: message.trim_end_matches('\n').to_owned(),
            sha,
            author,
            timestamp,
        })
    }

    /// The branch; where none is checked out, a tag of the commit, else the commit itself as if it were a branch.
    fn reference(&self) -> Result<Ref, GitError> {
        if let Some(branch) = self.maybe(["symbolic-ref", "--quiet", "--short", "HEAD"])? {
            return Ok(Ref::Branch(branch));
        }
        Ok(match self.maybe(["describe", "--tags", "--exact-match", "HEAD"])? {
            Some(tag) => Ref::Tag(tag),
            None => Ref::Branch(self.ask(["rev-parse", "--short=8", "HEAD"])?.trim().to_owned()),
        })
    }

    fn default_branch(&self) -> Result<Option<String>, GitError> {
        if let Some(remote) = self.maybe(["symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"])? {
            return Ok(remote.split_once('/').map(|(_, branch)| branch.to_owned()));
        }
        for branch in ["main", "master"] {
            if self.maybe(["rev-parse", "--verify", "--quiet", &format!("refs/heads/{branch}")])?.is_some() {
                return Ok(Some(branch.to_owned()));
            }
        }
        Ok(None)
    }

    /// `group/project` of the remote; without one the folder's name, in a group of its own.
    fn project(&self, remote: Option<&str>) -> String {
        remote.and_then(project_path).unwrap_or_else(|| {
            let name = self.root.file_name().unwrap_or(OsStr::new("project")).to_string_lossy();
            format!("local/{}", usable(&name))
        })
    }

    /// All files that git knows or would take, for `rules:exists` and patterns of `include`.
    ///
    /// # Errors
    /// Git refuses.
    pub fn paths(&self) -> Result<Vec<String>, GitError> {
        let mut paths =
            lines(&self.ask(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"])?);
        paths.sort();
        Ok(paths)
    }

    /// The files that are part of the repository, for `untracked`.
    ///
    /// # Errors
    /// Git refuses.
    pub fn tracked(&self) -> Result<Vec<String>, GitError> {
        Ok(lines(&self.ask(["ls-files", "-z", "--cached"])?))
    }

    /// Files that have changed since a commit, uncommitted changes among them; `None` where there is no such commit.
    ///
    /// # Errors
    /// Git refuses.
    pub fn changed_since(&self, commit: &str) -> Result<Option<Vec<String>>, GitError> {
        // Two forms of one word: a name here, and what the remote has under it.
        for name in [commit.to_owned(), format!("origin/{commit}")] {
            let verified =
                self.maybe(["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{name}^{{commit}}")])?;
            let Some(commit) = verified else { continue };
            let mut paths = lines(&self.ask(["diff", "--name-only", "-z", "--no-ext-diff", &commit, "--"])?);
            paths.extend(lines(&self.ask(["ls-files", "-z", "--others", "--exclude-standard"])?));
            paths.sort();
            paths.dedup();
            return Ok(Some(paths));
        }
        Ok(None)
    }

    fn output<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Result<Output, GitError> {
        // A pipeline only looks: no lock that a person's own git would stumble over.
        let mut command = Command::new(&self.git);
        command.arg("--no-optional-locks").arg("-C").arg(&self.root).args(["-c", "core.quotePath=false"]);
        command.args(arguments).stdin(Stdio::null()).output().map_err(GitError::Program)
    }

    fn ask<const N: usize>(&self, arguments: [&str; N]) -> Result<String, GitError> {
        let output = self.output(arguments)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(GitError::Command { command: arguments.join(" "), reason })
    }

    /// The same for questions to which "no" is an answer.
    fn maybe<const N: usize>(&self, arguments: [&str; N]) -> Result<Option<String>, GitError> {
        let output = self.output(arguments)?;
        let text = String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned();
        Ok((output.status.success() && !text.is_empty()).then_some(text))
    }
}

/// The files of the tree as it is, uncommitted ones among them.
impl crate::Files for WorkTree {
    fn read(&self, path: &str) -> io::Result<Option<String>> {
        // `..` in a pipeline must not show files of this machine; links that the person has made are the person's.
        if Path::new(path).components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
            return Ok(None);
        }
        let path = self.root.join(path);
        match std::fs::metadata(&path) {
            Ok(meta) if meta.len() > MAX_FILE => Err(io::Error::other("it is too large")),
            Ok(_) => std::fs::read_to_string(&path).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn paths(&self) -> Vec<String> {
        Self::paths(self).unwrap_or_default()
    }
}

fn lines(text: &str) -> Vec<String> {
    text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

/// `group/project` of `https://host/group/project.git`, `git@host:group/project.git`, `ssh://git@host:22/group/project`.
fn project_path(remote: &str) -> Option<String> {
    let path = match remote.split_once("://") {
        Some(("file", _)) => return None,
        Some((_, rest)) => rest.split_once('/')?.1,
        None => remote.split_once(':').filter(|(host, _)| !host.contains('/'))?.1,
    };
    let path = path.trim_matches('/');
    let parts: Vec<String> = path.strip_suffix(".git").unwrap_or(path).split('/').map(usable).collect();
    (parts.len() > 1 && parts.iter().all(|part| !part.is_empty())).then(|| parts.join("/"))
}

/// What a folder or an image can be called.
fn usable(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = name.chars().map(keep).collect();
    let name = name.trim_matches(['.', '-', '_']);
    if name.is_empty() { "project".into() } else { name.to_owned() }
}

/// An address as it may be shown.
fn without_credentials(remote: &str) -> String {
    match remote.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            format!("{scheme}://{}/{path}", host.rsplit('@').next().unwrap_or(host))
        }
        None => remote.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Files as _;

    fn git(dir: &Path, arguments: &[&str]) {
        let mut command = Command::new("git");
        command.arg("-C").arg(dir).args([
            "-c",
            "user.name=A B",
            "-c",
            "user.email=a@b.c",
            "-c",
            "commit.gpgsign=false",
        ]);
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn repository() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), &["init", "-q", "-b", "main"]);
        std::fs::write(dir.path().join("a"), "1").unwrap();
        git(dir.path(), &["add", "a"]);
        git(dir.path(), &["commit", "-qm", "First\n\nMore"]);
        dir
    }

    #[test]
    fn facts_of_a_repository() {
        let dir = repository();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        let tree = WorkTree::find(Path::new("git"), &dir.path().join("sub")).unwrap();
        assert_eq!(tree.root().canonicalize().unwrap(), dir.path().canonicalize().unwrap());
        let facts = tree.repository().unwrap();
        assert_eq!(
            (facts.message.as_str(), facts.author.as_str(), facts.parent),
            ("First\n\nMore", "A B <a@b.c>", None)
        );
        assert_eq!((facts.reference, facts.default_branch.as_deref()), (Ref::Branch("main".into()), Some("main")));
        assert!(facts.sha.len() == 40 && !facts.dirty && facts.path.starts_with("local/"));

        std::fs::write(dir.path().join("b"), "2").unwrap();
        git(dir.path(), &["remote", "add", "origin", "https://user:secret@host/Group/p.git"]);
        git(dir.path(), &["checkout", "-qb", "feature/x"]);
        git(dir.path(), &["commit", "-qm", "second", "--allow-empty"]);
        let facts = tree.repository().unwrap();
        assert_eq!(facts.reference, Ref::Branch("feature/x".into()));
        assert_eq!((facts.path.as_str(), facts.remote.as_deref()), ("Group/p", Some("https://host/Group/p.git")));
        assert!(facts.dirty && facts.parent.is_some());
        assert_eq!(
            (tree.paths().unwrap(), tree.tracked().unwrap()),
            (vec!["a".into(), "b".into()], vec!["a".to_owned()])
        );
        assert_eq!(tree.changed_since("main").unwrap(), Some(vec!["b".to_owned()]));
        assert_eq!(tree.changed_since("--output=x").unwrap(), None);

        git(dir.path(), &["tag", "v1"]);
        git(dir.path(), &["checkout", "-q", "--detach"]);
        assert_eq!(tree.repository().unwrap().reference, Ref::Tag("v1".into()));
        assert_eq!(tree.read("b").unwrap().as_deref(), Some("2"));
        assert_eq!((tree.read("../x").unwrap(), tree.read("c").unwrap()), (None, None));
    }

    #[test]
    fn no_repository_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let error = WorkTree::find(Path::new("git"), dir.path()).unwrap_err().to_string();
        assert!(error.contains("not in a git repository"), "{error}");
        git(dir.path(), &["init", "-q"]);
        let error = WorkTree::find(Path::new("git"), dir.path()).unwrap().repository().unwrap_err().to_string();
        assert!(error.contains("no commit yet"), "{error}");
        let error = WorkTree::find(Path::new("/nowhere/git"), dir.path()).unwrap_err().to_string();
        assert!(error.starts_with("git cannot be run"), "{error}");
    }

    #[test]
    fn projects_of_remotes() {
        for (remote, expected) in [
            ("https://gitlab.com/group/sub/project.git", Some("group/sub/project")),
            ("git@gitlab.com:group/project.git", Some("group/project")),
            ("ssh://git@host:2222/group/project/", Some("group/project")),
            ("/srv/git/x.git", None),
            ("file:///srv/git/x.git", None),
            ("https://host/a/../../etc", Some("a/project/project/etc")),
        ] {
            assert_eq!(project_path(remote).as_deref(), expected, "{remote}");
        }
    }
}
