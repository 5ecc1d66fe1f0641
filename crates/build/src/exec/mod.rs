//! Runs the plan's nodes: asks the cache, else does the work and leaves a snapshot.
//!
//! A node's key is made of what it really reads: its operation, the identity of the file system that it changes, and the
//! contents of what comes from elsewhere. So a build from a fresh clone, with other times on all files, finds everything.

pub(crate) mod archive;
mod copy;
mod files;
mod key;
mod layer;
mod make_dir;
mod mount;
mod mounts;
mod remote;
mod run;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use archipel_oci::Digest;
use archipel_store::SnapshotId;

use crate::cancel::Cancel;
use crate::context::Tree;
use crate::frontend::Frontend;
use crate::plan::{Node, NodeId, Op, Plan, Root};
use crate::steps::Steps;
use crate::{Engine, Error, Event, Request, Sink, SourceDateEpoch, StepId, StepOutcome, inline};

pub(crate) use key::Record;
use key::Records as _;
pub(crate) use mount::Opened;

/// What a node made.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// Under which the cache has it.
    pub(crate) key: Digest,
    pub(crate) snapshot: SnapshotId,
    /// What the cache says of it, where it comes from there, the same as when it was made.
    pub(crate) record: Record,
    /// Whether a cache had it.
    pub(crate) cached: bool,
    /// When it was there.
    pub(crate) at: Instant,
}

/// Everything that the nodes of one build share.
#[derive(Debug)]
pub(crate) struct Executor {
    pub(crate) engine: Engine,
    pub(crate) request: Arc<Request>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) contexts: Vec<Tree>,
    pub(crate) steps: Vec<StepId>,
    /// Numbers for what else happens meanwhile.
    pub(crate) counter: Steps,
    pub(crate) sink: SinkHandle,
    pub(crate) cancel: Cancel,
    /// Who made the plan, if not the language of Dockerfiles.
    pub(crate) frontend: Option<Frontend>,
    /// The Dockerfile's name and text, for errors.
    pub(crate) dockerfile: (String, String),
    /// The build's time, in seconds since 1970: the epoch where there is one.
    pub(crate) now: i64,
    pub(crate) epoch: Option<SourceDateEpoch>,
    pub(crate) outputs: Vec<OnceLock<Output>>,
    /// Caches elsewhere that could not be read, by their places among those of the request.
    pub(crate) lost_caches: Mutex<HashSet<usize>>,
    /// The caches that a step of `--no-cache` has begun anew.
    pub(crate) fresh_caches: Arc<tokio::sync::Mutex<HashSet<String>>>,
    /// The steps that images among the caches have. Asked for once, when a step is found nowhere else.
    pub(crate) inline: tokio::sync::OnceCell<inline::Known>,
}

/// A sink that can stand in a struct that is printed.
#[derive(Clone)]
pub(crate) struct SinkHandle(pub(crate) Sink);

impl std::fmt::Debug for SinkHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sink")
    }
}

impl Executor {
    /// What a node made. The scheduler runs a node after those it needs, so it is there.
    pub(crate) fn output(&self, id: NodeId) -> Result<&Output, Error> {
        self.outputs[id.0]
            .get()
            .ok_or_else(|| Error::Request(format!("step {} was not run", self.plan.nodes[id.0].name)))
    }

    /// Runs one node.
    pub(crate) async fn run(self: Arc<Self>, id: NodeId) -> Result<(), Error> {
        let step = self.steps[id.0];
        let begun = Instant::now();
        self.tell(Event::Started(step));
        let result = self.clone().cached_or_made(id).await;
        let outcome = match &result {
            Ok(true) => StepOutcome::Cached,
            Ok(false) => StepOutcome::Done,
            Err(_) if self.cancel.is_cancelled() => StepOutcome::Cancelled,
            Err(e) => StepOutcome::Failed(e.to_string()),
        };
        self.tell(Event::Finished { step, outcome, elapsed: begun.elapsed() });
        result.map(drop)
    }

    /// Returns whether the cache had it.
    async fn cached_or_made(self: Arc<Self>, id: NodeId) -> Result<bool, Error> {
        let key = self.clone().key(id).await?;
        let node = &self.plan.nodes[id.0];
        if !node.no_cache
            && let Some(record) = self.engine.store.cached(&key)?
            && self.has_parts(&node.op, &record.snapshot(&key))?
        {
            self.finish(id, key, record, true);
            return Ok(true);
        }
        if !node.no_cache
            && node.op.parts().next().is_none()
            && let Some(record) = self.imported(&key, &node.root).await?
        {
            self.engine.store.remember(&key, &record)?;
            self.finish(id, key, record, true);
            return Ok(true);
        }
        let parent = self.materialize(&node.root).await?;
        let record = Record::new(self.now, node.no_cache);
        let made = record.snapshot(&key);
        match &node.op {
            Op::Run(op) => run::run(self.clone(), id, op, parent, made).await?,
            Op::Copy(op) => copy::copy(self.clone(), op, id, parent, made).await?,
            Op::MakeDir(op) => make_dir::make_dir(self.clone(), op, id, parent, made).await?,
            Op::Files(op) => files::files(self.clone(), op, id, parent, made).await?,
            Op::Layer(of) => layer::layer(self.clone(), of, parent, made).await?,
            Op::Difference { lower, upper } => layer::difference(self.clone(), lower, upper, made).await?,
            Op::Part(part) => {
                let run = &self.node(part.run).name;
                return Err(Error::Request(format!("what {run} made has been pruned meanwhile; build again")));
            }
        }
        self.engine.store.remember(&key, &record)?;
        self.finish(id, key, record, false);
        Ok(false)
    }

    /// Whether what a process left in its mounts is still here too.
    fn has_parts(&self, op: &Op, made: &SnapshotId) -> Result<bool, Error> {
        for number in op.parts() {
            if self.engine.store.cached(&key::part(made, number))?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn finish(&self, id: NodeId, key: Digest, record: Record, cached: bool) {
        let output = Output { snapshot: record.snapshot(&key), key, record, cached, at: Instant::now() };
        // A node runs once, so nothing is there yet.
        let _ = self.outputs[id.0].set(output);
    }

    /// The snapshot of a root, with everything below it on disk: base layers are fetched and unpacked here and not before.
    pub(crate) async fn materialize(&self, root: &Root) -> Result<Option<SnapshotId>, Error> {
        let mut at = root;
        let mut top = None;
        loop {
            match at {
                Root::Scratch => return Ok(top),
                Root::Image(image) => {
                    let unpacked = self.engine.unpack(image, &self.sink.0, &self.counter).await?;
                    return Ok(top.or(unpacked));
                }
                Root::Node(id) => {
                    top = top.or(Some(self.output(*id)?.snapshot.clone()));
                    at = &self.plan.nodes[id.0].root;
                }
            }
        }
    }

    pub(crate) fn tell(&self, event: Event) {
        (self.sink.0)(event);
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.plan.nodes[id.0]
    }
}

/// Runs what blocks (files, processes) off the async threads. A panic there is a defect of ours and goes on here.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}
