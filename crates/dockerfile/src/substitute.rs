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
    let mut text = String::new();
    let mut at = 0;
    for found in regex.captures_iter(value).take(if all { usize::MAX } else { 1 }) {
        let Some(place) = found.get(0) else { continue };
        text.push_str(value.get(at..place.start()).unwrap_or_default());
        // Docker hands the text for everywhere to its regular expressions, for which `$1` in it is a group, and there is none.
        match all {
            true => found.expand(by, &mut text),
            false => text.push_str(by),
        }
        at = place.end();
        if text.len() > limit {
            return Err(format!("the substitution makes it longer than {limit} bytes"));
        }
    }
    text.push_str(value.get(at..).unwrap_or_default());
    Ok(text)
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
