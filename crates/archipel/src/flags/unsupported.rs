//! Docker's flags whose only value that can be honoured today is "no": another value is an error, so that nobody believes
//! to have what is not there.

use super::csv::{boolean, pairs};

/// `--provenance` and `--sbom`: booleans, or `key=value` fields that switch on unless one says `disabled=true`.
pub(crate) fn attestation(text: &str) -> Result<(), String> {
    match boolean(text) {
        Some(false) => Ok(()),
        Some(true) => Err("attestations are not supported yet".into()),
        None => disabled(text),
    }
}

/// `--attest type=provenance,disabled=true`.
pub(crate) fn disabled(text: &str) -> Result<(), String> {
    let off =
        pairs(text)?.iter().any(|(key, value)| key == "disabled" && value.as_deref().and_then(boolean) == Some(true));
    if off { Ok(()) } else { Err("attestations are not supported yet".into()) }
}
