//! A pipeline for people: its log while it runs, what it consists of, what is wrong with it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use archipel_build::{Event as BuildEvent, StepId, StepOutcome};
use archipel_ci::job::{AllowFailure, When};
use archipel_ci::mask::Masker;
use archipel_ci::run::{Event, JobId, Outcome, Section, Summary};
use archipel_ci::{Diagnostic, Plan, PlannedJob, Severity, Skip, Sources, State};

use super::table::columns;
use super::text::{Lines, seconds};
use crate::environment::Environment;

/// The log of a run. With several jobs each line says whose it is.
pub(crate) struct Log<W: Write + Send>(Mutex<Inner<W>>);

struct Inner<W> {
    out: W,
    several: bool,
    colours: bool,
    jobs: HashMap<JobId, JobLog>,
}

#[derive(Default)]
struct JobLog {
    name: String,
    lines: Lines,
    /// What is fetched for it, by name.
    steps: HashMap<StepId, String>,
}

impl<W: Write + Send> Log<W> {
    /// A log for so many jobs.
    pub(crate) fn new(out: W, jobs: usize, environment: &Environment) -> Self {
        let colours = environment.colours(std::io::stdout());
        Self(Mutex::new(Inner { out, several: jobs > 1, colours, jobs: HashMap::new() }))
    }

    /// Something happened.
    pub(crate) fn event(&self, event: Event) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = Vec::new();
        inner.event(event, &mut text);
        // One write keeps lines whole; an error here would be told on the stream that just failed.
        let _ = inner.out.write_all(&text).and_then(|()| inner.out.flush());
    }

    /// A line that is about no job.
    pub(crate) fn line(&self, line: &str) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(inner.out, "{line}");
    }

    /// How it ended.
    pub(crate) fn summary(&self, summary: &Summary, elapsed: Duration) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let row = |job: &archipel_ci::run::JobSummary| {
            // The log has all of it.
            let first = job.reason.as_deref().and_then(|reason| reason.lines().next());
            let reason = first.map(|reason| format!(": {reason}")).unwrap_or_default();
            let time = job.elapsed.map(seconds).unwrap_or_default();
            [job.name.clone(), job.stage.clone(), format!("{}{reason}", state(job.state)), time]
        };
        let rows: Vec<[String; 4]> = summary.jobs.iter().map(row).collect();
        let end = match (summary.succeeded(), summary.cancelled()) {
            (true, _) => "passed",
            (false, true) => "stopped",
            (false, false) => "failed",
        };
        let table = columns(["JOB", "STAGE", "STATE", "TIME"], &rows);
        let _ = write!(inner.out, "\n{table}pipeline {end} in {}\n", seconds(elapsed));
    }
}

fn state(state: State) -> &'static str {
    match state {
        State::Waiting => "waiting",
        State::Running => "running",
        State::Succeeded => "passed",
        State::Failed => "failed",
        State::FailedAllowed => "failed (allowed)",
        State::Cancelled => "stopped",
        State::Skipped(why) => skipped(why),
    }
}

fn skipped(why: Skip) -> &'static str {
    match why {
        Skip::Failed => "skipped (a job before it failed)",
        Skip::NothingFailed => "skipped (nothing failed)",
        Skip::Manual => "manual (--play runs it)",
        Skip::Blocked => "blocked (by a manual job)",
        Skip::NeedSkipped => "skipped (what it needs did not run)",
    }
}

impl<W> Inner<W> {
    fn event(&mut self, event: Event, text: &mut Vec<u8>) {
        let (several, colours) = (self.several, self.colours);
        match event {
            Event::Started { job, name, stage } => {
                let log = self.jobs.entry(job).or_default();
                log.name = name;
                log.say(several, text, &format!("Job {} (stage {stage})", log.name));
            }
            Event::Section { job, section } => {
                let title = match section {
                    Section::Prepare => return,
                    Section::Script => "Executing the script",
                    Section::AfterScript => "Running after_script",
                    Section::Keep => "Keeping files",
                };
                let title = if colours { format!("\u{1b}[36;1m{title}\u{1b}[0;m") } else { title.to_owned() };
                self.log(job).say(several, text, &title);
            }
            Event::Output { job, bytes } => self.log(job).output(several, text, &bytes),
            Event::Note { job, text: note } => self.log(job).say(several, text, &note),
            Event::Warning { job, text: note } => self.log(job).say(several, text, &format!("WARNING: {note}")),
            Event::Build { job, event } => self.log(job).build(several, text, event),
            Event::Finished { job, outcome, elapsed } => {
                let log = self.log(job);
                log.rest(several, text);
                let time = seconds(elapsed);
                let end = match outcome {
                    Outcome::Succeeded => format!("Job succeeded in {time}"),
                    Outcome::Failed { reason, allowed: false } => format!("ERROR: Job failed in {time}: {reason}"),
                    Outcome::Failed { reason, allowed: true } => {
                        format!("WARNING: Job failed in {time}, which it may: {reason}")
                    }
                    Outcome::Cancelled => format!("Job stopped after {time}"),
                };
                log.say(several, text, &end);
            }
            Event::Skipped { job, name, why } => {
                let log = self.jobs.entry(job).or_default();
                log.name = name;
                log.say(several, text, &format!("Job {}: {}", log.name, skipped(why)));
            }
        }
    }

    fn log(&mut self, job: JobId) -> &mut JobLog {
        self.jobs.entry(job).or_default()
    }
}

impl JobLog {
    fn prefix(&self, several: bool) -> String {
        if several { format!("{} | ", self.name) } else { String::new() }
    }

    /// A line of ours. What the script has begun to write comes before it.
    fn say(&mut self, several: bool, text: &mut Vec<u8>, line: &str) {
        self.rest(several, text);
        let prefix = self.prefix(several);
        text.extend_from_slice(format!("{prefix}{line}\n").as_bytes());
    }

    /// Bytes as they came: colours in a log are the script's own business.
    fn output(&mut self, several: bool, text: &mut Vec<u8>, bytes: &[u8]) {
        let prefix = self.prefix(several);
        self.lines.push(bytes, |line| {
            text.extend_from_slice(prefix.as_bytes());
            text.extend_from_slice(line);
            text.push(b'\n');
        });
    }

    fn rest(&mut self, several: bool, text: &mut Vec<u8>) {
        if let Some(rest) = self.lines.rest() {
            text.extend_from_slice(self.prefix(several).as_bytes());
            text.extend_from_slice(&rest);
            text.push(b'\n');
        }
    }

    /// Of fetching an image, its end is enough.
    fn build(&mut self, several: bool, text: &mut Vec<u8>, event: BuildEvent) {
        match event {
            BuildEvent::Declared(info) => _ = self.steps.insert(info.id, info.name),
            BuildEvent::Finished { step, outcome: StepOutcome::Done, elapsed } => {
                if let Some(name) = self.steps.remove(&step) {
                    self.say(several, text, &format!("{name}: done in {}", seconds(elapsed)));
                }
            }
            BuildEvent::Warning(warning) => self.say(several, text, &format!("WARNING: {}", warning.message)),
            _ => {}
        }
    }
}

/// The jobs of a plan.
pub(crate) fn list(plan: &Plan) -> String {
    let row = |job: &PlannedJob| {
        let needs = match &job.needs {
            None => "the stages before".into(),
            Some(needs) if needs.is_empty() => "nothing".into(),
            Some(needs) => needs.iter().map(|n| plan.jobs[*n].name.as_str()).collect::<Vec<_>>().join(", "),
        };
        [job.name.clone(), plan.stages[job.stage].clone(), when(job), needs]
    };
    columns(["JOB", "STAGE", "WHEN", "AFTER"], &plan.jobs.iter().map(row).collect::<Vec<_>>())
}

fn when(job: &PlannedJob) -> String {
    let when = match job.when {
        When::OnSuccess => "on success".to_owned(),
        When::OnFailure => "on failure".to_owned(),
        When::Always => "always".to_owned(),
        When::Manual => "manual".to_owned(),
        When::Delayed(delay) => format!("after {}", seconds(delay)),
        When::Never => "never".to_owned(),
    };
    if job.allow_failure == AllowFailure::Always(true) { format!("{when}, may fail") } else { when }
}

/// What each job would run, with everything put into it that is known before it runs.
pub(crate) fn preview(plan: &Plan, secrets: &[String]) -> String {
    let mut text = String::new();
    for job in &plan.jobs {
        let values = job.values(&[]).unwrap_or_default();
        let image = job.job.image.as_ref().map_or_else(|| "none".into(), |image| values.apply(&image.name.value));
        let _ = writeln!(text, "{} (stage {}, {}, image {image})", job.name, plan.stages[job.stage], when(job));
        for service in &job.job.services {
            let _ = writeln!(text, "  service {}", values.apply(&service.image.name.value));
        }
        let mut variables: Vec<(&str, &str)> = values.iter().collect();
        variables.sort_unstable();
        for (name, value) in variables {
            let _ = writeln!(text, "  {name}={}", value.replace('\n', "\n    "));
        }
        let after = job.job.after_script.iter().map(|command| format!("(afterwards) {command}"));
        for command in job.job.before_script.iter().chain(&job.job.script).cloned().chain(after) {
            let _ = writeln!(text, "  $ {}", command.trim_end().replace('\n', "\n    "));
        }
    }
    let mut masker = Masker::new(secrets);
    let mut shown = masker.push(text.as_bytes());
    shown.extend(masker.finish());
    String::from_utf8_lossy(&shown).into_owned()
}

/// Shows findings on standard error, each where it is.
pub(crate) fn findings(sources: &Sources, diagnostics: &[Diagnostic], environment: &Environment) {
    let mut stderr = std::io::stderr().lock();
    let shown = draw(sources, diagnostics, environment.colours(&stderr));
    // Whoever does not read this cannot be told.
    let _ = stderr.write_all(shown.as_bytes());
}

fn draw(sources: &Sources, diagnostics: &[Diagnostic], colours: bool) -> String {
    let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
    let mut shown = String::new();
    for diagnostic in diagnostics {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = annotate_snippets::Group::with_title(level.primary_title(diagnostic.message.as_str()));
        if let Some(source) = sources.get(diagnostic.span.file) {
            // Brought into the text: a wrong span must not end in a panic in the midst of telling an error.
            let text = source.text.as_str();
            let end = text.floor_char_boundary(diagnostic.span.end.min(text.len()));
            let start = text.floor_char_boundary(diagnostic.span.start.min(end));
            let end = start + text[start..end].trim_end().len();
            let mark = AnnotationKind::Primary.span(start..end);
            group = group.element(Snippet::source(text).path(source.name.as_str()).annotation(mark));
        }
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        shown.push_str(&renderer.render(&[group]));
        shown.push_str("\n\n");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl archipel_ci::Files for Nothing {
        fn read(&self, _: &str) -> std::io::Result<Option<String>> {
            Ok(None)
        }

        fn paths(&self) -> Vec<String> {
            Vec::new()
        }
    }

    #[test]
    fn findings_are_drawn_where_they_are() {
        let parsed = archipel_ci::parse(".gitlab-ci.yml", "build:\n  stage: build\n  scirpt: make\n", &Nothing);
        insta::assert_snapshot!(draw(&parsed.sources, &parsed.diagnostics, false), @r"
        error: `scirpt` is not a key of a job
         --> .gitlab-ci.yml:3:3
          |
        3 |   scirpt: make
          |   ^^^^^^
          |
          = help: did you mean `script`?
        ");
    }

    #[test]
    fn a_log_says_whose_lines_they_are() {
        let log = Log::new(Vec::new(), 2, &Environment::default());
        let (a, b) = (JobId(0), JobId(1));
        let output = |job, text: &str| Event::Output { job, bytes: text.as_bytes().to_vec() };
        let started = |job, name: &str| Event::Started { job, name: name.into(), stage: "test".into() };
        for event in [
            started(a, "one"),
            started(b, "two"),
            output(a, "x\ny"),
            output(b, "z"),
            Event::Note { job: b, text: "a note".into() },
            output(a, "y\n"),
            Event::Finished { job: a, outcome: Outcome::Succeeded, elapsed: Duration::from_secs(1) },
            Event::Finished {
                job: b,
                outcome: Outcome::Failed { reason: "exit code 2".into(), allowed: false },
                elapsed: Duration::from_secs(2),
            },
        ] {
            log.event(event);
        }
        let text = String::from_utf8(log.0.into_inner().unwrap().out).unwrap();
        insta::assert_snapshot!(text, @r"
        one | Job one (stage test)
        two | Job two (stage test)
        one | x
        two | z
        two | a note
        one | yy
        one | Job succeeded in 1.0s
        two | ERROR: Job failed in 2.0s: exit code 2
        ");
    }
}
