//! A pipeline as its files say it: jobs with everything that they extend and inherit, stages, variables.

use std::collections::{HashMap, HashSet};

use crate::diagnostic::{Diagnostic, Findings};
use crate::extends::{self, Extender};
use crate::include::{self, Files};
use crate::job::{self, Job, Rule};
use crate::reader::Reader;
use crate::span::Sources;
use crate::variable::Variable;
use crate::yaml::{self, Entry, Map, Node, Value};

/// A pipeline that is in order.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// `workflow:name`, before expansion.
    pub name: Option<String>,
    /// All stages in their order, `.pre` and `.post` among them.
    pub stages: Vec<String>,
    /// Variables of all jobs.
    pub variables: Vec<Variable>,
    /// Whether there is a pipeline at all.
    pub workflow: Option<Vec<Rule>>,
    /// In the order of the text.
    pub jobs: Vec<Job>,
}

/// What came of reading.
#[derive(Debug)]
pub struct Parsed {
    /// The pipeline, unless something is wrong with it.
    pub pipeline: Option<Pipeline>,
    /// The files, for the places in the diagnostics.
    pub sources: Sources,
    /// Errors and warnings in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Stages where none are given.
const STAGES: &[&str] = &["build", "test", "deploy"];

/// Keys of a pipeline that are not jobs.
const KEYS: &[&str] = &[
    "after_script",
    "before_script",
    "cache",
    "default",
    "image",
    "include",
    "services",
    "stages",
    "variables",
    "workflow",
];

/// Keys that are defaults where they stand at the top.
const TOP_DEFAULTS: &[&str] = &["after_script", "before_script", "cache", "image", "services"];

/// Names that GitLab gives to no job.
const RESERVED: &[&str] = &["types", "true", "false", "nil", "spec"];

/// How many jobs a pipeline may have, copies included: more than any that is meant, and few enough to be planned at once.
pub(crate) const MAX_JOBS: usize = 2000;

/// What all jobs with what they extend and inherit may come to, in bytes.
const MAX_WEIGHT: usize = 64 << 20;

/// The longest name of a job (GitLab's number).
const MAX_NAME: usize = 255;

/// Reads a pipeline. `name` is the file's path, for messages.
#[must_use]
pub fn parse(name: &str, text: &str, files: &dyn Files) -> Parsed {
    let (mut sources, mut findings) = (Sources::default(), Findings::default());
    let mut root = include::load(name, text, files, &mut sources, &mut findings);
    yaml::resolve(&mut root, &mut findings);
    let pipeline = read(&root, &mut Reader { sources: &sources, findings: &mut findings });
    if pipeline.jobs.is_empty() && !findings.failed() {
        findings.error("the pipeline has no job that is not hidden", crate::Span::default());
    }
    let failed = findings.failed();
    Parsed { pipeline: (!failed).then_some(pipeline), sources, diagnostics: findings.into_sorted() }
}

fn read(root: &Map, reader: &mut Reader<'_>) -> Pipeline {
    let defaults = defaults(root, reader);
    let (name, workflow) = root.get("workflow").map(|node| read_workflow(node, reader)).unwrap_or_default();
    let stages = root.get("stages").map(|node| reader.strings("stages", node));
    let stages = stages.map(|stages| stages.into_iter().map(|stage| stage.value).collect::<Vec<_>>());
    let stages = all_stages(stages.unwrap_or_else(|| STAGES.iter().map(|s| (*s).to_owned()).collect()));
    let variables = root.get("variables").map(|node| job::variables(node, true, reader)).unwrap_or_default();
    let mut extender = Extender::new(root);
    let (mut jobs, mut weight) = (Vec::new(), 0);
    for entry in root.iter() {
        if reader.findings.is_full() {
            break;
        }
        let name = entry.key.value.as_str();
        if name.starts_with('.') || KEYS.contains(&name) {
            continue;
        }
        if RESERVED.contains(&name) || name.is_empty() || name.len() > MAX_NAME {
            reader.findings.error(format!("`{name}` cannot be the name of a job"), entry.key.span);
            continue;
        }
        let Value::Map(_) = &entry.value.value else {
            let message = format!("`{name}` is neither a job nor a key of a pipeline");
            let diagnostic = Diagnostic::error(message, entry.key.span).propose(name, KEYS.iter().copied());
            reader.findings.add(diagnostic);
            continue;
        };
        let mut map = extender.job(name, reader.findings);
        extends::inherit(&mut map, &defaults, reader.findings);
        weight += map.weight();
        if jobs.len() >= MAX_JOBS || weight > MAX_WEIGHT {
            let what = format!(
                "the pipeline has more than {MAX_JOBS} jobs, or its jobs come to more than {} MiB",
                MAX_WEIGHT >> 20
            );
            reader.findings.error(what, entry.key.span);
            break;
        }
        jobs.extend(Job::read(&entry.key, &map, reader));
    }
    check(&stages, &jobs, reader.findings);
    Pipeline { name, stages, variables, workflow, jobs }
}

/// `default:`, and the keys at the top that mean the same.
fn defaults(root: &Map, reader: &mut Reader<'_>) -> Vec<Entry> {
    let mut found: Vec<Entry> =
        root.iter().filter(|entry| TOP_DEFAULTS.contains(&entry.key.value.as_str())).cloned().collect();
    let Some(map) = root.get("default").and_then(|node| reader.map("default", node)) else { return found };
    reader.keys("default", map, job::DEFAULT_KEYS, &["hooks", "id_tokens", "identity"]);
    for entry in map.iter() {
        if found.iter().any(|known| known.key.value == entry.key.value) {
            let message = format!("`{}` is given at the top and in `default` too", entry.key.value);
            reader.findings.error(message, entry.key.span);
        }
        found.push(entry.clone());
    }
    found
}

/// `workflow`. `auto_cancel` is about pipelines that run while newer ones start, which is not the case here.
fn read_workflow(node: &Node, reader: &mut Reader<'_>) -> (Option<String>, Option<Vec<Rule>>) {
    let Some(map) = reader.map("workflow", node) else { return (None, None) };
    reader.keys("workflow", map, &["name", "rules", "auto_cancel"], &[]);
    let name = map.get("name").and_then(|node| reader.string("workflow:name", node)).map(|text| text.value);
    let rules = map.get("rules").map(|node| Rule::read_list(node, reader));
    for rule in rules.iter().flatten() {
        if !matches!(rule.when, None | Some(job::When::Always | job::When::Never)) {
            reader.findings.error("`when` of a workflow's rule is `always` or `never`", rule.span);
        }
    }
    (name, rules)
}

fn all_stages(stages: Vec<String>) -> Vec<String> {
    let mut seen: HashSet<String> = [".pre", ".post"].map(str::to_owned).into();
    let mut all = vec![".pre".to_owned()];
    all.extend(stages.into_iter().filter(|stage| seen.insert(stage.clone())));
    all.push(".post".to_owned());
    all
}

/// What jobs say of stages and of each other.
fn check(stages: &[String], jobs: &[Job], findings: &mut Findings) {
    let places: HashMap<&str, usize> = stages.iter().enumerate().map(|(n, stage)| (stage.as_str(), n)).collect();
    let place = |job: &Job| places.get(job.stage.value.as_str()).copied();
    let by_name: HashMap<&str, &Job> = jobs.iter().map(|job| (job.name.as_str(), job)).collect();
    let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    let unknown = |name: &crate::Spanned<String>| {
        let message = format!("there is no job `{}`", name.value);
        Diagnostic::error(message, name.span).propose(&name.value, names.iter().copied())
    };
    for job in jobs {
        if findings.is_full() {
            return;
        }
        if place(job).is_none() {
            let message = format!("there is no stage `{}`", job.stage.value);
            let known = stages.iter().map(String::as_str);
            findings.add(Diagnostic::error(message, job.stage.span).propose(&job.stage.value, known));
        }
        for need in job.needs.iter().flatten() {
            match by_name.get(need.job.value.as_str()) {
                None if need.optional => {}
                None => findings.add(unknown(&need.job)),
                Some(other) if place(other) > place(job) => {
                    let message = format!("`{}` is in a later stage than `{}`", other.name, job.name);
                    findings.error(message, need.job.span);
                }
                Some(_) => {}
            }
        }
        for dependency in job.dependencies.iter().flatten() {
            match by_name.get(dependency.value.as_str()) {
                None => findings.add(unknown(dependency)),
                Some(other) if job.needs.is_none() && place(other) >= place(job) => {
                    let message = format!("`{}` is not in an earlier stage than `{}`", other.name, job.name);
                    findings.error(message, dependency.span);
                }
                Some(other) => {
                    let needs = job.needs.as_ref();
                    if needs.is_some_and(|needs| !needs.iter().any(|need| need.job.value == other.name)) {
                        let message = format!("`{}` is not among the needs of `{}`", other.name, job.name);
                        findings.error(message, dependency.span);
                    }
                }
            }
        }
    }
    check_circles(jobs, &by_name, findings);
}

/// Jobs that wait for each other would wait for ever.
fn check_circles(jobs: &[Job], by_name: &HashMap<&str, &Job>, findings: &mut Findings) {
    let mut done: HashSet<&str> = HashSet::new();
    for job in jobs {
        // A job and the number of its needs that were followed; on a stack of our own, for chains may be long.
        let mut path: Vec<(&Job, usize)> = vec![(job, 0)];
        let mut on_path: HashSet<&str> = [job.name.as_str()].into();
        while let Some((job, next)) = path.last_mut() {
            let (job, need) = (*job, job.needs.iter().flatten().nth(*next));
            *next += 1;
            let Some(need) = need else {
                done.insert(job.name.as_str());
                on_path.remove(job.name.as_str());
                path.pop();
                continue;
            };
            if on_path.contains(need.job.value.as_str()) {
                let message = format!("`{}` waits for itself in the end", need.job.value);
                findings.error(message, need.job.span);
                return;
            }
            if let Some(other) = by_name.get(need.job.value.as_str())
                && !done.contains(other.name.as_str())
            {
                on_path.insert(other.name.as_str());
                path.push((other, 0));
            }
        }
    }
}

#[cfg(test)]
mod tests;
