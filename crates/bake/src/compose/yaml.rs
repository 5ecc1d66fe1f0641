//! YAML as a tree with places. Anchors, aliases and `<<` are gone from it. What aliases expand to is bounded.

use std::collections::{BTreeMap, HashMap};

use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::fault::{Fault, Result, Span, fault};

/// How deep collections may lie in each other.
const MAX_DEPTH: usize = 64;
/// How many nodes there may be, aliases expanded.
const MAX_NODES: usize = 1 << 18;

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Yaml,
    pub(crate) span: Option<Span>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Yaml {
    Null,
    /// With whether it stood without quotes, and so may be a number or a truth.
    Scalar(String, bool),
    List(Vec<Node>),
    Map(BTreeMap<String, Node>),
}

impl Node {
    pub(crate) fn wrong(&self, message: impl Into<String>) -> Box<Fault> {
        fault(message).at(self.span.clone())
    }

    pub(crate) fn map(&self) -> Result<&BTreeMap<String, Self>> {
        match &self.value {
            Yaml::Map(items) => Ok(items),
            _ => Err(self.wrong("a map is required")),
        }
    }

    pub(crate) fn list(&self) -> Result<&[Self]> {
        match &self.value {
            Yaml::List(items) => Ok(items),
            _ => Err(self.wrong("a list is required")),
        }
    }

    /// A scalar as a text. A number without quotes is written as programs write it: `1.20` is `1.2`.
    pub(crate) fn text(&self) -> Result<String> {
        match &self.value {
            Yaml::Scalar(text, true) if text.contains('.') && text.starts_with(|c: char| c.is_ascii_digit()) => {
                Ok(text.parse::<f64>().map_or_else(|_| text.clone(), |number| number.to_string()))
            }
            Yaml::Scalar(text, _) => Ok(text.clone()),
            _ => Err(self.wrong("a text is required")),
        }
    }

    pub(crate) fn bool(&self) -> Result<bool> {
        match self.text()?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" | "y" => Ok(true),
            "false" | "no" | "off" | "0" | "n" => Ok(false),
            _ => Err(self.wrong("true or false is required")),
        }
    }
}

/// Reads one document.
pub(crate) fn read(text: &str, file: usize) -> Result<Node> {
    let offsets: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    let byte = |at: usize| offsets.get(at).copied().unwrap_or(text.len());
    let mut builder = Builder { stack: Vec::new(), anchors: HashMap::new(), nodes: 0, root: None };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, at)) => {
                let span = Span { file, bytes: byte(at.start.index())..byte(at.end.index()) };
                builder.event(event, span.clone()).map_err(|e| e.at(Some(span)))?;
            }
            Err(e) => {
                let at = byte(e.marker().index());
                return Err(fault(format!("this is not YAML: {}", e.info())).at(Some(Span { file, bytes: at..at + 1 })));
            }
        }
    }
    Ok(builder.root.unwrap_or(Node { value: Yaml::Null, span: None }))
}

/// A collection that is not closed yet: a list, or a map with the key whose value comes next.
struct Frame {
    items: Vec<Node>,
    map: Option<(BTreeMap<String, Node>, Option<String>)>,
    /// What `<<` brings: only where the map says nothing itself.
    merged: Vec<Node>,
    span: Span,
    anchor: usize,
}

struct Builder {
    stack: Vec<Frame>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    root: Option<Node>,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<()> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => Err(fault("a second document is not supported here")),
            Event::Alias(id) => {
                let (node, size) =
                    self.anchors.get(&id).cloned().ok_or_else(|| fault("an alias within what it names"))?;
                self.nodes += size;
                self.push(node, 0, size)
            }
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let value = match (&*text, plain) {
                    ("" | "~" | "null" | "Null" | "NULL", true) => Yaml::Null,
                    (text, plain) => Yaml::Scalar(text.to_owned(), plain),
                };
                self.nodes += 1;
                self.push(Node { value, span: Some(span) }, anchor, 1)
            }
            Event::SequenceStart(anchor, _) => self.open(None, span, anchor),
            Event::MappingStart(anchor, _) => self.open(Some((BTreeMap::new(), None)), span, anchor),
            Event::SequenceEnd | Event::MappingEnd => self.close(span.bytes.end),
            _ => Ok(()),
        }
    }

    fn open(&mut self, map: Option<(BTreeMap<String, Node>, Option<String>)>, span: Span, anchor: usize) -> Result<()> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(fault("collections lie too deep in each other"));
        }
        self.nodes += 1;
        self.stack.push(Frame { items: Vec::new(), map, merged: Vec::new(), span, anchor });
        Ok(())
    }

    fn close(&mut self, end: usize) -> Result<()> {
        let Some(mut frame) = self.stack.pop() else { return Ok(()) };
        let value = match frame.map {
            None => Yaml::List(frame.items),
            Some((mut map, _)) => {
                for node in &frame.merged {
                    for (key, value) in node.map()? {
                        map.entry(key.clone()).or_insert_with(|| value.clone());
                    }
                }
                Yaml::Map(map)
            }
        };
        frame.span.bytes.end = end.max(frame.span.bytes.end);
        let node = Node { value, span: Some(frame.span) };
        let size = size(&node);
        self.push(node, frame.anchor, size)
    }

    fn push(&mut self, node: Node, anchor: usize, size: usize) -> Result<()> {
        if self.nodes > MAX_NODES {
            return Err(fault("the file is too large when its aliases are expanded"));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut frame.map {
            None => frame.items.push(node),
            Some((map, key)) => match key.take() {
                None => *key = Some(if node.value == Yaml::Null { String::new() } else { node.text()? }),
                Some(key) if key == "<<" => match node.value {
                    Yaml::List(items) => frame.merged.extend(items),
                    _ => frame.merged.push(node),
                },
                Some(key) if map.contains_key(&key) => return Err(fault(format!("`{key}` is set twice"))),
                Some(key) => drop(map.insert(key, node)),
            },
        }
        Ok(())
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Yaml::List(items) => items.iter().map(size).sum::<usize>(),
        Yaml::Map(items) => items.values().map(size).sum(),
        _ => 0,
    }
}
