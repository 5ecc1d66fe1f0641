//! Docker's `--format '{{...}}'`: the part of Go's templates that scripts use, over JSON values. Fields, `json`, `index`,
//! `join`, `len`, `println`, `upper`, `lower`, `if`, `range`, parentheses and pipes. What else Go has is an error that
//! names it.

use serde_json::Value;

/// A template with its parts.
#[derive(Debug, PartialEq)]
enum Part {
    Text(String),
    /// A function's name, or nothing, and what it is given.
    Show(Call),
    If(Call, Vec<Part>, Vec<Part>),
    Range(Call, Vec<Part>),
}

/// `NAME ARGUMENT...`; a field alone has no name.
#[derive(Debug, PartialEq)]
struct Call {
    function: Option<String>,
    arguments: Vec<Argument>,
}

#[derive(Debug, PartialEq)]
enum Argument {
    /// `.A.B`; `.` is everything.
    Field(Vec<String>),
    /// `(CALL).A.B`.
    Nested(Box<Call>, Vec<String>),
    Text(String),
    Number(usize),
}

const FUNCTIONS: &[&str] = &["json", "index", "join", "len", "println", "print", "upper", "lower"];

/// Shows one value.
pub(crate) fn render(template: &str, value: &Value) -> Result<String, String> {
    let parts = parse(template)?;
    let mut shown = String::new();
    write(&parts, value, &mut shown).map_err(|reason| format!("--format `{template}`: {reason}"))?;
    Ok(shown)
}

/// What docker shows where nothing else is wanted: JSON on lines of their own, indented by four spaces or a tab as the command has it.
pub(crate) fn indented(value: &impl serde::Serialize, indent: &str) -> String {
    let mut bytes = vec![];
    let form = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    // Memory does not fail to be written.
    let _ = value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, form));
    String::from_utf8_lossy(&bytes).into_owned() + "\n"
}

/// Shows each value on a line of its own; after `table`, in columns under the names of the fields.
pub(crate) fn rows(template: &str, values: &[Value]) -> Result<String, String> {
    let Some(columns) = template.strip_prefix("table ") else {
        return values.iter().map(|value| Ok(render(template, value)? + "\n")).collect();
    };
    let mut lines = vec![parse(columns)?.iter().map(heading).collect::<String>()];
    for value in values {
        lines.push(render(columns, value)?);
    }
    Ok(aligned(&lines))
}

/// `{{.Repository}}` is headed `REPOSITORY`.
fn heading(part: &Part) -> String {
    match part {
        Part::Text(text) => text.clone(),
        Part::Show(Call { arguments, .. }) => match arguments.first() {
            Some(Argument::Field(names)) => names.last().map_or_else(String::new, |name| name.to_uppercase()),
            _ => String::new(),
        },
        Part::If(..) | Part::Range(..) => String::new(),
    }
}

/// Columns are parted by tabs.
fn aligned(lines: &[String]) -> String {
    let cells: Vec<Vec<&str>> = lines.iter().map(|line| line.split('\t').collect()).collect();
    let count = cells.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |n: usize| cells.iter().filter_map(|row| row.get(n)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &Vec<&str>| {
        let padded: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("   ").trim_end().to_owned() + "\n"
    };
    cells.iter().map(line).collect()
}

fn parse(template: &str) -> Result<Vec<Part>, String> {
    // Docker takes these two escapes outside of Go's strings.
    let text = template.replace("\\t", "\t").replace("\\n", "\n");
    let mut pieces = pieces(&text)?.into_iter();
    match block(&mut pieces)? {
        (parts, None) => Ok(parts),
        (_, Some(end)) => Err(format!("`{{{{{end}}}}}` ends nothing")),
    }
}

/// Text, or what stands between braces.
enum Piece {
    Text(String),
    Action(String),
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = vec![];
    let mut rest = text;
    let mut trim = false;
    while let Some((before, after)) = rest.split_once("{{") {
        let (action, after) = after.split_once("}}").ok_or_else(|| format!("`{text}` has a `{{{{` without `}}}}`"))?;
        let mut before = if trim { before.trim_start() } else { before };
        let action = match action.strip_prefix("- ") {
            Some(action) => {
                before = before.trim_end();
                action
            }
            None => action,
        };
        trim = action.ends_with(" -");
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(Piece::Action(action.strip_suffix(" -").unwrap_or(action).trim().to_owned()));
        rest = after;
    }
    pieces.push(Piece::Text(if trim { rest.trim_start() } else { rest }.to_owned()));
    Ok(pieces)
}

/// Reads up to the `end` or `else` that belongs here, which is handed back.
fn block(pieces: &mut impl Iterator<Item = Piece>) -> Result<(Vec<Part>, Option<String>), String> {
    let mut parts = vec![];
    while let Some(piece) = pieces.next() {
        let action = match piece {
            Piece::Text(text) if text.is_empty() => continue,
            Piece::Text(text) => {
                parts.push(Part::Text(text));
                continue;
            }
            Piece::Action(action) => action,
        };
        let (word, rest) = action.split_once(' ').unwrap_or((&action, ""));
        match word {
            "end" | "else" => return Ok((parts, Some(word.to_owned()))),
            "if" => {
                let condition = call(rest)?;
                let (then, end) = block(pieces)?;
                let otherwise = match end.as_deref() {
                    Some("else") => match block(pieces)? {
                        (parts, Some(end)) if end == "end" => parts,
                        _ => return Err("an `if` has no `end`".into()),
                    },
                    Some(_) => vec![],
                    None => return Err("an `if` has no `end`".into()),
                };
                parts.push(Part::If(condition, then, otherwise));
            }
            "range" => {
                let over = call(rest)?;
                match block(pieces)? {
                    (inner, Some(end)) if end == "end" => parts.push(Part::Range(over, inner)),
                    _ => return Err("a `range` has no `end`".into()),
                }
            }
            _ => parts.push(Part::Show(call(&action)?)),
        }
    }
    Ok((parts, None))
}

/// What is left of a pipe is the last argument of what is right of it.
fn call(text: &str) -> Result<Call, String> {
    let words = words(text)?;
    let mut piped = None;
    for words in words.split(|word| word == "|") {
        if words.is_empty() {
            return Err(format!("`{{{{{text}}}}}` has a part with nothing in it"));
        }
        let before = piped.take().map(|call| Argument::Nested(Box::new(call), vec![]));
        piped = Some(one_call(words.to_vec(), before, text)?);
    }
    piped.ok_or_else(|| format!("`{{{{{text}}}}}` has nothing in it"))
}

fn one_call(mut words: Vec<String>, last: Option<Argument>, text: &str) -> Result<Call, String> {
    let unknown = || format!("`{{{{{text}}}}}` is not something that this program knows of Go's templates");
    let function = match words.first().filter(|word| !word.starts_with(['.', '"', '`', '('])) {
        Some(name) if FUNCTIONS.contains(&name.as_str()) => Some(words.remove(0)),
        Some(_) => return Err(unknown()),
        None => None,
    };
    let mut arguments = vec![];
    for word in words {
        arguments.push(if let Some(quoted) = word.strip_prefix(['"', '`']) {
            Argument::Text(quoted.to_owned())
        } else if let Some((inner, path)) = word.strip_prefix('(').and_then(|word| word.rsplit_once(')')) {
            Argument::Nested(Box::new(call(inner)?), fields(path).ok_or_else(unknown)?)
        } else if word.starts_with('.') {
            Argument::Field(fields(&word).ok_or_else(unknown)?)
        } else {
            Argument::Number(word.parse().map_err(|_| unknown())?)
        });
    }
    arguments.extend(last);
    match (&function, arguments.len()) {
        (None, 1) | (Some(_), 1..) => Ok(Call { function, arguments }),
        _ => Err(unknown()),
    }
}

/// `.A.B`, or nothing.
fn fields(path: &str) -> Option<Vec<String>> {
    let plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let known = path.is_empty() || path.starts_with('.') && path.split('.').all(plain);
    known.then(|| path.split('.').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// Words between spaces; a quoted one keeps its first quote, as a mark, and one in parentheses is whole with what follows it.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = vec![];
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' | '`' => match rest[1..].find(first) {
                Some(end) => end + 1,
                None => return Err(format!("`{text}` has a quote without an end")),
            },
            '(' => {
                let close = closing(rest).ok_or_else(|| format!("`{text}` has a parenthesis without an end"))?;
                rest[close..].find(char::is_whitespace).map_or(rest.len(), |end| close + end)
            }
            _ => rest.find(char::is_whitespace).unwrap_or(rest.len()),
        };
        words.push(rest[..end].to_owned());
        rest = rest[end..].strip_prefix(['"', '`']).unwrap_or(&rest[end..]).trim_start();
    }
    Ok(words)
}

/// Where the parenthesis ends that a text begins with.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (Some(_), _) => {}
            (None, '"' | '`') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            (None, _) => {}
        }
    }
    None
}

fn write(parts: &[Part], value: &Value, out: &mut String) -> Result<(), String> {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Show(call) => out.push_str(&show(&evaluate(call, value)?)),
            Part::If(condition, then, otherwise) => {
                let inner = if is_true(&evaluate(condition, value)?) { then } else { otherwise };
                write(inner, value, out)?;
            }
            Part::Range(over, inner) => match evaluate(over, value)? {
                Value::Array(items) => items.iter().try_for_each(|item| write(inner, item, out))?,
                Value::Object(items) => items.values().try_for_each(|item| write(inner, item, out))?,
                Value::Null => {}
                _ => return Err("`range` needs a list".into()),
            },
        }
    }
    Ok(())
}

fn evaluate(call: &Call, value: &Value) -> Result<Value, String> {
    let given: Vec<Value> = call.arguments.iter().map(|argument| get(argument, value)).collect::<Result<_, _>>()?;
    let Some(function) = &call.function else { return Ok(given.into_iter().next().unwrap_or_default()) };
    let words = || given.iter().map(show).collect::<Vec<_>>().join(" ");
    Ok(match (function.as_str(), given.as_slice()) {
        ("json", [one]) => one.to_string().into(),
        ("index", [from, keys @ ..]) => {
            let mut at = from.clone();
            for key in keys {
                at = match key {
                    Value::String(key) => at.get(key).cloned().unwrap_or_default(),
                    key => {
                        let at_number = |n: u64| at.get(usize::try_from(n).ok()?).cloned();
                        key.as_u64().and_then(at_number).ok_or_else(|| format!("there is no item {key}"))?
                    }
                };
            }
            at
        }
        ("join", [Value::Array(items), Value::String(between)]) => {
            items.iter().map(show).collect::<Vec<_>>().join(between).into()
        }
        ("join", [Value::Null, _]) => "".into(),
        ("len", [Value::Array(items)]) => items.len().into(),
        ("len", [Value::Object(items)]) => items.len().into(),
        ("len", [Value::String(text)]) => text.len().into(),
        ("len", [Value::Null]) => 0.into(),
        ("println", _) => (words() + "\n").into(),
        ("print", _) => words().into(),
        ("upper", [Value::String(text)]) => text.to_uppercase().into(),
        ("lower", [Value::String(text)]) => text.to_lowercase().into(),
        (name, _) => return Err(format!("`{name}` is given what it does not take")),
    })
}

fn get(argument: &Argument, value: &Value) -> Result<Value, String> {
    let (names, nested) = match argument {
        Argument::Text(text) => return Ok(text.clone().into()),
        Argument::Number(number) => return Ok((*number).into()),
        Argument::Field(names) => (names, None),
        Argument::Nested(call, names) => (names, Some(evaluate(call, value)?)),
    };
    let mut at = nested.as_ref().unwrap_or(value);
    for name in names {
        at = match at.get(name) {
            Some(found) => found,
            None => {
                let known: Vec<&str> = at.as_object().map_or_else(Vec::new, |o| o.keys().map(String::as_str).collect());
                let known = if known.is_empty() { "nothing".into() } else { known.join(", ") };
                return Err(format!("there is no field `.{name}` in {known}"));
            }
        };
    }
    Ok(at.clone())
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
    }
}

/// As Go prints it.
fn show(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
        Value::Object(items) => {
            let pairs: Vec<String> = items.iter().map(|(key, value)| format!("{key}:{}", show(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value() -> Value {
        json!({
            "Id": "sha256:1", "Os": "linux", "Size": 12, "Tags": ["a", "b"], "None": null,
            "Config": { "Labels": { "org.x/y": "z" }, "Env": ["A=1"] },
            "More": { "a/b": { "Deep": { "Er": [3] } } },
        })
    }

    #[test]
    fn what_scripts_write() {
        for (template, shown) in [
            ("{{.Os}}/{{ .Size }}", "linux/12"),
            ("{{json .Tags}} {{.Tags}}", r#"["a","b"] [a b]"#),
            ("{{index .Tags 0}}{{index .Config.Labels \"org.x/y\"}}", "az"),
            ("{{range .Tags}}<{{.}}>{{end}}", "<a><b>"),
            ("{{range .Config.Env}}{{println .}}{{end}}", "A=1\n"),
            ("{{if .None}}yes{{else}}no{{end}} {{len .Tags}}", "no 2"),
            ("{{join .Tags `,`}}\\t{{upper .Os}}", "a,b\tLINUX"),
            ("a {{- .Os -}} b", "alinuxb"),
            ("{{.Config.Labels}}", "map[org.x/y:z]"),
            ("{{(index .Config.Env 0)}} {{json (index .More \"a/b\").Deep.Er}}", "A=1 [3]"),
            ("{{range (index .More \"a/b\").Deep.Er}}{{.}}{{end}}{{len (index .Tags 0)}}", "31"),
            ("{{.Os | upper}} {{index .Config.Labels \"org.x/y\" | json}}", "LINUX \"z\""),
            ("plain", "plain"),
        ] {
            assert_eq!(render(template, &value()).as_deref(), Ok(shown), "{template}");
        }
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (template, word) in [
            ("{{.Nope}}", "`.Nope`"),
            ("{{.Os", "without"),
            ("{{range .Tags}}", "`end`"),
            ("{{end}}", "ends nothing"),
            ("{{with .Os}}{{end}}", "with"),
            ("{{(.Os}}", "parenthesis"),
            ("{{.Os | }}", "nothing"),
            ("{{index .Tags 7}}", "no item 7"),
            ("{{join .Os \",\"}}", "`join`"),
        ] {
            let error = render(template, &value()).unwrap_err();
            assert!(error.contains(word), "{template}: {error}");
        }
    }

    #[test]
    fn tables() {
        let shown = rows("table {{.Os}}\\t{{.Id}}", &[value()]).unwrap();
        insta::assert_snapshot!(shown, @r"
        OS      ID
        linux   sha256:1
        ");
        assert_eq!(rows("{{.Os}}", &[value(), value()]).unwrap(), "linux\nlinux\n");
    }
}
