//! What a build tells while it runs. Terminal, plain text, JSON and the trace file are consumers of these.

use std::sync::Arc;
use std::time::Duration;

use archipel_oci::Platform;

/// Names a step within one build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct StepId(pub u32);

/// How a step's processes ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// On this machine's own processor.
    Native,
    /// Under QEMU.
    Emulated,
    /// No process ran: files and metadata only.
    Assembled,
}

/// A unit of work that a person sees as one line: an instruction, a base image's metadata, a push.
#[derive(Clone, Debug, serde::Serialize)]
pub struct StepInfo {
    /// Its number in this build.
    pub id: StepId,
    /// What it is, as docker shows it: `[build 2/4] RUN go build`, `[internal] load metadata for docker.io/library/golang`.
    pub name: String,
    /// The platform in that name, in a build for several: `linux/amd64`, `linux/amd64->arm64` where it runs on one and makes for
    /// another. A step shared by platforms has that of the first.
    pub label: Option<String>,
    /// The platforms that need it. A step shared by all of a build's platforms names them all.
    pub platforms: Vec<Platform>,
    /// How it runs if it runs.
    pub how: How,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Its result was there already.
    Cached,
    /// It did its work.
    Done,
    /// It failed, with a one-line reason.
    Failed(String),
    /// Something else failed, or the person stopped the build.
    Cancelled,
}

/// Where a piece of output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Something that a person should know though the build goes on.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Warning {
    /// One sentence.
    pub message: String,
}

/// Something happened.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// A step is known. Comes once and first for each step.
    Declared(StepInfo),
    /// A step began its work.
    Started(StepId),
    /// Its process wrote something; bytes as they came, not lines.
    Output {
        /// Which step.
        step: StepId,
        /// Which stream.
        stream: Stream,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Bytes moved for it so far, and how many there will be where that is known.
    Progress {
        /// Which step.
        step: StepId,
        /// So far.
        done: u64,
        /// In all.
        total: Option<u64>,
    },
    /// It ended.
    Finished {
        /// Which step.
        step: StepId,
        /// How.
        outcome: Outcome,
        /// How long it took.
        elapsed: Duration,
    },
    /// A warning.
    Warning(Warning),
}

/// Takes events, from any thread, quickly.
pub type Sink = Arc<dyn Fn(Event) + Send + Sync>;
