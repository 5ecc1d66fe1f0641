//! `extends`, and what jobs inherit from `default:`.

use std::collections::HashMap;

use crate::diagnostic::{Diagnostic, Findings};
use crate::span::Spanned;
use crate::yaml::{Entry, Map, Node, Value};

/// How long a chain of `extends` may be (GitLab's number).
const MAX_DEPTH: usize = 10;

/// How many jobs one may extend (GitLab's number).
const MAX_BASES: usize = 11;

/// Puts below a job what it extends: of several the later over the earlier, and itself over all.
pub(crate) struct Extender<'a> {
    root: &'a Map,
    done: HashMap<String, Map>,
}

impl<'a> Extender<'a> {
    pub(crate) fn new(root: &'a Map) -> Self {
        Self { root, done: HashMap::new() }
    }

    pub(crate) fn job(&mut self, name: &str, findings: &mut Findings) -> Map {
        self.extended(name, &mut Vec::new(), findings)
    }

    fn extended(&mut self, name: &str, path: &mut Vec<String>, findings: &mut Findings) -> Map {
        if let Some(done) = self.done.get(name) {
            return done.clone();
        }
        let Some(Node { value: Value::Map(own), .. }) = self.root.get(name) else { return Map::default() };
        let mut own = own.clone();
        let Some(extends) = own.remove("extends") else { return own };
        path.push(name.to_owned());
        let mut merged = Map::default();
        for base in bases(&extends.value, findings) {
            if path.contains(&base.value) {
                findings.error(format!("`{}` extends itself in the end", base.value), base.span);
            } else if path.len() > MAX_DEPTH {
                findings.error(format!("jobs extend each other more than {MAX_DEPTH} deep"), base.span);
            } else if matches!(self.root.get(&base.value), Some(Node { value: Value::Map(_), .. })) {
                merged.deep_merge(self.extended(&base.value, path, findings));
            } else {
                let known: Vec<&str> = self.root.iter().map(|entry| entry.key.value.as_str()).collect();
                let message = format!("there is no job `{}` to extend", base.value);
                findings.add(Diagnostic::error(message, base.span).propose(&base.value, known));
            }
        }
        path.pop();
        merged.deep_merge(own);
        self.done.insert(name.to_owned(), merged.clone());
        merged
    }
}

fn bases(node: &Node, findings: &mut Findings) -> Vec<Spanned<String>> {
    let items = if let Value::Seq(items) = &node.value { items } else { std::slice::from_ref(node) };
    if items.len() > MAX_BASES {
        findings.error(format!("a job extends more than {MAX_BASES} others"), node.span);
        return Vec::new();
    }
    let name = |item: &Node| match &item.value {
        Value::String(name) => Some(Spanned::new(name.clone(), item.span)),
        _ => {
            findings.error(format!("`extends` takes names of jobs, not {}", item.kind()), item.span);
            None
        }
    };
    items.iter().filter_map(name).collect()
}

/// Gives a job the defaults that it does not have and does not refuse by `inherit:default`.
pub(crate) fn inherit(job: &mut Map, defaults: &[Entry], findings: &mut Findings) {
    let wanted = match job.get("inherit") {
        Some(Node { value: Value::Map(inherit), .. }) => {
            for entry in inherit.iter().filter(|e| !matches!(e.key.value.as_str(), "default" | "variables")) {
                let message = format!("`{}` is not a key of inherit", entry.key.value);
                let known = ["default", "variables"];
                findings.add(Diagnostic::error(message, entry.key.span).propose(&entry.key.value, known));
            }
            inherit.get("default").cloned()
        }
        _ => None,
    };
    let inherits: Box<dyn Fn(&str) -> bool> = match wanted.map(|node| (node.span, node.value)) {
        None | Some((_, Value::Bool(true))) => Box::new(|_| true),
        Some((_, Value::Bool(false))) => Box::new(|_| false),
        Some((_, Value::Seq(names))) => {
            Box::new(move |key| names.iter().any(|name| name.text().as_deref() == Some(key)))
        }
        Some((span, _)) => {
            findings.error("`inherit:default` should be true, false or a list of keys", span);
            Box::new(|_| true)
        }
    };
    for entry in defaults {
        if inherits(&entry.key.value) && job.get(&entry.key.value).is_none() {
            job.insert(entry.clone());
        }
    }
}
