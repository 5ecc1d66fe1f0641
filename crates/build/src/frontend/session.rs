//! The calls of one frontend: what it asks for, and what was made of it so far.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use archipel_gateway::{Bridge, pb, status};
use archipel_oci::Platform;
use tokio::sync::{Semaphore, watch};

use super::options::{INPUTS, Options};
use super::{Frontend, caps, legible, local, result, stat};
use crate::around::{Around, Made};
use crate::context::Tree;
use crate::engine::warn;
use crate::exec::{Opened, blocking};
use crate::plan::{Node, NodeId, Plan, Planned, Root, Source};
use crate::{Engine, Error};

/// As many frontends as may run in one build. Each has a process, and a thread that waits for it.
const MAX_CONVERSATIONS: usize = 32;

/// The largest file that is given to a frontend. It is one message.
const MAX_FILE: u64 = 16 << 20;

pub(super) struct Session {
    pub(super) engine: Engine,
    pub(super) around: Around,
    pub(super) options: Options,
    name: String,
    /// Shared with the frontends that this one asks for.
    pub(super) state: Arc<tokio::sync::Mutex<State>>,
    /// Whose steps run now.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The conversations that are under way.
    pub(super) conversations: Arc<Semaphore>,
    inputs: HashMap<String, pb::Definition>,
    pub(super) depth: usize,
    outcome: Mutex<Option<Result<pb::Result, Error>>>,
    returned: watch::Sender<bool>,
    /// The last error that the frontend was told, which what it returns often repeats.
    failure: Mutex<Option<(String, Error)>>,
}

/// What was said so far.
#[derive(Default)]
pub(super) struct State {
    pub(super) plan: Arc<Plan>,
    pub(super) contexts: Vec<Tree>,
    /// What operations' outputs are, by the operations and what they were given.
    pub(super) outputs: HashMap<String, Vec<Source>>,
    /// Folders that were asked for, by name and patterns.
    pub(super) locals: HashMap<local::Key, usize>,
    refs: HashMap<String, Ref>,
    made: Made,
}

/// Something that a frontend has a name for.
#[derive(Clone)]
pub(super) struct Ref {
    pub(super) source: Source,
    pub(super) definition: pb::Definition,
}

impl State {
    /// Adds a node to the plan, or finds the one that does the same.
    pub(super) fn intern(&mut self, node: Node) -> NodeId {
        Arc::make_mut(&mut self.plan).intern(node)
    }

    /// Gives a name to something.
    pub(super) fn name(&mut self, known: Ref) -> String {
        let id = format!("ref{}", self.refs.len());
        self.refs.insert(id.clone(), known);
        id
    }
}

type Answer<T> = Result<T, pb::Status>;

impl Session {
    /// With a `subrequest` it is a question that is no build.
    pub(super) async fn new(
        engine: &Engine,
        frontend: &Frontend,
        around: &Around,
        subrequest: Option<&str>,
    ) -> Result<Arc<Self>, Error> {
        let mut options = Options::of(engine, frontend, &around.request, &around.loaded).await?;
        if let Some(subrequest) = subrequest {
            options.ask(subrequest);
        }
        Ok(Arc::new(Self {
            engine: engine.clone(),
            around: around.clone(),
            options,
            name: frontend.image.familiar(),
            state: Arc::default(),
            turn: Arc::default(),
            conversations: Arc::new(Semaphore::new(MAX_CONVERSATIONS)),
            inputs: HashMap::new(),
            depth: 0,
            outcome: Mutex::default(),
            returned: watch::Sender::new(false),
            failure: Mutex::default(),
        }))
    }

    /// That of another frontend, which this one asks for.
    pub(super) fn inner(&self, frontend: &Frontend, request: &pb::SolveRequest) -> Self {
        let values = request.frontend_opt.clone().into_iter().collect();
        let (folders, layouts) = (self.options.folders.clone(), self.options.layouts.clone());
        let needs = if request.frontend_inputs.is_empty() { Vec::new() } else { vec![INPUTS] };
        Self {
            engine: self.engine.clone(),
            around: self.around.clone(),
            options: Options { values, folders, layouts, needs },
            name: frontend.image.familiar(),
            state: self.state.clone(),
            turn: self.turn.clone(),
            conversations: self.conversations.clone(),
            inputs: request.frontend_inputs.clone(),
            depth: self.depth + 1,
            outcome: Mutex::default(),
            returned: watch::Sender::new(false),
            failure: Mutex::default(),
        }
    }

    pub(super) fn needs(&self) -> &[&'static str] {
        &self.options.needs
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn option_values(&self) -> &BTreeMap<String, String> {
        &self.options.values
    }

    /// The platforms whose programs run here; this machine's own first.
    pub(super) fn worker_platforms(&self) -> Vec<Platform> {
        let mut platforms = vec![Platform::host()];
        let wanted = self.around.request.platforms.iter();
        platforms.extend(wanted.filter(|platform| **platform != Platform::host()).cloned());
        platforms
    }

    /// What the frontend has returned; once.
    pub(super) fn outcome(&self) -> Option<Result<pb::Result, Error>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) async fn has_returned(&self) {
        // The sender lives in `self`.
        let _ = self.returned.subscribe().wait_for(|returned| *returned).await;
    }

    /// The plan of what was returned.
    pub(super) async fn planned(&self, returned: pb::Result) -> Result<Planned, Error> {
        let mut state = std::mem::take(&mut *self.state.lock().await);
        let targets = self.targets(&mut state, returned).await?;
        let result::Targets { targets, epoch, annotations } = targets;
        let State { plan, contexts, made, .. } = state;
        Ok(Planned { plan, contexts, targets, epoch, made, annotations })
    }

    /// What a name of the frontend's stands for; an empty one for nothing at all.
    pub(super) fn source(&self, state: &State, id: &str) -> Result<Source, Error> {
        match state.refs.get(id) {
            Some(known) => Ok(known.source.clone()),
            None if id.is_empty() => Ok(Source::Root(Root::Scratch)),
            None => Err(self.wrong(&format!("returned `{id}`, which it was never given"))),
        }
    }

    /// A result that a definition describes without having been solved before.
    pub(super) async fn reference(&self, state: &mut State, given: &pb::Ref) -> Result<Source, Error> {
        match &given.def {
            Some(definition) if given.id.is_empty() => self.translate(state, definition).await,
            _ => self.source(state, &given.id),
        }
    }

    /// Runs what a source needs, and opens it to read.
    pub(super) async fn open(&self, state: &mut State, source: &Source) -> Result<Opened, Error> {
        let (plan, contexts) = (state.plan.clone(), state.contexts.clone());
        let (made, opened) = self.evaluated(plan, contexts, &state.made, source).await;
        state.made.extend(made);
        opened
    }

    /// The same while others go on adding to what was said: steps may run for long.
    async fn open_aside(&self, source: &Source) -> Result<Opened, Error> {
        let (plan, contexts, mut known) = {
            let state = self.state.lock().await;
            (state.plan.clone(), state.contexts.clone(), state.made.clone())
        };
        // One after the other, so that no step runs twice; what is there already waits for nobody.
        let _turn = match due(&plan, &known, source).is_empty() {
            true => None,
            false => Some(self.turn.lock().await),
        };
        if _turn.is_some() {
            known = self.state.lock().await.made.clone();
        }
        let (made, opened) = self.evaluated(plan, contexts, &known, source).await;
        self.state.lock().await.made.extend(made);
        opened
    }

    /// What was made for a source, and it, open.
    async fn evaluated(
        &self,
        plan: Arc<Plan>,
        contexts: Vec<Tree>,
        known: &Made,
        source: &Source,
    ) -> (Made, Result<Opened, Error>) {
        let wanted = due(&plan, known, source);
        let epoch = match result::epoch(&self.around.request) {
            Ok(epoch) => epoch,
            Err(e) => return (Made::new(), Err(e)),
        };
        let executor = self.around.executor(&self.engine, plan, contexts, epoch, &wanted, known);
        let ran = executor.run_all(&wanted).await;
        // What was made is made, whatever came of the rest.
        let output = |n: usize| Some((NodeId(n), (executor.steps[n], executor.outputs[n].get()?.clone())));
        let made = wanted.into_iter().filter_map(output).collect();
        let opened = match ran {
            Ok(()) => executor.open(source).await,
            Err(e) => Err(e),
        };
        (made, opened)
    }

    async fn opened(&self, id: &str) -> Result<Opened, Error> {
        let source = self.source(&*self.state.lock().await, id)?;
        self.open_aside(&source).await
    }

    async fn solved(&self, request: &pb::SolveRequest) -> Result<pb::SolveResponse, Error> {
        if !request.frontend.is_empty() {
            let result = self.nested(request).await?;
            return Ok(pb::SolveResponse { r#ref: String::new(), result: Some(result) });
        }
        let definition = request.definition.clone().unwrap_or_default();
        let empty = definition.def.is_empty();
        let source = self.translate(&mut *self.state.lock().await, &definition).await?;
        if request.evaluate {
            self.open_aside(&source).await?;
        }
        let mut state = self.state.lock().await;
        Ok(name(&mut state, (!empty).then_some(Ref { source, definition }), request))
    }

    /// Tells an error, and remembers it: it has a place, which no message has.
    fn tell(&self, error: Error) -> pb::Status {
        let message = match &error {
            Error::Dockerfile { diagnostics, .. } => {
                diagnostics.iter().map(|d| d.message.clone()).collect::<Vec<_>>().join("; ")
            }
            other => other.to_string(),
        };
        let told = status::error(code(&error), message.clone());
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some((message, error));
        told
    }

    /// What a frontend returned in place of a result.
    fn failed(&self, returned: &pb::Status) -> Error {
        let known = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        let error = match known {
            Some((message, error)) if returned.message.contains(&message) => error,
            _ => Error::Frontend(format!("{}: {}", self.name, legible(&returned.message))),
        };
        // Its words are to be shown; where they were ours they are known.
        let legible = pb::Status { message: legible(&returned.message), ..returned.clone() };
        result::placed(error, &self.around.loaded, &legible)
    }
}

/// What of a source's needs has not run.
fn due(plan: &Plan, made: &Made, source: &Source) -> BTreeSet<usize> {
    match source {
        Source::Root(root) => plan.below(root).into_iter().filter(|n| !made.contains_key(&NodeId(*n))).collect(),
        Source::Context(_) => BTreeSet::new(),
    }
}

/// Gives a name to something, in the form that the frontend asks for.
fn name(state: &mut State, made: Option<Ref>, request: &pb::SolveRequest) -> pb::SolveResponse {
    let (mut id, mut def) = (String::new(), None);
    if let Some(made) = made {
        def = Some(made.definition.clone());
        id = state.name(made);
    }
    let result = match request.allow_result_array_ref {
        true => pb::result::Result::Ref(pb::Ref { id: id.clone(), def }),
        false => pb::result::Result::RefDeprecated(id.clone()),
    };
    let result = pb::Result { result: Some(result), ..pb::Result::default() };
    let r#ref = if request.allow_result_return { String::new() } else { id };
    pb::SolveResponse { r#ref, result: Some(result) }
}

fn code(error: &Error) -> i32 {
    match error {
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => status::NOT_FOUND,
        Error::Remote(e) if e.is_not_found() => status::NOT_FOUND,
        Error::Interrupted => status::CANCELLED,
        _ => status::UNKNOWN,
    }
}

impl Bridge for Session {
    async fn resolve_image_config(
        &self,
        request: pb::ResolveImageConfigRequest,
    ) -> Answer<pb::ResolveImageConfigResponse> {
        self.image_config(&request).await.map_err(|e| self.tell(e))
    }

    async fn resolve_source_meta(
        &self,
        request: pb::ResolveSourceMetaRequest,
    ) -> Answer<pb::ResolveSourceMetaResponse> {
        self.source_meta(&request).await.map_err(|e| self.tell(e))
    }

    async fn solve(&self, request: pb::SolveRequest) -> Answer<pb::SolveResponse> {
        self.solved(&request).await.map_err(|e| self.tell(e))
    }

    async fn read_file(&self, request: pb::ReadFileRequest) -> Answer<pb::ReadFileResponse> {
        let read = async {
            let opened = self.opened(&request.r#ref).await?;
            blocking(move || {
                let path = Path::new(&request.file_path);
                let absent = rustix::io::Errno::NOENT.into();
                let told = || Error::io(format!("open {}", request.file_path));
                let data = opened.view.read(path, MAX_FILE + 1)?.ok_or(absent).map_err(told())?;
                if data.len() as u64 > MAX_FILE {
                    return Err(Error::Request(format!("{} is larger than {MAX_FILE} bytes", path.display())));
                }
                Ok(pb::ReadFileResponse { data: range(data, request.range.as_ref()) })
            })
            .await
        };
        read.await.map_err(|e| self.tell(e))
    }

    async fn read_dir(&self, request: pb::ReadDirRequest) -> Answer<pb::ReadDirResponse> {
        let read = async {
            let opened = self.opened(&request.r#ref).await?;
            let list = move || stat::list(&opened.view, &request.dir_path, &request.include_pattern);
            Ok(pb::ReadDirResponse { entries: blocking(list).await? })
        };
        read.await.map_err(|e| self.tell(e))
    }

    async fn stat_file(&self, request: pb::StatFileRequest) -> Answer<pb::StatFileResponse> {
        let read = async {
            let opened = self.opened(&request.r#ref).await?;
            let stat = blocking(move || stat::of(&opened.view, &request.path)).await?;
            Ok(pb::StatFileResponse { stat: Some(stat) })
        };
        read.await.map_err(|e| self.tell(e))
    }

    async fn evaluate(&self, request: pb::EvaluateRequest) -> Answer<pb::Empty> {
        self.opened(&request.r#ref).await.map(|_| pb::Empty {}).map_err(|e| self.tell(e))
    }

    async fn ping(&self, _: pb::Empty) -> Answer<pb::PongResponse> {
        let platforms = self.worker_platforms().iter().map(super::source::platform_to).collect();
        let worker = pb::WorkerRecord { id: caps::WORKER.into(), platforms, ..pb::WorkerRecord::default() };
        Ok(pb::PongResponse { frontend_api_caps: caps::frontend(), llb_caps: caps::llb(), workers: vec![worker] })
    }

    async fn returned(&self, request: pb::ReturnRequest) -> Answer<pb::Empty> {
        let outcome = match (request.result, &request.error) {
            (_, Some(error)) => Err(self.failed(error)),
            (Some(result), None) => Ok(result),
            (None, None) => {
                return Err(status::error(status::INVALID_ARGUMENT, "Return needs a result or an error"));
            }
        };
        let mut place = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if place.is_some() {
            return Err(status::error(status::FAILED_PRECONDITION, "there was a Return before"));
        }
        *place = Some(outcome);
        self.returned.send_replace(true);
        Ok(pb::Empty {})
    }

    async fn inputs(&self, _: pb::Empty) -> Answer<pb::InputsResponse> {
        Ok(pb::InputsResponse { definitions: self.inputs.clone() })
    }

    async fn warn(&self, request: pb::WarnRequest) -> Answer<pb::Empty> {
        let mut text = String::from_utf8_lossy(&request.short).into_owned();
        for detail in &request.detail {
            text.push_str(&format!("\n  {}", String::from_utf8_lossy(detail)));
        }
        warn(&self.around.sink, legible(&text));
        Ok(pb::Empty {})
    }
}

fn range(data: Vec<u8>, range: Option<&pb::FileRange>) -> Vec<u8> {
    let Some(range) = range else { return data };
    let place = |number: i64| usize::try_from(number).unwrap_or(0).min(data.len());
    let begin = place(range.offset);
    let end = if range.length > 0 { place(range.offset.saturating_add(range.length)) } else { data.len() };
    data.get(begin..end).unwrap_or_default().to_vec()
}
