//! What a plan is made and run with.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, OnceLock};

use crate::cancel::Cancel;
use crate::context::{Loaded, Tree};
use crate::engine::now;
use crate::exec::{Executor, Output, SinkHandle};
use crate::frontend::Frontend;
use crate::plan::{Node, NodeId, Plan};
use crate::steps::Steps;
use crate::{Engine, Error, Event, How, Request, Sink, SourceDateEpoch, StepId, StepInfo, schedule};

/// One build's request and text, and whom to tell.
#[derive(Clone)]
pub(crate) struct Around {
    pub(crate) request: Arc<Request>,
    pub(crate) loaded: Arc<Loaded>,
    /// Who reads the text, if that is not built in.
    pub(crate) frontend: Option<Frontend>,
    pub(crate) sink: Sink,
    pub(crate) steps: Steps,
    /// The caches that a step of `--no-cache` has begun anew. The steps of one build share them from then on.
    pub(crate) fresh_caches: Arc<tokio::sync::Mutex<HashSet<String>>>,
}

/// Nodes that have run already, with their numbers: a frontend may ask for files before it has said all.
pub(crate) type Made = BTreeMap<NodeId, (StepId, Output)>;

/// Nodes that nobody is told of have no number.
const UNTOLD: StepId = StepId(0);

impl Around {
    pub(crate) fn new(
        request: Request,
        loaded: Loaded,
        frontend: Option<Frontend>,
        sink: &Sink,
        steps: &Steps,
    ) -> Self {
        let (request, loaded, sink, steps) = (Arc::new(request), Arc::new(loaded), sink.clone(), steps.clone());
        Self { request, loaded, frontend, sink, steps, fresh_caches: Arc::default() }
    }

    /// Makes what runs a plan's `wanted` nodes, and tells of those that have not run, so that a renderer knows how many there are.
    pub(crate) fn executor(
        &self,
        engine: &Engine,
        plan: Arc<Plan>,
        contexts: Vec<Tree>,
        epoch: Option<SourceDateEpoch>,
        wanted: &BTreeSet<usize>,
        made: &Made,
    ) -> Arc<Executor> {
        let number = |(n, node): (usize, &Node)| match made.get(&NodeId(n)) {
            Some((step, _)) => *step,
            None if wanted.contains(&n) => self.declare(node),
            None => UNTOLD,
        };
        let steps = plan.nodes.iter().enumerate().map(number).collect();
        let output = |n| made.get(&NodeId(n)).map_or_else(OnceLock::new, |(_, output)| OnceLock::from(output.clone()));
        Arc::new(Executor {
            engine: engine.clone(),
            outputs: (0..plan.nodes.len()).map(output).collect(),
            plan,
            contexts,
            steps,
            counter: self.steps.clone(),
            sink: SinkHandle(self.sink.clone()),
            // A failing step must not stop another build of the same engine; a person's Ctrl-C stops them all.
            cancel: Cancel::default(),
            frontend: self.frontend.clone(),
            dockerfile: (self.loaded.name.clone(), self.loaded.text.clone()),
            now: epoch.map_or_else(now, |epoch| epoch.0),
            epoch,
            inline: tokio::sync::OnceCell::new(),
            fresh_caches: self.fresh_caches.clone(),
            lost_caches: Mutex::default(),
            request: self.request.clone(),
        })
    }

    fn declare(&self, node: &Node) -> StepId {
        let id = self.steps.next();
        let platforms = node.platforms.iter().cloned().collect();
        let (name, label) = (node.name.clone(), node.label.clone());
        (self.sink)(Event::Declared(StepInfo { id, name, label, platforms, how: node.how }));
        id
    }
}

impl Executor {
    /// Runs those of the wanted nodes that have not run. The engine's switch stops them, and so does who no longer waits: a frontend may
    /// take a call back, or die over it.
    pub(crate) async fn run_all(self: &Arc<Self>, wanted: &BTreeSet<usize>) -> Result<(), Error> {
        let (outer, cancel) = (self.engine.cancel.clone(), self.cancel.clone());
        let (_waits, given_up) = tokio::sync::oneshot::channel::<()>();
        let watch = tokio::spawn(async move {
            tokio::select! {
                () = outer.cancelled() => {}
                _ = given_up => {}
            }
            cancel.cancel();
        });
        let ran = self.schedule(wanted).await;
        watch.abort();
        if self.engine.cancel.is_cancelled() { Err(Error::Interrupted) } else { ran }
    }

    async fn schedule(self: &Arc<Self>, wanted: &BTreeSet<usize>) -> Result<(), Error> {
        let plan = &self.plan;
        let rank = |node: &Node| u32::from(node.how == How::Emulated);
        let task = |(n, node)| schedule::Task { needs: plan.needs(NodeId(n)), rank: rank(node) };
        let tasks: Vec<_> = plan.nodes.iter().enumerate().map(task).collect();
        let jobs = match self.request.jobs {
            0 => std::thread::available_parallelism().map_or(2, usize::from),
            n => n,
        };
        schedule::run(&tasks, jobs, &self.cancel, |n| {
            let (executor, due) = (self.clone(), wanted.contains(&n) && self.outputs[n].get().is_none());
            async move { if due { executor.run(NodeId(n)).await } else { Ok(()) } }
        })
        .await
    }
}
