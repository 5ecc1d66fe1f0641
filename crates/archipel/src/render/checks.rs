//! What `--call` answers, as BuildKit writes it: text for people, and JSON with its names for the programs that read it.
//! And the warnings of a build, once more at its end.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use archipel_build::{Check, Event, Sink};
use archipel_dockerfile::{Diagnostic, LineIndex, Outline, OutlineNeed, Phase, Span, Stage, first_met, masked};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::Progress;
use super::table;

/// What is said of a Dockerfile in which no check finds anything.
pub(crate) const NOTHING: &str = "Check complete, no warnings found.\n";

/// How many lines an excerpt has besides its first.
const CONTEXT: usize = 4;

/// The result of checks, for people. Errors are not in it: they are told as all errors are.
pub(crate) fn check(check: &Check) -> String {
    let mut text = match check.findings.len() {
        0 if check.errors.is_empty() => return NOTHING.into(),
        0 => return String::new(),
        1 => "Check complete, 1 warning has been found!\n".to_owned(),
        n => format!("Check complete, {n} warnings have been found!\n"),
    };
    let lines = LineIndex::new(&check.text);
    // The logins in them stay out of logs.
    let shown = masked(&check.text);
    let shown: Vec<&str> = shown.split('\n').collect();
    for finding in &check.findings {
        let url = finding.rule.url().map_or_else(String::new, |url| format!(" - {url}"));
        text.push_str(&format!("\nWARNING: {}{url}\n{}\n", finding.rule.name, finding.message));
        text.push_str(&excerpt(&check.name, &shown, lines.lines(&finding.span)));
    }
    text
}

/// The same for programs.
pub(crate) fn check_json(check: &Check) -> Value {
    let lines = LineIndex::new(&check.text);
    let warnings: Vec<Value> = check
        .findings
        .iter()
        .map(|finding| {
            object([
                ("ruleName", Some(finding.rule.name.into())),
                ("description", Some(finding.rule.description.into())),
                ("url", finding.rule.url().map(Value::from)),
                ("detail", Some(finding.message.as_str().into())),
                ("location", Some(location(&lines, &finding.span))),
            ])
        })
        .collect();
    let file =
        Path::new(&check.name).file_name().map_or_else(|| check.name.clone(), |n| n.to_string_lossy().into_owned());
    let source = json!({ "filename": file, "data": encoded(&check.text), "language": "Dockerfile" });
    let error = told(&check.errors, check.parsed).map(|error| {
        let message = parse_error(&check.errors, &check.text, check.parsed);
        json!({ "message": message.unwrap_or_else(|| error.message.clone()), "location": location(&lines, error.lines()) })
    });
    object([
        // Go writes an empty list as `null`.
        ("warnings", Some(if warnings.is_empty() { Value::Null } else { warnings.into() })),
        ("sources", Some(json!([source]))),
        ("buildError", error),
    ])
}

/// The one error that BuildKit tells: those of a text that could be parsed come in the order of their stages.
fn told(errors: &[Diagnostic], parsed: bool) -> Option<&Diagnostic> {
    if parsed { errors.first() } else { first_met(errors) }
}

/// BuildKit's words for that error if it is one of an instruction that cannot be read.
pub(super) fn parse_error(errors: &[Diagnostic], text: &str, parsed: bool) -> Option<String> {
    let error = told(errors, parsed).filter(|error| !parsed && error.phase() == Phase::Instruction)?;
    let line = LineIndex::new(text).line(error.lines().start);
    Some(format!("dockerfile parse error on line {line}: {}", error.message)).filter(|_| error.code != "no-stage")
}

/// The lines of a finding with some around them.
fn excerpt(name: &str, lines: &[&str], (first, last): (usize, usize)) -> String {
    let (mut from, mut to) = (first, last.min(lines.len()));
    // Longer findings get fewer lines, and the count runs as BuildKit's does: lines above and below, and one more.
    let (wanted, mut given) = (if first == to { CONTEXT } else { CONTEXT / 2 }, 0);
    while given < wanted {
        if from > 1 {
            from -= 1;
            given += 1;
        }
        if to < lines.len() {
            to += 1;
            given += 1;
        }
        given += 1;
    }
    let mut shown = format!("{name}:{first}\n--------------------\n");
    for (number, line) in (from..).zip(lines.get(from.saturating_sub(1)..to).unwrap_or_default()) {
        let mark = if (first..=last).contains(&number) { ">>>" } else { "   " };
        shown.push_str(&format!(" {number:3} | {mark} {}\n", line.trim_end_matches('\r')));
    }
    shown + "--------------------\n"
}

/// What a target takes, for people.
pub(crate) fn outline(outline: &Outline) -> String {
    let mut text = String::new();
    if outline.name.is_some() || outline.description.is_some() {
        let name = outline.name.as_deref().unwrap_or("(default)");
        match &outline.description {
            Some(description) => text.push_str(&format!("TARGET:      {name}\nDESCRIPTION: {description}\n")),
            None => text.push_str(&format!("TARGET: {name}\n")),
        }
        text.push('\n');
    }
    if !outline.args.is_empty() {
        let row = |arg: &archipel_dockerfile::OutlineArg| {
            [arg.name.clone(), arg.value.clone(), arg.description.clone().unwrap_or_default()]
        };
        let rows: Vec<[String; 3]> = outline.args.iter().map(row).collect();
        text.push_str(&(table::columns(["BUILD ARG", "VALUE", "DESCRIPTION"], &rows) + "\n"));
    }
    for (heading, needs) in [("SECRET", &outline.secrets), ("SSH", &outline.ssh)] {
        if !needs.is_empty() {
            let row = |need: &OutlineNeed| [need.id.clone(), if need.required { "true".into() } else { String::new() }];
            let rows: Vec<[String; 2]> = needs.iter().map(row).collect();
            text.push_str(&(table::columns([heading, "REQUIRED"], &rows) + "\n"));
        }
    }
    text
}

/// The same for programs.
pub(crate) fn outline_json(outline: &Outline, text: &str) -> Value {
    let lines = LineIndex::new(text);
    let args = outline.args.iter().map(|arg| {
        object([
            ("name", Some(arg.name.as_str().into())),
            ("description", some(arg.description.as_deref())),
            ("value", some(Some(&arg.value))),
            ("location", Some(location(&lines, &arg.span))),
        ])
    });
    let needs = |needs: &[OutlineNeed]| {
        let need = |need: &OutlineNeed| {
            object([
                ("name", Some(need.id.as_str().into())),
                ("required", need.required.then_some(true.into())),
                ("location", Some(location(&lines, &need.span))),
            ])
        };
        list(needs.iter().map(need).collect())
    };
    object([
        ("name", some(outline.name.as_deref())),
        ("description", some(outline.description.as_deref())),
        ("args", list(args.collect())),
        ("secrets", needs(&outline.secrets)),
        ("ssh", needs(&outline.ssh)),
        ("sources", Some(json!([encoded(text)]))),
    ])
}

/// The stages, for people.
pub(crate) fn targets(stages: &[Stage]) -> String {
    let mut rows = vec![("TARGET".to_owned(), "DESCRIPTION")];
    for stage in stages {
        let mut name = stage.name.as_ref().map(|name| name.value.to_lowercase()).unwrap_or_default();
        if stage.index + 1 == stages.len() {
            name.push_str(if name.is_empty() { "(default)" } else { " (default)" });
        }
        rows.push((name, stage.description.as_deref().unwrap_or_default()));
    }
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(name, description)| format!("{name:width$} {description}").trim_end().to_owned() + "\n").collect()
}

/// The same for programs.
pub(crate) fn targets_json(stages: &[Stage], text: &str) -> Value {
    let lines = LineIndex::new(text);
    let target = |stage: &Stage| {
        object([
            ("name", some(stage.name.as_ref().map(|name| name.value.to_lowercase()).as_deref())),
            ("default", (stage.index + 1 == stages.len()).then_some(true.into())),
            ("description", some(stage.description.as_deref())),
            ("base", some(Some(&stage.base.value))),
            ("platform", some(stage.platform.as_ref().map(|word| word.as_str()))),
            ("location", Some(location(&lines, &stage.span))),
        ])
    };
    json!({ "targets": stages.iter().map(target).collect::<Vec<_>>(), "sources": [encoded(text)] })
}

/// An object of what there is.
fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    Value::Object(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<Map<_, _>>())
}

/// A text, unless it is empty.
fn some(text: Option<&str>) -> Option<Value> {
    text.filter(|text| !text.is_empty()).map(Value::from)
}

fn list(values: Vec<Value>) -> Option<Value> {
    Some(values).filter(|values| !values.is_empty()).map(Value::from)
}

/// Go writes bytes in JSON like this.
fn encoded(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

/// BuildKit's location: a range for each line.
fn location(lines: &LineIndex, span: &Span) -> Value {
    let (first, last) = lines.lines(span);
    let range = |line: usize| json!({ "start": { "line": line }, "end": { "line": line } });
    json!({ "ranges": (first..=last).map(range).collect::<Vec<_>>() })
}

/// Keeps the warnings of a build, so that they are seen although a long log has come after them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// Takes note of the warnings that go to a sink.
    pub(crate) fn listen(&self, sink: Sink) -> Sink {
        let warnings = self.clone();
        Arc::new(move |event| {
            if let Event::Warning(warning) = &event {
                warnings.0.lock().unwrap_or_else(PoisonError::into_inner).push(warning.message.clone());
            }
            sink(event);
        })
    }

    /// Shows them on standard error. A program that reads has had them, and who wants quiet wants none.
    pub(crate) fn finish(&self, progress: Progress) {
        if !matches!(progress, Progress::Json | Progress::Quiet) {
            // Whoever does not read this cannot be told.
            let _ = std::io::stderr().write_all(self.summary().as_bytes());
        }
    }

    fn summary(&self) -> String {
        warnings(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A list of warnings at the end of an answer. Nothing if there is none.
pub(crate) fn warnings(warnings: &[String]) -> String {
    let found = match warnings.len() {
        0 => return String::new(),
        1 => "1 warning found".to_owned(),
        n => format!("{n} warnings found"),
    };
    let list: String = warnings.iter().map(|warning| format!(" - {warning}\n")).collect();
    format!("\n {found} (use --check to expand):\n{list}")
}

#[cfg(test)]
mod tests {
    use archipel_build::Warning;
    use archipel_dockerfile::{Finding, RULES};

    use super::*;

    #[test]
    fn excerpts_are_buildkits() {
        let text: Vec<&str> = "FROM a\nRUN b \\\n  c\nRUN d\nRUN e\nRUN f\n".split('\n').collect();
        insta::assert_snapshot!(excerpt("Dockerfile", &text, (1, 1)), @r"
        Dockerfile:1
        --------------------
           1 | >>> FROM a
           2 |     RUN b \
           3 |       c
        --------------------
        ");
        insta::assert_snapshot!(excerpt("Dockerfile", &text, (2, 3)), @r"
        Dockerfile:2
        --------------------
           1 |     FROM a
           2 | >>> RUN b \
           3 | >>>   c
           4 |     RUN d
        --------------------
        ");
    }

    #[test]
    fn logins_do_not_show() {
        let check = Check {
            name: "Dockerfile".into(),
            text: "FROM scratch\nadd http://me:pw@h /".into(),
            findings: vec![Finding { rule: RULES[0], span: 13..34, message: "m".into() }],
            parsed: true,
            errors: Vec::new(),
            warnings: Vec::new(),
        };
        assert!(super::check(&check).contains("   2 | >>> add http://xx:xx@h /\n"));
    }

    #[test]
    fn warnings_come_again() {
        let warnings = Warnings::default();
        let sink = warnings.listen(Arc::new(|_| {}));
        assert_eq!(warnings.summary(), "");
        sink(Event::Warning(Warning { message: "Rule: a (line 1)".into() }));
        assert_eq!(warnings.summary(), "\n 1 warning found (use --check to expand):\n - Rule: a (line 1)\n");
        sink(Event::Warning(Warning { message: "b".into() }));
        assert!(warnings.summary().starts_with("\n 2 warnings found"));
    }
}
