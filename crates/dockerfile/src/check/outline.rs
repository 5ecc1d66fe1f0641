//! What a build can be given: the arguments, secrets and agents of the target and of the stages that it needs.

use std::collections::{BTreeMap, BTreeSet};

use super::{Subject, walk};
use crate::diagnostic::Diagnostic;
use crate::instruction::{Instruction, Op};
use crate::mount::Mount;
use crate::redact::redacted;
use crate::span::Span;
use crate::step::Step;
use crate::values::Named;

/// What a target takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The target's name, in lower case.
    pub name: Option<String>,
    /// What its comment says.
    pub description: Option<String>,
    /// `--build-arg`, in the order of the text.
    pub args: Vec<OutlineArg>,
    /// `--secret`, likewise.
    pub secrets: Vec<OutlineNeed>,
    /// `--ssh`, likewise.
    pub ssh: Vec<OutlineNeed>,
}

/// An ARG that is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlineArg {
    /// Its name.
    pub name: String,
    /// Its value in this build, without logins; empty if it has none.
    pub value: String,
    /// What its comment says.
    pub description: Option<String>,
    /// Its definition: where the value comes from, not where a stage asks for it.
    pub span: Span,
}

/// A secret or an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlineNeed {
    /// What it is called.
    pub id: String,
    /// Whether the build fails without it.
    pub required: bool,
    /// The instruction that asks for it first.
    pub span: Span,
}

/// What one stage takes by itself.
#[derive(Debug, Default)]
struct Taken {
    used: BTreeSet<String>,
    args: BTreeMap<String, OutlineArg>,
    secrets: Named<OutlineNeed>,
    ssh: Named<OutlineNeed>,
}

/// Outlines the target, which is the last stage if there is none.
///
/// # Errors
/// What is wrong with the stages that it needs.
pub fn outline(subject: &Subject<'_>) -> Result<Outline, Diagnostic> {
    let target = subject.target.unwrap_or(subject.dockerfile.stages.len().saturating_sub(1));
    let subject = Subject { target: Some(target), ..*subject };
    let reached = walk::stages(&subject)?;
    let (globals, defaults) = globals(&subject)?;
    let mut taken: BTreeMap<usize, Taken> = BTreeMap::new();
    for index in &reached {
        let own = taken.entry(*index).or_default();
        let Some(stage) = subject.dockerfile.stages.get(*index) else { continue };
        for word in std::iter::once(&stage.base).chain(&stage.platform) {
            own.used.extend(subject.globals.expansion(word)?.used);
        }
    }
    let mut wrong = None;
    let unread = walk::walk(&subject, &reached, &mut |visit| {
        let Some(own) = taken.get_mut(&visit.stage.index) else { return };
        match visit.step {
            Ok(step) => own.step(&subject, visit.instruction, step),
            Err(error) if visit.before.known => drop(wrong.get_or_insert_with(|| error.clone())),
            Err(_) => {}
        }
    });
    if let Some(wrong) = wrong.or(unread.into_iter().next()) {
        return Err(wrong);
    }
    let stage = subject.dockerfile.stages.get(target);
    let all = collect(&subject, target, &mut taken, &globals, &defaults);
    Ok(Outline {
        name: stage.and_then(|stage| stage.name.as_ref()).map(|name| name.value.to_lowercase()),
        description: stage.and_then(|stage| stage.description.clone()),
        args: sorted(all.args.into_values(), |arg| &arg.span),
        secrets: sorted(all.secrets.pairs().iter().map(|(_, need)| need.clone()), |need| &need.span),
        ssh: sorted(all.ssh.pairs().iter().map(|(_, need)| need.clone()), |need| &need.span),
    })
}

/// In the order of the text.
fn sorted<T>(found: impl Iterator<Item = T>, span: impl Fn(&T) -> &Span) -> Vec<T> {
    let mut found: Vec<T> = found.collect();
    found.sort_by_key(|one| span(one).start);
    found
}

/// Which other ARGs the defaults of some use.
type Defaults = BTreeMap<String, BTreeSet<String>>;

/// The ARGs before the first FROM, and which others their defaults use.
fn globals(subject: &Subject<'_>) -> Result<(BTreeMap<String, OutlineArg>, Defaults), Diagnostic> {
    let (mut args, mut defaults) = (BTreeMap::new(), Defaults::new());
    for instruction in &subject.dockerfile.globals {
        let Op::Arg(definitions) = &instruction.op else { continue };
        for arg in definitions {
            let name = &arg.name.value;
            let mut used = BTreeSet::new();
            if let (Some(default), None) = (&arg.default, subject.globals.given(name)) {
                used.extend(subject.globals.expansion(default)?.used);
            }
            // What a definition needed before counts only if the new one is made of it.
            let before = defaults.remove(name).unwrap_or_default();
            if used.remove(name) {
                // The larger one takes up the smaller.
                let mut before = before;
                if before.len() > used.len() {
                    std::mem::swap(&mut before, &mut used);
                }
                used.extend(before);
            }
            defaults.insert(name.clone(), used);
            let value = redacted(subject.globals.get(name).unwrap_or_default());
            let (description, span) = (arg.description.clone(), instruction.span.clone());
            args.insert(name.clone(), OutlineArg { name: name.clone(), value, description, span });
        }
    }
    Ok((args, defaults))
}

impl Taken {
    fn step(&mut self, subject: &Subject<'_>, instruction: &Instruction, step: &Step) {
        let span = &instruction.span;
        match (&instruction.op, step) {
            (Op::Arg(definitions), Step::Arg(values)) => {
                for (arg, (name, value)) in definitions.iter().zip(values) {
                    self.used.insert(name.clone());
                    // One that is handed on from above is told of where it comes from.
                    let handed_on = arg.default.is_none() && subject.globals.given(name).is_none() && value.is_some();
                    if !handed_on {
                        let value = redacted(value.as_deref().unwrap_or_default());
                        let description = arg.description.clone();
                        self.args.insert(
                            name.clone(),
                            OutlineArg { name: name.clone(), value, description, span: span.clone() },
                        );
                    }
                }
            }
            (_, Step::Run(run)) => {
                for mount in &run.mounts {
                    let (list, id, required) = match mount {
                        Mount::Secret(secret) => (&mut self.secrets, &secret.id, secret.required),
                        Mount::Ssh(agent) => (&mut self.ssh, &agent.id, agent.required),
                        _ => continue,
                    };
                    let need = OutlineNeed { id: id.clone(), required, span: span.clone() };
                    add(list, &need);
                }
            }
            _ => {}
        }
    }
}

/// The first one of a name counts.
fn add(known: &mut Named<OutlineNeed>, need: &OutlineNeed) {
    if known.value(&need.id).is_none() {
        known.set(&need.id, need.clone());
    }
}

/// Takes what a stage takes, and then what those that it needs do: the nearest definition of a name counts.
fn collect(
    subject: &Subject<'_>,
    target: usize,
    taken: &mut BTreeMap<usize, Taken>,
    globals: &BTreeMap<String, OutlineArg>,
    defaults: &Defaults,
) -> Taken {
    let mut all = Taken::default();
    let mut stages = vec![target];
    while let Some(index) = stages.pop() {
        // One that was there already is not left in the map.
        let (Some(mut own), Some(stage)) = (taken.remove(&index), subject.dockerfile.stages.get(index)) else {
            continue;
        };
        let mut open: Vec<String> = own.used.iter().cloned().collect();
        while let Some(name) = open.pop() {
            let more = defaults.get(&name).into_iter().flatten();
            open.extend(more.filter(|need| own.used.insert((*need).clone())).cloned());
        }
        for arg in own.used.iter().filter_map(|name| own.args.get(name).or_else(|| globals.get(name))) {
            if !all.args.contains_key(&arg.name) {
                all.args.insert(arg.name.clone(), arg.clone());
            }
        }
        own.secrets.pairs().iter().for_each(|(_, secret)| add(&mut all.secrets, secret));
        own.ssh.pairs().iter().for_each(|(_, agent)| add(&mut all.ssh, agent));
        stages.extend(walk::sources(subject, stage).into_iter().rev());
        stages.extend(walk::parent(subject, stage).map(|parent| parent.index));
    }
    all
}

#[cfg(test)]
mod tests;
