//! The facade: what a command holds to build, move and run images.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use archipel_oci::{Digest, History, Platform};
use archipel_remote::Client;
use archipel_sandbox::emulation::Emulation;
use archipel_store::Store;

use crate::around::Around;
use crate::cancel::Cancel;
use crate::exec::Executor;
use crate::export::{PlatformResult, ResultLayer};
use crate::frontend::Frontend;
use crate::plan::{NodeId, Planner, Root, StageResult};
use crate::steps::Steps;
use crate::{Error, Event, How, Output, Request, Sink, Warning, context, epoch, inline};

/// A store, a registry client and a way to run foreign binaries. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) store: Arc<Store>,
    pub(crate) client: Client,
    pub(crate) cancel: Cancel,
    qemu: Arc<[PathBuf]>,
    emulation: Arc<Mutex<Option<Arc<Emulation>>>>,
    pub(crate) images: Arc<crate::image::Images>,
    pub(crate) sources: Arc<crate::source::Sources>,
}

/// What a build made.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Built {
    /// The digest of the index, or of the only manifest. `None` where no image was made (`type=local`).
    pub digest: Option<Digest>,
    /// Each platform, in the order asked for.
    pub platforms: Vec<BuiltPlatform>,
    /// What `--metadata-file` holds.
    pub metadata: serde_json::Value,
}

/// One platform of a result: a row of the table at the end.
#[derive(Clone, Debug, serde::Serialize)]
pub struct BuiltPlatform {
    /// Which.
    pub platform: Platform,
    /// How its RUN steps ran, or would have run.
    pub how: How,
    /// Whether nothing had to be done for it: a cache had every step.
    pub cached: bool,
    /// Seconds from the build's start until this platform was done.
    pub seconds: f64,
    /// How many layers it has.
    pub layers: usize,
    /// Their compressed size in bytes.
    pub size: u64,
    /// Its manifest's digest.
    pub digest: Option<Digest>,
    /// Its config's digest: docker's image id (`--iidfile` of a one-platform build).
    pub config: Option<Digest>,
}

impl Engine {
    /// Puts the parts together. `qemu` are folders to look for QEMU in before the usual ones.
    #[must_use]
    pub fn new(store: Store, client: Client, qemu: Vec<PathBuf>) -> Self {
        Self {
            store: Arc::new(store),
            client,
            cancel: Cancel::default(),
            qemu: qemu.into(),
            emulation: Arc::default(),
            images: Arc::default(),
            sources: Arc::default(),
        }
    }

    /// Stops what runs: processes are killed, drafts thrown away, and the call in progress returns [`Error::Interrupted`].
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// How foreign binaries run here. Set up when it is first asked for: most second builds never do. One at a time: a namespace
    /// has one table, and a second registration of the same would be refused.
    pub(crate) fn emulation(&self) -> Result<Arc<Emulation>, Error> {
        let mut emulation = self.emulation.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(emulation) = &*emulation {
            return Ok(emulation.clone());
        }
        Ok(emulation.insert(Arc::new(Emulation::set_up(&self.qemu)?)).clone())
    }

    /// Builds.
    pub async fn build(&self, request: &Request, sink: &Sink) -> Result<Built, Error> {
        // Asked for again when the result is written: what is wrong is told before there is any work.
        request.multi_platform()?;
        let loaded = context::load(request, self).await?;
        let steps = Steps::default();
        let mut request = request.clone();
        // A frontend knows itself what its text says of the time.
        let frontend = Frontend::of(&loaded, &request)?;
        if frontend.is_none()
            && let Some(time) = self.early_epoch(&request, &loaded).await?
        {
            request.build_args.push((epoch::NAME.into(), time.map(|time| time.to_string()).unwrap_or_default()));
        }
        let around = Around::new(request, loaded, frontend, sink, &steps);
        let made = self.make(&around).await?;
        let request = noted(&around.request, &made.annotations);
        let built = self.export(&request, made.executor.epoch, made.results, sink, &steps).await?;
        // After the result: what somebody waits for comes first, and a cache that fails has cost nothing.
        self.export_cache(&made.executor, &made.layers, sink, &steps).await?;
        Ok(built)
    }

    /// Plans and runs.
    async fn make(&self, around: &Around) -> Result<Made, Error> {
        let begun = Instant::now();
        let planned = match &around.frontend {
            Some(frontend) => self.planned_by(frontend, around).await?,
            None => Planner::new(self, around)?.plan().await?,
        };
        let ends = |target: &StageResult| {
            let mut wanted = planned.plan.below(&target.root);
            wanted.extend(target.scan.iter().flat_map(|scan| planned.plan.below(&Root::Node(*scan))));
            wanted
        };
        let wanted = planned.targets.iter().flat_map(ends).collect();
        let executor = around.executor(self, planned.plan, planned.contexts, planned.epoch, &wanted, &planned.made);
        executor.run_all(&wanted).await?;
        let steps_of = |target: &StageResult| target.steps.iter().filter_map(|step| step.node).collect::<Vec<_>>();
        let layers = planned.targets.iter().flat_map(steps_of).collect();
        let mut results = Vec::new();
        for target in planned.targets {
            let attestations = executor.attestations(&target).await?;
            results.push(PlatformResult { attestations, ..result(&executor, target, begun)? });
        }
        Ok(Made { results, executor, layers, annotations: planned.annotations })
    }
}

/// A plan that was run.
struct Made {
    executor: Arc<Executor>,
    results: Vec<PlatformResult>,
    /// The nodes whose layers are in the results.
    layers: BTreeSet<NodeId>,
    annotations: Vec<(String, String)>,
}

/// The request with notes that a frontend has on every image. Those that a person gave come later, and so count.
fn noted<'r>(request: &'r Request, annotations: &[(String, String)]) -> Cow<'r, Request> {
    if annotations.is_empty() {
        return Cow::Borrowed(request);
    }
    let mut request = request.clone();
    if request.outputs.is_empty() {
        request.outputs.push(Output::kept());
    }
    for output in &mut request.outputs {
        let (Output::Image { options, .. } | Output::Oci { options, .. } | Output::Docker { options, .. }) = output
        else {
            continue;
        };
        // Docker's types have none.
        if !options.docker_types {
            options.annotations.splice(0..0, annotations.iter().cloned());
        }
    }
    Cow::Owned(request)
}

/// Turns a planned stage, whose nodes have run, into what an exporter takes.
fn result(executor: &Executor, target: StageResult, begun: Instant) -> Result<PlatformResult, Error> {
    let mut layers = Vec::new();
    let mut created = None;
    if let Some(base) = &target.base {
        let of_base = |layer: &crate::image::BaseLayer| ResultLayer::Base {
            layer: Box::new(layer.clone()),
            reference: base.reference.clone(),
        };
        layers.extend(base.layers.iter().map(of_base));
        created.clone_from(&base.config.created);
    }
    let mut entries = Vec::new();
    let mut config = target.config;
    for step in &target.steps {
        if let Some(node) = step.node {
            let output = executor.output(node)?;
            entries.push(inline::Entry { layer: layers.len(), key: output.key.clone(), record: output.record.clone() });
            layers.push(ResultLayer::Snapshot(output.snapshot.clone()));
            created = Some(rfc3339(output.record.created));
        }
        // A step that only changes the config happened, for all that anybody can see, when the files below it were made:
        // so that the same build again is the same image.
        let created = step.history.created.clone().or_else(|| created.clone());
        config.history.push(History { created, empty_layer: step.node.is_none(), ..step.history.clone() });
    }
    inline::write(&mut config, executor.request.keeps_inline_cache().then_some(&entries));
    config.created = Some(created.unwrap_or_else(|| rfc3339(executor.now)));
    let top = match &target.root {
        Root::Node(id) => Some(executor.output(*id)?),
        _ => None,
    };
    let finished = top.map_or_else(|| begun.elapsed(), |output| output.at.duration_since(begun));
    let top = top.map(|output| output.snapshot.clone());
    let needed = executor.plan.below(&target.root);
    let cached = !needed.is_empty() && needed.into_iter().all(|n| executor.output(NodeId(n)).is_ok_and(|o| o.cached));
    Ok(PlatformResult {
        platform: target.platform,
        config,
        layers,
        how: target.how,
        cached,
        finished,
        base: target.base,
        top,
        attestations: Vec::new(),
    })
}

pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(0))
}

pub(crate) fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "1970-01-01T00:00:00Z".into(), |t| t.to_string())
}

/// Warns.
pub(crate) fn warn(sink: &Sink, message: impl Into<String>) {
    sink(Event::Warning(Warning { message: message.into() }));
}
