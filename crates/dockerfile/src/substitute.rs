//! Patterns in substitutions: `${v#p}`, `${v%p}`, `${v/p/r}`. `*` is any text, `?` one character, `\` takes their meaning away.

use regex::Regex;

/// Which end of a value a pattern is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Start,
    End,
}

/// Takes what a pattern fits from one end, if it does.
pub(crate) fn trim(value: &str, pattern: &str, side: Side, longest: bool) -> Result<String, String> {
    let parts = parse(pattern)?;
    // The shortest match at the end is the shortest at the beginning of everything reversed.
    let cut = |value: &str, parts: &[Part]| -> Result<usize, String> {
        let regex = compile(pattern, parts, longest, true)?;
        Ok(regex.find(value).map_or(0, |found| found.end()))
    };
    match side {
        Side::Start => Ok(value.get(cut(value, &parts)?..).unwrap_or_default().to_owned()),
        Side::End => {
            let reversed: String = value.chars().rev().collect();
            let cut = cut(&reversed, &parts.into_iter().rev().collect::<Vec<_>>())?;
            Ok(value.get(..value.len() - cut).unwrap_or_default().to_owned())
        }
    }
}

/// Puts something else in the place of what a pattern fits: the first time, or everywhere.
pub(crate) fn replace(value: &str, pattern: &str, by: &str, all: bool, limit: usize) -> Result<String, String> {
    let regex = compile(pattern, &parse(pattern)?, true, false)?;
    let pieces = if all { around_whole(by) } else { vec![by.to_owned()] };
    let fixed: usize = pieces.iter().map(String::len).sum();
    let mut text = String::new();
    let mut at = 0;
    // Before anything is written: what one place becomes may itself be far longer than the limit.
    let fits = |text: &String, more: usize| match text.len() + more > limit {
        true => Err(format!("the substitution makes it longer than {limit} bytes")),
        false => Ok(()),
    };
    for found in regex.find_iter(value).take(if all { usize::MAX } else { 1 }) {
        let kept = value.get(at..found.start()).unwrap_or_default();
        fits(&text, kept.len() + fixed + (pieces.len() - 1) * found.len())?;
        text.push_str(kept);
        text.push_str(&pieces.join(found.as_str()));
        at = found.end();
    }
    let rest = value.get(at..).unwrap_or_default();
    fits(&text, rest.len())?;
    Ok(text + rest)
}

/// The texts between which a replacement has what was found. Docker hands the text for everywhere to Go's regular expressions:
/// `$0` and `${0}` in it are all that was found, another name is a group that is not there, and `$$` is a `$`.
fn around_whole(by: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    let mut rest = by;
    while let Some((before, after)) = rest.split_once('$') {
        piece.push_str(before);
        let (name, behind) = group(after);
        rest = behind;
        match name {
            Some("0") => pieces.push(std::mem::take(&mut piece)),
            Some(_) => {}
            None => {
                piece.push('$');
                rest = after.strip_prefix('$').unwrap_or(after);
            }
        }
    }
    pieces.push(piece + rest);
    pieces
}

/// The name of a group behind its `$`, if there is one, and what comes after it.
fn group(text: &str) -> (Option<&str>, &str) {
    let braced = text.strip_prefix('{');
    let inner = braced.unwrap_or(text);
    let (name, rest) = inner.split_at(inner.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(inner.len()));
    let rest = if braced.is_some() { rest.strip_prefix('}') } else { Some(rest) };
    match rest {
        Some(rest) if !name.is_empty() => (Some(name), rest),
        _ => (None, text),
    }
}

#[derive(Clone, Copy)]
enum Part {
    Any,
    One,
    Char(char),
}

fn parse(pattern: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '*' => Part::Any,
            '?' => Part::One,
            '\\' => match chars.next() {
                // `}` and `/` are escaped for the sake of the substitution itself.
                Some(c @ ('*' | '?' | '\\' | '}' | '/')) => Part::Char(c),
                Some(c) => return Err(format!("invalid pattern ({pattern}) in substitution: invalid escape '\\{c}'")),
                None => return Err(format!("invalid pattern ({pattern}) in substitution: nothing behind the '\\'")),
            },
            c => Part::Char(c),
        });
    }
    Ok(parts)
}

/// A regular expression, because its engine is linear in the value whatever the pattern is. As with docker, `*` and `?` stop
/// at the end of a line.
fn compile(pattern: &str, parts: &[Part], longest: bool, anchored: bool) -> Result<Regex, String> {
    let mut text = String::from(if anchored { "^" } else { "" });
    let mut buffer = [0; 4];
    for part in parts {
        match part {
            Part::Any => text.push_str(if longest { ".*" } else { ".*?" }),
            Part::One => text.push('.'),
            Part::Char(c) => text.push_str(&regex::escape(c.encode_utf8(&mut buffer))),
        }
    }
    Regex::new(&text).map_err(|_| format!("invalid pattern ({pattern}) in substitution: it is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_in_what_comes_everywhere() {
        for (by, text) in [
            ("[$0]", "[a][a]"),
            ("${0}b$0", "abaaba"),
            ("$1${x}$0b_", ""),
            ("$$0", "$0$0"),
            ("$", "$$"),
            ("$-${0", "$-${0$-${0"),
            ("$00é${}", "${}${}"),
        ] {
            assert_eq!(replace("aa", "a", by, true, 100).unwrap(), text, "{by}");
        }
        assert_eq!(replace("aa", "a", "$0", false, 100).unwrap(), "$0a");
    }

    #[test]
    fn limits_are_looked_at_before_anything_is_written() {
        assert_eq!(replace("abc", "b", "-$0-", true, 5).unwrap(), "a-b-c");
        assert!(replace("abc", "b", "-$0-", true, 4).is_err());
        // All of it would be more than machines have.
        let value = "a".repeat(1 << 20);
        assert!(replace(&value, "*", &"$0".repeat(1 << 17), true, 1 << 20).is_err());
    }
}
