//! What is wrong with a definition, and where.

use std::fmt;
use std::ops::Range;

use archipel_dockerfile::nearest;

use crate::File;

/// Bytes of one of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) file: usize,
    pub(crate) bytes: Range<usize>,
}

/// A mistake on its way out. Who finds it knows what it is; who evaluated the expression around it knows where.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    message: String,
    span: Option<Span>,
    help: Option<String>,
}

/// A result with the small half of a fault: they are rare.
pub(crate) type Result<T> = std::result::Result<T, Box<Fault>>;

/// A fault without a place yet.
pub(crate) fn fault(message: impl Into<String>) -> Box<Fault> {
    Box::new(Fault { message: message.into(), span: None, help: None })
}

impl Fault {
    /// Gives it a place, if it has none that is nearer.
    pub(crate) fn at(mut self: Box<Self>, span: Option<Span>) -> Box<Self> {
        self.span = self.span.or(span);
        self
    }

    /// Says what it is about, if nothing nearer has a place.
    pub(crate) fn named(mut self: Box<Self>, what: &str) -> Box<Self> {
        if self.span.is_none() {
            self.message = format!("{what}: {}", self.message);
        }
        self
    }

    pub(crate) fn help(mut self: Box<Self>, help: impl Into<String>) -> Box<Self> {
        self.help = Some(help.into());
        self
    }

    /// Proposes the nearest of the words that would have been right.
    pub(crate) fn propose<'a>(self: Box<Self>, word: &str, known: impl IntoIterator<Item = &'a str>) -> Box<Self> {
        match nearest(word, known) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None => self,
        }
    }

    /// The same with the text that it is in, for whoever shows it.
    pub(crate) fn told(self, files: &[File]) -> Error {
        let place = self.span.and_then(|span| {
            let file = files.get(span.file)?;
            Some(Place { name: file.name.clone(), text: file.text.clone(), span: span.bytes })
        });
        Error { message: self.message, help: self.help, place }
    }
}

/// What is wrong with a definition, or with what was asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// One sentence.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Where, if it is in a file.
    pub place: Option<Place>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's name.
    pub name: String,
    /// What it says.
    pub text: String,
    /// The bytes that are meant.
    pub span: Range<usize>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
