//! Which jobs a pipeline has for a commit, with which variables, and what each waits for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::Pipeline;
use crate::diagnostic::Diagnostic;
use crate::glob;
use crate::job::{AllowFailure, Changes, Job, Need, Policy, Rule, Selector, When};
use crate::pipeline;
use crate::predefined::{self, Ref};
use crate::variable::{TooLong, Values, Variable, Variables};

/// What the variables of all jobs may come to, in bytes: each job has them all.
const MAX_WEIGHT: usize = 256 << 20;

/// What a pipeline is planned for. Plain data; [`crate::git`] gathers it.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Branch or tag.
    pub reference: Ref,
    /// `group/project`.
    pub project: String,
    /// What started it: `push`, `web`.
    pub source: String,
    /// [`predefined::of_pipeline`].
    pub predefined: Vec<Variable>,
    /// Variables that go before everything the file says.
    pub overrides: Vec<Variable>,
    /// All files.
    pub paths: Vec<String>,
    /// Files that have changed; `None` where there is nothing to compare with, and then everything has.
    pub changed: Option<Vec<String>>,
    /// The same for each `compare_to`.
    pub compared: BTreeMap<String, Option<Vec<String>>>,
}

/// A pipeline for a commit.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `workflow:name`, expanded.
    pub name: Option<String>,
    /// Stages that have jobs, in their order.
    pub stages: Vec<String>,
    /// In the order of stages, then of the text.
    pub jobs: Vec<PlannedJob>,
}

/// A job of it.
#[derive(Clone, Debug)]
pub struct PlannedJob {
    /// Its name; copies have their number or values in it.
    pub name: String,
    /// What it does.
    pub job: Arc<Job>,
    /// Its place in [`Plan::stages`].
    pub stage: usize,
    /// When it starts.
    pub when: When,
    /// What its failure means.
    pub allow_failure: AllowFailure,
    /// What it waits for, instead of the stages before.
    pub needs: Option<Vec<usize>>,
    /// Whose artifacts it gets.
    pub artifacts_from: Vec<usize>,
    /// Its variables, but for those that artifacts bring and those that go before all.
    pub variables: Variables,
    /// Those that go before all.
    pub overrides: Vec<Variable>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum Unplanned {
    /// The rules of the workflow want none.
    #[error("the rules of `workflow` want no pipeline here")]
    Workflow,
    /// No job is left.
    #[error("no job of the pipeline is to run here")]
    NoJobs,
    /// Jobs need what is not there.
    #[error("jobs of the pipeline do not fit together here")]
    Misfit(Vec<Diagnostic>),
    /// Copies of jobs, and their variables.
    #[error("the pipeline has more than {} jobs, or their variables come to too much", pipeline::MAX_JOBS)]
    TooMany,
    /// Variables.
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

impl PlannedJob {
    /// All its variables, with those from other jobs' artifacts.
    ///
    /// # Errors
    /// They are too long.
    pub fn values(&self, from_artifacts: &[Variable]) -> Result<Values, TooLong> {
        let mut all = self.variables.clone();
        all.extend(from_artifacts.iter().chain(&self.overrides).cloned());
        let values = all.expand()?;
        let Some(environment) = &self.job.environment else { return Ok(values) };
        all.extend(predefined::of_environment(environment, &values));
        all.expand()
    }
}

impl Pipeline {
    /// The `compare_to` of all rules: what [`Facts::compared`] has to have.
    #[must_use]
    pub fn compared(&self) -> Vec<String> {
        let rules = self.jobs.iter().filter_map(|job| job.rules.as_deref()).chain(self.workflow.as_deref()).flatten();
        let mut found: Vec<String> = rules.filter_map(|rule| rule.changes.as_ref()?.compare_to.clone()).collect();
        found.sort();
        found.dedup();
        found
    }

    /// Plans it.
    ///
    /// # Errors
    /// There is nothing to run, or it does not fit together.
    pub fn plan(&self, facts: &Facts) -> Result<Plan, Unplanned> {
        let mut global: Variables = facts.predefined.iter().chain(&self.variables).cloned().collect();
        let values = with_overrides(&global, facts)?;
        let mut workflow = Vec::new();
        if let Some(rules) = &self.workflow {
            match rules.iter().find(|rule| rule.applies(&values, facts)) {
                None => return Err(Unplanned::Workflow),
                Some(rule) if rule.when == Some(When::Never) => return Err(Unplanned::Workflow),
                Some(rule) => workflow.clone_from(&rule.variables),
            }
        }
        global.extend(workflow.iter().cloned());
        let name = self.name.as_ref().map(|name| Ok::<_, TooLong>(with_overrides(&global, facts)?.apply(name)));
        let mut planner =
            Planner { pipeline: self, facts, workflow, jobs: Vec::new(), groups: HashMap::new(), weight: 0 };
        let places: HashMap<&str, usize> = self.stages.iter().enumerate().map(|(n, s)| (s.as_str(), n)).collect();
        let place = |job: &&Job| places.get(job.stage.value.as_str()).copied().unwrap_or_default();
        let mut ordered: Vec<&Job> = self.jobs.iter().collect();
        ordered.sort_by_key(place);
        for job in ordered {
            planner.job(job, place(&job))?;
        }
        let (mut jobs, mut missing) = (planner.jobs, Vec::new());
        if jobs.is_empty() {
            return Err(Unplanned::NoJobs);
        }
        for at in 0..jobs.len() {
            let (needs, artifacts_from) = links(&jobs, at, &planner.groups, &mut missing);
            (jobs[at].needs, jobs[at].artifacts_from) = (needs, artifacts_from);
        }
        if !missing.is_empty() {
            return Err(Unplanned::Misfit(missing));
        }
        // Stages without jobs are not shown and nobody waits for them.
        let used: Vec<usize> = (0..self.stages.len()).filter(|n| jobs.iter().any(|job| job.stage == *n)).collect();
        for job in &mut jobs {
            job.stage = used.iter().position(|n| *n == job.stage).unwrap_or_default();
        }
        let stages = used.into_iter().map(|n| self.stages[n].clone()).collect();
        Ok(Plan { name: name.transpose()?, stages, jobs })
    }
}

fn with_overrides(variables: &Variables, facts: &Facts) -> Result<Values, TooLong> {
    let mut all = variables.clone();
    all.extend(facts.overrides.iter().cloned());
    all.expand()
}

/// The copies of each job by its name, with the values of its matrix.
type Groups = HashMap<String, Vec<(usize, Vec<(String, String)>)>>;

struct Planner<'a> {
    pipeline: &'a Pipeline,
    facts: &'a Facts,
    workflow: Vec<Variable>,
    jobs: Vec<PlannedJob>,
    groups: Groups,
    weight: usize,
}

impl Planner<'_> {
    fn job(&mut self, job: &Job, stage: usize) -> Result<(), Unplanned> {
        let inherits =
            |variable: &&Variable| job.inherit_variables.as_ref().is_none_or(|names| names.contains(&variable.name));
        let global = self.pipeline.variables.iter().chain(&self.workflow).filter(inherits);
        let below: Variables = self.facts.predefined.iter().chain(global).cloned().collect();
        let mut shared = below.clone();
        shared.extend(job.variables.iter().cloned());
        let values = with_overrides(&shared, self.facts)?;
        let Some(inclusion) = inclusion(job, self.pipeline, &values, self.facts) else { return Ok(()) };
        let job = Arc::new(job.clone());
        let copies = match &job.parallel {
            Some(parallel) => parallel.instances(&job.name),
            None => vec![crate::job::Instance { name: job.name.clone(), values: Vec::new(), variables: Vec::new() }],
        };
        for copy in copies {
            self.weight += shared.weight();
            if self.jobs.len() >= pipeline::MAX_JOBS || self.weight > MAX_WEIGHT {
                return Err(Unplanned::TooMany);
            }
            let id = self.jobs.len() as u64 + 1;
            let mut variables = below.clone();
            variables.extend(predefined::of_job(&copy.name, &job.stage.value, id));
            if let Some(image) = &job.image {
                variables.set(Variable::raw("CI_JOB_IMAGE", values.apply(&image.name.value)));
            }
            variables.extend(job.variables.iter().cloned());
            variables.extend(copy.variables);
            variables.extend(inclusion.variables.iter().cloned());
            self.groups.entry(job.name.clone()).or_default().push((self.jobs.len(), copy.values));
            self.jobs.push(PlannedJob {
                name: copy.name,
                job: job.clone(),
                stage,
                when: inclusion.when,
                allow_failure: inclusion.allow_failure.clone(),
                needs: None,
                artifacts_from: Vec::new(),
                variables,
                overrides: self.facts.overrides.clone(),
            });
        }
        Ok(())
    }
}

/// How a job is part of a pipeline.
struct Inclusion {
    when: When,
    allow_failure: AllowFailure,
    variables: Vec<Variable>,
}

fn inclusion(job: &Job, pipeline: &Pipeline, values: &Values, facts: &Facts) -> Option<Inclusion> {
    let own_when = job.when.unwrap_or(When::OnSuccess);
    let (when, allow_failure, variables) = if let Some(rules) = &job.rules {
        let rule = rules.iter().find(|rule| rule.applies(values, facts))?;
        // A manual job of rules holds the pipeline up unless something says that it may fail.
        let allow_failure = rule.allow_failure.clone().or_else(|| job.allow_failure.clone());
        let allow_failure = allow_failure.unwrap_or(AllowFailure::Always(false));
        (rule.when.unwrap_or(own_when), allow_failure, rule.variables.clone())
    } else {
        // With rules of a workflow GitLab drops its own default for `only`.
        let default = pipeline.workflow.is_none().then(Policy::branches_and_tags);
        let only = job.only.as_ref().or(default.as_ref());
        if only.is_some_and(|only| !only.all(values, facts))
            || job.except.as_ref().is_some_and(|e| e.any(values, facts))
        {
            return None;
        }
        let manual = AllowFailure::Always(own_when == When::Manual);
        (own_when, job.allow_failure.clone().unwrap_or(manual), Vec::new())
    };
    (when != When::Never).then_some(Inclusion { when, allow_failure, variables })
}

impl Rule {
    fn applies(&self, values: &Values, facts: &Facts) -> bool {
        self.condition.as_ref().is_none_or(|condition| condition.holds(&|name| values.get(name)))
            && self.changes.as_ref().is_none_or(|changes| changes.hold(values, facts))
            && self.exists.as_ref().is_none_or(|patterns| any_path(patterns, &facts.paths, values))
    }
}

impl Changes {
    fn hold(&self, values: &Values, facts: &Facts) -> bool {
        let changed = match &self.compare_to {
            Some(reference) => facts.compared.get(reference).and_then(Option::as_ref),
            None => facts.changed.as_ref(),
        };
        changed.is_none_or(|changed| any_path(&self.paths, changed, values))
    }
}

fn any_path(patterns: &[String], paths: &[String], values: &Values) -> bool {
    let patterns: Vec<String> = patterns.iter().map(|pattern| values.apply(pattern)).collect();
    paths.iter().any(|path| patterns.iter().any(|pattern| glob::fnmatch(pattern.trim_start_matches('/'), path)))
}

impl Policy {
    fn conditions(&self, values: &Values, facts: &Facts) -> [Option<bool>; 3] {
        let find = |name: &str| values.get(name);
        [
            self.refs.as_ref().map(|refs| refs.iter().any(|selector| selector.selects(facts))),
            self.variables.as_ref().map(|all| all.iter().any(|expression| expression.holds(&find))),
            self.changes
                .as_ref()
                .map(|patterns| Changes { paths: patterns.clone(), compare_to: None }.hold(values, facts)),
        ]
    }

    fn all(&self, values: &Values, facts: &Facts) -> bool {
        self.conditions(values, facts).into_iter().flatten().all(|holds| holds)
    }

    fn any(&self, values: &Values, facts: &Facts) -> bool {
        self.conditions(values, facts).into_iter().flatten().any(|holds| holds)
    }
}

impl Selector {
    fn selects(&self, facts: &Facts) -> bool {
        let here = |project: &Option<String>| project.as_ref().is_none_or(|project| *project == facts.project);
        match self {
            Self::Branches => matches!(facts.reference, Ref::Branch(_)),
            Self::Tags => matches!(facts.reference, Ref::Tag(_)),
            Self::Source(source) => facts.source == *source,
            Self::Name(name, project) => facts.reference.name() == name && here(project),
            Self::Pattern(pattern, project) => pattern.is_match(facts.reference.name().as_bytes()) && here(project),
        }
    }
}

/// What a job waits for, and whose artifacts it gets.
fn links(
    jobs: &[PlannedJob],
    at: usize,
    groups: &Groups,
    missing: &mut Vec<Diagnostic>,
) -> (Option<Vec<usize>>, Vec<usize>) {
    let job = &jobs[at].job;
    let copies = |need: &Need| -> Vec<usize> {
        let all = groups.get(&need.job.value).map(Vec::as_slice).unwrap_or_default();
        let wanted = |values: &[(String, String)]| {
            need.matrix.is_empty() || need.matrix.iter().any(|row| row.iter().all(|pair| values.contains(pair)))
        };
        all.iter().filter(|(_, values)| wanted(values)).map(|(at, _)| *at).collect()
    };
    let mut waits = None;
    let mut artifacts = None;
    if let Some(needs) = &job.needs {
        let (mut all, mut with) = (Vec::new(), Vec::new());
        for need in needs {
            let found = copies(need);
            if found.is_empty() && !need.optional {
                let message = format!("`{}` needs `{}`, which is not in this pipeline", job.name, need.job.value);
                let help = "write `optional: true` if it can do without";
                missing.push(Diagnostic::error(message, need.job.span).help(help));
            }
            all.extend(found.iter().copied().filter(|n| !all.contains(n)).collect::<Vec<_>>());
            if need.artifacts {
                with.extend(found);
            }
        }
        (waits, artifacts) = (Some(all), Some(with));
    }
    if let Some(dependencies) = &job.dependencies {
        let of = |name: &String| groups.get(name).into_iter().flatten().map(|(at, _)| *at);
        let named = dependencies.iter().flat_map(|dependency| of(&dependency.value));
        artifacts = Some(named.filter(|n| artifacts.as_ref().is_none_or(|with| with.contains(n))).collect());
    }
    let before = || (0..jobs.len()).filter(|n| jobs[*n].stage < jobs[at].stage).collect();
    (waits, artifacts.unwrap_or_else(before))
}

#[cfg(test)]
mod tests;
