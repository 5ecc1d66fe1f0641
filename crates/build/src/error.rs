//! What can go wrong with a build, by what the person should do about it.

use archipel_dockerfile::Diagnostic;
use archipel_oci::{Platform, Reference};

/// Why a build, pull, push or run did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Dockerfile is wrong. The diagnostics' spans point into `text`.
    #[error("{name} has {} error{}", .diagnostics.len(), if .diagnostics.len() == 1 { "" } else { "s" })]
    Dockerfile {
        /// The file's name as the person knows it.
        name: String,
        /// Its text.
        text: String,
        /// What is wrong, in the order of the text.
        diagnostics: Vec<Diagnostic>,
    },
    /// A step failed.
    #[error("{step} on {platform}: {reason}")]
    Step {
        /// The step's name.
        step: String,
        /// Which platform it ran for.
        platform: Platform,
        /// How it ended.
        reason: String,
        /// The last lines of its output.
        tail: String,
        /// The Dockerfile and the instruction's place in it.
        place: Option<Box<Place>>,
    },
    /// An image has no variant for a platform.
    #[error("{reference} has no image for {platform}; it has {}", list(.available))]
    NoPlatform {
        /// The image.
        reference: Reference,
        /// What was wanted.
        platform: Platform,
        /// What there is.
        available: Vec<Platform>,
    },
    /// What was asked for is not possible, or not built yet; the sentence names it and says what to do.
    #[error("{0}")]
    Request(String),
    /// A context or Dockerfile that is not there or not readable.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, with its path.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A registry.
    #[error(transparent)]
    Remote(#[from] archipel_remote::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] archipel_store::Error),
    /// This machine.
    #[error(transparent)]
    Sandbox(#[from] archipel_sandbox::Error),
    /// The person stopped it.
    #[error("interrupted")]
    Interrupted,
}

/// An instruction in a Dockerfile.
#[derive(Debug, Clone)]
pub struct Place {
    /// The file's name.
    pub name: String,
    /// Its text.
    pub text: String,
    /// The instruction's bytes in it.
    pub span: std::ops::Range<usize>,
}

fn list(platforms: &[Platform]) -> String {
    let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

impl Error {
    /// An I/O error with what was tried.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
