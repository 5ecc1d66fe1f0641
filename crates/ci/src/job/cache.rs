//! `cache`: files that a job finds again in the next run.

use super::artifacts::When;
use crate::reader::Reader;
use crate::yaml::{Node, Value};

/// A cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Patterns of paths, before expansion.
    pub paths: Vec<String>,
    /// Everything that git does not know.
    pub untracked: bool,
    /// Which of the caches it is.
    pub key: CacheKey,
    /// Caches to begin with where this one is not there yet.
    pub fallback_keys: Vec<String>,
    /// Whether it is read, written or both.
    pub policy: CachePolicy,
    /// After which end it is written.
    pub when: When,
}

/// What names a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheKey {
    /// A text, before expansion.
    Text(String),
    /// The content of files.
    Files {
        /// Which, at most two.
        files: Vec<String>,
        /// A text before it.
        prefix: Option<String>,
    },
}

/// The way of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CachePolicy {
    /// Read and written.
    PullPush,
    /// Read.
    Pull,
    /// Written.
    Push,
    /// What a variable says when the job starts.
    Variable(String),
}

impl Cache {
    pub(crate) fn read_list(node: &Node, reader: &mut Reader<'_>) -> Vec<Self> {
        let items = if let Value::Seq(items) = &node.value { items } else { std::slice::from_ref(node) };
        items.iter().filter_map(|item| Self::read(item, reader)).collect()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let map = reader.map("cache", node)?;
        // An empty map switches an inherited cache off.
        map.iter().next()?;
        let known = ["paths", "untracked", "key", "fallback_keys", "policy", "when", "unprotect"];
        reader.keys("cache", map, &known, &[]);
        let strings = |key: &str, reader: &mut Reader<'_>| -> Vec<String> {
            let found = map.get(key).map(|node| reader.strings(key, node)).unwrap_or_default();
            found.into_iter().map(|text| text.value).collect()
        };
        let when = [("on_success", When::OnSuccess), ("on_failure", When::OnFailure), ("always", When::Always)];
        // There are no protected branches here, so nothing to be kept apart.
        if let Some(node) = map.get("unprotect") {
            reader.boolean("unprotect", node);
        }
        Some(Self {
            paths: strings("paths", reader),
            untracked: map.get("untracked").and_then(|node| reader.boolean("untracked", node)).unwrap_or(false),
            key: map
                .get("key")
                .and_then(|node| CacheKey::read(node, reader))
                .unwrap_or(CacheKey::Text("default".into())),
            fallback_keys: strings("fallback_keys", reader),
            policy: map.get("policy").and_then(|node| CachePolicy::read(node, reader)).unwrap_or(CachePolicy::PullPush),
            when: map.get("when").and_then(|node| reader.word("cache:when", node, &when)).unwrap_or_default(),
        })
    }
}

impl CacheKey {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::Map(map) = &node.value else { return reader.value("cache:key", node).map(Self::Text) };
        reader.keys("cache:key", map, &["files", "prefix"], &["files_commits"]);
        let files = map.get("files").map(|node| reader.strings("files", node)).unwrap_or_default();
        if files.is_empty() || files.len() > 2 {
            reader.findings.error("`cache:key:files` takes one or two files", node.span);
            return None;
        }
        let prefix = map.get("prefix").and_then(|node| reader.value("prefix", node));
        Some(Self::Files { files: files.into_iter().map(|file| file.value).collect(), prefix })
    }
}

impl CachePolicy {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let Value::String(text) = &node.value
            && text.contains('$')
        {
            return Some(Self::Variable(text.clone()));
        }
        let words = [("pull-push", 0), ("pull", 1), ("push", 2)];
        let word = reader.word("cache:policy", node, &words)?;
        Some([Self::PullPush, Self::Pull, Self::Push][word].clone())
    }

    /// A policy by its name, once variables are known.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "pull-push" => Some(Self::PullPush),
            "pull" => Some(Self::Pull),
            "push" => Some(Self::Push),
            _ => None,
        }
    }
}
