//! Files of a commit: from the repository of its remote into a draft of a snapshot.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use archipel_dockerfile::GitSource;
use archipel_store::Draft;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::command::Git;
use super::git::{GitCommit, keeps_git_dir, kept};
use crate::Error;
use crate::exec::blocking;

/// When a commit was made: the committer's time, in seconds since 1970.
pub(super) async fn time(git: &Git, repository: &Path, commit: &GitCommit) -> Result<i64, Error> {
    let name = format!("{}^{{commit}}", kept(commit));
    let text = git.run(repository, &["log", "-1", "--format=%ct", &name, "--"]).await?;
    text.trim().parse().map_err(|_| git.error(&format!("its commit has no time but {:?}", text.trim())))
}

/// Checks a commit out into a draft.
pub(super) async fn checkout(
    git: &Git,
    repository: &Path,
    source: &GitSource,
    commit: &GitCommit,
    time: i64,
    draft: &Draft,
) -> Result<(), Error> {
    let (upper, aside) = (draft.upper().to_owned(), draft.work().to_owned());
    // All of the tree is needed for its submodules; a subdirectory is then taken out of it.
    let tree = if source.subdir.is_some() { aside.join("tree") } else { upper.clone() };
    fs::create_dir_all(&tree).map_err(Error::io(tree.display().to_string()))?;
    let dir = if keeps_git_dir(source) { tree.join(".git") } else { aside.join("git") };
    // A repository of its own: the shared one has no index, and would remember the addresses of submodules for other commits.
    let at = |args: &[&str]| -> Vec<std::ffi::OsString> {
        let mut whole = vec!["--git-dir".into(), dir.clone().into(), "--work-tree".into(), tree.clone().into()];
        whole.extend(args.iter().map(std::ffi::OsString::from));
        whole
    };
    let format = if commit.object.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
    git.run(&tree, &at(&["init", "--quiet", "--template=", format])).await?;
    if keeps_git_dir(source) {
        keep(git, repository, &dir, &tree, commit, &at).await?;
    } else {
        borrow(repository, &dir)?;
        let name = kept(commit);
        let object = git.run(repository, &["rev-parse", "--verify", &format!("{name}^{{commit}}")]).await?;
        git.run(&tree, &at(&["checkout", "--quiet", "--detach", object.trim()])).await?;
        git.run(&tree, &at(&["config", "remote.origin.url", &source.remote])).await?;
    }
    let modules = tree.join(".gitmodules");
    if source.submodules.unwrap_or(true) && fs::symlink_metadata(&modules).is_ok_and(|meta| meta.is_file()) {
        let args = at(&["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"]);
        let args: Vec<&OsStr> = args.iter().map(AsRef::as_ref).collect();
        let done = git.attempt_shallow(&tree, &args).await?;
        done.map_err(|refused| git.error(&format!("its submodules: {}", refused.0)))?;
    }
    if keeps_git_dir(source) {
        git.run(&tree, &at(&["config", "remote.origin.url", &git.shown])).await?;
    }
    let (subdir, commit_time, keeps) = (source.subdir.clone(), source.commit_time, keeps_git_dir(source));
    let finished = blocking(move || {
        if !keeps {
            remove_links(&tree)?;
        }
        if let Some(subdir) = &subdir {
            take(&tree, subdir, &upper)?;
        }
        if commit_time { set_times(&upper, time) } else { Ok(()) }
    });
    finished.await.map_err(|e| match e {
        Error::Request(reason) => git.error(&reason),
        other => other,
    })
}

/// Gets the commit into the repository that stays in the tree.
async fn keep(
    git: &Git,
    repository: &Path,
    dir: &Path,
    tree: &Path,
    commit: &GitCommit,
    at: &impl Fn(&[&str]) -> Vec<std::ffi::OsString>,
) -> Result<(), Error> {
    let name = kept(commit);
    let spec = match &commit.reference {
        Some(reference) => format!("{name}:{reference}"),
        None => name,
    };
    let mut fetch = at(&["fetch", "--quiet", "--update-head-ok", "--depth=1", "--no-tags", "--"]);
    fetch.extend([repository.into(), spec.into()]);
    git.run_local(tree, &fetch).await?;
    git.run(tree, &at(&["checkout", "--quiet", "--detach", "FETCH_HEAD"])).await?;
    git.run(tree, &at(&["config", "remote.origin.url", &git.shown])).await?;
    git.run(tree, &at(&["config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"])).await?;
    // They say when we did this, and from where.
    git.run(tree, &at(&["reflog", "expire", "--all", "--expire=now"])).await?;
    let head = dir.join("FETCH_HEAD");
    fs::remove_file(&head).map_err(Error::io(head.display().to_string()))
}

/// Lets a repository read the objects of another.
fn borrow(repository: &Path, dir: &Path) -> Result<(), Error> {
    use std::os::unix::ffi::OsStrExt as _;
    let told = |path: &Path| Error::io(path.display().to_string());
    let list = dir.join("objects/info/alternates");
    if let Some(parent) = list.parent() {
        fs::create_dir_all(parent).map_err(told(parent))?;
    }
    fs::write(&list, [repository.join("objects").as_os_str().as_bytes(), b"\n"].concat()).map_err(told(&list))?;
    let shallow = repository.join("shallow");
    if shallow.exists() {
        fs::copy(&shallow, dir.join("shallow")).map_err(told(&shallow))?;
    }
    Ok(())
}

/// Submodules have a file `.git` that says where their repositories are: where we had them, which is gone.
fn remove_links(tree: &Path) -> Result<(), Error> {
    walk(tree, &mut |path, meta| {
        if meta.is_file() && path.file_name() == Some(OsStr::new(".git")) {
            fs::remove_file(path).map_err(Error::io(path.display().to_string()))?;
        }
        Ok(())
    })
}

/// Moves what is in a subdirectory to where it is wanted. The tree is a stranger's: no link is followed.
fn take(tree: &Path, subdir: &str, to: &Path) -> Result<(), Error> {
    let mut from = tree.to_owned();
    for part in subdir.split('/').filter(|part| !matches!(*part, "" | ".")) {
        from.push(part);
        if part == ".." || !fs::symlink_metadata(&from).is_ok_and(|meta| meta.is_dir()) {
            return Err(Error::Request(format!(
                "invalid subdir {subdir}: not found: there is no directory of that name"
            )));
        }
    }
    let told = |path: &Path| Error::io(path.display().to_string());
    for entry in fs::read_dir(&from).map_err(told(&from))? {
        let entry = entry.map_err(told(&from))?;
        fs::rename(entry.path(), to.join(entry.file_name())).map_err(told(&entry.path()))?;
    }
    Ok(())
}

fn set_times(tree: &Path, time: i64) -> Result<(), Error> {
    let time = Timespec { tv_sec: time, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    let set = |path: &Path| {
        utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| Error::io(path.display().to_string())(e.into()))
    };
    walk(tree, &mut |path, _| set(path))?;
    set(tree)
}

/// Tells of everything below a folder, of what is in a folder before the folder.
fn walk(folder: &Path, visit: &mut dyn FnMut(&Path, &fs::Metadata) -> Result<(), Error>) -> Result<(), Error> {
    let told = |path: &Path| Error::io(path.display().to_string());
    // A list and not a recursion: the depth is a stranger's choice.
    let mut pending: Vec<PathBuf> = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).map_err(told(&folder))? {
            let path = entry.map_err(told(&folder))?.path();
            let meta = fs::symlink_metadata(&path).map_err(told(&path))?;
            if meta.is_dir() {
                pending.push(path.clone());
            }
            found.push((path, meta));
        }
    }
    found.iter().rev().try_for_each(|(path, meta)| visit(path, meta))
}
