//! `--provenance`, `--sbom` and `--attest`.

use archipel_build::Provenance;

use super::csv::{boolean, pairs};

/// What one of the flags says of provenance: nothing, none, or how.
pub(crate) type Wish = Option<Option<Provenance>>;

/// `--provenance[=true|false|mode=max,...]`.
pub(crate) fn provenance(text: &str) -> Result<Wish, String> {
    match boolean(text) {
        Some(true) => Ok(Some(Some(Provenance::default()))),
        Some(false) => Ok(Some(None)),
        None => fields(text).map(Some),
    }
}

/// `--sbom`: only that there shall be none.
pub(crate) fn sbom(text: &str) -> Result<(), String> {
    let off = boolean(text) == Some(false) || disabled(text)?;
    if off { Ok(()) } else { Err("lists of what is in an image (SBOM) are not supported yet".into()) }
}

/// `--attest type=provenance,...`.
pub(crate) fn attest(text: &str) -> Result<Wish, String> {
    match pairs(text)?.iter().find(|(key, _)| key == "type").and_then(|(_, value)| value.as_deref()) {
        Some("provenance") => fields(text).map(Some),
        Some("sbom") => sbom(text).map(|()| None),
        Some(other) => Err(format!("type={other} is not known: provenance or sbom")),
        None => Err("no `type=`: provenance or sbom".into()),
    }
}

fn disabled(text: &str) -> Result<bool, String> {
    Ok(pairs(text)?.iter().any(|(key, value)| key == "disabled" && value.as_deref().and_then(boolean) == Some(true)))
}

fn fields(text: &str) -> Result<Option<Provenance>, String> {
    let mut wish = Provenance::default();
    for (key, value) in pairs(text)? {
        match (key.as_str(), value.as_deref()) {
            ("type", _) => {}
            ("disabled", Some(value)) if boolean(value) == Some(false) => {}
            ("disabled", Some(value)) if boolean(value) == Some(true) => return Ok(None),
            ("mode", Some("min")) => wish.max = false,
            ("mode", Some("max")) => wish.max = true,
            ("version", Some("v1")) => wish.old = false,
            ("version", Some("v0.2")) => wish.old = true,
            ("builder-id", Some(id)) => wish.builder = id.to_owned(),
            // Ours say nothing that would change.
            ("reproducible", Some(value)) if boolean(value).is_some() => {}
            ("mode" | "version" | "disabled" | "reproducible", value) => {
                let value = value.unwrap_or_default();
                return Err(format!("{key}={value} is not known: mode=min|max, version=v1|v0.2, disabled=true|false"));
            }
            (other, _) => return Err(format!("`{other}=` is not known: mode=, version=, builder-id=, disabled=")),
        }
    }
    Ok(Some(wish))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes() {
        let plain = Provenance::default();
        assert_eq!(provenance("true").unwrap(), Some(Some(plain.clone())));
        assert_eq!(provenance("false").unwrap(), Some(None));
        assert_eq!(provenance("mode=max").unwrap(), Some(Some(Provenance { max: true, ..plain.clone() })));
        let old = Provenance { old: true, builder: "me".into(), ..plain };
        assert_eq!(attest("type=provenance,version=v0.2,builder-id=me").unwrap(), Some(Some(old)));
        assert_eq!(attest("type=provenance,disabled=true").unwrap(), Some(None));
        assert_eq!(attest("type=sbom,disabled=true").unwrap(), None);
        for (wrong, word) in [("type=sbom", "SBOM"), ("mode=max", "type="), ("type=provenance,mode=most", "most")] {
            assert!(attest(wrong).unwrap_err().contains(word), "{wrong}");
        }
        assert!(sbom("true").is_err() && sbom("false").is_ok());
    }
}
