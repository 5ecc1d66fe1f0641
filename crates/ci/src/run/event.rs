//! What a running pipeline tells. The binary draws it.

use std::sync::Arc;
use std::time::Duration;

use crate::schedule::Skip;

/// A job of the plan, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub usize);

/// A part of a job's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Image, services and files are brought together.
    Prepare,
    /// `before_script` and `script`.
    Script,
    /// `after_script`.
    AfterScript,
    /// Caches and artifacts are kept.
    Keep,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Succeeded,
    /// Badly, with a sentence that says why; and whether that was allowed.
    Failed {
        /// Why.
        reason: String,
        /// Whether the pipeline goes on.
        allowed: bool,
    },
    /// It was stopped.
    Cancelled,
}

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A job begins.
    Started {
        /// Which.
        job: JobId,
        /// Its name.
        name: String,
        /// Its stage.
        stage: String,
    },
    /// A part of its log begins.
    Section {
        /// Which job.
        job: JobId,
        /// What.
        section: Section,
    },
    /// Its script wrote something: bytes as they came, with secrets hidden.
    Output {
        /// Which job.
        job: JobId,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Something to be said about it: a line.
    Note {
        /// Which job.
        job: JobId,
        /// The line.
        text: String,
    },
    /// The same, and somebody should look.
    Warning {
        /// Which job.
        job: JobId,
        /// The line.
        text: String,
    },
    /// An image is fetched for it.
    Build {
        /// Which job.
        job: JobId,
        /// What happens there.
        event: archipel_build::Event,
    },
    /// It is over.
    Finished {
        /// Which job.
        job: JobId,
        /// How.
        outcome: Outcome,
        /// How long it took, all attempts together.
        elapsed: Duration,
    },
    /// It does not run.
    Skipped {
        /// Which job.
        job: JobId,
        /// Its name.
        name: String,
        /// Why.
        why: Skip,
    },
}

/// Takes events, from any thread, quickly.
pub type Sink = Arc<dyn Fn(Event) + Send + Sync>;
