//! The JSON form of instructions: an array of strings.

use std::borrow::Cow;

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
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(&paired(text)) else { return Ok(None) };
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

/// The text with U+FFFD for each half of a surrogate pair that has no other half, as Go reads it.
fn paired(text: &str) -> Cow<'_, str> {
    let mut fixed = String::new();
    let mut rest = text;
    while let Some((before, escape)) = rest.find('\\').and_then(|at| rest.split_at_checked(at)) {
        fixed.push_str(before);
        let (kept, length) = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => (12, 12),
            (Some(0xd800..0xe000), _) => (0, 6),
            _ => [escape.char_indices().nth(2).map_or(escape.len(), |(at, _)| at); 2].into(),
        };
        fixed.push_str(if kept == 0 { "\u{fffd}" } else { escape.get(..kept).unwrap_or_default() });
        rest = escape.get(length..).unwrap_or_default();
    }
    if fixed.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(fixed + rest) }
}

/// The UTF-16 unit of an escape that a text begins with.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::paired;

    #[test]
    fn halves_of_pairs() {
        for (text, expected) in [
            (r#"["a\\ud83d"]"#, r#"["a\\ud83d"]"#),
            (r#"["\ud83d\ude00"]"#, r#"["\ud83d\ude00"]"#),
            (r#"["\ud83d", "\ude00x\n"]"#, "[\"\u{fffd}\", \"\u{fffd}x\\n\"]"),
            (r#"["\u00e4\ud83d\ud83d\ude00"]"#, "[\"\\u00e4\u{fffd}\\ud83d\\ude00\"]"),
            ("[\"a\\", "[\"a\\"),
        ] {
            assert_eq!(paired(text), expected);
        }
    }
}
