//! From nodes to typed values. What is wrong goes to the findings, and the value is then missing: so one look finds all errors.

use std::time::Duration;

use crate::diagnostic::{Diagnostic, Findings};
use crate::duration;
use crate::expression::Expression;
use crate::span::{Sources, Span, Spanned};
use crate::yaml::{Map, Node, Value};

/// What reading needs.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) sources: &'a Sources,
    pub(crate) findings: &'a mut Findings,
}

impl Reader<'_> {
    pub(crate) fn wanted(&mut self, what: &str, wanted: &str, node: &Node) {
        self.findings.error(format!("`{what}` should be {wanted}, not {}", node.kind()), node.span);
    }

    /// Tells every key that is not known here. Those that GitLab knows and we do not support are named as such.
    pub(crate) fn keys(&mut self, what: &str, map: &Map, known: &[&str], unsupported: &[&str]) {
        for entry in map.iter() {
            let key = entry.key.value.as_str();
            if known.contains(&key) {
                continue;
            }
            if unsupported.contains(&key) {
                self.findings.unsupported(&format!("{what}:{key}"), entry.key.span);
            } else {
                let message = format!("`{key}` is not a key of {what}");
                self.findings.add(Diagnostic::error(message, entry.key.span).propose(key, known.iter().copied()));
            }
        }
    }

    pub(crate) fn map<'n>(&mut self, what: &str, node: &'n Node) -> Option<&'n Map> {
        let Value::Map(map) = &node.value else {
            self.wanted(what, "a map", node);
            return None;
        };
        Some(map)
    }

    pub(crate) fn list<'n>(&mut self, what: &str, node: &'n Node) -> Option<&'n [Node]> {
        let Value::Seq(items) = &node.value else {
            self.wanted(what, "a list", node);
            return None;
        };
        Some(items)
    }

    /// A text. Numbers are none: `image: 1.10` would be another image than it seems.
    pub(crate) fn string(&mut self, what: &str, node: &Node) -> Option<Spanned<String>> {
        if let Value::String(text) = &node.value {
            return Some(Spanned::new(text.clone(), node.span));
        }
        let message = format!("`{what}` should be a text, not {}", node.kind());
        let diagnostic = Diagnostic::error(message, node.span);
        let quoted = matches!(node.value, Value::Bool(_) | Value::Int(_) | Value::Float(_));
        let help = format!("put it in quotes: \"{}\"", self.sources.text(node.span));
        self.findings.add(if quoted { diagnostic.help(help) } else { diagnostic });
        None
    }

    /// A value of a variable: a text or a number, which becomes a text as Ruby writes it.
    pub(crate) fn value(&mut self, what: &str, node: &Node) -> Option<String> {
        match &node.value {
            Value::String(text) => Some(text.clone()),
            Value::Int(_) | Value::Float(_) => {
                let text = node.text().unwrap_or_default();
                let written = self.sources.text(node.span).to_owned();
                if text != written && !written.starts_with(['*', '&', '!']) {
                    let help = format!("if that is not meant, put it in quotes: \"{written}\"");
                    self.findings.warn(format!("`{written}` is read as the number {text}"), node.span, &help);
                }
                Some(text)
            }
            _ => self.string(what, node).map(|text| text.value),
        }
    }

    pub(crate) fn boolean(&mut self, what: &str, node: &Node) -> Option<bool> {
        match node.value {
            Value::Bool(b) => Some(b),
            _ => {
                self.wanted(what, "true or false", node);
                None
            }
        }
    }

    /// A whole number between bounds.
    pub(crate) fn number(&mut self, what: &str, node: &Node, from: i64, to: i64) -> Option<i64> {
        match node.value {
            Value::Int(n) if (from..=to).contains(&n) => Some(n),
            _ => {
                self.findings.error(format!("`{what}` should be a number from {from} to {to}"), node.span);
                None
            }
        }
    }

    /// A text, or a list of texts; lists in lists are flattened.
    pub(crate) fn strings(&mut self, what: &str, node: &Node) -> Vec<Spanned<String>> {
        let mut found = Vec::new();
        self.flatten(what, node, &mut found);
        found
    }

    fn flatten(&mut self, what: &str, node: &Node, found: &mut Vec<Spanned<String>>) {
        match &node.value {
            Value::Seq(items) => items.iter().for_each(|item| self.flatten(what, item, found)),
            _ => found.extend(self.string(what, node)),
        }
    }

    pub(crate) fn duration(&mut self, what: &str, node: &Node) -> Option<Duration> {
        let text = self.string(what, node)?;
        let parsed = duration::parse(&text.value);
        if parsed.is_none() {
            let message = format!("`{}` is not a span of time", text.value);
            self.findings.add(Diagnostic::error(message, node.span).help("write it like: 1 hour 30 minutes"));
        }
        parsed
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&mut self, what: &str, node: &Node, words: &[(&str, T)]) -> Option<T> {
        let text = match &node.value {
            Value::String(text) => text.clone(),
            _ => self.string(what, node)?.value,
        };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let message = format!("`{text}` is not a value of `{what}`");
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.findings.add(Diagnostic::error(message, node.span).propose(&text, known));
        }
        found
    }

    pub(crate) fn expression(&mut self, node: &Node) -> Option<Expression> {
        let text = self.string("if", node)?;
        Expression::parse(&text.value)
            .map_err(|e| {
                let span = self.within(node.span, &text.value, e.start, e.end);
                self.findings.error(e.message, span);
            })
            .ok()
    }

    /// The place of a part of a text that was read. Known only where the text stands in the file as it is, quotes aside.
    fn within(&self, span: Span, text: &str, start: usize, end: usize) -> Span {
        match self.sources.text(span).find(text) {
            Some(at) => Span { start: span.start + at + start, end: span.start + at + end, ..span },
            None => span,
        }
    }
}
