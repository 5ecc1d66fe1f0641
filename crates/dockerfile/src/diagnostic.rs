//! What is wrong with a text, and where.

use crate::nearest::{did_you_mean, proposed};
use crate::span::Span;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The build cannot go on.
    Error,
    /// It can, but somebody should look.
    Warning,
}

/// One finding. Plain data: drawing it is the binary's affair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A short name for this kind of finding: `unknown-flag`.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
    /// Where in the text.
    pub span: Span,
    /// The instruction that it is in, all its lines, if it is in one.
    pub instruction: Option<Box<Span>>,
    /// Further places that have to do with it.
    pub labels: Vec<Label>,
    /// What to do.
    pub help: Option<String>,
}

/// A remark on another place of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is to be said of it.
    pub text: String,
}

impl Diagnostic {
    /// Something that is wrong.
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>, span: Span) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            span,
            instruction: None,
            labels: Vec::new(),
            help: None,
        }
    }

    pub(crate) fn warning(code: &'static str, message: impl Into<String>, span: Span) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message, span) }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same as a part of an instruction.
    pub(crate) fn within(mut self, instruction: &Span) -> Self {
        self.instruction.get_or_insert_with(|| Box::new(instruction.clone()));
        self
    }

    /// The lines that it is told of: BuildKit tells of a whole instruction.
    #[must_use]
    pub fn lines(&self) -> &Span {
        self.instruction.as_deref().unwrap_or(&self.span)
    }

    pub(crate) fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Proposes the nearest of the words that would have been right, in the message, as BuildKit does; if none is near and they
    /// are few, all of them.
    pub(crate) fn propose<'a>(mut self, word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Self {
        if let Some(near) = proposed(word, known.clone()) {
            self.message.push_str(&did_you_mean(Some(near)));
            return self;
        }
        let known: Vec<&str> = known.into_iter().collect();
        match known.len() {
            1..=8 => self.help(format!("known here: {}", known.join(", "))),
            _ => self,
        }
    }
}

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}
