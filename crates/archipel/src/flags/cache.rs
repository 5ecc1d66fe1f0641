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

/// `--cache-to`.
#[derive(Clone, Debug)]
pub(crate) enum CacheTo {
    /// `type=inline`: the image itself.
    Image,
    Elsewhere(CacheExport),
}

/// `type=registry,ref=..[,mode=max]`, `type=local,dest=..[,mode=max]`, `type=inline`, or a name alone.
pub(crate) fn export(text: &str) -> Result<CacheTo, String> {
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
    if fields.kind == INLINE {
        return match (&fields.reference, &fields.folder, all) {
            (None, None, false) => Ok(CacheTo::Image),
            (Some(_), ..) => Err("type=inline takes no ref=: the cache is in the image that is built".into()),
            (_, Some(_), _) => Err("type=inline takes no dest=: the cache is in the image that is built".into()),
            (.., true) => Err("type=inline knows mode=min only: an image has no steps but its own".into()),
        };
    }
    Ok(CacheTo::Elsewhere(CacheExport { location: fields.location("dest")?, all, ignore_error }))
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
        assert!(matches!(to, CacheTo::Elsewhere(CacheExport { all: true, ignore_error: true, .. })));
        assert!(matches!(export("h.example/a:c").unwrap(), CacheTo::Elsewhere(CacheExport { all: false, .. })));
        assert!(matches!(export("type=inline,mode=min").unwrap(), CacheTo::Image));
        assert!(import("type=inline").unwrap_err().contains("--cache-from IMAGE"));
        for (text, word) in [
            ("type=gha", "gha"),
            ("type=local", "dest="),
            ("ref=x", "type="),
            ("type=registry,ref=x,mode=most", "most"),
            ("type=inline,ref=x", "ref="),
            ("type=inline,mode=max", "mode=min"),
        ] {
            let error = export(text).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
