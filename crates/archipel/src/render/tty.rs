//! The live view: steps that ended stand above as one line each and scroll away with the terminal; below them, each running
//! step with its clock and the last lines of its output.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use archipel_build::{Built, Event, StepId, StepInfo, StepOutcome};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::step::{Names, how};
use super::text::{self, Lines};
use super::{Renderer, result};

/// How many lines of a running step's output are seen. With many steps at once, one each.
const TAIL: usize = 4;

/// The renderer.
pub(super) struct Tty(Mutex<State>);

struct State {
    view: MultiProgress,
    names: Names,
    colours: bool,
    steps: HashMap<StepId, Step>,
    running: usize,
}

struct Step {
    info: StepInfo,
    header: Option<ProgressBar>,
    tail: Vec<ProgressBar>,
    lines: Lines,
    last: VecDeque<String>,
}

impl Tty {
    pub(super) fn new(names: Names, colours: bool) -> Self {
        let view = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(12));
        Self(Mutex::new(State { view, names, colours, steps: HashMap::new(), running: 0 }))
    }
}

impl Renderer for Tty {
    fn event(&self, event: Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).event(event);
    }

    fn finish(&self, built: Option<&Built>) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for step in state.steps.values() {
            step.clear();
        }
        if let Some(built) = built.filter(|b| !b.platforms.is_empty()) {
            state.say(&format!("\n{}", result::table(built).trim_end()));
        }
    }
}

impl State {
    fn event(&mut self, event: Event) {
        match event {
            Event::Declared(info) => {
                let step = Step { info, header: None, tail: vec![], lines: Lines::default(), last: VecDeque::new() };
                self.steps.insert(step.info.id, step);
            }
            Event::Started(id) => {
                let Some(step) = self.steps.get_mut(&id) else { return };
                let header = self.view.add(ProgressBar::new_spinner().with_style(header_style()));
                header.set_prefix(prefix(self.names, &step.info));
                header.set_message(one_line(&step.info.name));
                header.enable_steady_tick(Duration::from_millis(100));
                step.header = Some(header);
                self.running += 1;
            }
            Event::Output { step: id, bytes, .. } => {
                let shown = if self.running > 3 { 1 } else { TAIL };
                let Some(step) = self.steps.get_mut(&id) else { return };
                step.output(&bytes, shown, &self.view);
            }
            Event::Progress { step: id, done, total } => {
                let Some(header) = self.steps.get(&id).and_then(|step| step.header.as_ref()) else { return };
                let total = total.map_or_else(String::new, |total| format!(" / {}", text::size(total)));
                let name = self.steps.get(&id).map_or_else(String::new, |step| one_line(&step.info.name));
                header.set_message(format!("{name}  {}{total}", text::size(done)));
            }
            Event::Finished { step: id, outcome, elapsed } => {
                let Some(step) = self.steps.remove(&id) else { return };
                if step.header.is_some() {
                    self.running = self.running.saturating_sub(1);
                }
                step.clear();
                if let Some(line) = self.ended(&step.info, &outcome, elapsed) {
                    self.say(&line);
                }
            }
            Event::Warning(warning) => self.say(&self.paint("33", &format!("warning: {}", warning.message))),
        }
    }

    /// The line of a step that ended. What was cancelled is told by what failed.
    fn ended(&self, info: &StepInfo, outcome: &StepOutcome, elapsed: Duration) -> Option<String> {
        let took = text::seconds(elapsed);
        let (mark, colour, end) = match outcome {
            StepOutcome::Cached => ("=", "36", "cached".to_owned()),
            StepOutcome::Done => ("✔", "32", format!("{} {took}", how(info.how)).trim().to_owned()),
            StepOutcome::Failed(reason) => ("✘", "31", format!("{} {took}", one_line(reason))),
            StepOutcome::Cancelled => return None,
        };
        let name = format!("{}{}", prefix(self.names, info), one_line(&info.name));
        Some(format!("{} {name}  {}", self.paint(colour, mark), self.paint("2", &end)))
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// A line that stays. A terminal that cannot be written to is no reason to stop a build.
    fn say(&self, line: &str) {
        let _ = self.view.println(line);
    }
}

impl Step {
    fn output(&mut self, bytes: &[u8], shown: usize, view: &MultiProgress) {
        let Some(header) = &self.header else { return };
        let last = &mut self.last;
        self.lines.push(bytes, |line| last.push_back(text::visible(line)));
        while self.last.len() > TAIL {
            self.last.pop_front();
        }
        let pending = text::visible(self.lines.pending());
        let lines: Vec<&str> =
            self.last.iter().map(String::as_str).chain([pending.as_str()]).filter(|l| !l.trim().is_empty()).collect();
        let lines = &lines[lines.len().saturating_sub(shown)..];
        while self.tail.len() > lines.len().max(1) {
            if let Some(bar) = self.tail.pop() {
                bar.finish_and_clear();
                view.remove(&bar);
            }
        }
        for (i, line) in lines.iter().enumerate() {
            if self.tail.len() == i {
                let above = self.tail.last().unwrap_or(header);
                let bar = view.insert_after(above, ProgressBar::new_spinner().with_style(tail_style()));
                self.tail.push(bar);
            }
            self.tail[i].set_message((*line).to_owned());
        }
    }

    fn clear(&self) {
        for bar in self.tail.iter().chain(&self.header) {
            bar.finish_and_clear();
        }
    }
}

fn prefix(names: Names, info: &StepInfo) -> String {
    match names.tag(info).as_str() {
        "" => String::new(),
        tag => format!("{tag:<12} "),
    }
}

/// A heredoc's name has many lines; a live view has room for the first.
fn one_line(name: &str) -> String {
    text::visible(name.lines().next().unwrap_or_default().as_bytes())
}

fn header_style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {prefix}{wide_msg} {clock}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .with_key("clock", |state: &ProgressState, to: &mut dyn std::fmt::Write| {
            let _ = to.write_str(&text::seconds(state.elapsed()));
        })
}

fn tail_style() -> ProgressStyle {
    ProgressStyle::with_template("    {wide_msg:.dim}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}
