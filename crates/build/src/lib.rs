//! From a Dockerfile to images: plan, cache keys, scheduler, instructions, contexts, exporters; and what is done with images
//! afterwards (pull, push, copy, run).
//!
//! Start reading at [`Engine::build`] in `engine.rs`. The life of a build:
//!
//! 1. `context` gives the Dockerfile's text and a tree to copy from; `dockerfile` makes stages of it.
//! 2. `plan` walks the stages that the target needs, once per platform, and makes one graph of nodes. The configs of base
//!    images are read for it (their `ENV`, `ONBUILD`), their layers are not. Equal nodes are one node: what does not depend
//!    on the platform is there once.
//! 3. `schedule` runs the nodes that are ready, native ones first. Each asks the cache with a key over what it really
//!    reads, and else does its work in `exec`, which leaves a snapshot in the store.
//! 4. `export` makes layers of the snapshots, assembles config, manifest and index, and brings them where they should go.
//!
//! Everything that happens is told as an [`Event`]; nothing here prints.
#![forbid(unsafe_code)]

mod around;
mod attestation;
mod cache;
mod cancel;
mod check;
mod container;
mod context;
mod device;
mod engine;
mod epoch;
mod error;
mod event;
mod exec;
mod explain;
mod export;
mod fetch;
mod frontend;
mod image;
mod index;
mod inline;
mod job;
mod layout;
mod parts;
mod plan;
mod progress;
mod provenance;
mod pull;
mod push;
mod request;
mod saved;
mod sbom;
mod schedule;
mod source;
mod spool;
mod ssh;
mod steps;
mod transfer;
mod tree;

pub use cache::{CacheExport, CacheLocation};
pub use check::{Answer, Check};
pub use container::{PullPolicy, RunRequest, Streams, Tmpfs, Volume};
pub use engine::{Built, BuiltPlatform, Engine};
pub use error::{Error, NoPlatform, Place, StepFailure};
pub use event::{Event, How, Outcome as StepOutcome, Sink, StepId, StepInfo, Stream, Warning};
pub use explain::ExplainedStep;
pub use export::UNNAMED;
pub use frontend::{Called, names_frontend};
pub use index::{IndexEntry, IndexSource, NewIndex};
pub use job::{ContainerRoot, Scratch};
pub use provenance::Provenance;
pub use pull::{Pull, Pulled};
pub use request::{
    Compression, Context, Dockerfile, ImageOptions, Output, Request, Secret, SecretSource, SourceDateEpoch,
};
pub use saved::Loaded;
pub use sbom::Sbom;
pub use transfer::Location;
