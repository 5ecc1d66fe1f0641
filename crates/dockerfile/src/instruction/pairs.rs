//! ENV, LABEL and ARG: names and values.

use super::{ArgDefinition, Op, Pair, Raw};
use crate::line::Piece;

impl Raw<'_, '_> {
    /// `name=value name=value`, or in the old way `name value`.
    pub(super) fn pairs(&mut self) -> Option<Vec<Pair>> {
        self.check_flags(&[]);
        let words = words(self.rest, self.escape);
        let Some(first) = words.first() else {
            self.missing("at least one argument", "name=value");
            return None;
        };
        if !first.text().contains('=') {
            return self.legacy_pair();
        }
        let mut pairs = Vec::new();
        for word in words {
            match word.text().split_once('=') {
                Some(("", _)) => self.blank_name(word),
                Some((name, _)) => {
                    let (value, name) = (word.from(name.len() + 1), word.slice(0, name.len()));
                    pairs.push(Pair { name: name.spanned(), value: value.spanned(), legacy: false });
                }
                None => {
                    let message =
                        format!("Syntax error - can't find = in {:?}. Must be of the form: name=value", word.text());
                    let help = "quote a value that has blanks in it: name=\"two words\"";
                    self.error("missing-equals", message, word.span()).help = Some(help.into());
                }
            }
        }
        Some(pairs)
    }

    fn legacy_pair(&mut self) -> Option<Vec<Pair>> {
        let keyword = self.keyword;
        let (name, value) = self.rest.split_blank();
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            let message = format!("{keyword} must have two arguments");
            let help = format!("write {keyword} {}=value", name.text());
            self.error("missing-value-of-pair", message, name.span()).help = Some(help);
            return None;
        };
        Some(vec![Pair { name: name.spanned(), value: value.spanned(), legacy: true }])
    }

    fn blank_name(&mut self, word: Piece<'_>) {
        let message = format!("{} names can not be blank", self.keyword);
        self.error("blank-name", message, word.span()).help = Some("write name=value".into());
    }

    pub(super) fn arg(&mut self) -> Option<Op> {
        self.ignore_flags();
        let words = words(self.rest, self.escape);
        if words.is_empty() {
            self.missing("at least one argument", "name[=default]");
            return None;
        }
        let mut args = Vec::new();
        for word in words {
            let (name, default) = match word.text().split_once('=') {
                Some(("", _)) => {
                    self.blank_name(word);
                    continue;
                }
                Some((name, _)) => (word.slice(0, name.len()), Some(word.from(name.len() + 1).spanned())),
                None => (word, None),
            };
            let description = description(self.comments, name.text());
            args.push(ArgDefinition { name: name.spanned(), default, description });
        }
        Some(Op::Arg(args))
    }
}

/// What the comment above a definition says of it: `# name does this`.
pub(crate) fn description(comments: &[String], name: &str) -> Option<String> {
    let after = |comment: &String| comment.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
    comments.iter().find_map(after).filter(|_| !name.is_empty())
}

/// Words that quotes hold together and escapes too; both stay.
pub(crate) fn words(piece: Piece<'_>, escape: char) -> Vec<Piece<'_>> {
    let text = piece.text();
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match (quote, start) {
            (None, None) if c.is_whitespace() => continue,
            (None, Some(from)) if c.is_whitespace() => {
                words.push(piece.slice(from, at));
                start = None;
                continue;
            }
            _ => {}
        }
        let from = *start.get_or_insert(at);
        if c == escape && quote != Some('\'') {
            // An escape with nothing behind it is nothing.
            if chars.next().is_none() {
                if from < at {
                    words.push(piece.slice(from, at));
                }
                return words;
            }
        } else if quote == Some(c) {
            quote = None;
        } else if quote.is_none() && matches!(c, '\'' | '"') {
            quote = Some(c);
        }
    }
    if let Some(from) = start {
        words.push(piece.from(from));
    }
    words
}
