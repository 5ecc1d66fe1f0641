//! `!reference [job, key]`: the value of another place, put where it is asked for.

use super::{MAX_DEPTH, Map, NODE, Node, Value};
use crate::diagnostic::{Diagnostic, Findings};
use crate::span::Spanned;

/// References may lead to references, so often (GitLab's number).
const MAX_STEPS: usize = 10;

/// What a pipeline with all its references may come to, in bytes.
const MAX_WEIGHT: usize = 64 << 20;

/// Resolves all references of a pipeline. One that leads nowhere is told, and becomes nothing.
pub(crate) fn resolve(root: &mut Map, findings: &mut Findings) {
    let original = root.clone();
    let mut resolver = Resolver { root: &original, findings, weight: 0 };
    for entry in root.iter_mut() {
        resolver.node(&mut entry.value, 0, 0);
    }
}

struct Resolver<'a> {
    root: &'a Map,
    findings: &'a mut Findings,
    weight: usize,
}

impl Resolver<'_> {
    fn node(&mut self, node: &mut Node, steps: usize, depth: usize) {
        self.weight += NODE;
        match &mut node.value {
            Value::Seq(items) => items.iter_mut().for_each(|item| self.node(item, steps, depth + 1)),
            Value::Map(map) => map.iter_mut().for_each(|entry| self.node(&mut entry.value, steps, depth + 1)),
            Value::Reference(path) => {
                let path = std::mem::take(path);
                let span = node.span;
                node.value = Value::Null;
                if steps >= MAX_STEPS || depth >= MAX_DEPTH || self.weight > MAX_WEIGHT {
                    let what = format!("references lead to references more than {MAX_STEPS} times, or to too much");
                    self.findings.error(what, span);
                    return;
                }
                match self.find(&path) {
                    Ok(found) => {
                        node.value = found.value.clone();
                        self.node(node, steps + 1, depth);
                    }
                    Err(diagnostic) => self.findings.add(diagnostic),
                }
            }
            Value::String(text) => self.weight += text.len(),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {}
        }
    }

    fn find(&self, path: &[Spanned<String>]) -> Result<&Node, Diagnostic> {
        let mut map = self.root;
        for (n, step) in path.iter().enumerate() {
            let Some(found) = map.get(&step.value) else {
                let known: Vec<&str> = map.iter().map(|entry| entry.key.value.as_str()).collect();
                let message = format!("`{}` is not there to be referred to", step.value);
                return Err(Diagnostic::error(message, step.span).propose(&step.value, known));
            };
            match &found.value {
                _ if n + 1 == path.len() => return Ok(found),
                Value::Map(inner) => map = inner,
                _ => {
                    let message = format!("`{}` is {}, which has no keys", step.value, found.kind());
                    return Err(Diagnostic::error(message, step.span));
                }
            }
        }
        Err(Diagnostic::error("an empty reference", path.first().map(|s| s.span).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> (Map, Vec<String>) {
        let mut findings = Findings::default();
        let Some(Node { value: Value::Map(mut map), .. }) = super::super::read(text, 0, &mut findings) else {
            panic!("no map in {text}");
        };
        resolve(&mut map, &mut findings);
        (map, findings.into_sorted().into_iter().map(|d| d.message).collect())
    }

    #[test]
    fn a_reference_is_what_it_refers_to() {
        let (map, findings) =
            resolved(".a: {script: [x, !reference [.b, script]]}\n.b: {script: [y]}\nj: !reference [.a, script]");
        assert!(findings.is_empty(), "{findings:?}");
        let Some(Value::Seq(items)) = map.get("j").map(|n| &n.value) else { panic!("no list") };
        assert_eq!(items[0].text().as_deref(), Some("x"));
        assert!(matches!(&items[1].value, Value::Seq(inner) if inner[0].text().as_deref() == Some("y")));
    }

    #[test]
    fn bad_references_are_told() {
        let (_, findings) =
            resolved("a: !reference [.scirpt]\n.script: 1\nb: !reference [b]\nc: !reference [.script, x]");
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert!(findings[0].contains("`.scirpt` is not there"));
        assert!(findings[1].contains("lead to references"));
        assert!(findings[2].contains("is a number, which has no keys"));
    }

    #[test]
    fn references_do_not_explode() {
        let mut text = "a0: [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            text += &format!("a{n}: [{}]\n", format!("!reference [a{}], ", n - 1).repeat(10));
        }
        assert!(!resolved(&text).1.is_empty());
    }
}
