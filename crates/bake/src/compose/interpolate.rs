//! `$NAME`, `${NAME:-default}` and their kin in the texts of compose files, and the file `.env`.

use std::collections::BTreeMap;

use super::yaml::{Node, Yaml};
use crate::fault::{Result, fault};

/// How deep defaults may lie in each other.
const MAX_DEPTH: usize = 16;

/// Replaces variables in all texts of a tree.
pub(crate) fn interpolate(node: &mut Node, lookup: &dyn Fn(&str) -> Option<String>) -> Result<()> {
    let span = node.span.clone();
    match &mut node.value {
        Yaml::Null => {}
        Yaml::Scalar(text, _) => *text = expand(text, lookup, 0).map_err(|e| e.at(span))?,
        Yaml::List(items) => items.iter_mut().try_for_each(|item| interpolate(item, lookup))?,
        Yaml::Map(items) => items.values_mut().try_for_each(|item| interpolate(item, lookup))?,
    }
    Ok(())
}

fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>, depth: usize) -> Result<String> {
    if depth > MAX_DEPTH {
        return Err(fault("defaults lie too deep in each other"));
    }
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        shown.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            shown.push('$');
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('{') {
            let end = closing(inner).ok_or_else(|| fault("a `${` is not closed"))?;
            shown.push_str(&braced(&inner[..end], lookup, depth)?);
            rest = &inner[end + 1..];
        } else {
            let end = name_end(rest);
            if end == 0 {
                return Err(fault("a name is required after `$`; write `$$` for the sign itself"));
            }
            shown.push_str(&lookup(&rest[..end]).unwrap_or_default());
            rest = &rest[end..];
        }
    }
    shown.push_str(rest);
    Ok(shown)
}

fn name_end(text: &str) -> usize {
    let is_part =
        |c: char, first: bool| c == '_' || if first { c.is_ascii_alphabetic() } else { c.is_ascii_alphanumeric() };
    text.char_indices().find(|(at, c)| !is_part(*c, *at == 0)).map_or(text.len(), |(at, _)| at)
}

/// Where the brace closes that is open before this text.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '{' if before == '$' => open += 1,
            '}' if open == 0 => return Some(at),
            '}' => open -= 1,
            _ => {}
        }
        before = c;
    }
    None
}

fn braced(text: &str, lookup: &dyn Fn(&str) -> Option<String>, depth: usize) -> Result<String> {
    let (name, rest) = text.split_at(name_end(text));
    if name.is_empty() {
        return Err(fault(format!("`${{{text}}}` has no name")));
    }
    let value = lookup(name);
    let (operator, word) = rest.split_at(rest.find(|c| !":-+?".contains(c)).unwrap_or(rest.len()).min(2));
    // `:` makes an empty value as good as none. Only the first sign after it is the operator.
    let (operator, word) = match operator {
        ":-" | ":+" | ":?" | "" => (operator, word.to_owned()),
        _ => (&operator[..1], format!("{}{word}", &operator[1..])),
    };
    let set = match operator.starts_with(':') {
        true => value.clone().filter(|value| !value.is_empty()),
        false => value.clone(),
    };
    match operator.trim_start_matches(':') {
        "" if word.is_empty() && operator.is_empty() => Ok(value.unwrap_or_default()),
        "-" => set.map_or_else(|| expand(&word, lookup, depth + 1), Ok),
        "+" => {
            if set.is_some() {
                expand(&word, lookup, depth + 1)
            } else {
                Ok(String::new())
            }
        }
        "?" => set.ok_or_else(|| fault(format!("the variable `{name}` is required: {word}"))),
        _ => Err(fault(format!("`${{{text}}}` is not a variable"))),
    }
}

/// What a file `.env` sets.
#[must_use]
pub fn dot_env(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else { continue };
        let value = value.trim();
        let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.split(quote).next());
        let known = |name: &str| lookup(name).or_else(|| all.get(name).cloned());
        let value = if let Some(literal) = quoted('\'') {
            literal.to_owned()
        } else {
            let bare = quoted('"').map_or_else(
                || value.split(" #").next().unwrap_or_default().trim().to_owned(),
                |text| text.replace("\\n", "\n"),
            );
            expand(&bare, &known, 0).unwrap_or(bare)
        };
        all.insert(name.trim().to_owned(), value);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables() {
        let lookup = |name: &str| match name {
            "A" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (text, expected) in [
            ("$A-${A}", "a-a"),
            ("$$A", "$A"),
            ("${B:-x}${B-y}${EMPTY:-z}${EMPTY-n}", "xyz"),
            ("${B:-${A}}", "a"),
            ("${A:+x}${B:+y}", "x"),
            ("$B.", "."),
            ("${B:--1}", "-1"),
        ] {
            assert_eq!(expand(text, &lookup, 0).unwrap(), expected, "{text}");
        }
        for wrong in ["${A", "${B:?needed}", "${}", "$-", "${A!}"] {
            assert!(expand(wrong, &lookup, 0).is_err(), "{wrong}");
        }
    }
}
