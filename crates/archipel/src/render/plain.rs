//! Lines, in BuildKit's form: `#3 [build 2/4] RUN make`, `#3 0.123 output`, `#3 DONE 1.2s`. For logs that are read later.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use archipel_build::{Built, Event, StepId, StepInfo, StepOutcome, Stream};

use super::step::Names;
use super::text::{self, Lines};
use super::{Renderer, result};

/// How often a long transfer says how far it is. A log needs no more.
const TRANSFER_NEWS: Duration = Duration::from_secs(5);

/// The renderer.
pub(super) struct Plain<W: Write + Send>(Mutex<State<W>>);

struct State<W> {
    out: W,
    names: Names,
    steps: HashMap<StepId, Step>,
    /// Numbers are given in the order of showing, so that they count up in the log.
    shown: usize,
    current: Option<StepId>,
}

struct Step {
    info: StepInfo,
    number: usize,
    started: Instant,
    news: Instant,
    output: [Lines; 2],
}

impl<W: Write + Send> Plain<W> {
    pub(super) fn new(out: W, names: Names) -> Self {
        Self(Mutex::new(State { out, names, steps: HashMap::new(), shown: 0, current: None }))
    }
}

impl<W: Write + Send> Renderer for Plain<W> {
    fn event(&self, event: Event) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = Vec::new();
        state.event(event, &mut lines);
        // One write per event keeps lines whole; an error here would be told on the stream that just failed.
        let _ = state.out.write_all(&lines);
    }

    fn finish(&self, built: Option<&Built>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(built) = built.filter(|b| !b.platforms.is_empty()) {
            let _ = write!(state.out, "\n{}", result::table(built));
        }
        let _ = state.out.flush();
    }
}

impl<W> State<W> {
    fn event(&mut self, event: Event, lines: &mut Vec<u8>) {
        match event {
            Event::Declared(info) => {
                let now = Instant::now();
                let step = Step { number: 0, started: now, news: now, output: Default::default(), info };
                self.steps.insert(step.info.id, step);
            }
            Event::Started(id) => {
                if let Some(step) = self.turn_to(id, lines) {
                    step.started = Instant::now();
                    step.news = step.started;
                }
            }
            Event::Output { step: id, stream, bytes } => {
                let Some(step) = self.turn_to(id, lines) else { return };
                let (number, at) = (step.number, step.started.elapsed());
                step.output[slot(stream)].push(&bytes, |line| output_line(lines, number, at, line));
            }
            Event::Progress { step: id, done, total } => {
                if self.steps.get(&id).is_none_or(|step| step.news.elapsed() < TRANSFER_NEWS) {
                    return;
                }
                let Some(step) = self.turn_to(id, lines) else { return };
                step.news = Instant::now();
                let total = total.map_or_else(String::new, |total| format!(" / {}", text::size(total)));
                tell(lines, &format!("#{} {}{total}", step.number, text::size(done)));
            }
            Event::Finished { step: id, outcome, elapsed } => {
                let Some(step) = self.turn_to(id, lines) else { return };
                let (number, at) = (step.number, step.started.elapsed());
                for stream in &mut step.output {
                    if let Some(rest) = stream.rest() {
                        output_line(lines, number, at, &rest);
                    }
                }
                let end = match outcome {
                    StepOutcome::Cached => "CACHED".to_owned(),
                    StepOutcome::Done => format!("DONE {:.1}s", elapsed.as_secs_f64()),
                    StepOutcome::Failed(reason) => format!("ERROR: {reason}"),
                    StepOutcome::Cancelled => "CANCELED".to_owned(),
                };
                tell(lines, &format!("#{number} {end}"));
                self.steps.remove(&id);
            }
            Event::Warning(warning) => tell(lines, &format!("WARNING: {}", warning.message)),
        }
    }

    /// The lines that follow are about this step: its name comes before them unless it is there already.
    fn turn_to(&mut self, id: StepId, lines: &mut Vec<u8>) -> Option<&mut Step> {
        let step = self.steps.get_mut(&id)?;
        if step.number == 0 {
            self.shown += 1;
            step.number = self.shown;
        }
        if self.current != Some(id) {
            if self.current.replace(id).is_some() {
                lines.push(b'\n');
            }
            tell(lines, &format!("#{} {}", step.number, self.names.full(&step.info)));
        }
        Some(step)
    }
}

/// Bytes as they came: colours in a log are the process's own business.
fn output_line(lines: &mut Vec<u8>, number: usize, at: Duration, line: &[u8]) {
    lines.extend_from_slice(format!("#{number} {:.3} ", at.as_secs_f64()).as_bytes());
    lines.extend_from_slice(line);
    lines.push(b'\n');
}

fn tell(lines: &mut Vec<u8>, line: &str) {
    lines.extend_from_slice(line.as_bytes());
    lines.push(b'\n');
}

fn slot(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

#[cfg(test)]
mod tests {
    use archipel_build::{How, Warning};

    use super::*;

    #[test]
    fn a_build_as_lines() {
        let plain = Plain::new(Vec::new(), Names::new(2));
        let step = |id: u32, name: &str, platform: &str| {
            Event::Declared(StepInfo {
                id: StepId(id),
                name: name.into(),
                label: None,
                platforms: vec![platform.parse().unwrap()],
                how: How::Native,
            })
        };
        let output = |id: u32, text: &str| Event::Output {
            step: StepId(id),
            stream: Stream::Stdout,
            bytes: text.as_bytes().to_vec(),
        };
        let finished =
            |id: u32, outcome| Event::Finished { step: StepId(id), outcome, elapsed: Duration::from_millis(1234) };
        for event in [
            step(7, "[build 2/4] RUN make", "linux/arm64"),
            step(9, "[build 2/4] RUN make", "linux/amd64"),
            step(3, "[1/2] COPY a b", "linux/amd64"),
            Event::Started(StepId(7)),
            output(7, "one\ntw"),
            Event::Started(StepId(9)),
            output(7, "o\nthree"),
            finished(7, StepOutcome::Done),
            finished(3, StepOutcome::Cached),
            Event::Warning(Warning { message: "careful".into() }),
            finished(9, StepOutcome::Failed("exit status 2".into())),
        ] {
            plain.event(event);
        }
        plain.finish(Some(&result::example()));
        let text = String::from_utf8(plain.0.into_inner().unwrap().out).unwrap();
        let text = text.lines().map(without_time).collect::<Vec<_>>().join("\n");
        insta::assert_snapshot!(text, @r"
        #1 [linux/arm64 build 2/4] RUN make
        #1 T one

        #2 [linux/amd64 build 2/4] RUN make

        #1 [linux/arm64 build 2/4] RUN make
        #1 T two
        #1 T three
        #1 DONE 1.2s

        #3 [linux/amd64 1/2] COPY a b
        #3 CACHED
        WARNING: careful

        #2 [linux/amd64 build 2/4] RUN make
        #2 ERROR: exit status 2

        PLATFORM       RAN        TIME     LAYERS   SIZE      DIGEST
        linux/amd64    native     1.3s     3        12.3 MB   sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb
        linux/arm/v7   emulated   1m 23s   3        12.3 MB   sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d
        index sha256:1bc04b5291c26a46d918139138b992d2de976d6851d0893b0476b85bfbdfc6e6
        ");
    }

    /// `#1 0.003 one` -> `#1 T one`.
    fn without_time(line: &str) -> String {
        let mut words = line.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some(number), Some(time), Some(rest)) if time.starts_with("0.") => format!("{number} T {rest}"),
            _ => line.to_owned(),
        }
    }
}
