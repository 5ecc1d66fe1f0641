//! Walks the stages that the target needs, once for each platform.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use archipel_dockerfile::{self as dockerfile, Diagnostic, Globals, Instruction, Scope, Severity};
use archipel_oci::{ImageConfig, Platform, Reference};

use super::{Node, NodeId, Plan, Planned, Root, Source, StageResult, Step};
use crate::around::{Around, Made};
use crate::context::{Loaded, Tree};
use crate::device::Devices;
use crate::engine::warn;
use crate::epoch::{self, Epoch};
use crate::image::BaseImage;
use crate::progress::Work;
use crate::steps::Steps;
use crate::{Engine, Error, How, Place, Request, Sink, check};

/// What runtimes take where an image does not say (docker's, which it also writes into images made from scratch).
pub(crate) const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Windows, whose images have another shell and no path where they do not say.
const WINDOWS: &str = "windows";
const WINDOWS_SHELL: [&str; 3] = ["cmd", "/S", "/C"];

/// How far triggers of base images may lead from stage to stage. Nobody writes more than one or two.
const MAX_TRIGGERS: usize = 16;

/// Makes the plan.
pub(crate) struct Planner<'a> {
    pub(super) engine: &'a Engine,
    pub(super) request: &'a Request,
    loaded: &'a Loaded,
    pub(super) sink: &'a Sink,
    steps: &'a Steps,
    pub(super) dockerfile: dockerfile::Dockerfile,
    pub(super) plan: Plan,
    pub(super) contexts: Vec<Tree>,
    /// What is copied from where nothing else is said.
    pub(super) main: Source,
    /// Named contexts that were used, by name and platform.
    pub(super) named: HashMap<(String, String), Source>,
    /// Images that were asked for and warnings, so that each is told of once.
    pub(super) told: BTreeSet<String>,
    /// The machine's devices, once a RUN has asked for one.
    pub(super) devices: Option<Devices>,
    /// ARGs that some stage declares.
    pub(super) declared: BTreeSet<String>,
}

/// What the walk for one platform knows.
pub(super) struct Walk {
    pub(super) platform: Platform,
    pub(super) globals: Globals,
    pub(super) states: HashMap<usize, Arc<State>>,
    /// How many triggers we are inside of that name stages.
    depth: usize,
}

/// A stage after its last instruction.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) platform: Platform,
    pub(super) base: Option<Arc<BaseImage>>,
    pub(super) root: Root,
    pub(super) config: ImageConfig,
    pub(super) scope: Scope,
    pub(super) steps: Vec<Step>,
    /// CMD was in this stage.
    pub(super) has_cmd: bool,
}

/// A stage on its way: what names its steps.
pub(super) struct Stage {
    pub(super) index: usize,
    /// Its name with a blank; nothing where there is no other stage.
    pub(super) shown: String,
    /// How many of its instructions make files. FROM is one of them where it names an image.
    pub(super) total: usize,
    pub(super) at: usize,
    /// How many of its instructions are still a base image's.
    pub(super) triggers: usize,
    pub(super) no_cache: bool,
}

type Walking<'s> = Pin<Box<dyn Future<Output = Result<Arc<State>, Error>> + Send + 's>>;

impl<'a> Planner<'a> {
    /// Reads the Dockerfile.
    pub(crate) fn new(engine: &'a Engine, around: &'a Around) -> Result<Self, Error> {
        Self::within(engine, around, Plan::default(), vec![around.loaded.tree.clone()], Source::Context(0))
    }

    /// The same, for nodes that come to others; `main` is the context.
    pub(crate) fn within(
        engine: &'a Engine,
        around: &'a Around,
        plan: Plan,
        contexts: Vec<Tree>,
        main: Source,
    ) -> Result<Self, Error> {
        let Around { request, loaded, sink, steps, .. } = around;
        let parsed = dockerfile::parse(&loaded.text);
        let planner = Self {
            engine,
            request,
            loaded,
            sink,
            steps,
            dockerfile: parsed.dockerfile,
            plan,
            contexts,
            main,
            named: HashMap::new(),
            told: BTreeSet::new(),
            devices: None,
            declared: BTreeSet::new(),
        };
        let (mut errors, warnings): (Vec<_>, Vec<_>) =
            parsed.diagnostics.into_iter().partition(|d| d.severity == Severity::Error);
        warnings.iter().for_each(|warning| warn(sink, warning.message.clone()));
        let told = check::tell_first(&planner.dockerfile, &errors, request, &loaded.text, sink);
        errors.extend(told.err());
        if errors.is_empty() { Ok(planner) } else { Err(planner.wrong_all(errors)) }
    }

    /// Makes it.
    pub(crate) async fn plan(mut self) -> Result<Planned, Error> {
        let target = self.dockerfile.target(self.request.target.as_deref()).map_err(|e| self.wrong(e))?.index;
        let platforms = match self.request.platforms.as_slice() {
            [] => vec![Platform::host()],
            given => given.to_vec(),
        };
        let mut targets = Vec::new();
        let mut epoch = None;
        for platform in platforms {
            let automatic = dockerfile::automatic_args(&Platform::host(), &platform, self.request.target.as_deref());
            let globals = self.dockerfile.globals(automatic, &self.request.build_args).map_err(|e| self.wrong(e))?;
            epoch = epoch::wanted(self.request, self.loaded, &self.dockerfile, &globals)?;
            let mut walk = Walk { platform: platform.clone(), globals, states: HashMap::new(), depth: 0 };
            let state = self.stage(&mut walk, target).await;
            if targets.is_empty() {
                let told = self.check(&walk, target);
                // What the rules find is told all the same; what is wrong comes before what a rule makes of it.
                state.is_ok().then_some(told).transpose()?;
            }
            let mut result = self.result(platform, &*state?);
            result.scan = self.scan(&walk, target).await?;
            targets.push(result);
        }
        self.tell_unused();
        let epoch = match epoch {
            Some(Epoch::At(epoch)) => Some(epoch),
            _ => None,
        };
        let (made, annotations) = (Made::default(), Vec::new());
        Ok(Planned { plan: Arc::new(self.plan), contexts: self.contexts, targets, epoch, made, annotations })
    }

    /// Tells what the rules find in stages. They are the same for every platform.
    fn check(&self, walk: &Walk, target: usize) -> Result<(), Error> {
        let base = |(index, state): (&usize, &Arc<State>)| Some((*index, state.base.as_ref()?.config.clone()));
        let bases = walk.states.iter().filter_map(base).collect();
        let subject = dockerfile::Subject {
            dockerfile: &self.dockerfile,
            globals: &walk.globals,
            target: Some(target),
            ignore: self.loaded.tree.ignore.as_deref(),
            bases: &bases,
        };
        check::tell(&subject, self.request, &self.loaded.text, self.sink).map_err(|e| self.wrong(e))
    }

    fn result(&self, platform: Platform, state: &State) -> StageResult {
        let mut config = state.config.clone();
        config.config.labels.extend(self.request.labels.iter().cloned());
        // An image is for what was asked for by name, whatever it is built on.
        match self.request.platforms.is_empty() {
            true => config.set_platform(&config.platform()),
            false => config.set_target(&platform),
        }
        StageResult {
            how: self.how(&state.root),
            platform,
            base: state.base.clone(),
            root: state.root.clone(),
            config,
            steps: state.steps.clone(),
            scan: None,
            attested: Vec::new(),
        }
    }

    /// The slowest way in which anything ran that a root needs.
    fn how(&self, root: &Root) -> How {
        let all: Vec<How> = self.plan.below(root).into_iter().map(|n| self.plan.nodes[n].how).collect();
        let slowest = [How::Emulated, How::Native].into_iter().find(|how| all.contains(how));
        slowest.unwrap_or(How::Assembled)
    }

    /// A stage with all that it needs, the earliest first, so that a long chain of stages is no deep recursion. What is left of
    /// that is ONBUILD triggers, which may name stages that nothing else names.
    pub(super) fn stage<'s>(&'s mut self, walk: &'s mut Walk, index: usize) -> Walking<'s> {
        Box::pin(async move {
            if let Some(known) = walk.states.get(&index) {
                return Ok(known.clone());
            }
            if walk.depth > MAX_TRIGGERS {
                let message = format!("ONBUILD triggers lead from stage to stage more than {MAX_TRIGGERS} times");
                return Err(self.error("trigger-depth", message, &self.dockerfile.stages[index].span));
            }
            let base = |stage: &dockerfile::Stage| match &stage.name {
                Some(name) if self.request.named_context(&name.value).is_some() => Ok(None),
                _ => Ok(Some(walk.globals.expand(&stage.base)?.0)),
            };
            let needed = self.dockerfile.reachable(index, &mut { base }).map_err(|e| self.wrong(e))?;
            walk.depth += 1;
            for stage in needed {
                if !walk.states.contains_key(&stage) {
                    let state = self.one_stage(walk, stage).await?;
                    walk.states.insert(stage, Arc::new(state));
                }
            }
            walk.depth -= 1;
            Ok(walk.states[&index].clone())
        })
    }

    /// A stage whose needs are there.
    async fn one_stage(&mut self, walk: &mut Walk, index: usize) -> Result<State, Error> {
        let stage = self.dockerfile.stages[index].clone();
        if let Some(state) = self.replaced(walk, &stage).await? {
            return Ok(state);
        }
        let mut state = self.base(walk, &stage).await?;
        state.has_cmd = false;
        let triggers = std::mem::take(&mut state.config.config.on_build);
        let mut instructions = Vec::new();
        for trigger in &triggers {
            let read = dockerfile::parse_trigger(trigger, &stage.span).map_err(|e| self.wrong(e))?;
            instructions.push(read);
        }
        instructions.extend(stage.instructions.iter().cloned());
        // An image counts as a step, which it can be: it is fetched.
        let own = self.own_base(walk, &stage)?;
        // A named context is fetched too, but by its own name.
        let image = usize::from(own && state.base.is_some() && !self.is_named(walk, &stage)?);
        let made = stage.instructions.iter().filter(|i| makes_files(i)).count();
        // Triggers count whatever they do.
        let total = usize::from(own) + made + triggers.len();
        let label = stage.label();
        let named = |name: &String| name.eq_ignore_ascii_case(&label);
        let no_cache = self.request.no_cache || self.request.no_cache_filter.iter().any(named);
        // Whatever an instruction is from makes for a second stage, in BuildKit's eyes.
        let alone = self.dockerfile.stages.len() == 1 && !stage.instructions.iter().any(reads_elsewhere);
        let shown = if alone { String::new() } else { format!("{label} ") };
        let mut at = Stage { index, shown, total, at: image, triggers: triggers.len(), no_cache };
        for instruction in &instructions {
            self.instruction(walk, &mut at, &mut state, instruction).await?;
            at.triggers = at.triggers.saturating_sub(1);
        }
        Ok(state)
    }

    /// Whether a stage starts from something that is neither another stage nor nothing.
    fn own_base(&self, walk: &Walk, stage: &dockerfile::Stage) -> Result<bool, Error> {
        let name = walk.globals.base(&stage.base).map_err(|e| self.wrong(e))?;
        Ok(name != "scratch" && self.dockerfile.parent(stage.index, &name).is_none())
    }

    fn is_named(&self, walk: &Walk, stage: &dockerfile::Stage) -> Result<bool, Error> {
        let name = walk.globals.base(&stage.base).map_err(|e| self.wrong(e))?;
        Ok(self.request.named_context(&name).is_some())
    }

    /// What a stage starts from: another stage, nothing, or an image.
    async fn base(&mut self, walk: &mut Walk, stage: &dockerfile::Stage) -> Result<State, Error> {
        let name = walk.globals.base(&stage.base).map_err(|e| self.wrong(e))?;
        let platform = self.platform(walk, stage)?;
        if let Some(parent) = self.dockerfile.parent(stage.index, &name).map(|parent| parent.index) {
            return Ok((*self.stage(walk, parent).await?).clone());
        }
        // No named context stands in for this one.
        if name == "scratch" {
            // Nothing is of no platform: it is for what the build is for, whatever is said here.
            return Ok(State::scratch(&walk.globals, &walk.platform));
        }
        if let Some(state) = self.named_base(walk, &name, &platform).await? {
            return Ok(state);
        }
        let reference = walk.globals.image(&stage.base).map_err(|e| self.wrong(e))?;
        let image = self.image(&reference, &platform).await.map_err(|e| self.no_image(e, &name, &stage.span))?;
        Ok(State::of_image(&walk.globals, image))
    }

    fn platform(&self, walk: &Walk, stage: &dockerfile::Stage) -> Result<Platform, Error> {
        match &stage.platform {
            Some(word) => walk.globals.platform(word).map_err(|e| self.wrong(e)),
            None => Ok(walk.platform.clone()),
        }
    }

    /// An image; the first time that it is asked for is told.
    pub(super) async fn image(&mut self, reference: &Reference, platform: &Platform) -> Result<Arc<BaseImage>, Error> {
        let label = match self.request.multi_platform().unwrap_or_default() {
            true => format!("{platform} "),
            false => String::new(),
        };
        let name = format!("[{label}internal] load metadata for {reference}");
        if !self.told.insert(name.clone()) {
            return self.engine.base_image(reference, platform, self.request.pull).await;
        }
        let work = Work::start(self.sink, self.steps, name, Vec::new());
        let image = self.engine.base_image(reference, platform, self.request.pull).await;
        work.finish(image)
    }

    pub(super) fn intern(&mut self, node: Node) -> NodeId {
        self.plan.intern(node)
    }

    /// A value that was given and that nothing asks for is often a misspelt name.
    fn tell_unused(&self) {
        let known = |name: &str| {
            let automatic = name.starts_with("BUILDKIT_") || name == epoch::NAME || dockerfile::is_proxy(name);
            let platform = name.starts_with("TARGET") || name.starts_with("BUILD");
            automatic || platform || self.declared.contains(name)
        };
        let unused: Vec<&str> =
            self.request.build_args.iter().map(|(name, _)| name.as_str()).filter(|name| !known(name)).collect();
        if !unused.is_empty() {
            warn(self.sink, format!("one or more build-args [{}] were not consumed", unused.join(" ")));
        }
    }

    pub(super) fn error(&self, code: &'static str, message: String, span: &dockerfile::Span) -> Error {
        self.wrong(Diagnostic::error(code, message, span.clone()))
    }

    /// The error of an image that an instruction names and that cannot be had. It may be a stage's name misspelt.
    pub(super) fn no_image(&self, error: Error, name: &str, span: &dockerfile::Span) -> Error {
        if matches!(error, Error::Interrupted) || span.is_empty() {
            return error;
        }
        let meant = self.dockerfile.meant(name);
        let place = Place { name: self.loaded.name.clone(), text: self.loaded.text.clone(), span: span.clone(), meant };
        Error::At { place: Box::new(place), source: Box::new(error) }
    }

    pub(super) fn wrong(&self, diagnostic: Diagnostic) -> Error {
        self.wrong_all(vec![diagnostic])
    }

    fn wrong_all(&self, diagnostics: Vec<Diagnostic>) -> Error {
        Error::Dockerfile { name: self.loaded.name.clone(), text: self.loaded.text.clone(), diagnostics }
    }
}

impl Stage {
    /// What the step that it is at is called: BuildKit's form, which people know and scripts look for.
    pub(super) fn title(&self, instruction: &str) -> String {
        let Self { shown, at, total, .. } = self;
        let width = total.to_string().len();
        let origin = if self.triggers > 0 { "ONBUILD " } else { "" };
        format!("[{shown}{at:>width$}/{total}] {origin}{instruction}")
    }
}

impl State {
    /// Nothing.
    pub(super) fn scratch(globals: &Globals, platform: &Platform) -> Self {
        let mut config = ImageConfig::empty(platform);
        config.config.working_dir = "/".into();
        Self::new(globals, platform.clone(), None, Root::Scratch, config)
    }

    /// An image as it comes.
    pub(super) fn of_image(globals: &Globals, image: Arc<BaseImage>) -> Self {
        let (platform, config) = (image.platform.clone(), image.config.clone());
        Self::new(globals, platform, Some(image.clone()), Root::Image(image), config)
    }

    fn new(
        globals: &Globals,
        platform: Platform,
        base: Option<Arc<BaseImage>>,
        root: Root,
        mut config: ImageConfig,
    ) -> Self {
        // An image that is built has a PATH, also on a base without one (BuildKit).
        if platform.os != WINDOWS && !config.config.env.iter().any(|entry| entry.starts_with("PATH=")) {
            config.config.env.push(DEFAULT_PATH.into());
        }
        let own = &config.config;
        let windows = (platform.os == WINDOWS).then(|| WINDOWS_SHELL.map(str::to_owned).to_vec());
        let shell = own.shell.clone().or(windows);
        let dir = own.working_dir.as_str();
        let dir = if platform.os == WINDOWS { windows_dir(dir) } else { dir.to_owned() };
        let scope = Scope::new(globals, &own.env, &dir, shell.as_deref());
        let mut state = Self { platform, base, root, config, scope, steps: Vec::new(), has_cmd: false };
        state.name_workdir();
        state
    }

    /// Windows knows its working directory by backslashes, so they are in the config; steps have slashes everywhere.
    pub(super) fn name_workdir(&mut self) {
        let dir = &mut self.config.config.working_dir;
        if self.platform.os == WINDOWS && !dir.is_empty() {
            *dir = self.scope.workdir().replace('/', "\\");
        }
    }
}

/// A directory of a Windows image with slashes, without the drive, which is always the same.
fn windows_dir(dir: &str) -> String {
    let dir = dir.replace('\\', "/");
    dir.strip_prefix("C:").or_else(|| dir.strip_prefix("c:")).map(str::to_owned).unwrap_or(dir)
}

fn makes_files(instruction: &Instruction) -> bool {
    use dockerfile::Keyword::{Add, Copy, Run, Workdir};
    matches!(instruction.keyword(), Add | Copy | Run | Workdir)
}

/// `--from` and `--mount`.
fn reads_elsewhere(instruction: &Instruction) -> bool {
    match &instruction.op {
        dockerfile::Op::Copy(copy) => copy.from.is_some(),
        dockerfile::Op::Run(run) => !run.mounts.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_has_backslashes() {
        let globals = dockerfile::Dockerfile::default().globals(Vec::new(), &[]).unwrap();
        for (os, dir) in [("windows", "\\"), ("linux", "/")] {
            let state = State::scratch(&globals, &Platform::new(os, "amd64", None));
            assert_eq!((state.scope.workdir(), state.config.config.working_dir.as_str()), ("/", dir));
        }
        assert_eq!(["C:\\a\\b", "c:/a", "\\a", "a"].map(windows_dir), ["/a/b", "/a", "/a", "a"]);
    }
}
