//! The YAML that spec files are written in, as the value that JSON would be.
//!
//! Scalars stay text, whatever they look like: who asks for a field knows what it is, so that a device may be named `0` and an
//! annotation may be `true`, as where BuildKit reads them.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// How deep collections may lie in each other; those of a spec lie six deep.
const MAX_DEPTH: usize = 32;

/// A collection that is not closed yet.
enum Open {
    List(Vec<Value>),
    /// With the key whose value comes next.
    Map(Map<String, Value>, Option<String>),
}

/// Reads a text of one document.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let mut parser = Parser::new_from_str(text);
    let (mut open, mut root) = (Vec::new(), None);
    while let Some(event) = parser.next_event() {
        let (event, at) = event.map_err(|e| format!("line {}: this is not YAML: {}", e.marker().line(), e.info()))?;
        let wrong = |why: &str| format!("line {}: {why}", at.start.line());
        let whole = match event {
            Event::Scalar(text, style, ..) if style == ScalarStyle::Plain && is_null(&text) => Value::Null,
            Event::Scalar(text, ..) => Value::String(text.into_owned()),
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= MAX_DEPTH => {
                return Err(wrong("collections lie too deep in each other"));
            }
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items)) => Value::Array(items),
                Some(Open::Map(map, _)) => Value::Object(map),
                None => continue,
            },
            Event::Alias(_) => return Err(wrong("aliases are not supported: write out what it stands for")),
            Event::DocumentStart(_) if root.is_some() => return Err(wrong("a second document: a file is one spec")),
            _ => continue,
        };
        match open.last_mut() {
            None => root = Some(whole),
            Some(Open::List(items)) => items.push(whole),
            Some(Open::Map(map, key)) => match (key.take(), whole) {
                (None, Value::String(name)) if map.contains_key(&name) => {
                    return Err(wrong(&format!("`{name}` is given twice")));
                }
                (None, Value::String(name)) => *key = Some(name),
                (None, _) => return Err(wrong("this cannot be a key")),
                // A key without a value is one that is not there.
                (Some(_), Value::Null) => {}
                (Some(name), value) => {
                    map.insert(name, value);
                }
            },
        }
    }
    root.ok_or_else(|| "it is empty".into())
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn as_json_would_be_but_for_scalars() {
        let text =
            "--- # one\nkind: \"a/b\"\nnone: ~\nlist:\n- name: 0\n  on: true\n- [x, \"~\"]\ntext: |\n  two\n  lines\n";
        let expected =
            json!({"kind": "a/b", "list": [{"name": "0", "on": "true"}, ["x", "~"]], "text": "two\nlines\n"});
        assert_eq!(read(text), Ok(expected));
        assert_eq!(read(r#"{"a": [1, {"b": null}]}"#), Ok(json!({"a": ["1", {}]})));
    }

    #[test]
    fn mistakes_have_a_line() {
        for (text, expected) in [
            ("", "it is empty"),
            ("a: 1\na: 2", "line 2: `a` is given twice"),
            ("a: &x 1\nb: *x", "line 2: aliases are not supported"),
            ("a: 1\n---\nb: 2", "line 2: a second document"),
            ("\n[a]: b", "line 2: this cannot be a key"),
            ("a: [b\n", "line 2: this is not YAML"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
        assert!(
            read(&format!("{}{}", "[".repeat(40), "]".repeat(40))).unwrap_err().ends_with("too deep in each other")
        );
    }
}
