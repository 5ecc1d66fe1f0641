//! Places in the files that a pipeline is made of.

/// Bytes of one of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// Which file, by its place in [`Sources`].
    pub file: usize,
    /// Its first byte.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
}

/// Something that a person wrote, and where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spanned<T> {
    /// What.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Joins the two.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// A file of a pipeline.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path in the repository.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// The files of a pipeline: the first is the one that was asked for, the others are what it includes.
#[derive(Clone, Debug, Default)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Adds a file and tells its number.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> usize {
        self.0.push(Source { name: name.into(), text: text.into() });
        self.0.len() - 1
    }

    /// A file by its number.
    #[must_use]
    pub fn get(&self, file: usize) -> Option<&Source> {
        self.0.get(file)
    }

    /// What a span covers; nothing for one that was not made here.
    #[must_use]
    pub fn text(&self, span: Span) -> &str {
        self.0.get(span.file).and_then(|source| source.text.get(span.start..span.end)).unwrap_or_default()
    }

    /// `name:line:column` of a span's start, both from 1, as editors take it.
    #[must_use]
    pub fn place(&self, span: Span) -> String {
        let Some(source) = self.0.get(span.file) else { return String::new() };
        let before = &source.text[..source.text.floor_char_boundary(span.start)];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("{}:{line}:{column}", source.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_from_one() {
        let mut sources = Sources::default();
        let file = sources.add("a.yml", "é: 1\nb: 2\n");
        let span = Span { file, start: 6, end: 7 };
        assert_eq!((sources.text(span), sources.place(span).as_str()), ("b", "a.yml:2:1"));
        assert_eq!(sources.place(Span { file, start: 2, end: 3 }), "a.yml:1:2");
        assert_eq!(sources.text(Span { file, start: 1, end: 900 }), "");
    }
}
