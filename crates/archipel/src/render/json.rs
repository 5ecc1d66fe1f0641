//! One JSON object per line, for programs. Names of fields stay as they are; new ones may come.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use archipel_build::{Built, Event, StepId, StepOutcome, Stream};
use serde_json::{Value, json};

use super::Renderer;
use super::text::Lines;

/// The renderer.
pub(super) struct Json<W: Write + Send>(Mutex<State<W>>);

struct State<W> {
    out: W,
    /// Text comes in lines, so that a character is never cut in two.
    output: HashMap<(StepId, bool), Lines>,
}

impl<W: Write + Send> Json<W> {
    pub(super) fn new(out: W) -> Self {
        Self(Mutex::new(State { out, output: HashMap::new() }))
    }
}

impl<W: Write + Send> Renderer for Json<W> {
    fn event(&self, event: Event) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Declared(info) => {
                let platforms: Vec<String> = info.platforms.iter().map(ToString::to_string).collect();
                state.tell(&json!({
                    "event": "step", "step": info.id, "name": info.name, "platforms": platforms, "how": info.how,
                }));
            }
            Event::Started(id) => state.tell(&json!({ "event": "started", "step": id })),
            Event::Output { step, stream, bytes } => {
                let is_error = stream == Stream::Stderr;
                let mut lines = state.output.remove(&(step, is_error)).unwrap_or_default();
                lines.push(&bytes, |line| state.tell(&output(step, is_error, line)));
                state.output.insert((step, is_error), lines);
            }
            Event::Progress { step, done, total } => {
                state.tell(&json!({ "event": "progress", "step": step, "done": done, "total": total }));
            }
            Event::Finished { step, outcome, elapsed } => {
                for is_error in [false, true] {
                    if let Some(rest) = state.output.remove(&(step, is_error)).and_then(|mut lines| lines.rest()) {
                        state.tell(&output(step, is_error, &rest));
                    }
                }
                let (outcome, reason) = match outcome {
                    StepOutcome::Cached => ("cached", None),
                    StepOutcome::Done => ("done", None),
                    StepOutcome::Failed(reason) => ("failed", Some(reason)),
                    StepOutcome::Cancelled => ("cancelled", None),
                };
                state.tell(&json!({
                    "event": "finished", "step": step, "outcome": outcome, "reason": reason, "seconds": elapsed.as_secs_f64(),
                }));
            }
            Event::Warning(warning) => state.tell(&json!({ "event": "warning", "message": warning.message })),
        }
    }

    fn finish(&self, built: Option<&Built>) {
        if let Some(built) = built {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let platforms: Vec<Value> = built.platforms.iter().map(platform).collect();
            state.tell(&json!({ "event": "built", "digest": built.digest, "platforms": platforms }));
        }
    }
}

impl<W: Write> State<W> {
    fn tell(&mut self, value: &Value) {
        // A reader that went away is no reason to stop a build.
        let _ = writeln!(self.out, "{value}");
    }
}

fn output(step: StepId, is_error: bool, line: &[u8]) -> Value {
    let stream = if is_error { "stderr" } else { "stdout" };
    json!({ "event": "output", "step": step, "stream": stream, "line": String::from_utf8_lossy(line) })
}

fn platform(one: &archipel_build::BuiltPlatform) -> Value {
    json!({
        "platform": one.platform.to_string(), "how": one.how, "cached": one.cached, "seconds": one.seconds, "layers": one.layers,
        "size": one.size, "digest": one.digest, "config": one.config,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use archipel_build::{How, StepInfo};

    use super::*;

    #[test]
    fn one_object_per_line_and_no_character_cut() {
        let json = Json::new(Vec::new());
        let output = |bytes: &[u8]| Event::Output { step: StepId(1), stream: Stream::Stderr, bytes: bytes.to_vec() };
        for event in [
            Event::Declared(StepInfo {
                id: StepId(1),
                name: "[1/1] RUN true".into(),
                label: None,
                platforms: vec!["linux/arm/v7".parse().unwrap()],
                how: How::Emulated,
            }),
            Event::Started(StepId(1)),
            output(b"gr\xc3"),
            output(b"\xbcn\n"),
            Event::Progress { step: StepId(1), done: 1, total: Some(2) },
            Event::Finished {
                step: StepId(1),
                outcome: StepOutcome::Failed("exit status 1".into()),
                elapsed: Duration::from_millis(1500),
            },
        ] {
            json.event(event);
        }
        let text = String::from_utf8(json.0.into_inner().unwrap().out).unwrap();
        insta::assert_snapshot!(text, @r#"
        {"event":"step","step":1,"name":"[1/1] RUN true","platforms":["linux/arm/v7"],"how":"emulated"}
        {"event":"started","step":1}
        {"event":"output","step":1,"stream":"stderr","line":"grün"}
        {"event":"progress","step":1,"done":1,"total":2}
        {"event":"finished","step":1,"outcome":"failed","reason":"exit status 1","seconds":1.5}
        "#);
    }
}
