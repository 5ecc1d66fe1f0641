//! Running a plan: each job in a container of its own, several at once where their order allows it.
//!
//! What a job sees is the working tree with everything that is not committed, through an overlay, so that the tree stays as it is.
//! Everything that is made for a job goes with it: processes are killed with their container's first one, folders are the store's
//! scratch, which the next start sweeps even after `kill -9`.

mod cache;
mod container;
mod dotenv;
mod event;
mod failure;
mod port;
mod process;
mod registries;
mod request;
mod runner;
mod service;
mod tree;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use archipel_build::Engine;
use tokio::task::JoinSet;
pub use tokio_util::sync::CancellationToken;

pub use event::{Event, JobId, Outcome, Section, Sink};
pub use registries::Registries;
pub use request::{DEFAULT_TIMEOUT, Request};

use crate::plan::Plan;
use crate::schedule::{Schedule, State};
use cache::Caches;
use port::Ports;
use runner::{Done, Kept, Runner, SinkHandle};

/// How a pipeline ended.
#[derive(Debug)]
pub struct Summary {
    /// Every job, in the order of the plan.
    pub jobs: Vec<JobSummary>,
}

/// How a job ended.
#[derive(Debug)]
pub struct JobSummary {
    /// Its name.
    pub name: String,
    /// Its stage.
    pub stage: String,
    /// How it ended.
    pub state: State,
    /// Why it failed.
    pub reason: Option<String>,
    /// How long it took, if it ran.
    pub elapsed: Option<Duration>,
    /// The engine's error, if it failed of one.
    pub cause: Option<archipel_build::Error>,
}

impl Summary {
    /// Whether nothing failed that may not.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        !self.jobs.iter().any(|job| matches!(job.state, State::Failed | State::Cancelled))
    }

    /// Whether somebody stopped it.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.jobs.iter().any(|job| job.state == State::Cancelled)
    }
}

/// Runs a plan to its end. After `cancel`, what runs is killed, nothing more starts, and this returns when all of it is gone.
pub async fn run(engine: &Engine, plan: &Plan, request: Request, cancel: &CancellationToken, sink: &Sink) -> Summary {
    // What cannot be swept is in nobody's way: it costs a place on the disk.
    let (caches, project) = (request.caches.clone(), request.project.clone());
    let _ = tokio::task::spawn_blocking(move || Caches::new(&caches, &project).sweep()).await;
    let play = request.play.clone();
    let mut schedule = Schedule::new(plan, |name| play.iter().any(|played| played == name));
    let parallel = request.parallel.max(1);
    let runner = Arc::new(Runner {
        engine: engine.clone(),
        request,
        sink: SinkHandle(sink.clone()),
        cancel: cancel.clone(),
        ports: Ports::default(),
    });
    let mut jobs: Vec<JobSummary> = plan
        .jobs
        .iter()
        .map(|job| JobSummary {
            name: job.name.clone(),
            stage: plan.stages[job.stage].clone(),
            state: State::Waiting,
            reason: None,
            elapsed: None,
            cause: None,
        })
        .collect();
    let mut kept: Vec<Option<Arc<Kept>>> = plan.jobs.iter().map(|_| None).collect();
    let (mut ready, mut running) = (VecDeque::new(), JoinSet::new());
    loop {
        if cancel.is_cancelled() {
            schedule.cancel();
            ready.drain(..).for_each(|job| schedule.finish(job, State::Cancelled));
        }
        ready.extend(schedule.start());
        tell_skipped(plan, &schedule, &mut jobs, sink);
        while running.len() < parallel
            && let Some(job) = ready.pop_front()
        {
            let planned = &plan.jobs[job];
            let (name, stage) = (planned.name.clone(), jobs[job].stage.clone());
            sink(Event::Started { job: JobId(job), name, stage });
            let received = planned.artifacts_from.iter().filter_map(|n| kept[*n].clone()).collect();
            running.spawn(runner::run(runner.clone(), job, planned.clone(), received));
        }
        let ended = tokio::select! {
            ended = running.join_next() => ended,
            () = cancel.cancelled(), if !cancel.is_cancelled() => continue,
        };
        let Some(done) = ended else { break };
        let Done { job, outcome, elapsed, kept: files, cause } =
            done.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
        let (state, reason) = match outcome {
            Outcome::Succeeded => (State::Succeeded, None),
            Outcome::Failed { reason, allowed: true } => (State::FailedAllowed, Some(reason)),
            Outcome::Failed { reason, allowed: false } => (State::Failed, Some(reason)),
            Outcome::Cancelled => (State::Cancelled, None),
        };
        schedule.finish(job, state);
        kept[job] = files;
        let wanted = wanted(plan, &schedule);
        kept.iter_mut().enumerate().filter(|(job, _)| !wanted.contains(job)).for_each(|(_, kept)| *kept = None);
        let summary = &mut jobs[job];
        (summary.state, summary.reason, summary.elapsed, summary.cause) = (state, reason, Some(elapsed), cause);
    }
    for (job, state) in jobs.iter_mut().zip(schedule.states()) {
        job.state = *state;
    }
    Summary { jobs }
}

/// Whose artifacts a job may still get.
fn wanted(plan: &Plan, schedule: &Schedule) -> HashSet<usize> {
    let open = plan.jobs.iter().zip(schedule.states()).filter(|(_, state)| !state.is_over());
    open.flat_map(|(job, _)| job.artifacts_from.iter().copied()).collect()
}

/// Tells of jobs that were skipped since the last time.
fn tell_skipped(plan: &Plan, schedule: &Schedule, jobs: &mut [JobSummary], sink: &Sink) {
    for (n, state) in schedule.states().iter().enumerate() {
        if let State::Skipped(why) = state
            && jobs[n].state == State::Waiting
        {
            jobs[n].state = *state;
            sink(Event::Skipped { job: JobId(n), name: plan.jobs[n].name.clone(), why: *why });
        }
    }
}
