//! From text to tree.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::{Entry, MAX_DEPTH, Map, NODE, Node, Value, scalar};
use crate::diagnostic::{Diagnostic, Findings};
use crate::span::{Span, Spanned};

/// The longest text (GitLab's `max_yaml_size_bytes`).
const MAX_BYTES: usize = 2 << 20;

/// What a text may become when its aliases are expanded, in bytes. A text of the greatest length fits in; a few lines of aliases to
/// aliases ("a billion laughs") do not.
const MAX_EXPANDED: usize = 64 << 20;

/// Reads a text. `None` if it is empty; what is wrong with it goes to the findings, and then there is no tree either.
pub(crate) fn read(text: &str, file: usize, findings: &mut Findings) -> Option<Node> {
    let whole = Span { file, start: 0, end: text.len().min(1) };
    if text.len() > MAX_BYTES {
        findings.error(format!("the file is longer than {} MiB", MAX_BYTES >> 20), whole);
        return None;
    }
    let offsets = Offsets::new(text);
    let mut builder =
        Builder { file, offsets, findings, stack: Vec::new(), anchors: HashMap::new(), expanded: 0, root: None };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let taken = match event {
            Ok((event, at)) => {
                let span = builder.span(at.start.index(), at.end.index());
                builder.event(event, span)
            }
            Err(e) => {
                let at = e.marker().index();
                Err(Diagnostic::error(format!("this is not YAML: {}", e.info()), builder.span(at, at + 1)))
            }
        };
        if let Err(diagnostic) = taken {
            builder.findings.add(diagnostic);
            return None;
        }
    }
    builder.root
}

/// From the parser's places, which count characters, to bytes.
struct Offsets {
    /// Empty where every character is a byte.
    of_char: Vec<usize>,
    len: usize,
}

impl Offsets {
    fn new(text: &str) -> Self {
        let of_char = if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(at, _)| at).collect() };
        Self { of_char, len: text.len() }
    }

    fn byte(&self, index: usize) -> usize {
        if self.of_char.is_empty() { index.min(self.len) } else { self.of_char.get(index).copied().unwrap_or(self.len) }
    }
}

/// A collection that is not closed yet.
struct Frame {
    items: Vec<Node>,
    /// Pairs, and the key whose value comes next; `None` for a list.
    pairs: Option<(Map, Option<Spanned<String>>)>,
    reference: bool,
    span: Span,
    anchor: usize,
    size: usize,
    /// Of what lies in it.
    depth: usize,
}

/// A node that an alias can stand for.
#[derive(Clone)]
struct Anchored {
    node: Node,
    size: usize,
    depth: usize,
}

struct Builder<'a> {
    file: usize,
    offsets: Offsets,
    findings: &'a mut Findings,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    expanded: usize,
    root: Option<Node>,
}

impl Builder<'_> {
    fn span(&self, start: usize, end: usize) -> Span {
        let (start, end) = (self.offsets.byte(start), self.offsets.byte(end));
        Span { file: self.file, start, end: end.max(start) }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Diagnostic> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) if self.root.is_some() => Err(Diagnostic::error(
                "a second document: headers with `spec:` and their inputs are not supported yet",
                span,
            )),
            Event::DocumentStart(_) => Ok(()),
            Event::Alias(id) => {
                let Some(Anchored { mut node, size, depth }) = self.anchors.get(&id).cloned() else {
                    return Err(Diagnostic::error("this alias stands for the very thing that it is in", span));
                };
                // A finding in it is about what is written there, but a finding about it is about the alias.
                node.span = span;
                self.expanded += size;
                self.push(node, size, depth, 0)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar_of(&text, style, tag.as_deref(), span)?;
                self.expanded += NODE + text.len();
                self.push(Node { value, span }, NODE + text.len(), 0, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                let reference = match tag.as_deref().map(tag_name).as_deref() {
                    None | Some("!!seq") => false,
                    Some("!reference") => true,
                    Some(tag) => return Err(unknown_tag(tag, span)),
                };
                self.open(None, reference, span, anchor)
            }
            Event::MappingStart(anchor, tag) => match tag.as_deref().map(tag_name).as_deref() {
                None | Some("!!map") => self.open(Some((Map::default(), None)), false, span, anchor),
                Some(tag) => Err(unknown_tag(tag, span)),
            },
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(frame) = self.stack.pop() else { return Ok(()) };
                let span = Span { end: span.end.max(frame.span.start), ..frame.span };
                let value = match frame.pairs {
                    Some((map, _)) => Value::Map(map),
                    None if frame.reference => reference(frame.items, span)?,
                    None => Value::Seq(frame.items),
                };
                self.push(Node { value, span }, frame.size, frame.depth, frame.anchor)
            }
        }
    }

    fn open(
        &mut self,
        pairs: Option<(Map, Option<Spanned<String>>)>,
        reference: bool,
        span: Span,
        anchor: usize,
    ) -> Result<(), Diagnostic> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_deep(span));
        }
        self.expanded += NODE;
        self.stack.push(Frame { items: Vec::new(), pairs, reference, span, anchor, size: NODE, depth: 0 });
        Ok(())
    }

    /// A node is whole: it goes to where it belongs.
    fn push(&mut self, node: Node, size: usize, depth: usize, anchor: usize) -> Result<(), Diagnostic> {
        let span = node.span;
        if self.stack.len() + depth > MAX_DEPTH {
            return Err(too_deep(span));
        }
        if anchor != 0 {
            self.expanded += size;
            self.anchors.insert(anchor, Anchored { node: node.clone(), size, depth });
        }
        if self.expanded > MAX_EXPANDED {
            return Err(Diagnostic::error("what the aliases of this file stand for is too much", span));
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        frame.size += size;
        frame.depth = frame.depth.max(depth + 1);
        match &mut frame.pairs {
            None => frame.items.push(node),
            Some((map, key)) => match key.take() {
                None => *key = Some(key_of(&node)?),
                Some(key) if key.value == "<<" => merge(map, node)?,
                Some(key) => {
                    let name = key.value.clone();
                    if let Some(old) = map.insert(Entry { key, value: node })
                        && old.key.span.start >= frame.span.start
                    {
                        let help = "the last one counts, as in GitLab; remove the other";
                        self.findings.warn(format!("`{name}` is given twice"), old.key.span, help);
                    }
                }
            },
        }
        Ok(())
    }
}

fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error(format!("collections lie more than {MAX_DEPTH} deep in each other"), span)
}

fn unknown_tag(tag: &str, span: Span) -> Diagnostic {
    Diagnostic::error(format!("the tag `{tag}` is not known here"), span).propose(tag, ["!reference"])
}

fn tag_name(tag: &Tag) -> String {
    match tag.handle.as_str() {
        "tag:yaml.org,2002:" | "!!" => format!("!!{}", tag.suffix),
        "" if tag.suffix.starts_with("tag:yaml.org,2002:") => tag.suffix.replacen("tag:yaml.org,2002:", "!!", 1),
        handle => format!("{handle}{}", tag.suffix),
    }
}

fn scalar_of(text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Result<Value, Diagnostic> {
    let plain = || {
        let quote = |m| Diagnostic::error(m, span).help(format!("put it in quotes: \"{text}\""));
        scalar::plain(text).map_err(quote)
    };
    let as_text = || Ok(Value::String(text.to_owned()));
    match tag.map(tag_name).as_deref() {
        None if style == ScalarStyle::Plain => plain(),
        None | Some("!!str" | "!") => as_text(),
        Some("!!null") => Ok(Value::Null),
        Some(tag @ ("!!int" | "!!float" | "!!bool")) => match (plain()?, tag) {
            (value @ Value::Int(_), "!!int")
            | (value @ Value::Float(_), "!!float")
            | (value @ Value::Bool(_), "!!bool") => Ok(value),
            (Value::Int(n), "!!float") => Ok(Value::Float(n as f64)),
            _ => Err(Diagnostic::error(format!("`{text}` is not what the tag `{tag}` says"), span)),
        },
        Some("!reference") => {
            Err(Diagnostic::error("`!reference` takes a list", span).help("write !reference [job, key]"))
        }
        Some(tag) => Err(unknown_tag(tag, span)),
    }
}

fn key_of(node: &Node) -> Result<Spanned<String>, Diagnostic> {
    match node.text() {
        Some(text) => Ok(Spanned::new(text, node.span)),
        None => Err(Diagnostic::error(format!("{} cannot be a key", node.kind()), node.span)),
    }
}

/// `<<`. What comes by it replaces what stands before it in the map, for Psych does so, and is replaced by what stands after it.
fn merge(map: &mut Map, node: Node) -> Result<(), Diagnostic> {
    let maps = match node.value {
        Value::Map(other) => vec![other],
        Value::Seq(items) => {
            let map = |item: Node| match item.value {
                Value::Map(map) => Ok(map),
                _ => Err(Diagnostic::error("`<<` takes a map or a list of maps", item.span)),
            };
            // The first of the list wins.
            items.into_iter().rev().map(map).collect::<Result<_, _>>()?
        }
        _ => return Err(Diagnostic::error("`<<` takes a map or a list of maps", node.span)),
    };
    for other in maps {
        for entry in other.iter() {
            map.insert(entry.clone());
        }
    }
    Ok(())
}

fn reference(items: Vec<Node>, span: Span) -> Result<Value, Diagnostic> {
    if items.is_empty() {
        return Err(Diagnostic::error("an empty reference", span).help("write !reference [job, key]"));
    }
    items.iter().map(key_of).collect::<Result<_, _>>().map(Value::Reference)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A tree in one line.
    fn show(node: &Node) -> String {
        match &node.value {
            Value::Seq(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
            Value::Map(map) => {
                let pair = |entry: &Entry| format!("{}: {}", entry.key.value, show(&entry.value));
                format!("{{{}}}", map.iter().map(pair).collect::<Vec<_>>().join(", "))
            }
            Value::Reference(path) => {
                format!("!{}", path.iter().map(|s| s.value.as_str()).collect::<Vec<_>>().join("."))
            }
            Value::String(s) => format!("{s:?}"),
            _ => node.text().unwrap_or_default(),
        }
    }

    fn tree(text: &str) -> Result<String, String> {
        let mut findings = Findings::default();
        let node = read(text, 0, &mut findings);
        if findings.failed() {
            let spot = |d: &Diagnostic| format!("{} @ {}", d.message, &text[d.span.start..d.span.end]);
            return Err(findings.into_sorted().iter().map(spot).collect::<Vec<_>>().join("; "));
        }
        Ok(node.map_or_else(String::new, |node| show(&node)))
    }

    #[test]
    fn trees() {
        for (text, expected) in [
            ("", ""),
            ("a: yes\nb: 'yes'\nc: 0755", "{a: true, b: \"yes\", c: 493}"),
            ("a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}", "{a: {k: 1, l: 2}, b: {k: 1, l: 3}}"),
            ("a: &x {l: 2}\nb: {l: 3, <<: *x}", "{a: {l: 2}, b: {l: 2}}"),
            ("a: &x {k: 1}\nb: &y {k: 2, m: 3}\nc: {<<: [*x, *y]}", "{a: {k: 1}, b: {k: 2, m: 3}, c: {k: 1, m: 3}}"),
            ("a: !reference [.b, script]\n", "{a: !.b.script}"),
            ("- !!str 12\n- !!int '7'", "[\"12\", 7]"),
            ("on: 1\n1: x", "{true: 1, 1: \"x\"}"),
            ("a: |\n  x\n  y\n", "{a: \"x\\ny\\n\"}"),
        ] {
            assert_eq!(tree(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn errors_have_places() {
        for (text, expected) in [
            ("a: !foo bar", "the tag `!foo` is not known here @ !foo bar"),
            ("a: 2024-01-01", "`2024-01-01` is a date, which GitLab does not take @ 2024-01-01"),
            ("? [a]\n: b", "a list cannot be a key"),
            ("a: &x [*x]", "this alias stands for the very thing that it is in @ *x"),
            ("é: 1\nb: {<<: 3}", "`<<` takes a map or a list of maps @ 3"),
            ("--- a\n--- b\n", "a second document"),
        ] {
            let error = tree(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        assert!(tree("a: [b").unwrap_err().starts_with("this is not YAML"));
    }

    #[test]
    fn aliases_are_bounded() {
        let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for n in 1..12 {
            let alias = format!("*a{}, ", n - 1).repeat(9);
            laughs += &format!("a{n}: &a{n} [{alias}]\n");
        }
        assert!(tree(&laughs).unwrap_err().starts_with("what the aliases"));
        let mut deep = "a0: &a0 [x]\n".to_owned();
        (1..300).for_each(|n| deep += &format!("a{n}: &a{n} [*a{}]\n", n - 1));
        assert!(tree(&deep).unwrap_err().starts_with("collections lie more than"));
        assert!(tree(&"[".repeat(5000)).is_err());
    }

    #[test]
    fn a_repeated_key_is_told() {
        let mut findings = Findings::default();
        let node = read("a: 1\na: 2", 0, &mut findings).unwrap();
        assert_eq!(show(&node), "{a: 2}");
        assert_eq!(findings.into_sorted()[0].message, "`a` is given twice");
    }

    proptest! {
        #[test]
        fn never_panics(text in r##"([a-c]|[ \n:\-,\[\]{}&*!<|>'"#é%@0-9.~]|\n  |: |- |<<: |&a |\*a ){0,60}"##) {
            let mut findings = Findings::default();
            let _ = read(&text, 0, &mut findings);
            for finding in findings.into_sorted() {
                prop_assert!(text.get(finding.span.start..finding.span.end).is_some());
            }
        }
    }
}
