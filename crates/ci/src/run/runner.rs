//! One job, from its image to its artifacts.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use archipel_build::{ContainerRoot, Engine, PullPolicy, Scratch};
use archipel_oci::{Platform, Reference};
use archipel_sandbox::Mount;
use archipel_sandbox::overlay::{self, Layers};
use tokio_util::sync::CancellationToken;

use super::cache::{self, Caches};
use super::event::{Event, JobId, Outcome, Section, Sink};
use super::failure::Failure;
use super::port::Ports;
use super::process::{self, End};
use super::request::Request;
use super::service::Services;
use super::tree::{self, Selection};
use super::{container, dotenv};
use crate::job::{self, AllowFailure, ArtifactsWhen, Image, Job, When};
use crate::mask::Masker;
use crate::plan::PlannedJob;
use crate::script;
use crate::variable::{Values, Variable};

/// How long an after-script may take (the runner's number).
const AFTER_SCRIPT: Duration = Duration::from_secs(300);

/// What all jobs of a run share.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) engine: Engine,
    pub(super) request: Request,
    pub(super) sink: SinkHandle,
    pub(super) cancel: CancellationToken,
    pub(super) ports: Ports,
}

/// A sink that can stand in a struct that is printed.
#[derive(Clone)]
pub(super) struct SinkHandle(pub(super) Sink);

impl std::fmt::Debug for SinkHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sink")
    }
}

/// What a job leaves to others. It goes when no job may want it any more.
#[derive(Debug)]
pub(super) struct Kept {
    files: Scratch,
    variables: Vec<Variable>,
}

/// A job that is over.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) job: usize,
    pub(super) outcome: Outcome,
    pub(super) elapsed: Duration,
    pub(super) kept: Option<Arc<Kept>>,
    /// What of the engine's it failed of.
    pub(super) cause: Option<archipel_build::Error>,
}

/// An attempt at a job: a place to say things from.
#[derive(Clone, Debug)]
pub(super) struct Run {
    runner: Arc<Runner>,
    id: JobId,
    masker: Masker,
}

/// Runs a job to its end, as often as it takes.
pub(super) async fn run(runner: Arc<Runner>, id: usize, planned: PlannedJob, received: Vec<Arc<Kept>>) -> Done {
    let begun = Instant::now();
    let masker = Masker::new(&runner.request.secrets);
    let run = Run { runner, id: JobId(id), masker };
    let retry = &planned.job.retry;
    let mut attempt = 0;
    let (failure, kept) = loop {
        let (result, kept) = run.attempt(&planned, &received).await;
        let Err(failure) = result else { break (None, kept) };
        let wanted = (retry.when.is_empty() || retry.when.contains(&failure.kind()))
            && (retry.exit_codes.is_empty() || failure.code().is_some_and(|code| retry.exit_codes.contains(&code)));
        if attempt >= retry.max || !wanted || matches!(failure, Failure::Cancelled) {
            break (Some(failure), kept);
        }
        attempt += 1;
        run.warn(&format!("Failed: {}. Attempt {} of {}.", failure.reason(), attempt + 1, retry.max + 1));
    };
    let outcome = match &failure {
        None => Outcome::Succeeded,
        Some(Failure::Cancelled) => Outcome::Cancelled,
        Some(failure) => {
            let allowed = match &planned.allow_failure {
                AllowFailure::Always(allowed) => *allowed,
                AllowFailure::ExitCodes(codes) => failure.code().is_some_and(|code| codes.contains(&code)),
            };
            Outcome::Failed { reason: run.masked(&failure.reason()), allowed }
        }
    };
    let elapsed = begun.elapsed();
    run.tell(Event::Finished { job: run.id, outcome: outcome.clone(), elapsed });
    let cause = match failure {
        Some(Failure::Build(error)) => Some(error),
        _ => None,
    };
    Done { job: id, outcome, elapsed, kept: kept.map(Arc::new), cause }
}

impl Run {
    pub(super) fn asked(&self) -> &Request {
        &self.runner.request
    }

    pub(super) fn cancel(&self) -> &CancellationToken {
        &self.runner.cancel
    }

    pub(super) fn ports(&self) -> &Ports {
        &self.runner.ports
    }

    /// For a stream of its own.
    pub(super) fn masker(&self) -> Masker {
        self.masker.clone()
    }

    fn tell(&self, event: Event) {
        (self.runner.sink.0)(event);
    }

    fn masked(&self, text: &str) -> String {
        let mut masker = self.masker();
        let mut shown = masker.push(text.as_bytes());
        shown.extend(masker.finish());
        String::from_utf8_lossy(&shown).into_owned()
    }

    /// Says a line.
    pub(super) fn note(&self, text: &str) {
        self.tell(Event::Note { job: self.id, text: self.masked(text) });
    }

    /// Says a line that somebody should look at.
    pub(super) fn warn(&self, text: &str) {
        self.tell(Event::Warning { job: self.id, text: self.masked(text) });
    }

    fn section(&self, section: Section) {
        self.tell(Event::Section { job: self.id, section });
    }

    /// Opens an image under the name that the map has for it.
    pub(super) async fn open(&self, image: &Image, name: &str) -> Result<ContainerRoot, Failure> {
        let reference = |name: &str| {
            let told =
                |e: archipel_oci::ReferenceError| Failure::System(format!("`{name}` is not the name of an image: {e}"));
            name.parse::<Reference>().map_err(told)
        };
        let mut wanted = reference(name)?;
        for (from, to) in &self.asked().image_map {
            if from == name || reference(from)? == wanted {
                wanted = reference(to)?;
                self.note(&format!("Taking {to} for {from}."));
                break;
            }
        }
        let platform = match &image.platform {
            Some(text) => Some(text.parse::<Platform>().map_err(|e| Failure::System(format!("`{text}`: {e}")))?),
            None => None,
        };
        let pull = match image.pull {
            None | Some(job::PullPolicy::IfNotPresent) => PullPolicy::Missing,
            Some(job::PullPolicy::Always) => PullPolicy::Always,
            Some(job::PullPolicy::Never) => PullPolicy::Never,
        };
        let (sink, id) = (self.runner.sink.clone(), self.id);
        let told: archipel_build::Sink = Arc::new(move |event| (sink.0)(Event::Build { job: id, event }));
        tokio::select! {
            opened = self.runner.engine.open_root(&wanted, platform.as_ref(), pull, &told) => Ok(opened?),
            () = self.cancel().cancelled() => Err(Failure::Cancelled),
        }
    }

    /// Tries once. What is kept may be there after a failure too.
    async fn attempt(&self, planned: &PlannedJob, received: &[Arc<Kept>]) -> (Result<(), Failure>, Option<Kept>) {
        match self.prepare(planned, received).await {
            Ok(prepared) => prepared.finish(self, planned).await,
            Err(failure) => (Err(failure), None),
        }
    }

    async fn prepare(&self, planned: &PlannedJob, received: &[Arc<Kept>]) -> Result<Prepared, Failure> {
        let job = &planned.job;
        if let When::Delayed(delay) = planned.when {
            self.note(&format!("Waiting for {}s (start_in).", delay.as_secs()));
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.cancel().cancelled() => return Err(Failure::Cancelled),
            }
        }
        self.section(Section::Prepare);
        let from_artifacts: Vec<Variable> = received.iter().flat_map(|kept| kept.variables.iter().cloned()).collect();
        let values = planned.values(&from_artifacts).map_err(|e| Failure::System(e.to_string()))?;
        let image = self.image(job)?;
        let name = values.apply(&image.name.value);
        self.note(&format!("Using image {name} ..."));
        let root = self.open(&image, &name).await?;
        let files = self.runner.engine.scratch()?;
        let caches = self.restore(job, &values, &files, received).await?;
        let services = Services::start(self, &job.services, &values).await?;
        Ok(Prepared { image, values, root, files, caches, services })
    }

    fn image(&self, job: &Job) -> Result<Image, Failure> {
        if let Some(image) = &job.image {
            return Ok(image.clone());
        }
        let Some(name) = &self.asked().image else {
            let reason = "it has no `image`, and no image was given for jobs without one";
            return Err(Failure::System(reason.into()));
        };
        let name = crate::Spanned::new(name.clone(), job.span);
        Ok(Image { name, entrypoint: None, platform: None, user: None, pull: None })
    }

    /// Lays caches, then artifacts, into the job's tree.
    async fn restore(
        &self,
        job: &Job,
        values: &Values,
        files: &Scratch,
        received: &[Arc<Kept>],
    ) -> Result<Vec<cache::Resolved>, Failure> {
        let worktree = self.asked().worktree.clone();
        let resolve = |cache| cache::resolve(cache, values, &worktree);
        let caches: Vec<cache::Resolved> =
            job.caches.iter().map(resolve).collect::<Result<_, _>>().map_err(io("the cache"))?;
        let store = Caches::new(&self.asked().caches, &self.asked().project);
        let upper = files.upper().to_owned();
        let received = received.to_vec();
        let (caches, notes) = blocking(move || {
            // The overlay's root has this folder's mode; the job's user need not be root.
            std::fs::set_permissions(&upper, std::fs::Permissions::from_mode(0o777)).map_err(io("the job's tree"))?;
            let mut notes = Vec::new();
            for cache in caches.iter().filter(|cache| cache.pull) {
                match store.restore(cache, &upper).map_err(io("the cache"))? {
                    Some(key) => notes.push(format!("Restored cache {key}.")),
                    None => notes.push(format!("There is no cache {} yet.", cache.key)),
                }
            }
            for kept in &received {
                tree::lay(kept.files.upper(), &upper).map_err(io("artifacts of another job"))?;
            }
            Ok::<_, Failure>((caches, notes))
        })
        .await?;
        notes.iter().for_each(|note| self.note(note));
        Ok(caches)
    }
}

/// A job that is ready to start.
#[derive(Debug)]
struct Prepared {
    image: Image,
    values: Values,
    root: ContainerRoot,
    files: Scratch,
    caches: Vec<cache::Resolved>,
    services: Services,
}

impl Prepared {
    async fn finish(self, run: &Run, planned: &PlannedJob) -> (Result<(), Failure>, Option<Kept>) {
        let job = &planned.job;
        run.section(Section::Script);
        let commands: Vec<&str> = job.before_script.iter().chain(&job.script).map(String::as_str).collect();
        let timeout = job.timeout.unwrap_or(run.asked().timeout);
        let mut result = self.shell(run, "running", &commands, timeout).await;
        if !job.after_script.is_empty() && !matches!(result, Err(Failure::Cancelled)) {
            run.section(Section::AfterScript);
            let commands: Vec<&str> = job.after_script.iter().map(String::as_str).collect();
            let status = if result.is_ok() { "success" } else { "failed" };
            match self.shell(run, status, &commands, AFTER_SCRIPT.min(timeout)).await {
                Ok(()) => {}
                Err(Failure::Cancelled) => result = Err(Failure::Cancelled),
                // It does not change how the job ended.
                Err(failure) => run.warn(&format!("after_script failed: {}", failure.reason())),
            }
        }
        let Self { values, root, files, caches, services, .. } = self;
        services.stop().await;
        drop(root);
        if matches!(result, Err(Failure::Cancelled)) {
            return (result, None);
        }
        match keep(run, job, &values, files, caches, result.is_ok()).await {
            Ok(kept) => (result, kept),
            Err(failure) => (result.and(Err(failure)), None),
        }
    }

    /// Runs commands in the image's shell.
    async fn shell(&self, run: &Run, status: &str, commands: &[&str], timeout: Duration) -> Result<(), Failure> {
        let asked = run.asked();
        let mut request = container::request(&self.root, &self.image, &self.values, asked, "runner");
        request.argv.extend(script::shell());
        request.cwd.clone_from(&asked.project_dir);
        // All that this user may, so that a build can make containers of its own.
        request.privileged = true;
        request.extra_hosts.extend(self.services.names.iter().map(|name| (name.clone(), "127.0.0.1".to_owned())));
        request.mounts.push(Mount::Overlay {
            lower: asked.worktree.clone(),
            upper: self.files.upper().to_owned(),
            work: self.files.work().to_owned(),
            target: asked.project_dir.clone(),
        });
        request.mounts.extend(container::ours(&self.root, asked, &run.runner.engine, &mut request.env)?);
        let mut variables: BTreeMap<&str, &str> = self.values.iter().collect();
        variables.insert("CI_JOB_STATUS", status);
        let script = script::write(variables, &asked.project_dir, commands.iter().copied(), asked.colours);
        let masker = Arc::new(Mutex::new(run.masker()));
        let (sink, id, hidden) = (run.runner.sink.clone(), run.id, masker.clone());
        let output = move |bytes: &[u8]| {
            let bytes = hidden.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
            if !bytes.is_empty() {
                (sink.0)(Event::Output { job: id, bytes });
            }
        };
        let end = process::run(request, script.into_bytes(), output, timeout, run.cancel()).await;
        let rest = masker.lock().unwrap_or_else(PoisonError::into_inner).finish();
        if !rest.is_empty() {
            run.tell(Event::Output { job: run.id, bytes: rest });
        }
        match end? {
            End::Exit(exit) if exit.success() => Ok(()),
            End::Exit(exit) => Err(Failure::Script(exit)),
            End::TimedOut => Err(Failure::Timeout(timeout)),
            End::Cancelled => Err(Failure::Cancelled),
        }
    }
}

/// Keeps what the job says is to be kept.
async fn keep(
    run: &Run,
    job: &Job,
    values: &Values,
    files: Scratch,
    caches: Vec<cache::Resolved>,
    succeeded: bool,
) -> Result<Option<Kept>, Failure> {
    let wanted = |when: ArtifactsWhen| match when {
        ArtifactsWhen::OnSuccess => succeeded,
        ArtifactsWhen::OnFailure => !succeeded,
        ArtifactsWhen::Always => true,
    };
    let artifacts = &job.artifacts;
    let any = !artifacts.paths.is_empty() || artifacts.untracked || !artifacts.dotenv.is_empty();
    let artifacts = (any && wanted(artifacts.when)).then(|| Wanted {
        paths: apply(values, &artifacts.paths),
        exclude: apply(values, &artifacts.exclude),
        untracked: artifacts.untracked,
        dotenv: apply(values, &artifacts.dotenv),
    });
    let caches: Vec<(cache::Resolved, bool)> = std::iter::zip(caches, &job.caches)
        .filter(|(resolved, cache)| resolved.push && wanted(cache.when))
        .map(|(resolved, cache)| (resolved, cache.untracked))
        .collect();
    if artifacts.is_none() && caches.is_empty() {
        return Ok(None);
    }
    run.section(Section::Keep);
    let (engine, request) = (run.runner.engine.clone(), run.runner.request.clone());
    let (kept, notes) = blocking(move || {
        let scratch = engine.scratch()?;
        let layers = [files.upper().to_owned(), request.worktree.clone()];
        let mounted = overlay::mount(&Layers { lower: &layers, upper: None }, scratch.work())?;
        let mut notes = Vec::new();
        let store = Caches::new(&request.caches, &request.project);
        for (cache, untracked) in &caches {
            let untracked = untracked.then_some(&request.tracked);
            let selection = Selection { paths: &cache.paths, exclude: &[], untracked };
            let count = store.keep(&cache.key, &selection, mounted.path()).map_err(io("the cache"))?;
            notes.push((count > 0, format!("Kept cache {}: {count} files and folders.", cache.key)));
        }
        let variables = match artifacts {
            Some(wanted) => wanted.collect(&request, mounted.path(), scratch.upper(), &mut notes)?,
            None => Vec::new(),
        };
        drop(mounted);
        Ok::<_, Failure>((Kept { files: scratch, variables }, notes))
    })
    .await?;
    for (good, note) in notes {
        if good { run.note(&note) } else { run.warn(&note) }
    }
    Ok(Some(kept))
}

/// Artifacts with everything expanded.
struct Wanted {
    paths: Vec<String>,
    exclude: Vec<String>,
    untracked: bool,
    dotenv: Vec<String>,
}

impl Wanted {
    fn collect(
        self,
        request: &Request,
        tree: &Path,
        to: &Path,
        notes: &mut Vec<(bool, String)>,
    ) -> Result<Vec<Variable>, Failure> {
        if !self.paths.is_empty() || self.untracked {
            let untracked = self.untracked.then_some(&request.tracked);
            let selection = Selection { paths: &self.paths, exclude: &self.exclude, untracked };
            let count = tree::collect(tree, &selection, to).map_err(io("artifacts"))?;
            let none = if count == 0 { " Nothing matches." } else { "" };
            notes.push((count > 0, format!("Kept {count} artifacts.{none}")));
        }
        let mut variables = Vec::new();
        for path in &self.dotenv {
            let Some(text) = tree::read(tree, path, dotenv::MAX_BYTES + 1).map_err(io(path))? else {
                notes.push((false, format!("There is no {path} to take variables from.")));
                continue;
            };
            if text.len() > dotenv::MAX_BYTES {
                return Err(Failure::System(format!("{path} is longer than {} bytes", dotenv::MAX_BYTES)));
            }
            variables.extend(dotenv::parse(&text).map_err(|e| Failure::System(format!("{path}: {e}")))?);
        }
        Ok(variables)
    }
}

fn apply(values: &Values, texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| values.apply(text)).collect()
}

fn io(what: &str) -> impl FnOnce(std::io::Error) -> Failure {
    let what = what.to_owned();
    move |source| Failure::Build(archipel_build::Error::Io { what, source })
}

/// Runs what waits for a disk where it may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))
}
