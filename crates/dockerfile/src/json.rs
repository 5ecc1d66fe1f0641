//! The JSON form of instructions: an array of strings.

use crate::diagnostic::Diagnostic;
use crate::line::Piece;

/// Reads an array of strings. `None` if it is none: then it is text for a shell, or a list of words.
///
/// # Errors
/// An array that has something else in it.
pub(crate) fn strings(piece: Piece<'_>) -> Result<Option<Vec<String>>, Diagnostic> {
    let text = piece.text().trim_start();
    if !text.starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else { return Ok(None) };
    let strings = values.into_iter().map(|value| match value {
        serde_json::Value::String(string) => Ok(string),
        other => {
            let message = "when using JSON array syntax, arrays must be comprised of strings only";
            let help = format!("write {other} as a string: \"{other}\"");
            Err(Diagnostic::error("json-not-strings", message, piece.span()).help(help))
        }
    });
    strings.collect::<Result<_, _>>().map(Some)
}
