//! Places in a text.

use std::ops::Range;

/// Bytes of the Dockerfile's text.
pub type Span = Range<usize>;

/// Something that a person wrote, and where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spanned<T> {
    /// What.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T> Spanned<T> {
    pub(crate) fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

impl Spanned<String> {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.value
    }
}

/// Tells the line of a byte.
#[derive(Clone, Debug)]
pub struct LineIndex {
    starts: Vec<usize>,
}

impl LineIndex {
    /// Looks through a text once.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let after = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(after).collect() }
    }

    /// The line that a byte is on, from 1.
    #[must_use]
    pub fn line(&self, byte: usize) -> usize {
        self.starts.partition_point(|start| *start <= byte)
    }

    /// The lines that a span touches, from 1, both ends included.
    #[must_use]
    pub fn lines(&self, span: &Span) -> (usize, usize) {
        (self.line(span.start), self.line(span.end.saturating_sub(1).max(span.start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_count_from_one() {
        let index = LineIndex::new("a\nbc\n\nd");
        assert_eq!([0, 1, 2, 4, 5, 6].map(|b| index.line(b)), [1, 1, 2, 2, 3, 4]);
        assert_eq!(index.lines(&(0..4)), (1, 2));
        assert_eq!(index.lines(&(2..5)), (2, 2));
        assert_eq!(index.lines(&(6..6)), (4, 4));
    }
}
