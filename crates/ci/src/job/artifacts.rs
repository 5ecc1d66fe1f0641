//! `artifacts`: the files that a job leaves to those after it.

use std::time::Duration;

use crate::reader::Reader;
use crate::yaml::{Node, Value};

/// What is kept of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Artifacts {
    /// Patterns of paths, before expansion.
    pub paths: Vec<String>,
    /// Patterns of what is left out.
    pub exclude: Vec<String>,
    /// Everything that git does not know.
    pub untracked: bool,
    /// When there are any.
    pub when: When,
    /// The name of the archive; nothing depends on it here.
    pub name: Option<String>,
    /// How long GitLab would keep them; ours end with the run.
    pub expire_in: Option<Duration>,
    /// Files of variables for the jobs that come after.
    pub dotenv: Vec<String>,
}

/// After which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// A good one.
    #[default]
    OnSuccess,
    /// A bad one.
    OnFailure,
    /// Any.
    Always,
}

/// Reports that are files to be kept: what GitLab reads out of them to show it, nobody shows here.
const REPORTS: &[&str] = &[
    "accessibility",
    "annotations",
    "api_fuzzing",
    "browser_performance",
    "codequality",
    "container_scanning",
    "coverage_fuzzing",
    "coverage_report",
    "cyclonedx",
    "dast",
    "dependency_scanning",
    "dotenv",
    "junit",
    "license_scanning",
    "load_performance",
    "metrics",
    "performance",
    "repository_xray",
    "requirements",
    "sast",
    "secret_detection",
    "terraform",
];

impl Artifacts {
    pub(crate) fn read(node: &Node, reader: &mut Reader<'_>) -> Self {
        let Some(map) = reader.map("artifacts", node) else { return Self::default() };
        let known =
            ["paths", "exclude", "untracked", "when", "name", "expire_in", "expose_as", "reports", "access", "public"];
        reader.keys("artifacts", map, &known, &[]);
        let strings = |key: &str, reader: &mut Reader<'_>| -> Vec<String> {
            let found = map.get(key).map(|node| reader.strings(key, node)).unwrap_or_default();
            found.into_iter().map(|text| text.value).collect()
        };
        let when = [("on_success", When::OnSuccess), ("on_failure", When::OnFailure), ("always", When::Always)];
        for key in ["expose_as", "access"] {
            if let Some(node) = map.get(key) {
                reader.string(key, node);
            }
        }
        if let Some(node) = map.get("public") {
            reader.boolean("public", node);
        }
        let expire_in = map.get("expire_in").filter(|node| node.value != Value::String("never".into()));
        Self {
            paths: strings("paths", reader),
            exclude: strings("exclude", reader),
            untracked: map.get("untracked").and_then(|node| reader.boolean("untracked", node)).unwrap_or(false),
            when: map.get("when").and_then(|node| reader.word("artifacts:when", node, &when)).unwrap_or_default(),
            name: map.get("name").and_then(|node| reader.string("name", node)).map(|text| text.value),
            expire_in: expire_in.and_then(|node| reader.duration("expire_in", node)),
            dotenv: map.get("reports").map(|node| reports(node, reader)).unwrap_or_default(),
        }
    }
}

fn reports(node: &Node, reader: &mut Reader<'_>) -> Vec<String> {
    let Some(map) = reader.map("reports", node) else { return Vec::new() };
    reader.keys("reports", map, REPORTS, &[]);
    let mut dotenv = Vec::new();
    for entry in map.iter() {
        // A coverage report says its format too.
        let paths = match &entry.value.value {
            Value::Map(details) => details.get("path"),
            _ => Some(&entry.value),
        };
        let paths = paths.map(|node| reader.strings(&entry.key.value, node)).unwrap_or_default();
        if entry.key.value == "dotenv" {
            dotenv.extend(paths.into_iter().map(|path| path.value));
        }
    }
    dotenv
}
