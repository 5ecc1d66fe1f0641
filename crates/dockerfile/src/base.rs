//! What FROM names: the base, and the platform.

use archipel_oci::{Platform, PlatformError, Reference, ReferenceError};

use crate::diagnostic::Diagnostic;
use crate::instruction::Word;
use crate::nearest::{did_you_mean, similar};
use crate::scope::Globals;

impl Globals {
    /// The base that a FROM names: an image, an earlier stage or `scratch`.
    ///
    /// # Errors
    /// Why it cannot be expanded, or that nothing is left of it.
    pub fn base(&self, word: &Word) -> Result<String, Diagnostic> {
        let found = self.expansion(word)?;
        if found.text.is_empty() {
            let message = format!("base name ({}) should not be blank", word.value);
            return Err(Diagnostic::error("blank-base", message, word.span.clone()));
        }
        Ok(found.text)
    }

    /// The image that a FROM names, if what it names is an image.
    ///
    /// # Errors
    /// As [`base`](Self::base), and that it is no image's name.
    pub fn image(&self, word: &Word) -> Result<Reference, Diagnostic> {
        let base = self.base(word)?;
        base.parse().map_err(|wrong| {
            let reason = match wrong {
                ReferenceError::UpperCase(path) => {
                    let library = if base.contains('/') { "" } else { "library/" };
                    format!("repository name ({library}{path}) must be lowercase")
                }
                other => other.to_string(),
            };
            let message = format!("failed to parse stage name {base:?}: invalid reference format: {reason}");
            Diagnostic::error("invalid-reference", message, word.span.clone())
        })
    }

    /// The platform that `FROM --platform` names, normalized.
    ///
    /// # Errors
    /// Why it cannot be expanded, that nothing is left of it, or that it is no platform.
    pub fn platform(&self, word: &Word) -> Result<Platform, Diagnostic> {
        let found = self.expansion(word)?;
        let (code, message) = match found.text.parse::<Platform>() {
            Ok(platform) => return Ok(platform.normalized()),
            Err(_) if found.text.is_empty() => {
                ("blank-platform", format!("empty platform value from expression {}", word.value))
            }
            Err(wrong) => {
                let reason = reason(&found.text, &wrong);
                ("invalid-platform", format!("failed to parse platform {}: {reason}", word.value))
            }
        };
        let meant = found.missing.iter().find_map(|name| similar(name, self.names()));
        Err(Diagnostic::error(code, message + &did_you_mean(meant), word.span.clone()))
    }
}

/// Why a text is no platform, in BuildKit's words where a part of it is wrong.
fn reason(text: &str, wrong: &PlatformError) -> String {
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    match text.split('/').find(|part| part.is_empty() || !part.chars().all(valid)) {
        Some(part) => format!(
            "{part:?} is an invalid component of {text:?}: platform specifier component must match \
             \"^[A-Za-z0-9_.-]+$\": invalid argument"
        ),
        None => wrong.to_string(),
    }
}
