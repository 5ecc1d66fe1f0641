//! `only` and `except`, which were there before `rules`.

use regex::bytes::Regex;

use crate::diagnostic::Diagnostic;
use crate::expression::{self, Expression};
use crate::reader::Reader;
use crate::span::Spanned;
use crate::yaml::{Node, Value};

/// Conditions. Those of `only` all have to hold; of `except`, one is enough.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Branches, tags, kinds of pipelines.
    pub refs: Option<Vec<Selector>>,
    /// Expressions, one of which holds.
    pub variables: Option<Vec<Expression>>,
    /// Patterns of files, one of which has changed.
    pub changes: Option<Vec<String>>,
}

/// What a pipeline can be for.
#[derive(Clone, Debug)]
pub enum Selector {
    /// Any branch.
    Branches,
    /// Any tag.
    Tags,
    /// Pipelines that were started so: `web`, `schedules`.
    Source(&'static str),
    /// A branch or tag of this name, of this project.
    Name(String, Option<String>),
    /// A branch or tag that matches.
    Pattern(Regex, Option<String>),
}

/// The words of `only:refs` and the `CI_PIPELINE_SOURCE` that each means.
const SOURCES: &[(&str, &str)] = &[
    ("api", "api"),
    ("chat", "chat"),
    ("external", "external"),
    ("external_pull_requests", "external_pull_request_event"),
    ("merge_requests", "merge_request_event"),
    ("pipelines", "pipeline"),
    ("pushes", "push"),
    ("schedules", "schedule"),
    ("triggers", "trigger"),
    ("web", "web"),
];

impl Policy {
    pub(crate) fn read(what: &str, node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::Map(map) = &node.value else {
            return Some(Self { refs: Some(selectors(what, node, reader)), ..Self::default() });
        };
        reader.keys(what, map, &["refs", "variables", "changes"], &["kubernetes"]);
        let variables = map.get("variables").map(|node| {
            let items = reader.list("variables", node).unwrap_or_default();
            items.iter().filter_map(|item| reader.expression(item)).collect()
        });
        let changes = map.get("changes").map(|node| reader.strings("changes", node));
        Some(Self {
            refs: map.get("refs").map(|node| selectors(what, node, reader)),
            variables,
            changes: changes.map(|paths| paths.into_iter().map(|path| path.value).collect()),
        })
    }

    /// What GitLab takes where a job says nothing.
    pub(crate) fn branches_and_tags() -> Self {
        Self { refs: Some(vec![Selector::Branches, Selector::Tags]), ..Self::default() }
    }
}

fn selectors(what: &str, node: &Node, reader: &mut Reader<'_>) -> Vec<Selector> {
    let words = reader.strings(what, node);
    words.iter().filter_map(|word| selector(word, reader)).collect()
}

fn selector(word: &Spanned<String>, reader: &mut Reader<'_>) -> Option<Selector> {
    let text = word.value.as_str();
    if let Some((_, source)) = SOURCES.iter().find(|(name, _)| *name == text) {
        return Some(Selector::Source(source));
    }
    match text {
        "branches" => return Some(Selector::Branches),
        "tags" => return Some(Selector::Tags),
        _ => {}
    }
    // `name@group/project`: the part after it must be a path, or it belongs to the name.
    let (name, project) = match text.rsplit_once('@') {
        Some((name, project)) if project.contains('/') && !project.ends_with('/') => (name, Some(project.to_owned())),
        _ => (text, None),
    };
    let Some((body, flags)) = expression::delimited(name) else { return Some(Selector::Name(name.into(), project)) };
    match expression::regex(body, flags) {
        Ok(pattern) => Some(Selector::Pattern(pattern, project)),
        Err(e) => {
            let reason = e.to_string();
            let reason = reason.lines().last().unwrap_or_default();
            let message = format!("this pattern is not one: {}", reason.trim_start_matches("error: "));
            reader.findings.add(Diagnostic::error(message, word.span));
            None
        }
    }
}
