//! A job as it is written, checked, with what it inherits.

mod artifacts;
mod cache;
mod image;
mod needs;
mod parallel;
mod policy;
mod rule;

use std::time::Duration;

pub use artifacts::{Artifacts, When as ArtifactsWhen};
pub use cache::{Cache, CacheKey, CachePolicy};
pub use image::{Image, PullPolicy, Service};
pub use needs::Need;
pub use parallel::{Instance, Parallel};
pub use policy::{Policy, Selector};
pub use rule::{AllowFailure, Changes, Rule, When};

use crate::diagnostic::Diagnostic;
use crate::reader::Reader;
use crate::span::{Span, Spanned};
use crate::variable::Variable;
use crate::yaml::{Map, Node, Value};

/// The keys of a job that mean something here, or mean nothing to a run on one machine:
///
/// - `tags` choose a runner, and there is one; `interruptible`, `resource_group` order pipelines among each other, and there is one;
/// - `coverage` tells GitLab how to read a number out of a log that it shows.
pub(crate) const KEYS: &[&str] = &[
    "after_script",
    "allow_failure",
    "artifacts",
    "before_script",
    "cache",
    "coverage",
    "dependencies",
    "environment",
    "except",
    "extends",
    "image",
    "inherit",
    "interruptible",
    "needs",
    "only",
    "parallel",
    "resource_group",
    "retry",
    "rules",
    "script",
    "services",
    "stage",
    "start_in",
    "tags",
    "timeout",
    "variables",
    "when",
];

/// Keys that GitLab has and we do not.
const UNSUPPORTED: &[&str] = &[
    "dast_configuration",
    "hooks",
    "id_tokens",
    "identity",
    "manual_confirmation",
    "pages",
    "publish",
    "release",
    "run",
    "secrets",
    "trigger",
];

/// The keys that `default:` can have.
pub(crate) const DEFAULT_KEYS: &[&str] = &[
    "after_script",
    "artifacts",
    "before_script",
    "cache",
    "image",
    "interruptible",
    "retry",
    "services",
    "tags",
    "timeout",
];

/// A job.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// Where it is defined: its key.
    pub span: Span,
    /// Its stage.
    pub stage: Spanned<String>,
    /// What it runs in.
    pub image: Option<Image>,
    /// What runs beside it.
    pub services: Vec<Service>,
    /// Its own variables.
    pub variables: Vec<Variable>,
    /// Which of the pipeline's variables it has; `None` is all.
    pub inherit_variables: Option<Vec<String>>,
    /// Commands that run first, in the same shell.
    pub before_script: Vec<String>,
    /// Commands.
    pub script: Vec<String>,
    /// Commands that run afterwards in any case, in a shell of their own.
    pub after_script: Vec<String>,
    /// Whether it is part of the pipeline, and how.
    pub rules: Option<Vec<Rule>>,
    /// The older way to say so.
    pub only: Option<Policy>,
    /// And its contrary.
    pub except: Option<Policy>,
    /// When it starts.
    pub when: Option<When>,
    /// What its failure means.
    pub allow_failure: Option<AllowFailure>,
    /// The jobs that it waits for, instead of all of the stages before.
    pub needs: Option<Vec<Need>>,
    /// Whose artifacts it gets, instead of everybody's before it.
    pub dependencies: Option<Vec<Spanned<String>>>,
    /// What it leaves.
    pub artifacts: Artifacts,
    /// What it keeps from one run to the next.
    pub caches: Vec<Cache>,
    /// How often it is tried again.
    pub retry: Retry,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Copies of it.
    pub parallel: Option<Parallel>,
    /// Where it deploys to: no more than variables here.
    pub environment: Option<Environment>,
}

/// `retry`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// How often, at most twice.
    pub max: u32,
    /// After what; empty is after every failure.
    pub when: Vec<Failure>,
    /// After what status; empty is after every one.
    pub exit_codes: Vec<i32>,
}

/// Kinds of failure that `retry:when` can name and that happen here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The script.
    Script,
    /// The container could not be made.
    System,
    /// It took too long.
    Timeout,
    /// Kinds that only a GitLab server has.
    Other,
}

/// `environment`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Its name, before expansion.
    pub name: String,
    /// Its address.
    pub url: Option<String>,
    /// `start` and others.
    pub action: Option<String>,
    /// `production` and others.
    pub tier: Option<String>,
}

impl Job {
    /// Reads a job from what is left when everything is merged into it.
    pub(crate) fn read(name: &Spanned<String>, map: &Map, reader: &mut Reader<'_>) -> Option<Self> {
        reader.keys("a job", map, KEYS, UNSUPPORTED);
        let strings = |key: &str, reader: &mut Reader<'_>| {
            let commands = map.get(key).map(|node| reader.strings(key, node)).unwrap_or_default();
            commands.into_iter().map(|command| command.value).collect::<Vec<_>>()
        };
        let script = strings("script", reader);
        if script.is_empty() {
            missing_script(name, map, reader);
        }
        for key in ["only", "except"] {
            if let (Some(entry), Some(_)) = (map.entry(key), map.get("rules")) {
                reader.findings.error(format!("`{key}` cannot be used together with `rules`"), entry.key.span);
            }
        }
        let get = |key| map.get(key).filter(|node| node.value != Value::Null);
        let stage = get("stage").and_then(|node| reader.string("stage", node));
        let when = get("when").and_then(|node| When::read(node, get("start_in"), reader));
        if let (Some(node), false) = (get("start_in"), matches!(when, Some(When::Delayed(_)))) {
            reader.findings.error("`start_in` goes with `when: delayed`", node.span);
        }
        check_ignored(map, reader);
        Some(Self {
            name: name.value.clone(),
            span: name.span,
            stage: stage.unwrap_or_else(|| Spanned::new("test".into(), name.span)),
            image: get("image").and_then(|node| Image::read(node, reader)),
            services: get("services").map(|node| Service::read_list(node, reader)).unwrap_or_default(),
            variables: get("variables").map(|node| variables(node, false, reader)).unwrap_or_default(),
            inherit_variables: get("inherit").and_then(|node| inherited_variables(node, reader)),
            before_script: strings("before_script", reader),
            script,
            after_script: strings("after_script", reader),
            rules: get("rules").map(|node| Rule::read_list(node, reader)),
            only: get("only").and_then(|node| Policy::read("only", node, reader)),
            except: get("except").and_then(|node| Policy::read("except", node, reader)),
            when,
            allow_failure: get("allow_failure").and_then(|node| AllowFailure::read(node, reader)),
            needs: get("needs").map(|node| Need::read_list(node, reader)),
            dependencies: get("dependencies").map(|node| reader.strings("dependencies", node)),
            artifacts: get("artifacts").map(|node| Artifacts::read(node, reader)).unwrap_or_default(),
            caches: get("cache").map(|node| Cache::read_list(node, reader)).unwrap_or_default(),
            retry: get("retry").map(|node| Retry::read(node, reader)).unwrap_or_default(),
            timeout: get("timeout").and_then(|node| reader.duration("timeout", node)),
            parallel: get("parallel").and_then(|node| Parallel::read(node, reader)),
            environment: get("environment").and_then(|node| Environment::read(node, reader)),
        })
    }
}

/// A job without commands, unless what is there instead has been told already: `trigger`, or a key that is nearly `script`.
fn missing_script(name: &Spanned<String>, map: &Map, reader: &mut Reader<'_>) {
    if let Some(script) = map.get("script") {
        // What is there but no text has been told.
        let empty = match &script.value {
            Value::Seq(items) => items.is_empty(),
            value => *value == Value::Null,
        };
        if empty {
            reader.findings.error(format!("the script of `{}` is empty", name.value), name.span);
        }
        return;
    }
    let keys = || map.iter().map(|entry| entry.key.value.as_str()).filter(|key| !KEYS.contains(key));
    if archipel_dockerfile::nearest("script", keys()).is_some() || keys().any(|key| key == "trigger" || key == "run") {
        return;
    }
    let help = "give it one, or let its name begin with a dot if it is only there to be extended";
    let message = format!("the job `{}` has no script", name.value);
    reader.findings.add(Diagnostic::error(message, name.span).help(help));
}

/// Keys without a meaning here still have to be right.
fn check_ignored(map: &Map, reader: &mut Reader<'_>) {
    if let Some(node) = map.get("tags") {
        reader.strings("tags", node);
    }
    if let Some(node) = map.get("interruptible") {
        reader.boolean("interruptible", node);
    }
    for key in ["resource_group", "coverage"] {
        if let Some(node) = map.get(key) {
            reader.string(key, node);
        }
    }
}

/// `variables`: of the pipeline, where a value can have a description and options, or of a job.
pub(crate) fn variables(node: &Node, global: bool, reader: &mut Reader<'_>) -> Vec<Variable> {
    let Some(map) = reader.map("variables", node) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in map.iter() {
        let name = &entry.key.value;
        match &entry.value.value {
            Value::Map(details) => {
                let known: &[&str] =
                    if global { &["value", "description", "expand", "options"] } else { &["value", "expand"] };
                reader.keys("a variable", details, known, &[]);
                let value = details.get("value").and_then(|node| reader.value(name, node)).unwrap_or_default();
                let expand = details.get("expand").and_then(|node| reader.boolean("expand", node)).unwrap_or(true);
                if let Some(node) = details.get("description") {
                    reader.string("description", node);
                }
                if let Some(node) = details.get("options") {
                    let options = reader.strings("options", node);
                    if !options.iter().any(|option| option.value == value) {
                        let message = format!("the value of `{name}` is not among its options");
                        reader.findings.error(message, entry.key.span);
                    }
                }
                found.push(Variable { name: name.clone(), value, expand });
            }
            _ => found.extend(reader.value(name, &entry.value).map(|value| Variable::new(name, value))),
        }
    }
    found
}

/// `inherit:variables`. `inherit:default` has been followed when the defaults came in.
fn inherited_variables(node: &Node, reader: &mut Reader<'_>) -> Option<Vec<String>> {
    let node = reader.map("inherit", node)?.get("variables")?;
    match &node.value {
        Value::Bool(true) => None,
        Value::Bool(false) => Some(Vec::new()),
        Value::Seq(_) => Some(reader.strings("variables", node).into_iter().map(|name| name.value).collect()),
        _ => {
            reader.wanted("inherit:variables", "true, false or a list of names", node);
            None
        }
    }
}

impl Retry {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Self {
        let max = |node: &Node, reader: &mut Reader<'_>| {
            reader.number("retry", node, 0, 2).and_then(|n| u32::try_from(n).ok()).unwrap_or_default()
        };
        let Value::Map(map) = &node.value else { return Self { max: max(node, reader), ..Self::default() } };
        reader.keys("retry", map, &["max", "when", "exit_codes"], &[]);
        let words = [
            ("always", None),
            ("script_failure", Some(Failure::Script)),
            ("runner_system_failure", Some(Failure::System)),
            ("image_pull_failure", Some(Failure::System)),
            ("job_execution_timeout", Some(Failure::Timeout)),
            ("stuck_or_timeout_failure", Some(Failure::Timeout)),
            ("unknown_failure", Some(Failure::Other)),
            ("api_failure", Some(Failure::Other)),
            ("runner_unsupported", Some(Failure::Other)),
            ("stale_schedule", Some(Failure::Other)),
            ("archived_failure", Some(Failure::Other)),
            ("unmet_prerequisites", Some(Failure::Other)),
            ("scheduler_failure", Some(Failure::Other)),
            ("data_integrity_failure", Some(Failure::Other)),
        ];
        let mut when = Vec::new();
        if let Some(node) = map.get("when") {
            let items = if let Value::Seq(items) = &node.value { items } else { std::slice::from_ref(node) };
            let kinds: Vec<Option<Failure>> =
                items.iter().filter_map(|item| reader.word("retry:when", item, &words)).collect();
            if !kinds.contains(&None) {
                when.extend(kinds.into_iter().flatten());
            }
        }
        let exit_codes = map.get("exit_codes").map(|node| exit_codes(node, reader)).unwrap_or_default();
        Self { max: map.get("max").map_or(0, |node| max(node, reader)), when, exit_codes }
    }
}

/// A status or several.
pub(crate) fn exit_codes(node: &Node, reader: &mut Reader<'_>) -> Vec<i32> {
    let items = if let Value::Seq(items) = &node.value { items } else { std::slice::from_ref(node) };
    let codes = items.iter().filter_map(|item| reader.number("exit_codes", item, 0, 255));
    codes.filter_map(|n| i32::try_from(n).ok()).collect()
}

impl Environment {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::Map(map) = &node.value else {
            let name = reader.string("environment", node)?.value;
            return Some(Self { name, url: None, action: None, tier: None });
        };
        // The rest is about what GitLab does with an environment: stopping it, showing it.
        let known = ["name", "url", "action", "deployment_tier", "on_stop", "auto_stop_in"];
        reader.keys("environment", map, &known, &["kubernetes"]);
        let mut text = |key: &str| map.get(key).and_then(|node| reader.string(key, node)).map(|text| text.value);
        let (name, url) = (text("name"), text("url"));
        let (action, tier) = (text("action"), text("deployment_tier"));
        let _ = (text("on_stop"), text("auto_stop_in"));
        if name.is_none() && map.get("name").is_none() {
            reader.findings.error("the environment has no name", node.span);
        }
        Some(Self { name: name?, url, action, tier })
    }
}
