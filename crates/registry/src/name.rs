//! Names that came from outside and were checked. Whoever holds one may use it as a path.

use std::fmt;
use std::sync::Arc;

use archipel_oci::{Digest, DigestError, valid_repository, valid_tag};

/// A repository's name. Invariant: distribution's grammar, so no part of it is empty, `.` or `..`, starts with `_`, or
/// holds a slash.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// Checks a name.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        valid_repository(text).then(|| Self(text.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A tag. Invariant: distribution's grammar, so it is one path component that is neither `.` nor `..`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

impl Tag {
    /// Checks a tag.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        valid_tag(text).then(|| Self(text.into()))
    }

    /// The tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! text {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
text!(Name Tag);

/// What stands after `/manifests/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A name that may move.
    Tag(Tag),
    /// A content that may not.
    Digest(Digest),
}

/// Why a text is no [`Target`].
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It has a colon, so it was meant as a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// It is not a tag.
    #[error(
        "`{0}` is not a tag: up to 128 letters, digits, `_`, `.` and `-`, and a letter, a digit or `_` at the start"
    )]
    Tag(String),
}

impl Target {
    /// Tells one from the other by the colon, which no tag has.
    pub fn new(text: &str) -> Result<Self, TargetError> {
        if text.contains(':') {
            return Ok(Self::Digest(text.parse()?));
        }
        Tag::new(text).map(Self::Tag).ok_or_else(|| TargetError::Tag(text.into()))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, "{tag}"),
            Self::Digest(digest) => write!(f, "{digest}"),
        }
    }
}
