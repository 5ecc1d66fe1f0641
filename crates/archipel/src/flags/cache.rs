//! `--cache-from` and `--cache-to`.

use archipel_build::{CacheExport, CacheLocation};

use super::csv::{boolean, pairs};

/// The cache that is the image itself.
const INLINE: &str = "inline";

/// `type=registry,ref=..`, `type=local,src=..`, or a name alone, which is a registry's.
pub(crate) fn import(text: &str) -> Result<CacheLocation, String> {
    let fields = Fields::read(text, "src")?;
    match fields.rest.first() {
        _ if fields.kind == INLINE => Err("an image's cache is read by the image's name: --cache-from IMAGE".into()),
        Some((key, _)) => Err(format!("`{key}=` is not supported yet for --cache-from")),
        None => fields.location("src"),
    }
}

/// `type=registry,ref=..[,mode=max]`, `type=local,dest=..[,mode=max]`, `type=inline`, or a name alone.
pub(crate) fn export(text: &str) -> Result<CacheExport, String> {
    let fields = Fields::read(text, "dest")?;
    let (mut all, mut ignore_error) = (false, false);
    for (key, value) in &fields.rest {
        match (key.as_str(), value.as_str()) {
            ("mode", "min") => all = false,
            ("mode", "max") => all = true,
            ("mode", other) => return Err(format!("mode={other} is not known: min or max")),
            ("ignore-error", value) => {
                ignore_error = boolean(value).ok_or_else(|| format!("ignore-error={value} should be true or false"))?;
            }
            // The form of BuildKit's one manifest; ours is always an OCI image manifest.
            ("image-manifest" | "oci-mediatypes", value) if boolean(value) == Some(true) => {}
            ("compression", "gzip") => {}
            (other, _) => return Err(format!("`{other}=` is not supported yet for --cache-to")),
        }
    }
    Ok(CacheExport { location: fields.location("dest")?, all, ignore_error })
}

struct Fields {
    kind: String,
    reference: Option<String>,
    folder: Option<String>,
    rest: Vec<(String, String)>,
}

impl Fields {
    fn read(text: &str, folder: &str) -> Result<Self, String> {
        let mut fields = Self { kind: String::new(), reference: None, folder: None, rest: Vec::new() };
        if !text.contains('=') {
            return Ok(Self { kind: "registry".into(), reference: Some(text.into()), ..fields });
        }
        for (key, value) in pairs(text)? {
            let value = value.ok_or_else(|| format!("`{key}` should be KEY=VALUE"))?;
            match key.as_str() {
                "type" => fields.kind = value,
                "ref" => fields.reference = Some(value),
                key if key == folder => fields.folder = Some(value),
                _ => fields.rest.push((key, value)),
            }
        }
        Ok(fields)
    }

    fn location(&self, folder: &str) -> Result<CacheLocation, String> {
        match self.kind.as_str() {
            "registry" => {
                let reference = self.reference.as_deref().ok_or("type=registry needs ref=REGISTRY/NAME:TAG")?;
                reference.parse().map(CacheLocation::Registry).map_err(|e| format!("ref={reference}: {e}"))
            }
            "local" => match &self.folder {
                Some(path) => Ok(CacheLocation::Local(path.into())),
                None => Err(format!("type=local needs {folder}=FOLDER")),
            },
            INLINE => Ok(CacheLocation::Inline),
            "" => Err("no `type=`: registry, local or inline".into()),
            other => Err(format!("type={other} is not supported yet: registry, local or inline")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        assert!(matches!(import("type=registry,ref=h.example/a:c"), Ok(CacheLocation::Registry(_))));
        assert!(matches!(import("h.example/a:c"), Ok(CacheLocation::Registry(_))));
        assert!(matches!(import("type=local,src=d"), Ok(CacheLocation::Local(d)) if d.as_os_str() == "d"));
        let to = export("type=local,dest=d,mode=max,ignore-error=true").unwrap();
        assert!(to.all && to.ignore_error);
        assert!(!export("h.example/a:c").unwrap().all);
        assert_eq!(export("type=inline").unwrap().location, CacheLocation::Inline);
        assert!(import("type=inline").unwrap_err().contains("--cache-from IMAGE"));
        for (text, word) in [
            ("type=gha", "gha"),
            ("type=local", "dest="),
            ("ref=x", "type="),
            ("type=registry,ref=x,mode=most", "most"),
        ] {
            let error = export(text).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
