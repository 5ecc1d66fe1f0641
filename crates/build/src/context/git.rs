//! A git repository.

use archipel_dockerfile::{GitSource, boolean, redacted};

use super::dockerfile::Dockerfile;
use super::{Loaded, Tree, folder};
use crate::exec::blocking;
use crate::source::GitTree;
use crate::{Engine, Error, Request, epoch};

/// The build argument by which `.git` comes along.
const KEEP_GIT_DIR: &str = "BUILDKIT_CONTEXT_KEEP_GIT_DIR";

pub(super) async fn load(
    url: &str,
    dockerfile: Dockerfile,
    request: &Request,
    engine: &Engine,
) -> Result<Loaded, Error> {
    let mut source = parse(url)?;
    if request.build_arg(KEEP_GIT_DIR).and_then(boolean) == Some(true) {
        source.keep_git_dir = Some(true);
    }
    // An image that is to be the same tomorrow cannot have files with the time of their checkout.
    source.commit_time |= request.build_arg(epoch::NAME).is_some_and(|value| !value.is_empty());
    let found = fetch(&source, request, engine).await?;
    let tree = tree(&found);
    let loaded = blocking(move || folder::load(tree, &dockerfile)).await?;
    Ok(Loaded { time: Some(found.time), ..loaded })
}

/// Its tree alone.
pub(super) async fn named(url: &str, request: &Request, engine: &Engine) -> Result<Tree, Error> {
    let found = fetch(&parse(url)?, request, engine).await?;
    Ok(tree(&found))
}

/// Its commit's time.
pub(super) async fn time(url: &str, request: &Request, engine: &Engine) -> Result<i64, Error> {
    Ok(fetch(&parse(url)?, request, engine).await?.time)
}

async fn fetch(source: &GitSource, request: &Request, engine: &Engine) -> Result<GitTree, Error> {
    let commit = engine.git_commit(source, None, request).await?;
    engine.git_tree(source, &commit, request).await
}

fn tree(found: &GitTree) -> Tree {
    Tree { path: found.path.clone(), ignore: None, keeps_owners: false, _keep: None }
}

fn parse(url: &str) -> Result<GitSource, Error> {
    // Docker's oldest form, which only contexts may have.
    let whole = if url.starts_with("github.com/") { format!("https://{url}") } else { url.to_owned() };
    let parsed = GitSource::parse(&whole).or_else(|| {
        // With a prefix that says so, the `.git` at the end may be left out.
        let (remote, options) = whole.split_at(whole.find(['#', '?']).unwrap_or(whole.len()));
        url.starts_with("github.com/").then(|| GitSource::parse(&format!("{remote}.git{options}"))).flatten()
    });
    match parsed {
        Some(Ok(source)) => Ok(source),
        Some(Err(reason)) => Err(Error::Request(format!("git context {}: {reason}", redacted(url)))),
        None => Err(Error::Request(format!("{} is no git repository's address", redacted(url)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(parse("github.com/o/r#v1:d").unwrap().remote, "https://github.com/o/r.git");
        assert_eq!(parse("github.com/o/r.git").unwrap().remote, "https://github.com/o/r.git");
        assert!(parse("https://h/r").is_err());
        let error = parse("https://h/r.git?tag=v1#refs/heads/master").unwrap_err().to_string();
        assert!(error.contains("ref conflicts"), "{error}");
    }
}
