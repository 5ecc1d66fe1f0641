//! `include`: other files of the repository, merged below the one that includes them.

use crate::diagnostic::{Diagnostic, Findings};
use crate::glob;
use crate::span::{Sources, Spanned};
use crate::yaml::{self, Map, Node, Value};

/// How many files a pipeline may be made of (GitLab's number). It bounds circles too.
const MAX_FILES: usize = 150;

/// The repository's files, for those that a pipeline includes.
pub trait Files {
    /// A file by its path from the repository's root; `None` if there is none.
    ///
    /// # Errors
    /// It is there but cannot be read as a text.
    fn read(&self, path: &str) -> std::io::Result<Option<String>>;

    /// The paths of all files, for patterns.
    fn paths(&self) -> Vec<String>;
}

/// A repository without a file.
#[cfg(test)]
pub(crate) struct Nothing;

#[cfg(test)]
impl Files for Nothing {
    fn read(&self, _: &str) -> std::io::Result<Option<String>> {
        Ok(None)
    }

    fn paths(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Reads a file and all that it includes into one map.
pub(crate) fn load(name: &str, text: &str, files: &dyn Files, sources: &mut Sources, findings: &mut Findings) -> Map {
    let mut loader = Loader { files, sources, findings, count: 0 };
    loader.file(name, text)
}

struct Loader<'a> {
    files: &'a dyn Files,
    sources: &'a mut Sources,
    findings: &'a mut Findings,
    count: usize,
}

impl Loader<'_> {
    fn file(&mut self, name: &str, text: &str) -> Map {
        let file = self.sources.add(name, text);
        let Some(node) = yaml::read(text, file, self.findings) else { return Map::default() };
        let span = node.span;
        let Value::Map(mut map) = node.value else {
            self.findings.error("a pipeline is a map of jobs", span);
            return Map::default();
        };
        let Some(include) = map.remove("include") else { return map };
        let mut all = Map::default();
        let items = if let Value::Seq(items) = include.value.value { items } else { vec![include.value] };
        for item in items {
            if let Some(path) = self.path(&item) {
                for map in self.included(&path) {
                    all.deep_merge(map);
                }
            }
        }
        all.deep_merge(map);
        all
    }

    /// The path that an item of `include` names.
    fn path(&mut self, item: &Node) -> Option<Spanned<String>> {
        match &item.value {
            Value::String(text) if text.contains("://") => {
                self.findings.unsupported("include:remote", item.span);
                None
            }
            Value::String(text) => Some(Spanned::new(text.clone(), item.span)),
            Value::Map(map) => {
                for entry in map.iter() {
                    let key = entry.key.value.as_str();
                    match key {
                        "local" => {}
                        "remote" | "project" | "file" | "ref" | "template" | "component" | "artifact" | "job"
                        | "inputs" | "rules" | "integrity" | "cache" => {
                            self.findings.unsupported(&format!("include:{key}"), entry.key.span);
                        }
                        _ => self.findings.add(
                            Diagnostic::error(format!("`{key}` is not a key of include"), entry.key.span)
                                .propose(key, ["local"]),
                        ),
                    }
                }
                match &map.get("local")?.value {
                    Value::String(text) => Some(Spanned::new(text.clone(), map.get("local")?.span)),
                    _ => {
                        self.findings.error("`include:local` takes a path", item.span);
                        None
                    }
                }
            }
            _ => {
                self.findings.error(format!("`include` takes paths, not {}", item.kind()), item.span);
                None
            }
        }
    }

    fn included(&mut self, path: &Spanned<String>) -> Vec<Map> {
        let name = path.value.trim_start_matches('/');
        let names = if name.contains('*') {
            let mut names: Vec<String> = self.files.paths().into_iter().filter(|p| glob::fnmatch(name, p)).collect();
            names.sort();
            names
        } else {
            vec![name.to_owned()]
        };
        if names.is_empty() {
            self.findings.error(format!("no file matches `{name}`"), path.span);
        }
        let mut found = Vec::new();
        for name in names {
            self.count += 1;
            if self.count > MAX_FILES {
                self.findings
                    .error(format!("the pipeline includes more than {MAX_FILES} files, or includes itself"), path.span);
                break;
            }
            if !name.ends_with(".yml") && !name.ends_with(".yaml") {
                self.findings.error(format!("`{name}` is not the name of a YAML file"), path.span);
                continue;
            }
            match self.files.read(&name) {
                Ok(Some(text)) => found.push(self.file(&name, &text)),
                Ok(None) => self.findings.error(format!("`{name}` is not in the repository"), path.span),
                Err(e) => self.findings.error(format!("`{name}` cannot be read: {e}"), path.span),
            }
        }
        found
    }
}
