//! What is wrong with how the stages of a Dockerfile depend on each other, and fails a build also where it needs none of them.

use std::collections::HashMap;

use crate::diagnostic::Diagnostic;
use crate::instruction::Op;
use crate::span::Span;
use crate::stage::Dockerfile;

/// That a stage needs another one, and the place that says so. FROM has none: as it names earlier stages only, there is always
/// another instruction in a circle.
struct Edge {
    to: usize,
    span: Option<Span>,
}

impl Dockerfile {
    /// Numbers that are no stage's, and the first circle of stages that need each other.
    pub(crate) fn wrong_sources(&self) -> Vec<Diagnostic> {
        let mut wrong = Vec::new();
        let edges = self.edges(&mut wrong);
        wrong.extend(circle(&edges).map(|(stage, span)| self.circular(stage, span)));
        wrong
    }

    /// What each stage needs, as far as names without variables say it.
    fn edges(&self, wrong: &mut Vec<Diagnostic>) -> Vec<Vec<Edge>> {
        let names = self.stages.iter().map(|s| s.name.as_ref().map(|name| name.value.to_lowercase()));
        let names: Vec<Option<String>> = names.collect();
        let indices = || names.iter().enumerate().filter_map(|(n, name)| Some((name.as_deref()?, n)));
        let by_name: HashMap<&str, usize> = indices().collect();
        let mut earlier: HashMap<&str, usize> = HashMap::new();
        let mut edges = Vec::new();
        for (stage, name) in self.stages.iter().zip(&names) {
            let mut own = Vec::new();
            own.extend(earlier.get(stage.base.value.as_str()).map(|to| Edge { to: *to, span: None }));
            let named = |from: &str, span: &Span| {
                by_name.get(from.to_lowercase().as_str()).map(|to| Edge { to: *to, span: Some(span.clone()) })
            };
            for instruction in &stage.instructions {
                match &instruction.op {
                    Op::Copy(copy) => {
                        if let Some(from) = &copy.from {
                            match self.numbered(stage.index, &from.value, &from.span) {
                                Some(Ok(to)) => own.push(Edge { to, span: Some(from.span.clone()) }),
                                Some(Err(error)) => wrong.push(error),
                                None => own.extend(named(&from.value, &from.span)),
                            }
                        }
                    }
                    Op::Run(run) => {
                        let from = run.mounts.iter().filter_map(|mount| named(mount.from.as_ref()?, &mount.span));
                        own.extend(from);
                    }
                    _ => {}
                }
            }
            edges.push(own);
            earlier.extend(name.as_deref().map(|name| (name, stage.index)));
        }
        edges
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Not,
    /// On the way that is being looked at.
    Open,
    Done,
}

/// A stage in a circle, and the place in it that asks for another one.
fn circle(edges: &[Vec<Edge>]) -> Option<(usize, Span)> {
    let mut seen = vec![Seen::Not; edges.len()];
    for start in 0..edges.len() {
        // The way so far: stages, and how many of their edges have been taken.
        let mut way = if seen[start] == Seen::Not { vec![(start, 0)] } else { Vec::new() };
        while let Some((stage, taken)) = way.last_mut() {
            seen[*stage] = Seen::Open;
            let Some(edge) = edges[*stage].get(*taken) else {
                seen[*stage] = Seen::Done;
                way.pop();
                continue;
            };
            *taken += 1;
            match seen[edge.to] {
                Seen::Not => way.push((edge.to, 0)),
                Seen::Done => {}
                Seen::Open => {
                    let around = way.iter().skip_while(|(stage, _)| *stage != edge.to);
                    return around
                        .copied()
                        .find_map(|(stage, taken)| Some((stage, edges[stage].get(taken - 1)?.span.clone()?)));
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::parse;

    #[test]
    fn circles_and_numbers() {
        for (text, expected) in [
            ("FROM x AS a\nCOPY a b\nFROM a AS b\nCOPY --from=a a b\nCOPY --from=0 a b", vec![]),
            ("FROM x AS a\nCOPY --from=a a b", vec!["circular dependency detected on stage: a"]),
            ("FROM x AS a\nCOPY --from=B a b\nFROM a AS b", vec!["circular dependency detected on stage: a"]),
            (
                "FROM x\nFROM x AS a\nRUN --mount=from=c true\nFROM x AS b\nCOPY --from=1 a b\nFROM b AS c\n",
                vec!["circular dependency detected on stage: a"],
            ),
            // It is there, but too late.
            ("FROM x AS a\nCOPY --from=b a b\nFROM x AS b", vec![]),
            (
                "FROM x AS a\nCOPY --from=2 a b\nCOPY --from=-1 a b\nFROM x",
                vec!["invalid stage index 2", "invalid stage index -1"],
            ),
        ] {
            let found = parse(text).diagnostics;
            assert_eq!(found.iter().map(|wrong| wrong.message.as_str()).collect::<Vec<_>>(), expected, "{text}");
        }
    }
}
