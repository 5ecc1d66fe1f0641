//! An instruction's name, its `--flags`, and what follows them.

use crate::diagnostic::Diagnostic;
use crate::instruction::Keyword;
use crate::line::Piece;
use crate::span::{Span, Spanned};

/// A flag as written.
#[derive(Clone, Debug)]
pub(crate) struct Flag {
    name: String,
    /// What stands behind the `=`, if there is one.
    value: Option<String>,
    span: Span,
}

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// `--flag`, `--flag=true`, `--flag=false`.
    Bool,
    /// `--flag=value`.
    Value,
    /// The same, several times.
    Values,
}

/// The flags that an instruction knows.
pub(crate) type Table = &'static [(&'static str, Takes)];

/// The flags of one instruction.
#[derive(Debug)]
pub(crate) struct Flags {
    table: Table,
    given: Vec<Flag>,
}

/// Takes the flags from what follows an instruction's name. A word `--` ends them.
pub(crate) fn split<'l>(arguments: Piece<'l>, escape: char) -> (Vec<Flag>, Piece<'l>) {
    let mut flags = Vec::new();
    let mut rest = arguments;
    loop {
        let text = rest.text();
        let from = text.len() - text.trim_start().len();
        rest = rest.from(from);
        if !rest.text().starts_with("--") {
            return (flags, rest.trim());
        }
        let (word, length) = word(rest.text(), escape);
        if word == "--" {
            return (flags, rest.from(length).trim());
        }
        let span = rest.slice(0, length).span();
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        flags.push(Flag { name: name.get(2..).unwrap_or_default().to_owned(), value, span });
        rest = rest.from(length);
    }
}

/// The first word, without its quotes and escapes, and how long it is with them.
fn word(text: &str, escape: char) -> (String, usize) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => return (word, at),
            None if matches!(c, '\'' | '"') => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == escape => word.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => word.push(c),
        }
    }
    (word, text.len())
}

impl Flags {
    /// Looks at what is given: unknown ones, ones given twice, ones without the value that they need.
    pub(crate) fn new(keyword: Keyword, table: Table, given: Vec<Flag>, found: &mut Vec<Diagnostic>) -> Self {
        let mut kept: Vec<Flag> = Vec::new();
        for flag in given {
            let name = &flag.name;
            let Some((_, takes)) = table.iter().find(|(known, _)| known == name) else {
                let wrong = Diagnostic::error("unknown-flag", format!("unknown flag: --{name}"), flag.span.clone());
                found.push(if table.is_empty() {
                    wrong.help(format!("{keyword} has no flags; if this is an argument, write `--` before it"))
                } else {
                    wrong.propose(name, table.iter().map(|(known, _)| *known))
                });
                continue;
            };
            let once = *takes != Takes::Values;
            if let Some(first) = if once { kept.iter().find(|k| k.name == *name) } else { None } {
                let message = format!("duplicate flag specified: --{name}");
                let wrong = Diagnostic::error("duplicate-flag", message, flag.span.clone());
                found.push(wrong.label(first.span.clone(), "it is given here first"));
                continue;
            }
            let wrong = match (takes, flag.value.as_deref()) {
                (Takes::Bool, None) => None,
                (Takes::Bool, Some("")) | (Takes::Value | Takes::Values, None) => {
                    let message = format!("missing a value on flag: --{name}");
                    Some(("missing-value", message, format!("write --{name}=VALUE, without a space")))
                }
                (Takes::Bool, Some(v)) if !v.eq_ignore_ascii_case("true") && !v.eq_ignore_ascii_case("false") => {
                    let message = format!("expecting boolean value for flag --{name}, not: {v}");
                    Some(("not-a-boolean", message, "it is true or false".to_owned()))
                }
                _ => None,
            };
            match wrong {
                Some((code, message, help)) => found.push(Diagnostic::error(code, message, flag.span).help(help)),
                None => kept.push(flag),
            }
        }
        Self { table, given: kept }
    }

    fn find(&self, name: &str) -> Option<&Flag> {
        debug_assert!(self.table.iter().any(|(known, _)| *known == name));
        self.given.iter().find(|flag| flag.name == name)
    }

    /// The value of a flag that is there once.
    pub(crate) fn value(&self, name: &str) -> Option<Spanned<String>> {
        let flag = self.find(name)?;
        Some(Spanned::new(flag.value.clone()?, flag.span.clone()))
    }

    /// The values of a flag that may be there several times.
    pub(crate) fn values(&self, name: &str) -> Vec<Spanned<String>> {
        let given = self.given.iter().filter(|flag| flag.name == name);
        given.filter_map(|flag| Some(Spanned::new(flag.value.clone()?, flag.span.clone()))).collect()
    }

    /// Whether a switch is on, if it is there.
    pub(crate) fn switch(&self, name: &str) -> Option<bool> {
        let flag = self.find(name)?;
        Some(flag.value.as_deref().is_none_or(|value| value.eq_ignore_ascii_case("true")))
    }
}

/// Says that flags have no effect, for the instructions where docker takes no notice of them.
pub(crate) fn without_effect(keyword: Keyword, given: &[Flag], found: &mut Vec<Diagnostic>) {
    for flag in given {
        let message = format!("--{} has no effect: {keyword} has no such flag", flag.name);
        found.push(Diagnostic::warning("flag-without-effect", message, flag.span.clone()).help("remove it"));
    }
}
