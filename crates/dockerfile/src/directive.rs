//! Parser directives: `# syntax=`, `# escape=` and `# check=` at the very top.

use crate::diagnostic::Diagnostic;
use crate::span::{Span, Spanned};

/// What the directives say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// `syntax`: the image of a frontend. Also in the forms `// syntax=` and `{"syntax": ...}`, for texts in other languages.
    pub syntax: Option<Spanned<String>>,
    /// `escape`: `\` or a backtick.
    pub escape: char,
    /// `check`: which checks count, and whether a finding is an error.
    pub check: Option<Spanned<String>>,
}

impl Default for Directives {
    fn default() -> Self {
        Self { syntax: None, escape: '\\', check: None }
    }
}

/// Takes directives from lines, from the first on, until there comes one that is none.
#[derive(Debug)]
pub(crate) struct Reader {
    prefix: &'static str,
    open: bool,
    seen: Vec<String>,
}

/// A directive: its name in lower case, and its value.
pub(crate) struct Directive<'t> {
    name: String,
    value: &'t str,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self { prefix: "#", open: true, seen: Vec::new() }
    }

    /// Reads a line that begins at a place of the text. A name that comes twice is an error, as in docker.
    pub(crate) fn line<'t>(&mut self, line: &'t str, span: Span) -> Result<Option<Directive<'t>>, Diagnostic> {
        if !self.open {
            return Ok(None);
        }
        let Some(directive) = line.strip_prefix(self.prefix).and_then(parse) else {
            self.open = false;
            return Ok(None);
        };
        if self.seen.contains(&directive.name) {
            let message = format!("only one {} parser directive can be used", directive.name);
            return Err(Diagnostic::error("duplicate-directive", message, span).help("remove this line"));
        }
        self.seen.push(directive.name.clone());
        Ok(Some(directive))
    }
}

/// `name = value`, for the names that there are.
fn parse(text: &str) -> Option<Directive<'_>> {
    let (name, value) = text.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let known = ["syntax", "escape", "check"].iter().any(|known| known.eq_ignore_ascii_case(name));
    (known && !value.is_empty()).then(|| Directive { name: name.to_ascii_lowercase(), value })
}

/// What a comment above an instruction says to the checks: `check=skip=...`.
pub(crate) fn check_comment(comment: &str) -> Option<&str> {
    parse(comment).filter(|d| d.name == "check").map(|d| d.value.split(' ').next().unwrap_or_default())
}

impl Directives {
    /// Which language a text says that it is in, and its checks, without reading further than that. `escape` is left out.
    pub fn of(text: &str) -> Self {
        let mut found = Self::default();
        found.other_forms(text);
        found
    }

    /// Takes note of one that was read from `line`, which begins at `at`.
    pub(crate) fn set(&mut self, directive: &Directive<'_>, at: usize, line: &str) -> Result<(), Diagnostic> {
        let from = directive.value.as_ptr() as usize - line.as_ptr() as usize + at;
        let span = from..from + directive.value.len();
        // What follows a space is for the frontend, not for us.
        let first = directive.value.split(' ').next().unwrap_or_default().to_owned();
        match directive.name.as_str() {
            "escape" => match directive.value {
                "\\" => self.escape = '\\',
                "`" => self.escape = '`',
                other => {
                    let message = format!("invalid escape token '{other}' does not match ` or \\");
                    return Err(Diagnostic::error("invalid-escape", message, span));
                }
            },
            "check" => self.check = Some(Spanned::new(first, span)),
            _ => self.syntax = Some(Spanned::new(first, span)),
        }
        Ok(())
    }

    /// The forms that a text may have which is not for us: behind a `#!` line, with `//`, as JSON.
    pub(crate) fn other_forms(&mut self, text: &str) {
        let start = text.len() - text.strip_prefix('\u{feff}').unwrap_or(text).len();
        let start = match text.get(start..).filter(|t| t.starts_with("#!")) {
            Some(rest) => start + rest.find('\n').map_or(rest.len(), |at| at + 1),
            None => start,
        };
        for prefix in ["#", "//"] {
            let mut reader = Reader { prefix, ..Reader::new() };
            let mut at = start;
            for line in text.get(start..).unwrap_or_default().split_inclusive('\n') {
                let Ok(Some(directive)) = reader.line(line, at..at) else { break };
                let mut found = Self::default();
                if found.set(&directive, at, line).is_ok() {
                    self.syntax = self.syntax.take().or(found.syntax);
                    self.check = self.check.take().or(if prefix == "#" { found.check } else { None });
                }
                at += line.len();
            }
        }
        if self.syntax.is_none() && text.get(start..).is_some_and(|t| t.trim_start().starts_with('{')) {
            let value = text.get(start..).and_then(|t| serde_json::from_str::<serde_json::Value>(t).ok());
            let syntax = value.as_ref().and_then(|v| v.get("syntax")).and_then(serde_json::Value::as_str);
            self.syntax = syntax.map(|s| Spanned::new(s.to_owned(), start..text.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::parse;

    #[test]
    fn where_they_count() {
        for (text, syntax, escape, check) in [
            ("# syntax=a/b:1\nFROM x", Some("a/b:1"), '\\', None),
            ("#  SYNTAX = a/b:1 more \n# escape = `\nFROM x", Some("a/b:1"), '`', None),
            ("# note\n# syntax=a\nFROM x", None, '\\', None),
            ("\n# syntax=a\nFROM x", None, '\\', None),
            ("# other=a\n# syntax=a\nFROM x", None, '\\', None),
            ("\u{feff}# check=skip=all\nFROM x", None, '\\', Some("skip=all")),
            ("#!/usr/bin/x\n# syntax=a\nFROM x", Some("a"), '\\', None),
            ("// syntax=a\nx", Some("a"), '\\', None),
            ("{\"syntax\": \"a\"}", Some("a"), '\\', None),
            ("#check=skip=A;error=true\r\nFROM x", None, '\\', Some("skip=A;error=true")),
        ] {
            let directives = parse(text).dockerfile.directives;
            assert_eq!(directives.syntax.as_ref().map(|s| s.as_str()), syntax, "{text:?}");
            assert_eq!(directives.escape, escape, "{text:?}");
            assert_eq!(directives.check.as_ref().map(|s| s.as_str()), check, "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_them() {
        let codes = |text: &str| parse(text).diagnostics.iter().map(|d| d.code).collect::<Vec<_>>();
        assert_eq!(codes("# escape=x\nFROM scratch"), ["invalid-escape"]);
        assert_eq!(codes("# escape=`\n# escape=\\\nFROM scratch"), ["duplicate-directive"]);
        let text = "# escape = x\nFROM scratch";
        let span = parse(text).diagnostics[0].span.clone();
        assert_eq!(&text[span], "x");
    }
}
