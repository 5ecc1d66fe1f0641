//! What is wrong with a pipeline's files, and where.

pub use archipel_dockerfile::Severity;
use archipel_dockerfile::nearest;

use crate::span::Span;

/// One finding. Plain data: drawing it is the binary's affair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// One sentence.
    pub message: String,
    /// Where.
    pub span: Span,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    pub(crate) fn error(message: impl Into<String>, span: Span) -> Self {
        Self { severity: Severity::Error, message: message.into(), span, help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Proposes the nearest of the words that would have been right; if none is near and they are few, all of them.
    pub(crate) fn propose<'a>(self, word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Self {
        if let Some(near) = nearest(word, known.clone()) {
            return self.help(format!("did you mean `{near}`?"));
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

/// Nobody reads more, and a hostile file could have a million.
const MAX_FINDINGS: usize = 100;

/// Findings on their way. The same one is kept once: what jobs inherit is read for each of them.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Diagnostic>);

impl Findings {
    pub(crate) fn add(&mut self, diagnostic: Diagnostic) {
        if !self.is_full() && !self.0.contains(&diagnostic) {
            self.0.push(diagnostic);
        }
    }

    pub(crate) fn error(&mut self, message: impl Into<String>, span: Span) {
        self.add(Diagnostic::error(message, span));
    }

    pub(crate) fn warn(&mut self, message: impl Into<String>, span: Span, help: &str) {
        let help = Some(help.to_owned());
        self.add(Diagnostic { severity: Severity::Warning, message: message.into(), span, help });
    }

    /// Something that GitLab knows and we do not do.
    pub(crate) fn unsupported(&mut self, what: &str, span: Span) {
        self.error(format!("`{what}` is not supported yet"), span);
    }

    /// Whether it is no use to look for more.
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= MAX_FINDINGS
    }

    pub(crate) fn failed(&self) -> bool {
        self.is_full() || self.0.iter().any(|d| d.severity == Severity::Error)
    }

    /// In the order of the text.
    pub(crate) fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.0.sort_by_key(|d| d.span);
        self.0
    }
}
