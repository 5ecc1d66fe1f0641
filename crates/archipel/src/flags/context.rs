//! Contexts: the last argument of `build`, and the values of `--build-context`.

use std::path::Path;

use archipel_build::Context;

/// What the argument of `build` names: a folder that is there, else an address. `-` is the caller's.
pub(crate) fn main_context(text: &str) -> Result<Context, String> {
    if Path::new(text).is_dir() {
        return Ok(Context::Local(text.into()));
    }
    remote(text)
        .ok_or_else(|| format!("there is no folder `{text}`, and it is not the address of a repository or archive"))
}

/// `NAME=VALUE` of `--build-context`.
pub(crate) fn named(text: &str) -> Result<(String, Context), String> {
    let Some((name, value)) = text.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty()) else {
        return Err(
            "it should be NAME=FOLDER, NAME=docker-image://REFERENCE, NAME=oci-layout://FOLDER or NAME=URL".into()
        );
    };
    let context = if let Some(reference) = value.strip_prefix("docker-image://") {
        Context::Image(reference.parse().map_err(|e: archipel_oci::ReferenceError| e.to_string())?)
    } else if let Some(layout) = value.strip_prefix("oci-layout://") {
        let (path, target) = split_layout(layout);
        Context::OciLayout { path: path.into(), target }
    } else if Path::new(value).is_dir() {
        Context::Local(value.into())
    } else {
        remote(value).ok_or_else(|| format!("there is no folder `{value}`"))?
    };
    Ok((name.to_owned(), context))
}

/// `DIR[:TAG][@DIGEST]`: a colon after the last slash starts a tag.
pub(crate) fn split_layout(text: &str) -> (&str, Option<String>) {
    if let Some((path, digest)) = text.rsplit_once('@')
        && digest.parse::<archipel_oci::Digest>().is_ok()
    {
        return (split_layout(path).0, Some(digest.to_owned()));
    }
    match text.rsplit_once(':') {
        Some((path, tag)) if archipel_oci::valid_tag(tag) => (path, Some(tag.to_owned())),
        _ => (text, None),
    }
}

/// An address as BuildKit tells them apart: `.git` at the end of the path means a repository.
fn remote(text: &str) -> Option<Context> {
    let is_http = text.starts_with("http://") || text.starts_with("https://");
    let before_fragment = text.split(['#', '?']).next().unwrap_or(text);
    let is_git = text.starts_with("git://")
        || text.starts_with("ssh://")
        || text.starts_with("github.com/")
        || (is_http && before_fragment.ends_with(".git"))
        || (!is_http && is_scp_form(text));
    match (is_git, is_http) {
        (true, _) => Some(Context::Git(text.to_owned())),
        (false, true) => Some(Context::Http(text.to_owned())),
        (false, false) => None,
    }
}

/// `git@host:owner/repository`.
fn is_scp_form(text: &str) -> bool {
    text.split_once('@').is_some_and(|(user, rest)| {
        !user.is_empty()
            && user.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
            && rest
                .split_once(':')
                .is_some_and(|(host, path)| !host.is_empty() && !host.contains('/') && !path.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let kind = |text| match main_context(text) {
            Ok(Context::Local(_)) => "local",
            Ok(Context::Git(_)) => "git",
            Ok(Context::Http(_)) => "http",
            Ok(_) => "other",
            Err(_) => "none",
        };
        assert_eq!(kind("."), "local");
        assert_eq!(kind("https://h.example/r.git#main:sub"), "git");
        assert_eq!(kind("https://h.example/context.tar.gz"), "http");
        assert_eq!(kind("git@h.example:o/r"), "git");
        assert_eq!(kind("github.com/o/r"), "git");
        assert_eq!(kind("no/such/folder"), "none");
        assert_eq!(kind("a@b"), "none");
    }

    #[test]
    fn layouts() {
        assert_eq!(split_layout("dir/a:1.2"), ("dir/a", Some("1.2".into())));
        assert_eq!(split_layout("/with:colon/dir"), ("/with:colon/dir", None));
        let digest = archipel_oci::Digest::of(b"").to_string();
        assert_eq!(split_layout(&format!("dir:tag@{digest}")), ("dir", Some(digest.clone())));
    }

    #[test]
    fn named_contexts() {
        assert!(matches!(named("a=docker-image://busybox"), Ok((_, Context::Image(_)))));
        assert!(matches!(named("a=oci-layout://d:t"), Ok((_, Context::OciLayout { target: Some(_), .. }))));
        assert!(matches!(named("a=."), Ok((name, Context::Local(_))) if name == "a"));
        for wrong in ["a", "=x", "a=", "a=docker-image://UPPER", "a=no/such"] {
            assert!(named(wrong).is_err(), "{wrong}");
        }
    }
}
