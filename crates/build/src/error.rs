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
    /// What an instruction asks for cannot be had.
    #[error("{}", place.told(source))]
    At {
        /// The instruction.
        place: Box<Place>,
        /// Why not.
        source: Box<Error>,
    },
    /// A step failed.
    #[error(transparent)]
    Step(Box<StepFailure>),
    /// An image has no variant for a platform.
    #[error(transparent)]
    NoPlatform(Box<NoPlatform>),
    /// What was asked for is not possible, or not built yet; the sentence names it and says what to do.
    #[error("{0}")]
    Request(String),
    /// The program that reads the text: it says that the text is wrong, or is wrong itself.
    #[error("the frontend {0}")]
    Frontend(String),
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
    /// The store's blobs.
    #[error(transparent)]
    Blob(#[from] archipel_cas::Error),
    /// This machine.
    #[error(transparent)]
    Sandbox(#[from] archipel_sandbox::Error),
    /// The person stopped it.
    #[error("interrupted")]
    Interrupted,
}

/// A step that failed.
#[derive(Debug, thiserror::Error)]
#[error("{step} on {platform}: {reason}")]
pub struct StepFailure {
    /// The step's name.
    pub step: String,
    /// Which platform it ran for.
    pub platform: Platform,
    /// How it ended.
    pub reason: String,
    /// The last lines of its output.
    pub tail: String,
    /// The Dockerfile and the instruction's place in it.
    pub place: Option<Place>,
}

/// An image without a variant for a platform.
#[derive(Debug, thiserror::Error)]
#[error("{reference} has no image for {platform}; it has {}", list(.available))]
pub struct NoPlatform {
    /// The image.
    pub reference: Reference,
    /// What was wanted.
    pub platform: Platform,
    /// What there is.
    pub available: Vec<Platform>,
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
    /// A name near to one in it that stands for nothing.
    pub meant: Option<String>,
}

impl Place {
    /// What happened there in words, with the name that may have been meant on the first line.
    #[must_use]
    pub fn told(&self, what: &impl std::fmt::Display) -> String {
        let text = what.to_string();
        let end = text.find('\n').unwrap_or(text.len());
        let (first, rest) = text.split_at(end);
        format!("{first}{}{rest}", archipel_dockerfile::did_you_mean(self.meant.as_deref()))
    }
}

fn list(platforms: &[Platform]) -> String {
    let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

impl Error {
    /// An image that has no variant for a platform.
    pub(crate) fn no_platform(reference: &Reference, platform: &Platform, available: Vec<Platform>) -> Self {
        let (reference, platform) = (reference.clone(), platform.clone());
        Self::NoPlatform(Box::new(NoPlatform { reference, platform, available }))
    }

    /// An I/O error with what was tried.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
