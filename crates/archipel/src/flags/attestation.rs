//! `--provenance`, `--sbom` and `--attest`.

use archipel_build::{Provenance, Sbom};

use super::csv::{boolean, pairs, pairs_as_typed};

/// The generator that docker takes (its `docker/buildkit-syft-scanner`).
const GENERATOR: &str = "docker/buildkit-syft-scanner:stable-1";

/// What one of the flags says of one kind: that there shall be none, or how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Provenance(Option<Provenance>),
    Sbom(Option<Sbom>),
}

impl Wish {
    pub(crate) fn provenance(&self) -> Option<&Option<Provenance>> {
        match self {
            Self::Provenance(wish) => Some(wish),
            Self::Sbom(_) => None,
        }
    }

    pub(crate) fn sbom(&self) -> Option<&Option<Sbom>> {
        match self {
            Self::Sbom(wish) => Some(wish),
            Self::Provenance(_) => None,
        }
    }
}

/// `--provenance[=true|false|mode=max,...]`.
pub(crate) fn provenance(text: &str) -> Result<Wish, String> {
    let wish = match boolean(text) {
        Some(true) => Some(Provenance::default()),
        Some(false) => None,
        None => fields(text)?,
    };
    Ok(Wish::Provenance(wish))
}

/// `--sbom[=true|false|generator=IMAGE,...]`.
pub(crate) fn sbom(text: &str) -> Result<Wish, String> {
    let wish = match boolean(text) {
        Some(true) => generator("")?,
        Some(false) => None,
        None => generator(text)?,
    };
    Ok(Wish::Sbom(wish))
}

/// `--attest type=provenance,...`, `--attest type=sbom,...`.
pub(crate) fn attest(text: &str) -> Result<Wish, String> {
    match pairs(text)?.iter().find(|(key, _)| key == "type").and_then(|(_, value)| value.as_deref()) {
        Some("provenance") => fields(text).map(Wish::Provenance),
        Some("sbom") => generator(text).map(Wish::Sbom),
        Some(other) => Err(format!("type={other} is not known: provenance or sbom")),
        None => Err("no `type=`: provenance or sbom".into()),
    }
}

/// What is not for us is for the generator.
fn generator(text: &str) -> Result<Option<Sbom>, String> {
    let mut image = GENERATOR.to_owned();
    let mut parameters = Vec::new();
    for (key, value) in if text.is_empty() { Vec::new() } else { pairs_as_typed(text)? } {
        match (key.to_ascii_lowercase().as_str(), value) {
            ("type", _) => {}
            ("disabled", Some(value)) if boolean(&value) == Some(true) => return Ok(None),
            ("disabled", Some(value)) if boolean(&value) == Some(false) => {}
            ("disabled", value) => return Err(format!("disabled={} is not known", value.unwrap_or_default())),
            ("generator", value) => image = value.unwrap_or_default(),
            (_, value) => parameters.push((key, value.unwrap_or_default())),
        }
    }
    let generator = image.parse().map_err(|e| format!("generator={image}: {e}"))?;
    Ok(Some(Sbom { generator, parameters }))
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
    fn provenances() {
        let plain = Provenance::default();
        let wish = |wish| Wish::Provenance(Some(wish));
        assert_eq!(provenance("true").unwrap(), wish(plain.clone()));
        assert_eq!(provenance("false").unwrap(), Wish::Provenance(None));
        assert_eq!(provenance("mode=max").unwrap(), wish(Provenance { max: true, ..plain.clone() }));
        let old = Provenance { old: true, builder: "me".into(), ..plain };
        assert_eq!(attest("type=provenance,version=v0.2,builder-id=me").unwrap(), wish(old));
        assert_eq!(attest("type=provenance,disabled=true").unwrap(), Wish::Provenance(None));
        for (wrong, word) in [("mode=max", "type="), ("type=provenance,mode=most", "most"), ("type=vex", "vex")] {
            assert!(attest(wrong).unwrap_err().contains(word), "{wrong}");
        }
    }

    #[test]
    fn lists() {
        let wish = |generator: &str, parameters: &[(&str, &str)]| {
            let parameters = parameters.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
            Wish::Sbom(Some(Sbom { generator: generator.parse().unwrap(), parameters }))
        };
        assert_eq!(sbom("true").unwrap(), wish(GENERATOR, &[]));
        assert_eq!(sbom("false").unwrap(), Wish::Sbom(None));
        assert_eq!(attest("type=sbom").unwrap(), wish(GENERATOR, &[]));
        assert_eq!(attest("type=sbom,generator=h.example/g,A=b").unwrap(), wish("h.example/g", &[("A", "b")]));
        assert_eq!(attest("type=sbom,disabled=true").unwrap(), Wish::Sbom(None));
        assert!(sbom("generator=A B").unwrap_err().contains("generator=A B"));
    }
}
