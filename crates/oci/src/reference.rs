//! References: how people name images.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// The registry that a name without one means.
pub const DOCKER_HUB: &str = "docker.io";

/// The longest repository name, with its registry, that registries take (distribution's reference grammar).
const MAX_NAME: usize = 255;

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing there.
    #[error("an image reference cannot be empty")]
    Empty,
    /// Upper case is the most common mistake, and the grammar's message does not help.
    #[error("image name `{0}` has upper-case letters: names are lower case, only tags may have them")]
    UpperCase(String),
    /// Another breach of the grammar.
    #[error("`{text}` is not an image reference: {reason}")]
    Form {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A registry, a repository, and a tag or digest or both. Invariant: every part follows distribution's grammar; the
/// registry is always there (`docker.io` by default) and Docker Hub's one-word names carry their `library/`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Makes one from its parts.
    pub fn from_parts(
        registry: &str,
        repository: &str,
        tag: Option<&str>,
        digest: Option<Digest>,
    ) -> Result<Self, ReferenceError> {
        let mut text = format!("{registry}/{repository}");
        if let Some(tag) = tag {
            text.push(':');
            text.push_str(tag);
        }
        let mut reference: Self = text.parse()?;
        reference.digest = digest;
        Ok(reference)
    }

    /// `docker.io`, `ghcr.io`, `127.0.0.1:5000`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// `library/busybox`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag that was written, if one was.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest that was written, if one was.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The tag to ask for: the one that was written, or `latest`.
    #[must_use]
    pub fn tag_or_latest(&self) -> &str {
        self.tag.as_deref().unwrap_or("latest")
    }

    /// What stands after `/manifests/` in a request: the digest if there is one, for it cannot move, else the tag.
    #[must_use]
    pub fn target(&self) -> &str {
        self.digest.as_ref().map_or_else(|| self.tag_or_latest(), Digest::as_str)
    }

    /// The same repository with another tag and no digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        if !valid_tag(tag) {
            return Err(ReferenceError::Form { text: tag.into(), reason: TAG_RULE.into() });
        }
        Ok(Self { tag: Some(tag.into()), digest: None, ..self.clone() })
    }

    /// The same repository at a digest, without a tag.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The registry and repository alone: `docker.io/library/busybox`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// As docker shows it: `busybox:1.36`, without what goes without saying.
    #[must_use]
    pub fn familiar(&self) -> String {
        let name = self.familiar_name();
        match (&self.tag, &self.digest) {
            (Some(tag), None) => format!("{name}:{tag}"),
            (Some(tag), Some(digest)) => format!("{name}:{tag}@{digest}"),
            (None, Some(digest)) => format!("{name}@{digest}"),
            (None, None) => format!("{name}:latest"),
        }
    }

    /// The same without tag and digest.
    #[must_use]
    pub fn familiar_name(&self) -> String {
        match (self.registry.as_str(), self.repository.strip_prefix("library/")) {
            (DOCKER_HUB, Some(short)) => short.into(),
            (DOCKER_HUB, None) => self.repository.clone(),
            _ => self.name(),
        }
    }
}

const TAG_RULE: &str =
    "a tag has up to 128 letters, digits, `_`, `.` and `-`, and starts with a letter, a digit or `_`";

/// Whether a text is a tag (OCI distribution specification, "Pulling manifests").
#[must_use]
pub fn valid_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

/// Whether a text is a repository's name: lower-case words joined by `.`, `_`, `__` or dashes, in parts joined by `/`.
#[must_use]
pub fn valid_repository(name: &str) -> bool {
    name.len() <= MAX_NAME && name.split('/').all(valid_component)
}

fn valid_component(part: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !alphanumeric(*first) || !alphanumeric(*last) {
        return false;
    }
    part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

/// Whether a registry's name means this machine: such a one may speak plain HTTP without being told.
#[must_use]
pub fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => registry.split(':').next().unwrap_or(registry),
    };
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn valid_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, after)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            ("v6", if after.is_empty() { None } else { after.strip_prefix(':').or(Some("bad")) })
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let label = |l: &str| {
        !l.is_empty()
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    host.split('.').all(label) && port.is_none_or(|p| p.parse::<u16>().is_ok() && p.bytes().all(|b| b.is_ascii_digit()))
}

impl FromStr for Reference {
    type Err = ReferenceError;

    /// Reads a name as docker does: the first part is a registry if it has a dot or a colon or is `localhost`.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let form = |reason: &str| ReferenceError::Form { text: text.into(), reason: reason.into() };
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>().map_err(|e| form(&e.to_string()))?)),
            None => (text, None),
        };
        // A colon after the last slash starts a tag; one before it belongs to a port.
        let after_slash = rest.rfind('/').map_or(0, |i| i + 1);
        let (name, tag) = match rest[after_slash..].find(':') {
            Some(i) => (&rest[..after_slash + i], Some(&rest[after_slash + i + 1..])),
            None => (rest, None),
        };
        if let Some(tag) = tag.filter(|t| !valid_tag(t)) {
            let shown =
                if tag.is_empty() { "the tag after `:` is empty".into() } else { format!("`{tag}`: {TAG_RULE}") };
            return Err(form(&shown));
        }
        let is_host = |text: &str| text.contains(['.', ':']) || text == "localhost";
        let lower = |first: &str| first.to_ascii_lowercase();
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if is_host(&lower(first)) => (lower(first), path),
            // A host only because no repository has capitals: without them it would be read as a repository.
            Some((first, path)) if first != first.to_lowercase() => (first.to_owned(), path),
            _ => (DOCKER_HUB.to_owned(), name),
        };
        let registry = if registry == "index.docker.io" { DOCKER_HUB } else { registry.as_str() };
        if !valid_registry(registry) {
            return Err(form(&format!("`{registry}` is not a registry's host name")));
        }
        let repository = match (registry, path.contains('/')) {
            (DOCKER_HUB, false) => format!("library/{path}"),
            _ => path.to_owned(),
        };
        if !valid_repository(&repository) {
            if path.bytes().any(|b| b.is_ascii_uppercase()) {
                return Err(ReferenceError::UpperCase(path.into()));
            }
            let reason =
                if path.is_empty() { "the name is empty" } else { "the name has a part that no repository has" };
            return Err(form(reason));
        }
        if registry.len() + 1 + repository.len() > MAX_NAME {
            return Err(form("the name is longer than 255 characters"));
        }
        Ok(Self { registry: registry.to_owned(), repository, tag: tag.map(Into::into), digest })
    }
}

impl fmt::Display for Reference {
    /// The full form: `docker.io/library/busybox:latest`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.name();
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        } else if self.digest.is_none() {
            text.push_str(":latest");
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(digest.as_str());
        }
        f.pad(&text)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Reference {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_as_docker_does() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let by_digest = format!("host:5000/a/b:t@sha256:{hex}");
        for (text, full, familiar) in [
            ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
            ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
            ("me/app", "docker.io/me/app:latest", "me/app:latest"),
            ("docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
            ("index.docker.io/library/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
            ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
            ("localhost:5000/app:v1", "localhost:5000/app:v1", "localhost:5000/app:v1"),
            ("127.0.0.1:5000/hello", "127.0.0.1:5000/hello:latest", "127.0.0.1:5000/hello:latest"),
            ("[::1]:5000/hello", "[::1]:5000/hello:latest", "[::1]:5000/hello:latest"),
            ("ghcr.io/a/b__c--d.e:V1", "ghcr.io/a/b__c--d.e:V1", "ghcr.io/a/b__c--d.e:V1"),
            (by_digest.as_str(), by_digest.as_str(), by_digest.as_str()),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), full);
            assert_eq!(reference.familiar(), familiar);
            assert_eq!(full.parse::<Reference>().unwrap().to_string(), full);
        }
    }

    #[test]
    fn refuses_what_is_none() {
        for bad in
            ["", ":", "a:", "a b", "a//b", "-a", "a/", "/a", "a:b:c", "a@sha256:12", "host:x/a", "../a", "a:.x", "a@"]
        {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
        assert!(matches!("Busybox".parse::<Reference>(), Err(ReferenceError::UpperCase(_))));
        assert!("a/".repeat(200).parse::<Reference>().is_err());
    }

    #[test]
    fn loopback_is_this_machine_only() {
        for yes in ["localhost", "localhost:5000", "127.0.0.1:5", "[::1]:5000", "127.8.9.1", "reg.localhost:80"] {
            assert!(is_loopback(yes), "{yes}");
        }
        for no in ["docker.io", "10.0.0.1:5000", "localhost.evil.org", "127.0.0.1.evil.org"] {
            assert!(!is_loopback(no), "{no}");
        }
    }

    #[test]
    fn capitals_of_a_registry() {
        for (text, full) in [
            ("A/0", "A/0:latest"),
            ("A.B:5/0", "a.b:5/0:latest"),
            ("LOCALHOST/0", "localhost/0:latest"),
            ("Docker.io/x", "docker.io/library/x:latest"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), full);
            assert_eq!(full.parse::<Reference>().unwrap().to_string(), full);
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_and_read_again(text in "[a-zA-Z0-9._:/@-]{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                let full = reference.to_string();
                prop_assert_eq!(full.parse::<Reference>().unwrap().to_string(), full);
            }
        }
    }
}
