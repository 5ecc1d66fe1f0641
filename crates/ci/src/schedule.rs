//! What runs when: a state for each job of a plan, and which may start now. Pure: somebody else runs them.
//!
//! A job without `needs` waits for all jobs of the stages before; one with `needs` for those alone. What it makes of their end is
//! its `when`. A manual job that nobody plays is no failure; if it may not fail it holds up what comes after.

use crate::job::When;
use crate::plan::Plan;

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Something before it is not over.
    Waiting,
    /// It runs.
    Running,
    /// It went well.
    Succeeded,
    /// It failed, and that counts.
    Failed,
    /// It failed, and that was allowed.
    FailedAllowed,
    /// It does not run.
    Skipped(Skip),
    /// Somebody stopped the pipeline.
    Cancelled,
}

/// Why a job does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// What it waits for went wrong.
    Failed,
    /// `when: on_failure`, and nothing failed.
    NothingFailed,
    /// It is manual, and nobody asked for it.
    Manual,
    /// A manual job before it that has to be done is not.
    Blocked,
    /// What it needs does not run.
    NeedSkipped,
}

impl State {
    /// Whether nothing more comes.
    #[must_use]
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

/// The states of a plan's jobs.
#[derive(Clone, Debug)]
pub struct Schedule {
    jobs: Vec<Entry>,
    states: Vec<State>,
    cancelled: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    stage: usize,
    when: When,
    needs: Option<Vec<usize>>,
    /// A manual one that holds up what comes after it.
    blocking: bool,
}

impl Schedule {
    /// Begins. `played` tells which manual jobs run as if they were not.
    #[must_use]
    pub fn new(plan: &Plan, played: impl Fn(&str) -> bool) -> Self {
        let entry = |job: &crate::plan::PlannedJob| {
            let manual = job.when == When::Manual;
            let played = manual && (played(&job.name) || played(&job.job.name));
            Entry {
                stage: job.stage,
                when: if played { When::OnSuccess } else { job.when },
                needs: job.needs.clone(),
                blocking: manual && job.allow_failure == crate::job::AllowFailure::Always(false),
            }
        };
        let jobs: Vec<Entry> = plan.jobs.iter().map(entry).collect();
        Self { states: vec![State::Waiting; jobs.len()], jobs, cancelled: false }
    }

    /// A job's state.
    #[must_use]
    pub fn state(&self, job: usize) -> State {
        self.states[job]
    }

    /// All states, in the order of the plan.
    #[must_use]
    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// The jobs that may start now; they count as running from here on. Those that will not run are skipped on the way.
    pub fn start(&mut self) -> Vec<usize> {
        let mut started = Vec::new();
        // A skipped job may decide about others, so until nothing changes.
        loop {
            let mut changed = false;
            for job in 0..self.jobs.len() {
                if self.states[job] != State::Waiting {
                    continue;
                }
                if let Some(state) = self.decide(job) {
                    self.states[job] = state;
                    changed = true;
                    if state == State::Running {
                        started.push(job);
                    }
                }
            }
            if !changed {
                return started;
            }
        }
    }

    /// A job is over.
    pub fn finish(&mut self, job: usize, state: State) {
        self.states[job] = state;
    }

    /// Nothing more starts.
    pub fn cancel(&mut self) {
        self.cancelled = true;
    }

    /// Whether everything is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.states.iter().all(|state| state.is_over())
    }

    /// Whether a failure counts, or a job that had to be done by hand is not done.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.states.contains(&State::Failed)
    }

    /// What becomes of a waiting job; `None` while that is open.
    fn decide(&self, job: usize) -> Option<State> {
        if self.cancelled {
            return Some(State::Cancelled);
        }
        let entry = &self.jobs[job];
        let before: Vec<usize> = match &entry.needs {
            Some(needs) => needs.clone(),
            None => (0..self.jobs.len()).filter(|n| self.jobs[*n].stage < entry.stage).collect(),
        };
        let states = || before.iter().map(|n| self.states[*n]);
        if !states().all(State::is_over) {
            return None;
        }
        if states().any(|state| state == State::Cancelled) {
            return Some(State::Cancelled);
        }
        let failed = states().any(|state| state == State::Failed);
        let held = |n: &usize| match self.states[*n] {
            State::Skipped(Skip::Manual) => self.jobs[*n].blocking || entry.needs.is_some(),
            State::Skipped(Skip::Blocked) => true,
            _ => false,
        };
        if before.iter().any(held) {
            return Some(State::Skipped(Skip::Blocked));
        }
        // In a chain of needs nothing comes after what did not run; stages go on.
        let skipped = entry.needs.is_some() && states().any(|state| matches!(state, State::Skipped(_)));
        Some(match entry.when {
            When::Always => State::Running,
            When::OnFailure if failed => State::Running,
            When::OnFailure => State::Skipped(Skip::NothingFailed),
            _ if failed => State::Skipped(Skip::Failed),
            _ if skipped => State::Skipped(Skip::NeedSkipped),
            When::OnSuccess | When::Delayed(_) => State::Running,
            When::Manual | When::Never => State::Skipped(Skip::Manual),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::include::Nothing;
    use crate::plan::Facts;

    /// Runs a pipeline in which the named jobs fail; returns what started together, and all states.
    fn run(text: &str, failing: &[&str], played: &[&str]) -> (Vec<String>, String) {
        let parsed = crate::parse("ci", text, &Nothing);
        let plan =
            parsed.pipeline.unwrap_or_else(|| panic!("{:?}", parsed.diagnostics)).plan(&Facts::default()).unwrap();
        let mut schedule = Schedule::new(&plan, |name| played.contains(&name));
        let mut waves = Vec::new();
        loop {
            let started = schedule.start();
            if started.is_empty() {
                break;
            }
            let name = |n: &usize| plan.jobs[*n].name.as_str();
            waves.push(started.iter().map(name).collect::<Vec<_>>().join(" "));
            for job in started {
                let fails = failing.contains(&plan.jobs[job].name.as_str());
                let allowed = plan.jobs[job].allow_failure == crate::job::AllowFailure::Always(true);
                let state = match (fails, allowed) {
                    (false, _) => State::Succeeded,
                    (true, true) => State::FailedAllowed,
                    (true, false) => State::Failed,
                };
                schedule.finish(job, state);
            }
        }
        assert!(schedule.is_over());
        let show = |(n, state): (usize, &State)| format!("{}={state:?}", plan.jobs[n].name);
        (waves, schedule.states().iter().enumerate().map(show).collect::<Vec<_>>().join(" "))
    }

    const STAGES: &str = "a: {stage: build, script: x}\nb: {stage: build, script: x, allow_failure: true}\n\
                          c: {script: x}\nd: {stage: deploy, script: x}\n\
                          f: {stage: deploy, script: x, when: on_failure}\ng: {stage: .post, script: x, when: always}\n";

    #[test]
    fn stages_one_after_another() {
        let (waves, states) = run(STAGES, &[], &[]);
        assert_eq!(waves, ["a b", "c", "d", "g"]);
        assert!(states.contains("f=Skipped(NothingFailed)"));
        assert_eq!(run(STAGES, &["b"], &[]).0, ["a b", "c", "d", "g"]);
        let (waves, states) = run(STAGES, &["a"], &[]);
        assert_eq!(waves, ["a b", "f", "g"]);
        assert!(states.contains("c=Skipped(Failed) d=Skipped(Failed)"), "{states}");
    }

    #[test]
    fn needs_do_not_wait_for_stages() {
        let text = "a: {stage: build, script: x}\nb: {stage: build, script: x}\nc: {script: x, needs: [a]}\n\
                    d: {stage: deploy, script: x, needs: [c]}\ne: {stage: deploy, script: x, needs: []}\n";
        assert_eq!(run(text, &[], &[]).0, ["a b e", "c", "d"]);
        let (waves, states) = run(text, &["b"], &[]);
        assert_eq!(waves, ["a b e", "c", "d"]);
        assert!(states.contains("b=Failed"));
        assert!(run(text, &["a"], &[]).1.contains("c=Skipped(Failed) d=Skipped(NeedSkipped)"));
    }

    #[test]
    fn manual_jobs() {
        let optional = "a: {stage: build, script: x, when: manual}\nb: {script: x}\n";
        assert_eq!(run(optional, &[], &[]), (vec!["b".into()], "a=Skipped(Manual) b=Succeeded".into()));
        assert_eq!(run(optional, &[], &["a"]).0, ["a", "b"]);
        let blocking = "a: {stage: build, script: x, when: manual, allow_failure: false}\nb: {script: x}\n";
        assert_eq!(run(blocking, &[], &[]).1, "a=Skipped(Manual) b=Skipped(Blocked)");
    }

    #[test]
    fn a_cancelled_pipeline_starts_nothing() {
        let plan = crate::parse("ci", STAGES, &Nothing).pipeline.unwrap().plan(&Facts::default()).unwrap();
        let mut schedule = Schedule::new(&plan, |_| false);
        assert_eq!(schedule.start(), [0, 1]);
        schedule.cancel();
        schedule.finish(0, State::Cancelled);
        schedule.finish(1, State::Cancelled);
        assert_eq!(schedule.start(), Vec::<usize>::new());
        assert!(schedule.is_over() && schedule.state(5) == State::Cancelled);
    }
}
