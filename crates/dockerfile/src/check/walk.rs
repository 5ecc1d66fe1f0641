//! Goes through the instructions of stages with the variables that are known at each.

use std::collections::{BTreeSet, HashMap};

use archipel_oci::ImageConfig;

use super::Subject;
use crate::diagnostic::Diagnostic;
use crate::instruction::{Instruction, Op};
use crate::parse::parse_trigger;
use crate::scope::Scope;
use crate::span::Span;
use crate::stage::{From, Stage};
use crate::step::Step;

/// The environment of stages that start from nothing. Its value does not matter here, only that it is set.
const SCRATCH_ENV: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A stage so far.
#[derive(Clone)]
pub(super) struct State {
    pub(super) scope: Scope,
    /// Whether the environment of the image below is known, and with it which variables are not defined.
    pub(super) known: bool,
    /// WORKDIR was there, in this stage or below it in this Dockerfile.
    pub(super) workdir_set: bool,
    /// SHELL was there, or the image below has one.
    pub(super) shell_set: bool,
}

/// An instruction, and what came of it.
pub(super) struct Visit<'v> {
    pub(super) stage: &'v Stage,
    pub(super) instruction: &'v Instruction,
    pub(super) step: &'v Result<Step, Diagnostic>,
    /// After it.
    pub(super) scope: &'v Scope,
    /// Before it.
    pub(super) before: Before,
    /// The variables in it that were not set.
    pub(super) missing: &'v [(String, Span)],
}

/// What was there before an instruction. Names are only ever added, so numbers say it all.
#[derive(Clone, Copy)]
pub(super) struct Before {
    pub(super) names: usize,
    pub(super) known: bool,
    pub(super) workdir_set: bool,
    pub(super) shell_set: bool,
}

/// The stages that are looked at: those that the target needs, or all.
pub(super) fn stages(subject: &Subject<'_>) -> Result<BTreeSet<usize>, Diagnostic> {
    match subject.target {
        None => Ok((0..subject.dockerfile.stages.len()).collect()),
        Some(target) => {
            subject.dockerfile.reachable(target, &mut |stage| Ok(Some(subject.globals.expand(&stage.base)?.0)))
        }
    }
}

/// Visits the instructions of stages, in the order of the text; the triggers of what a stage is built on come first, and stand
/// where its FROM does. With triggers that cannot be read nothing is visited: it says what is wrong with them.
pub(super) fn walk(
    subject: &Subject<'_>,
    stages: &BTreeSet<usize>,
    visit: &mut dyn FnMut(&Visit<'_>),
) -> Vec<Diagnostic> {
    let stages = || subject.dockerfile.stages.iter().filter(|stage| stages.contains(&stage.index));
    // They are read once more when they are visited: all of them together may be far more than the text.
    let read = |stage| triggers(subject, stage).into_iter().map(|trigger| parse_trigger(&trigger, &stage.span));
    let unread: Vec<_> = stages().flat_map(read).filter_map(Result::err).collect();
    if !unread.is_empty() {
        return unread;
    }
    let parents: HashMap<usize, usize> =
        stages().filter_map(|stage| Some((stage.index, parent(subject, stage)?.index))).collect();
    let mut children: HashMap<usize, usize> = HashMap::new();
    parents.values().for_each(|parent| *children.entry(*parent).or_default() += 1);
    let mut states: HashMap<usize, State> = HashMap::new();
    for stage in stages() {
        // The last one that is built on a stage takes its state over, as in a long row of stages each would copy all before it.
        let mut handed_on = |parent: &usize| match children.get_mut(parent) {
            Some(more) if *more > 1 => {
                *more -= 1;
                states.get(parent).cloned()
            }
            _ => states.remove(parent),
        };
        let state = parents.get(&stage.index).and_then(&mut handed_on);
        let mut state = state.unwrap_or_else(|| State::new(subject, stage));
        read(stage).filter_map(Result::ok).for_each(|trigger| state.go(stage, &trigger, visit));
        stage.instructions.iter().for_each(|instruction| state.go(stage, instruction, visit));
        states.insert(stage.index, state);
    }
    Vec::new()
}

pub(super) fn parent<'a>(subject: &'a Subject<'_>, stage: &Stage) -> Option<&'a Stage> {
    let (base, _) = subject.globals.expand(&stage.base).ok()?;
    subject.dockerfile.parent(stage.index, &base)
}

/// The stages that a stage takes files from.
pub(super) fn sources(subject: &Subject<'_>, stage: &Stage) -> Vec<usize> {
    let sources = stage.instructions.iter().filter_map(|i| subject.dockerfile.sources(stage.index, i).ok());
    let index = |source| match source {
        From::Stage(index) => Some(index),
        From::Other(_) => None,
    };
    sources.flatten().filter_map(index).collect()
}

fn triggers(subject: &Subject<'_>, stage: &Stage) -> Vec<String> {
    match parent(subject, stage) {
        Some(parent) => {
            let trigger = |instruction: &Instruction| match &instruction.op {
                Op::Onbuild(trigger) => Some(trigger.clone()),
                _ => None,
            };
            parent.instructions.iter().filter_map(trigger).collect()
        }
        None => subject.bases.get(&stage.index).map(|image| image.config.on_build.clone()).unwrap_or_default(),
    }
}

impl State {
    fn new(subject: &Subject<'_>, stage: &Stage) -> Self {
        let scratch = subject.globals.expand(&stage.base).is_ok_and(|(base, _)| base == "scratch");
        let known = subject.bases.get(&stage.index);
        let none = ImageConfig::default();
        let image = &known.unwrap_or(&none).config;
        let mut env = image.env.clone();
        if !env.iter().any(|line| line.starts_with("PATH=")) {
            env.push(SCRATCH_ENV.into());
        }
        let shell = image.shell.as_deref().filter(|shell| !shell.is_empty());
        Self {
            scope: Scope::new(subject.globals, &env, &image.working_dir, shell),
            known: scratch || known.is_some(),
            workdir_set: false,
            shell_set: shell.is_some(),
        }
    }

    fn go(&mut self, stage: &Stage, instruction: &Instruction, visit: &mut dyn FnMut(&Visit<'_>)) {
        let before = Before {
            names: self.scope.values().pairs().len(),
            known: self.known,
            workdir_set: self.workdir_set,
            shell_set: self.shell_set,
        };
        let missing = self.scope.missing().len();
        let step = self.scope.step(instruction);
        self.workdir_set |= matches!(instruction.op, Op::Workdir(_));
        self.shell_set |= matches!(instruction.op, Op::Shell(_));
        let missing = self.scope.missing().get(missing..).unwrap_or_default();
        visit(&Visit { stage, instruction, step: &step, scope: &self.scope, before, missing });
    }
}
