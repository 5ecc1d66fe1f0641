//! `semvercmp`: whether a version is within a constraint.

use std::cmp::Ordering;

use super::{Function, texts};
use crate::fault::{Result, fault};
use crate::value::Value;

pub(super) const TABLE: &[(&str, Function)] = &[("semvercmp", |_, a| {
    let [version, constraint] = texts(a)?;
    within(&version, &constraint).map(Value::Bool)
})];

/// A version, of which the later numbers may be left out (`1.2`) or be anything (`1.x`).
#[derive(Clone, Debug)]
struct Version {
    numbers: [u64; 3],
    /// How many numbers were said.
    said: usize,
    before: Vec<String>,
}

impl Version {
    fn read(text: &str) -> Result<Self> {
        let wrong = || fault(format!("`{text}` is not a version"));
        let bare = text.strip_prefix('v').unwrap_or(text).split('+').next().unwrap_or_default();
        let (core, before) = bare.split_once('-').map_or((bare, None), |(core, before)| (core, Some(before)));
        let mut version = Self { numbers: [0; 3], said: 0, before: Vec::new() };
        let parts: Vec<&str> = core.split('.').collect();
        if parts.len() > 3 {
            return Err(wrong());
        }
        for part in parts {
            if matches!(part, "x" | "X" | "*") {
                break;
            }
            version.numbers[version.said] = part.parse().map_err(|_| wrong())?;
            version.said += 1;
        }
        if let Some(before) = before {
            version.before = before.split('.').map(str::to_owned).collect();
        }
        Ok(version)
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.before.is_empty(), other.before.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let parts =
                    self.before.iter().zip(&other.before).map(|(a, b)| match (a.parse::<u64>(), b.parse::<u64>()) {
                        (Ok(a), Ok(b)) => a.cmp(&b),
                        (Ok(_), Err(_)) => Ordering::Less,
                        (Err(_), Ok(_)) => Ordering::Greater,
                        (Err(_), Err(_)) => a.cmp(b),
                    });
                let first = parts.into_iter().find(|order| *order != Ordering::Equal);
                first.unwrap_or_else(|| self.before.len().cmp(&other.before.len()))
            }
        })
    }

    /// The first version that has another number at `place`.
    fn above(&self, place: usize) -> Self {
        let mut above = Self { before: Vec::new(), said: 3, numbers: [0; 3] };
        above.numbers[..=place].copy_from_slice(&self.numbers[..=place]);
        above.numbers[place] += 1;
        above
    }
}

/// Alternatives with `||` between them, each of conditions that must all hold.
fn within(version: &str, constraint: &str) -> Result<bool> {
    let version = Version::read(version)?;
    for alternative in constraint.split("||") {
        let mut all = true;
        for condition in conditions(alternative) {
            all &= holds(&version, &condition)?;
        }
        if all {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Splits at commas and spaces; a space after an operator is no split, and `1 - 2` is a range.
fn conditions(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split([',', ' ']).filter(|word| !word.is_empty()).collect();
    let mut all: Vec<String> = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        if words.peek() == Some(&"-") {
            words.next();
            all.push(format!(">={word}"));
            all.extend(words.next().map(|end| format!("<={end}")));
        } else if word.ends_with(['<', '>', '=', '~', '^', '!']) {
            all.push(format!("{word}{}", words.next().unwrap_or_default()));
        } else {
            all.push(word.to_owned());
        }
    }
    all
}

fn holds(version: &Version, condition: &str) -> Result<bool> {
    let digits = condition.find(|c: char| !"<>=!~^".contains(c)).unwrap_or(condition.len());
    let (operator, wanted) = (&condition[..digits], Version::read(&condition[digits..])?);
    // A version before a release is meant only by who names one.
    if !version.before.is_empty() && wanted.before.is_empty() {
        return Ok(false);
    }
    let order = version.compare(&wanted);
    let below = |place: usize| order.is_ge() && version.compare(&wanted.above(place)).is_lt();
    Ok(match (operator, wanted.said) {
        (">", 1 | 2) => version.compare(&wanted.above(wanted.said - 1)).is_ge(),
        (">", _) => order.is_gt(),
        (">=" | "=>", _) => order.is_ge(),
        ("<", _) => order.is_lt(),
        ("<=" | "=<", 1 | 2) => version.compare(&wanted.above(wanted.said - 1)).is_lt(),
        ("<=" | "=<", _) => order.is_le(),
        ("!=", 1 | 2) => !below(wanted.said - 1),
        ("!=", _) => order.is_ne(),
        ("" | "=" | "~" | "~>" | "^", 0) => true,
        ("" | "=", 3) => order.is_eq(),
        ("" | "=", said) => below(said - 1),
        ("~" | "~>", said) => below(said.min(2) - 1),
        ("^", said) => below(wanted.numbers[..said].iter().position(|number| *number != 0).unwrap_or(said - 1)),
        _ => return Err(fault(format!("`{condition}` is not a condition for versions"))),
    })
}
