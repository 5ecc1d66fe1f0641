//! What ADD takes: paths, URLs and git repositories.

use crate::nearest::{did_you_mean, nearest};
use crate::number;

/// A source of ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddSource {
    /// A path of the build context, with wildcards.
    Path(String),
    /// `http://` or `https://`.
    Http {
        /// All of it.
        url: String,
        /// The name that a file from there has in a directory.
        file_name: String,
    },
    /// A git repository.
    Git(GitSource),
}

/// A place in a git repository: `https://host/repo.git#ref:subdir`, `git@host:repo.git?ref=...`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitSource {
    /// As it was written.
    pub text: String,
    /// What git is given.
    pub remote: String,
    /// A branch, tag or commit; the remote's HEAD if none.
    pub reference: Option<String>,
    /// The directory there.
    pub subdir: Option<String>,
    /// The commit that it must be, or its beginning.
    pub checksum: Option<String>,
    /// Whether `.git` comes along.
    pub keep_git_dir: Option<bool>,
    /// Whether submodules come along.
    pub submodules: Option<bool>,
    /// `mtime=commit`: files have the time of the commit.
    pub commit_time: bool,
    /// The commit is fetched by itself, whatever the reference says.
    pub fetch_by_commit: bool,
}

impl AddSource {
    /// Tells what a source is.
    ///
    /// # Errors
    /// What is wrong with a git URL's options.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(git) = GitSource::parse(text) {
            return git.map(Self::Git);
        }
        if !text.starts_with("http://") && !text.starts_with("https://") {
            return Ok(Self::Path(text.to_owned()));
        }
        let path = text.split(['?', '#']).next().unwrap_or_default().splitn(4, '/').nth(3).unwrap_or_default();
        let name = percent_decoded(path);
        let name = name.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let file_name = if matches!(name, "" | "." | "..") { "__unnamed__" } else { name };
        Ok(Self::Http { url: text.to_owned(), file_name: file_name.to_owned() })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Path(text) | Self::Http { url: text, .. } => text,
            Self::Git(git) => &git.text,
        }
    }
}

impl GitSource {
    /// Reads one. `None`: it is no git repository, but a path or another URL.
    ///
    /// # Errors
    /// What is wrong with its options.
    #[must_use]
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        let (before, fragment) = text.split_once('#').map_or((text, None), |(before, after)| (before, Some(after)));
        let (remote, query) = before.split_once('?').map_or((before, None), |(before, after)| (before, Some(after)));
        let scheme = remote.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        let is_git = match scheme.as_deref() {
            Some("http" | "https") => remote.ends_with(".git"),
            Some("git" | "ssh") => true,
            Some(_) => false,
            None => is_scp_style(remote),
        };
        if !is_git {
            return None;
        }
        let mut source = Self { text: text.into(), remote: remote.into(), ..Self::default() };
        if let Some(fragment) = fragment {
            let fragment = percent_decoded(fragment);
            let (reference, subdir) = fragment.split_once(':').unwrap_or((&fragment, ""));
            source.reference = some(reference);
            source.subdir = some(&inside(subdir));
        }
        Some(source.query(query.unwrap_or_default()).map(|()| source))
    }

    fn query(&mut self, query: &str) -> Result<(), String> {
        let mut seen: Vec<String> = Vec::new();
        let (mut tag, mut branch) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (key, value) = (percent_decoded(key), percent_decoded(&value.replace('+', " ")));
            if seen.contains(&key) {
                return Err(format!("query {key:?} has multiple values"));
            }
            seen.push(key.clone());
            let switch = || match value.as_str() {
                "" => Ok(true),
                value => number::boolean(value).ok_or_else(|| format!("invalid {key} value: {value:?}")),
            };
            match key.as_str() {
                "submodules" => self.submodules = Some(switch()?),
                "keep-git-dir" => self.keep_git_dir = Some(switch()?),
                "fetch-by-commit" => self.fetch_by_commit = switch()?,
                "ref" | "tag" | "branch" | "subdir" | "checksum" | "commit" | "mtime" if value.is_empty() => {
                    return Err(format!("query {key:?} has no value"));
                }
                "ref" => agree("ref", &mut self.reference, value)?,
                "tag" => tag = Some(qualified(&value, "refs/tags/")),
                "branch" => branch = Some(qualified(&value, "refs/heads/")),
                "subdir" => agree("subdir", &mut self.subdir, inside(&value))?,
                "checksum" | "commit" => self.checksum = Some(value),
                "mtime" => match value.as_str() {
                    "commit" => self.commit_time = true,
                    "checkout" => self.commit_time = false,
                    other => {
                        return Err(format!("invalid mtime value: {other:?} (must be \"checkout\" or \"commit\")"));
                    }
                },
                _ => {
                    let known =
                        ["ref", "tag", "branch", "subdir", "checksum", "commit", "keep-git-dir", "submodules", "mtime"];
                    return Err(format!("unexpected query {key:?}{}", did_you_mean(nearest(&key, known))));
                }
            }
        }
        if tag.is_some() && branch.is_some() {
            return Err("branch conflicts with tag".into());
        }
        for name in [tag, branch].into_iter().flatten() {
            agree("ref", &mut self.reference, name)?;
        }
        Ok(())
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// Sets what two places of a URL may name, if they do not disagree.
fn agree(what: &str, known: &mut Option<String>, value: String) -> Result<(), String> {
    match known {
        Some(old) if *old != value => Err(format!("{what} conflicts: {old:?} vs {value:?}")),
        _ => {
            *known = Some(value);
            Ok(())
        }
    }
}

fn qualified(name: &str, prefix: &str) -> String {
    if name.starts_with(prefix) { name.to_owned() } else { format!("{prefix}{name}") }
}

/// A path without `.` and `..`, and without a way out.
fn inside(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// `user@host:path`: with a user, as a Windows path and an image's name are written alike otherwise.
fn is_scp_style(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else { return false };
    let Some((host, path)) = rest.split_once(':') else { return false };
    let name = |text: &str, more: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    name(user, "._-") && name(host, "._-") && !path.is_empty()
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = Some(*byte).filter(|b| *b == b'%').and_then(|_| text.get(at + 1..at + 3));
        match hex.filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit())).and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(value) => {
                decoded.push(value);
                at += 3;
            }
            None => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_source_is() {
        let name = |text: &str| match AddSource::parse(text).unwrap() {
            AddSource::Path(_) => "path".to_owned(),
            AddSource::Http { file_name, .. } => file_name,
            AddSource::Git(git) => format!("git {}", git.remote),
        };
        for (text, expected) in [
            ("a/b", "path"),
            ("github.com/a/b", "path"),
            ("ftp://h/x", "path"),
            ("C:\\x", "path"),
            ("https://h/a/b.tar.gz?x=1#y", "b.tar.gz"),
            ("https://h/a/b%20c", "b c"),
            ("https://h/a/", "a"),
            ("https://h/", "__unnamed__"),
            ("https://h", "__unnamed__"),
            ("http://h/r.git", "git http://h/r.git"),
            ("https://h/r.git?ref=x", "git https://h/r.git"),
            ("git://h/r", "git git://h/r"),
            ("ssh://git@h:22/r", "git ssh://git@h:22/r"),
            ("git@h:a/r.git", "git git@h:a/r.git"),
        ] {
            assert_eq!(name(text), expected, "{text}");
        }
    }

    #[test]
    fn what_a_git_source_says() {
        let git = |text: &str| GitSource::parse(text).unwrap();
        let source = git("https://h/r.git#v1:a/../b/").unwrap();
        assert_eq!((source.reference.as_deref(), source.subdir.as_deref()), (Some("v1"), Some("b")));
        let source =
            git("https://h/r.git?tag=v1&subdir=/d&checksum=abc&keep-git-dir&submodules=false&mtime=commit").unwrap();
        assert_eq!((source.reference.as_deref(), source.subdir.as_deref()), (Some("refs/tags/v1"), Some("d")));
        assert_eq!(
            (source.checksum.as_deref(), source.keep_git_dir, source.submodules),
            (Some("abc"), Some(true), Some(false))
        );
        assert!(source.commit_time);
        for bad in ["?ref=a#b", "?reff=a", "?ref=", "?tag=a&branch=b", "?submodules=x", "?mtime=x", "?ref=a&ref=b"] {
            assert!(git(&format!("https://h/r.git{bad}")).is_err(), "{bad}");
        }
    }
}
