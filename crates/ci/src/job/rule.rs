//! `rules`: whether a job is part of a pipeline, and how; and what they share with jobs: `when`, `allow_failure`.

use std::time::Duration;

use crate::expression::Expression;
use crate::reader::Reader;
use crate::span::Span;
use crate::variable::Variable;
use crate::yaml::{Node, Value};

/// How deep lists of rules may lie in each other (GitLab's number).
const MAX_NESTING: usize = 10;

/// A rule. Its conditions all have to hold.
#[derive(Clone, Debug)]
pub struct Rule {
    /// An expression.
    pub condition: Option<Expression>,
    /// Files, one of which has changed.
    pub changes: Option<Changes>,
    /// Files, one of which is there.
    pub exists: Option<Vec<String>>,
    /// When the job starts.
    pub when: Option<When>,
    /// What its failure means.
    pub allow_failure: Option<AllowFailure>,
    /// Variables that it has then.
    pub variables: Vec<Variable>,
    /// Where it is written.
    pub span: Span,
}

/// `changes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Patterns, before expansion.
    pub paths: Vec<String>,
    /// What the files are compared with, instead of the commit before.
    pub compare_to: Option<String>,
}

/// When a job starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// When what it waits for is well.
    OnSuccess,
    /// When something before it has failed.
    OnFailure,
    /// In any case.
    Always,
    /// When somebody says so.
    Manual,
    /// So long after it could.
    Delayed(Duration),
    /// Not at all.
    Never,
}

/// Whether a failure counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowFailure {
    /// It does not, or does.
    Always(bool),
    /// Not with one of these.
    ExitCodes(Vec<i32>),
}

impl When {
    pub(crate) fn read(node: &Node, start_in: Option<&Node>, reader: &mut Reader<'_>) -> Option<Self> {
        let words = [
            ("on_success", Some(Self::OnSuccess)),
            ("on_failure", Some(Self::OnFailure)),
            ("always", Some(Self::Always)),
            ("manual", Some(Self::Manual)),
            ("never", Some(Self::Never)),
            ("delayed", None),
        ];
        let word = reader.word("when", node, &words)?;
        if word.is_some() {
            return word;
        }
        let Some(start_in) = start_in else {
            reader.findings.error("`when: delayed` needs a `start_in`", node.span);
            return None;
        };
        reader.duration("start_in", start_in).map(Self::Delayed)
    }
}

impl AllowFailure {
    pub(crate) fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::Map(map) = &node.value else { return reader.boolean("allow_failure", node).map(Self::Always) };
        reader.keys("allow_failure", map, &["exit_codes"], &[]);
        Some(Self::ExitCodes(map.get("exit_codes").map(|node| super::exit_codes(node, reader)).unwrap_or_default()))
    }
}

impl Rule {
    pub(crate) fn read_list(node: &Node, reader: &mut Reader<'_>) -> Vec<Self> {
        let mut found = Vec::new();
        if let Some(items) = reader.list("rules", node) {
            items.iter().for_each(|item| Self::collect(item, 0, &mut found, reader));
        }
        found
    }

    /// Lists in lists are what `!reference` brings.
    fn collect(node: &Node, depth: usize, found: &mut Vec<Self>, reader: &mut Reader<'_>) {
        match &node.value {
            Value::Seq(items) if depth < MAX_NESTING => {
                items.iter().for_each(|item| Self::collect(item, depth + 1, found, reader));
            }
            _ => found.extend(Self::read(node, reader)),
        }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let map = reader.map("rules", node)?;
        let known = ["if", "changes", "exists", "when", "start_in", "allow_failure", "variables", "interruptible"];
        reader.keys("a rule", map, &known, &["needs", "auto_cancel"]);
        if let Some(node) = map.get("interruptible") {
            reader.boolean("interruptible", node);
        }
        let strings = |node: &Node, what: &str, reader: &mut Reader<'_>| -> Vec<String> {
            reader.strings(what, node).into_iter().map(|text| text.value).collect()
        };
        let changes = map.get("changes").map(|node| match &node.value {
            Value::Map(details) => {
                reader.keys("changes", details, &["paths", "compare_to"], &[]);
                let paths = details.get("paths").map(|node| strings(node, "paths", reader)).unwrap_or_default();
                let compare_to = details.get("compare_to").and_then(|node| reader.string("compare_to", node));
                Changes { paths, compare_to: compare_to.map(|text| text.value) }
            }
            _ => Changes { paths: strings(node, "changes", reader), compare_to: None },
        });
        let exists = map.get("exists").map(|node| match &node.value {
            Value::Map(details) => {
                reader.keys("exists", details, &["paths"], &["project", "ref"]);
                details.get("paths").map(|node| strings(node, "paths", reader)).unwrap_or_default()
            }
            _ => strings(node, "exists", reader),
        });
        let when = map.get("when").and_then(|node| When::read(node, map.get("start_in"), reader));
        Some(Self {
            condition: match map.get("if") {
                // A condition that cannot be read must not hold; the finding keeps the pipeline from running anyway.
                Some(node) => Some(reader.expression(node)?),
                None => None,
            },
            changes,
            exists,
            when,
            allow_failure: map.get("allow_failure").and_then(|node| AllowFailure::read(node, reader)),
            variables: map.get("variables").map(|node| super::variables(node, false, reader)).unwrap_or_default(),
            span: node.span,
        })
    }
}
