//! From lines to instructions' texts: continuations are joined, comments between them left out.

use crate::span::{Span, Spanned};

/// An instruction's text on one line, which knows where each of its bytes came from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    pub(crate) text: String,
    /// Where each piece begins: here, and in the source.
    pieces: Vec<(usize, usize)>,
    /// The lines that it takes in the source.
    pub(crate) span: Span,
    /// The last of them, if there is a blank one among them.
    pub(crate) blank_inside: Option<Span>,
}

impl Line {
    fn push(&mut self, piece: &str, at: usize) {
        self.pieces.push((self.text.len(), at));
        self.text.push_str(piece);
    }

    /// Text that has no place of its own in a source: all of it is at `span`.
    pub(crate) fn all(&self) -> Piece<'_> {
        Piece { line: self, start: 0, end: self.text.len() }
    }

    fn place(&self, byte: usize) -> usize {
        let piece = self.pieces.partition_point(|(start, _)| *start <= byte).checked_sub(1);
        piece.and_then(|n| self.pieces.get(n)).map_or(self.span.start, |(start, at)| at + (byte - start))
    }
}

/// A part of a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'l> {
    line: &'l Line,
    start: usize,
    end: usize,
}

impl<'l> Piece<'l> {
    pub(crate) fn text(&self) -> &'l str {
        self.line.text.get(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Where it stands in the source.
    pub(crate) fn span(&self) -> Span {
        let start = self.line.place(self.start);
        if self.is_empty() { start..start } else { start..self.line.place(self.end - 1) + 1 }
    }

    pub(crate) fn spanned(&self) -> Spanned<String> {
        Spanned::new(self.text().to_owned(), self.span())
    }

    /// A part of it.
    pub(crate) fn slice(&self, from: usize, to: usize) -> Self {
        let at = |n: usize| (self.start + n).min(self.end);
        Self { line: self.line, start: at(from), end: at(to) }
    }

    pub(crate) fn from(&self, from: usize) -> Self {
        self.slice(from, self.end - self.start)
    }

    /// The same to the end of its line, with what was trimmed off there.
    pub(crate) fn untrimmed(&self) -> Self {
        Self { end: self.line.text.len(), ..*self }
    }

    pub(crate) fn trim(&self) -> Self {
        let text = self.text();
        let start = text.len() - text.trim_start().len();
        let end = text.trim_end().len().max(start);
        self.slice(start, end)
    }

    /// Before and after the first run of blanks.
    pub(crate) fn split_blank(&self) -> (Self, Option<Self>) {
        let text = self.text();
        match text.find(blank) {
            None => (*self, None),
            Some(at) => {
                let rest = text.get(at..).unwrap_or_default();
                let skipped = rest.len() - rest.trim_start_matches(blank).len();
                (self.slice(0, at), Some(self.from(at + skipped)))
            }
        }
    }

    /// Its words, which blanks separate and nothing holds together.
    pub(crate) fn split_blanks(&self) -> Vec<Self> {
        let mut words = Vec::new();
        let mut rest = Some(*self);
        while let Some(piece) = rest.filter(|piece| !piece.is_empty()) {
            let (word, after) = piece.split_blank();
            words.push(word);
            rest = after;
        }
        words
    }
}

/// What separates words in an instruction. Other white space, such as a no-break space, does not.
pub(crate) fn blank(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

/// Goes through the lines of a text.
#[derive(Debug)]
pub(crate) struct Lines<'t> {
    text: &'t str,
    at: usize,
    /// Where there is a line that is too long: there is no next line then.
    too_long: Option<Span>,
}

/// The longest line that docker reads, in bytes without its end.
pub(crate) const MAX_LINE: usize = 65_535;

impl<'t> Lines<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        // A byte order mark is no part of the first line.
        Self { text, at: if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 }, too_long: None }
    }

    /// The next line with its end, and where it begins.
    pub(crate) fn next(&mut self) -> Option<(usize, &'t str)> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let length = rest.find('\n').map_or(rest.len(), |at| at + 1);
        let at = self.at;
        let line = rest.get(..length)?;
        if line.strip_suffix('\n').unwrap_or(line).len() > MAX_LINE {
            self.too_long = Some(at..at + length);
            return None;
        }
        self.at += length;
        Some((at, line))
    }

    pub(crate) fn too_long(&self) -> Option<Span> {
        self.too_long.clone()
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Reads on from a line that begins an instruction, to the end of its last continuation.
    pub(crate) fn join(&mut self, at: usize, first: &'t str, escape: char) -> Line {
        let mut line = Line { span: at..at, ..Line::default() };
        let (mut from, mut text) = (at, trim_end(first));
        let mut blank = false;
        let mut last = at..at + text.len();
        loop {
            let (kept, goes_on) = continuation(text, escape);
            line.push(kept, from);
            line.span.end = from + text.len();
            if !goes_on {
                break;
            }
            let next = loop {
                let Some((start, next)) = self.next() else { break None };
                last = start..start + trim_end(next).len();
                if is_comment(next) {
                    continue;
                }
                if next.trim().is_empty() {
                    blank = true;
                    continue;
                }
                break Some((start, trim_end(next)));
            };
            match next {
                Some(next) => (from, text) = next,
                None => break,
            }
        }
        line.blank_inside = blank.then_some(last);
        line
    }
}

/// Without the end of the line.
pub(crate) fn trim_end(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

pub(crate) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// What a line has before its continuation character, and whether it has one. One that is itself escaped is none.
pub(crate) fn continuation(line: &str, escape: char) -> (&str, bool) {
    match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
        Some(before) if !before.ends_with(escape) => (before, true),
        _ => (line, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(text: &str, escape: char) -> Line {
        let mut lines = Lines::new(text);
        let (at, first) = lines.next().unwrap();
        lines.join(at, first, escape)
    }

    #[test]
    fn what_goes_on() {
        for (text, joined) in [
            ("RUN a \\\n  b\nRUN c", "RUN a   b"),
            ("RUN a \\  \t\nb", "RUN a b"),
            ("RUN a \\\n# no\n\n   # no\nb", "RUN a b"),
            ("RUN a\\\\\nb", "RUN a\\\\"),
            ("RUN a\\\n\\\nb", "RUN ab"),
            ("RUN a \\", "RUN a "),
            ("RUN a \\\r\nb\r\n", "RUN a b"),
            ("RUN a \\ b\nc", "RUN a \\ b"),
        ] {
            assert_eq!(join(text, '\\').text, joined, "{text:?}");
        }
        assert_eq!(join("RUN a `\nb", '`').text, "RUN a b");
    }

    #[test]
    fn no_line_is_too_long() {
        let just = format!("{}\n{}", "a".repeat(MAX_LINE), "b".repeat(MAX_LINE));
        let mut lines = Lines::new(&just);
        assert!(lines.next().is_some() && lines.next().is_some() && lines.too_long().is_none());
        let over = format!("a\n{}\r\nb", "a".repeat(MAX_LINE));
        let mut lines = Lines::new(&over);
        assert!(lines.next().is_some() && lines.next().is_none() && lines.next().is_none());
        assert_eq!(lines.too_long(), Some(2..over.len() - 1));
    }

    #[test]
    fn places_are_those_of_the_source() {
        let text = "RUN one \\\n  # no\n  two";
        let line = join(text, '\\');
        let words: Vec<&str> = line.all().split_blanks().iter().map(|w| &text[w.span()]).collect();
        assert_eq!(words, ["RUN", "one", "two"]);
        assert_eq!(&text[line.span.clone()], text);
        assert!(line.blank_inside.is_none());
        assert_eq!(join("RUN a \\\n\nb\nc", '\\').blank_inside, Some(9..10));
    }
}
