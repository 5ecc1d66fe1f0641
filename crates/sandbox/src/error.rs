//! What this machine may refuse.

use std::io;
use std::path::PathBuf;

/// Why a sandbox could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel or its administrator does not give user namespaces.
    #[error("this machine gives no user namespaces: {reason}")]
    UserNamespaces {
        /// What was seen.
        reason: String,
        /// The command that mends it.
        remedy: Option<String>,
    },
    /// The id maps could not be written.
    #[error("id mapping: {reason}")]
    IdMapping {
        /// What was seen.
        reason: String,
        /// The command that mends it.
        remedy: Option<String>,
    },
    /// A mount was refused.
    #[error("mount {what}: {source}")]
    Mount {
        /// What and where.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// A file.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The process could not be set up or executed; the sentence comes from inside.
    #[error("{0}")]
    Stage(String),
    /// The command is not there (as 127), or is not a program that runs here (126).
    #[error("{message}")]
    Exec {
        /// The shell's number for it.
        code: i32,
        /// What was tried.
        message: String,
    },
}

impl Error {
    /// The one command that mends it, where there is one.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        match self {
            Self::UserNamespaces { remedy, .. } | Self::IdMapping { remedy, .. } => remedy.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn mount(what: impl Into<String>) -> impl FnOnce(rustix::io::Errno) -> Self {
        let what = what.into();
        move |errno| Self::Mount { what, source: errno.into() }
    }
}
