//! YAML as GitLab reads it: by Ruby's Psych, which is YAML 1.1 with ways of its own. A text becomes a tree of [`Node`]s, each with
//! its place; anchors, aliases and `<<` are gone from it, `!reference` is left to be resolved when all files are together.
//!
//! The text may be anybody's, so its size, its depth and what its aliases expand to are bounded.

mod read;
mod reference;
mod scalar;

pub(crate) use read::read;
pub(crate) use reference::resolve;
pub(crate) use scalar::ruby_float;

use std::collections::HashMap;

use crate::span::{Span, Spanned};

/// How deep collections may lie in each other (GitLab's `max_yaml_depth`).
pub(crate) const MAX_DEPTH: usize = 100;

/// What a node counts beside its text.
const NODE: usize = 16;

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) span: Span,
}

/// What YAML can say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(String),
    Seq(Vec<Node>),
    Map(Map),
    /// `!reference [job, key, ...]`.
    Reference(Vec<Spanned<String>>),
}

/// Pairs in the order of the text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Map {
    entries: Vec<Entry>,
    /// Where each key is. A file may have hundreds of thousands.
    places: HashMap<String, usize>,
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

/// A pair.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: Spanned<String>,
    pub(crate) value: Node,
}

impl Map {
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.places.get(key).map(|place| &self.entries[*place])
    }

    /// Puts a pair in. One that is there already keeps its place in the order, as in Ruby, and is returned.
    pub(crate) fn insert(&mut self, entry: Entry) -> Option<Entry> {
        match self.places.get(&entry.key.value) {
            Some(place) => Some(std::mem::replace(&mut self.entries[*place], entry)),
            None => {
                self.places.insert(entry.key.value.clone(), self.entries.len());
                self.entries.push(entry);
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<Entry> {
        let at = self.places.remove(key)?;
        self.places.values_mut().filter(|place| **place > at).for_each(|place| *place -= 1);
        Some(self.entries.remove(at))
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.entries.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Entry> {
        self.entries.iter_mut()
    }

    /// How much it is, in bytes or nearly so.
    pub(crate) fn weight(&self) -> usize {
        self.iter().map(|entry| entry.key.value.len() + entry.value.weight()).sum()
    }

    /// Puts another over this one. Where both have maps they are merged in turn; everything else is replaced, lists too.
    pub(crate) fn deep_merge(&mut self, over: Self) {
        for entry in over.entries {
            if let Value::Map(map) = &entry.value.value
                && let Some(place) = self.places.get(&entry.key.value)
                && let known = &mut self.entries[*place]
                && let Value::Map(below) = &mut known.value.value
            {
                below.deep_merge(map.clone());
                (known.key, known.value.span) = (entry.key, entry.value.span);
            } else {
                self.insert(entry);
            }
        }
    }
}

impl Node {
    /// What it is, for a message.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::String(_) => "a text",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a map",
            Value::Reference(_) => "a reference",
        }
    }

    /// How much it is, in bytes or nearly so.
    pub(crate) fn weight(&self) -> usize {
        NODE + match &self.value {
            Value::String(text) => text.len(),
            Value::Seq(items) => items.iter().map(Self::weight).sum(),
            Value::Map(map) => map.weight(),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Reference(_) => 0,
        }
    }

    /// A scalar as Ruby's `to_s` writes it; `None` for collections.
    pub(crate) fn text(&self) -> Option<String> {
        match &self.value {
            Value::Null => Some(String::new()),
            Value::Bool(b) => Some(b.to_string()),
            Value::Int(n) => Some(n.to_string()),
            Value::Float(f) => Some(ruby_float(*f)),
            Value::String(s) => Some(s.clone()),
            Value::Seq(_) | Value::Map(_) | Value::Reference(_) => None,
        }
    }
}
