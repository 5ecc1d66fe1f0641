//! `needs`.

use crate::reader::Reader;
use crate::span::Spanned;
use crate::yaml::{Node, Value};

/// A job that another waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Its name.
    pub job: Spanned<String>,
    /// Whether its artifacts are wanted.
    pub artifacts: bool,
    /// Whether it may be missing from the pipeline.
    pub optional: bool,
    /// Which of its copies: the values of `parallel:matrix`; empty is all of them.
    pub matrix: Vec<Vec<(String, String)>>,
}

impl Need {
    pub(crate) fn read_list(node: &Node, reader: &mut Reader<'_>) -> Vec<Self> {
        let items = reader.list("needs", node).unwrap_or_default();
        let mut found = Vec::new();
        for item in items {
            match &item.value {
                // What a `!reference` brought.
                Value::Seq(inner) => found.extend(inner.iter().filter_map(|item| Self::read(item, reader))),
                _ => found.extend(Self::read(item, reader)),
            }
        }
        found
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::Map(map) = &node.value else {
            let job = reader.string("needs", node)?;
            return Some(Self { job, artifacts: true, optional: false, matrix: Vec::new() });
        };
        reader.keys("needs", map, &["job", "artifacts", "optional", "parallel"], &["pipeline", "project", "ref"]);
        let mut flag = |key: &str| map.get(key).and_then(|node| reader.boolean(key, node));
        let (artifacts, optional) = (flag("artifacts").unwrap_or(true), flag("optional").unwrap_or(false));
        let matrix = match map.get("parallel").and_then(|node| reader.map("parallel", node)) {
            Some(parallel) => {
                reader.keys("needs:parallel", parallel, &["matrix"], &[]);
                let matrix = parallel.get("matrix").map(|node| super::parallel::combinations(node, reader));
                matrix.unwrap_or_default()
            }
            None => Vec::new(),
        };
        match map.get("job") {
            Some(job) => Some(Self { job: reader.string("job", job)?, artifacts, optional, matrix }),
            None => {
                if !map.iter().any(|entry| matches!(entry.key.value.as_str(), "pipeline" | "project")) {
                    reader.findings.error("this names no job", node.span);
                }
                None
            }
        }
    }
}
