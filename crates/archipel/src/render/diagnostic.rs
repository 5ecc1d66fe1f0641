//! Errors for people: what is wrong, where, and what to do. In a Dockerfile the place is shown as rustc shows its own.

use std::io::Write;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use archipel_build::Error as Build;
use archipel_dockerfile::{self as dockerfile, Diagnostic, Severity, masked, redacted};

use super::{checks, text};
use crate::environment::Environment;
use crate::errors::Error;

/// Shows an error on standard error.
pub(crate) fn report(error: &Error, environment: &Environment) {
    let mut stderr = std::io::stderr().lock();
    let shown = render(error, environment.colours(&stderr));
    // Whoever does not read this cannot be told.
    let _ = stderr.write_all(shown.as_bytes());
}

/// Shows a warning on standard error.
pub(crate) fn warn(message: &str) {
    let _ = writeln!(std::io::stderr(), "warning: {message}");
}

/// Findings in a Dockerfile, for a result on standard output.
pub(crate) fn listing(diagnostics: &[Diagnostic], name: &str, text: &str) -> String {
    let renderer = Renderer::plain();
    let level = |found: &Diagnostic| match found.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let shown =
        |found: &Diagnostic| format!("\n{}\n", renderer.render(&[in_dockerfile(level(found), found, name, text)]));
    diagnostics.iter().map(shown).collect()
}

/// An error as text.
pub(crate) fn render(error: &Error, colours: bool) -> String {
    let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
    let hint = error.hint();
    match error {
        Error::Build(Build::Dockerfile { name, text, diagnostics }) => {
            let mut shown = String::new();
            for diagnostic in diagnostics {
                shown.push_str(&renderer.render(&[in_dockerfile(Level::ERROR, diagnostic, name, text)]));
                shown.push_str("\n\n");
            }
            // What is wrong in a text that can be read is what it means.
            let parsed = dockerfile::parse(text).is_ok();
            let summary = match checks::parse_error(diagnostics, text, parsed) {
                Some(words) => format!("{error}: {}", redacted(&words)),
                None => error.to_string(),
            };
            shown + &renderer.render(&[plain(&summary, hint.as_deref())]) + "\n"
        }
        Error::Build(Build::Step(failure)) => {
            let archipel_build::StepFailure { step, platform, reason, tail, place } = &**failure;
            let title = format!("{step} on {platform}: {reason}");
            let mut group = Group::with_title(Level::ERROR.primary_title(title));
            if let Some(place) = place {
                group = group.element(marked(&place.name, &place.text, &place.span, None));
            }
            last_words(tail) + &renderer.render(&[helped(group, hint.as_deref())]) + "\n"
        }
        Error::Placed { place, .. } => {
            let group = Group::with_title(Level::ERROR.primary_title(error.to_string()));
            let group = group.element(marked(&place.name, &place.text, &place.span, None));
            renderer.render(&[helped(group, hint.as_deref())]) + "\n"
        }
        Error::Bake(archipel_bake::Error { message, place: Some(place), .. }) => {
            let group = Group::with_title(Level::ERROR.primary_title(message.clone()));
            let group = group.element(marked(&place.name, &place.text, &place.span, None));
            renderer.render(&[helped(group, hint.as_deref())]) + "\n"
        }
        Error::Config { name, text, source } => {
            let mut group = Group::with_title(Level::ERROR.primary_title(source.message.clone()));
            if let Some(span) = &source.span {
                group = group.element(marked(name, text, span, None));
            }
            renderer.render(&[group]) + "\n"
        }
        _ => renderer.render(&[plain(&error.to_string(), hint.as_deref())]) + "\n",
    }
}

/// The end of what a failed step wrote, between lines as BuildKit draws them.
fn last_words(tail: &str) -> String {
    if tail.trim().is_empty() {
        return String::new();
    }
    let lines: Vec<String> = tail.lines().map(|line| text::visible(line.as_bytes())).collect();
    format!("------\n{}\n------\n", lines.join("\n"))
}

fn plain<'a>(message: &str, hint: Option<&'a str>) -> Group<'a> {
    helped(Group::with_title(Level::ERROR.primary_title(message.to_owned())), hint)
}

fn helped<'a>(group: Group<'a>, hint: Option<&'a str>) -> Group<'a> {
    match hint {
        Some(hint) => group.element(Level::HELP.message(hint)),
        None => group,
    }
}

/// A piece of text with a mark under it. The logins in it stay out of logs.
fn marked<'a>(
    name: &'a str,
    text: &'a str,
    span: &Range<usize>,
    label: Option<&'a str>,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    Snippet::source(masked(text)).path(name).annotation(AnnotationKind::Primary.span(within(text, span)).label(label))
}

/// The code is one word for one kind of mistake: what people search for, and what scripts may look at.
fn in_dockerfile<'a>(level: Level<'a>, diagnostic: &'a Diagnostic, name: &'a str, text: &'a str) -> Group<'a> {
    let mut snippet = marked(name, text, &diagnostic.span, None);
    for label in &diagnostic.labels {
        let span = within(text, &label.span);
        snippet = snippet.annotation(AnnotationKind::Context.span(span).label(redacted(&label.text)));
    }
    let title = level.primary_title(redacted(&diagnostic.message)).id(diagnostic.code);
    helped(Group::with_title(title).element(snippet), diagnostic.help.as_deref())
}

/// A span brought into a text, without a newline at its end, which would draw the mark round the next line. Spans come from a
/// library that guards them, but a wrong one would make the renderer panic in the midst of telling an error.
fn within(text: &str, span: &Range<usize>) -> Range<usize> {
    let end = text.floor_char_boundary(span.end.min(text.len()));
    let start = text.floor_char_boundary(span.start.min(end));
    start..start + text[start..end].trim_end().len()
}
