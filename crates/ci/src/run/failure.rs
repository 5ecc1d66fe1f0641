//! Why an attempt at a job failed, and what the file calls that.

use std::time::Duration;

use archipel_sandbox::{self as sandbox, Exit};

use super::process;
use crate::job;

/// Why an attempt failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The script, by its own status.
    Script(Exit),
    /// It took longer than this.
    Timeout(Duration),
    /// Something around it.
    System(String),
    /// The image, the store, the sandbox.
    Build(archipel_build::Error),
    /// Somebody stopped the pipeline.
    Cancelled,
}

impl From<archipel_build::Error> for Failure {
    fn from(error: archipel_build::Error) -> Self {
        match error {
            archipel_build::Error::Interrupted => Self::Cancelled,
            error => Self::Build(error),
        }
    }
}

impl From<sandbox::Error> for Failure {
    fn from(error: sandbox::Error) -> Self {
        Self::Build(error.into())
    }
}

impl Failure {
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Script(exit) => process::ending(*exit),
            Self::Timeout(limit) => format!("it took longer than {}s", limit.as_secs()),
            Self::System(reason) => reason.clone(),
            Self::Build(error) => error.to_string(),
            Self::Cancelled => "stopped".into(),
        }
    }

    /// What `exit_codes` are about.
    pub(super) fn code(&self) -> Option<i32> {
        match self {
            Self::Script(exit) => Some(exit.shell_code()),
            _ => None,
        }
    }

    pub(super) fn kind(&self) -> job::Failure {
        match self {
            Self::Script(_) => job::Failure::Script,
            Self::Timeout(_) => job::Failure::Timeout,
            Self::System(_) | Self::Build(_) | Self::Cancelled => job::Failure::System,
        }
    }
}
