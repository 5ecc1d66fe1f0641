//! Texts.

use regex::Regex;

use super::{Function, exactly, texts};
use crate::Facts;
use crate::fault::{Result, fault};
use crate::value::Value;

pub(super) const TABLE: &[(&str, Function)] = &[
    ("basename", |_, a| texts(a).map(|[path]| base(&path).into())),
    ("byteslen", |_, a| texts(a).map(|[text]| Value::Number(text.len() as f64))),
    ("chomp", |_, a| texts(a).map(|[text]| text.trim_end_matches(['\n', '\r']).into())),
    ("dirname", |_, a| texts(a).map(|[path]| folder(&path).into())),
    ("homedir", |facts, _| Ok(facts.home.clone().into())),
    ("indent", indent),
    ("join", join),
    ("lower", |_, a| texts(a).map(|[text]| by_letter(&text, |c| single(c, c.to_lowercase())).into())),
    ("regex", |_, a| {
        let [pattern, text] = texts(a)?;
        let pattern = compiled(&pattern)?;
        let found = pattern.captures(&text).ok_or_else(|| fault("the pattern does not match"))?;
        Ok(captured(&pattern, &found))
    }),
    ("regex_replace", |_, a| {
        let [text, pattern, by] = texts(a)?;
        Ok(compiled(&pattern)?.replace_all(&text, by.as_str()).into_owned().into())
    }),
    ("regexall", |_, a| {
        let [pattern, text] = texts(a)?;
        let pattern = compiled(&pattern)?;
        Ok(pattern.captures_iter(&text).map(|found| captured(&pattern, &found)).collect())
    }),
    ("replace", |_, a| texts(a).map(|[text, from, to]| text.replace(&from, &to).into())),
    ("reverse", |_, a| texts(a).map(|[text]| text.chars().rev().collect::<String>().into())),
    ("sanitize", |_, a| texts(a).map(|[text]| sanitized(&text).into())),
    ("split", |_, a| texts(a).map(|[by, text]| split(&by, &text))),
    ("strlen", |_, a| texts(a).map(|[text]| Value::Number(text.chars().count() as f64))),
    ("substr", substr),
    ("title", |_, a| texts(a).map(|[text]| title(&text).into())),
    ("trim", |_, a| texts(a).map(|[text, set]| text.trim_matches(|c| set.contains(c)).into())),
    ("trimprefix", |_, a| texts(a).map(|[text, p]| text.strip_prefix(p.as_str()).unwrap_or(&text).into())),
    ("trimspace", |_, a| texts(a).map(|[text]| text.trim().into())),
    ("trimsuffix", |_, a| texts(a).map(|[text, s]| text.strip_suffix(s.as_str()).unwrap_or(&text).into())),
    ("upper", |_, a| texts(a).map(|[text]| by_letter(&text, |c| single(c, c.to_uppercase())).into())),
];

fn by_letter(text: &str, f: impl Fn(char) -> char) -> String {
    text.chars().map(f).collect()
}

/// As Go has it: a letter becomes one letter, or stays (`ß`).
fn single(c: char, mut changed: impl Iterator<Item = char>) -> char {
    changed.next().filter(|_| changed.next().is_none()).unwrap_or(c)
}

/// What may be in a target's name; anything else becomes a `_`.
pub(crate) fn sanitized(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' }).collect()
}

fn base(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" if path.is_empty() => ".",
        "" => "/",
        path => path.rsplit('/').next().unwrap_or(path),
    }
}

fn folder(path: &str) -> String {
    match path.rsplit_once('/') {
        None => ".".into(),
        Some((folder, _)) => match crate::path::clean(folder).as_str() {
            "." if path.starts_with('/') => "/".into(),
            folder => folder.into(),
        },
    }
}

fn indent(_: &Facts, arguments: &[Value]) -> Result<Value> {
    let [width, text] = exactly(arguments)?;
    let width = usize::try_from(width.whole()?).map_err(|_| fault("a width below zero"))?.min(1024);
    Ok(text.text()?.replace('\n', &format!("\n{}", " ".repeat(width))).into())
}

fn join(_: &Facts, arguments: &[Value]) -> Result<Value> {
    let Some((by, lists)) = arguments.split_first() else { return Err(fault("a separator and lists are required")) };
    let mut parts = Vec::new();
    for list in lists {
        for item in list.list()? {
            parts.push(item.text()?);
        }
    }
    Ok(parts.join(&by.text()?).into())
}

fn split(by: &str, text: &str) -> Value {
    match (by, text) {
        (_, "") => Value::List(vec!["".into()]),
        ("", text) => text.chars().map(|c| Value::String(c.into())).collect(),
        (by, text) => text.split(by).map(Value::from).collect(),
    }
}

fn substr(_: &Facts, arguments: &[Value]) -> Result<Value> {
    let [text, offset, length] = exactly(arguments)?;
    let (text, offset, length) = (text.text()?, offset.whole()?, length.whole()?);
    let all: Vec<char> = text.chars().collect();
    let size = all.len() as i64;
    // Below zero counts from the end, and a length below zero means all.
    let start = if offset < 0 { (size + offset).max(0) } else { offset.min(size) };
    let end = if length < 0 { size } else { start.saturating_add(length).min(size) };
    Ok(all[start as usize..end as usize].iter().collect::<String>().into())
}

fn title(text: &str) -> String {
    let mut before = ' ';
    let mut shown = String::new();
    for c in text.chars() {
        match before.is_alphanumeric() || before == '_' {
            true => shown.push(c),
            false => shown.extend(c.to_uppercase()),
        }
        before = c;
    }
    shown
}

/// Go's classes are of ASCII.
fn compiled(pattern: &str) -> Result<Regex> {
    let mut ours = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let class = match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('d')) => "[0-9]",
            ('\\', Some('D')) => "[^0-9]",
            ('\\', Some('w')) => "[0-9A-Za-z_]",
            ('\\', Some('W')) => "[^0-9A-Za-z_]",
            ('\\', Some('s')) => r"[\t\n\f\r ]",
            ('\\', Some('S')) => r"[^\t\n\f\r ]",
            ('\\', Some('b')) => r"(?-u:\b)",
            (c, next) => {
                ours.extend([Some(c), next].into_iter().flatten());
                continue;
            }
        };
        ours.push_str(class);
    }
    Regex::new(&ours).map_err(|e| {
        let words = e.to_string();
        fault(format!(
            "the pattern is wrong: {}",
            words.lines().last().unwrap_or_default().trim_start_matches("error: ")
        ))
    })
}

/// The whole match, or its groups: a map if they have names, else a list.
fn captured(pattern: &Regex, found: &regex::Captures<'_>) -> Value {
    let group = |m: Option<regex::Match<'_>>| m.map_or(Value::Null, |m| m.as_str().into());
    let names: Vec<&str> = pattern.capture_names().flatten().collect();
    match (found.len(), names.is_empty()) {
        (1, _) => group(found.get(0)),
        (_, true) => found.iter().skip(1).map(group).collect(),
        (_, false) => Value::Map(names.iter().map(|name| ((*name).to_owned(), group(found.name(name)))).collect()),
    }
}
