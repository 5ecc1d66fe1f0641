//! `--output`.

use std::path::PathBuf;

use archipel_build::{Compression, ImageOptions, Output, SourceDateEpoch};

use super::csv::{boolean, pairs};

/// One `--output` as it was typed, read.
pub(crate) fn parse(text: &str) -> Result<Output, String> {
    if text == "-" {
        return Ok(Output::Tar { dest: None, split: None, epoch: None });
    }
    // docker: one field that is not a type is a folder to put the files in, whatever its name.
    if !text.contains(',') && !text.starts_with("type=") {
        return Ok(Output::Local { dest: text.into(), delete: false, split: None, epoch: None });
    }
    let mut fields = Fields::new(text)?;
    let Some(kind) = fields.take("type") else {
        return Err("no `type=`: one of local, tar, oci, docker, image, registry, cacheonly".into());
    };
    let dest = fields.take("dest");
    let output = match kind.as_str() {
        "local" => Output::Local {
            dest: dest.ok_or("type=local needs dest=FOLDER")?.into(),
            delete: match fields.take("mode").as_deref() {
                None | Some("" | "copy") => false,
                Some("delete") => true,
                Some(other) => return Err(format!("mode={other} is not known: copy or delete")),
            },
            split: fields.boolean("platform-split")?,
            epoch: fields.epoch()?,
        },
        "tar" => Output::Tar { dest: file(dest), split: fields.boolean("platform-split")?, epoch: fields.epoch()? },
        "oci" => {
            let tar = fields.boolean("tar")?.unwrap_or(true);
            let dest = file(dest);
            if !tar && dest.is_none() {
                return Err("type=oci,tar=false needs dest=FOLDER".into());
            }
            Output::Oci { dest, tar, names: fields.names()?, options: fields.image_options()? }
        }
        // Without `dest` docker's archive goes into docker's own store; here that is our store.
        "docker" => match dest {
            Some(dest) => {
                Output::Docker { dest: file(Some(dest)), names: fields.names()?, options: fields.image_options()? }
            }
            None => Output::Image {
                push: false,
                names: fields.names()?,
                by_digest: false,
                options: fields.image_options()?,
            },
        },
        "image" | "registry" => {
            if dest.is_some() {
                return Err(format!("type={kind} takes no dest="));
            }
            let push = fields.boolean("push")?.unwrap_or(kind == "registry");
            let by_digest = fields.boolean("push-by-digest")?.unwrap_or(false);
            // The names of what is pushed by digest are canonical in any case.
            if fields.boolean("name-canonical")? == Some(true) && !by_digest {
                return Err("name-canonical=true is supported with push-by-digest=true only".into());
            }
            Output::Image { push, names: fields.names()?, by_digest, options: fields.image_options()? }
        }
        "cacheonly" => Output::CacheOnly,
        other => {
            return Err(format!(
                "type={other} is not known: one of local, tar, oci, docker, image, registry, cacheonly"
            ));
        }
    };
    fields.finish(&kind)?;
    Ok(output)
}

/// Refuses `mode=delete` for a folder with something in it that is to stay.
pub(crate) fn check_delete(output: &Output, stays: &[PathBuf]) -> Result<(), String> {
    let Output::Local { dest, delete: true, .. } = output else { return Ok(()) };
    // One that is not there has nothing in it.
    let Ok(folder) = dest.canonicalize() else { return Ok(()) };
    match stays.iter().find(|path| path.canonicalize().is_ok_and(|path| path.starts_with(&folder))) {
        Some(path) => Err(format!("mode=delete would remove {}: give the files a folder of their own", path.display())),
        None => Ok(()),
    }
}

/// Whether the bytes of a result go to standard output.
pub(crate) fn writes_to_stdout(output: &Output) -> bool {
    matches!(
        output,
        Output::Oci { dest: None, .. } | Output::Docker { dest: None, .. } | Output::Tar { dest: None, .. }
    )
}

fn file(dest: Option<String>) -> Option<PathBuf> {
    dest.filter(|d| d != "-").map(PathBuf::from)
}

struct Fields(Vec<(String, String)>);

impl Fields {
    fn new(text: &str) -> Result<Self, String> {
        let mut fields = vec![];
        for (key, value) in pairs(text)? {
            let value = value.ok_or_else(|| format!("`{key}` should be KEY=VALUE"))?;
            fields.push((key, value));
        }
        Ok(Self(fields))
    }

    fn take(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(k, _)| k == key)?;
        Some(self.0.remove(at).1)
    }

    fn boolean(&mut self, key: &str) -> Result<Option<bool>, String> {
        let Some(value) = self.take(key) else { return Ok(None) };
        boolean(&value).map(Some).ok_or_else(|| format!("{key}={value} should be {key}=true or {key}=false"))
    }

    fn epoch(&mut self) -> Result<Option<SourceDateEpoch>, String> {
        self.take("source-date-epoch").filter(|text| !text.is_empty()).map(|text| text.parse()).transpose()
    }

    fn names(&mut self) -> Result<Vec<archipel_oci::Reference>, String> {
        let Some(names) = self.take("name") else { return Ok(vec![]) };
        names.split(',').map(|name| name.parse().map_err(|e: archipel_oci::ReferenceError| e.to_string())).collect()
    }

    fn image_options(&mut self) -> Result<ImageOptions, String> {
        let compression = match self.take("compression").as_deref() {
            None => None,
            Some("gzip") => Some(Compression::Gzip),
            Some("zstd") => Some(Compression::Zstd),
            Some("uncompressed") => Some(Compression::Uncompressed),
            Some(other) => {
                return Err(format!("compression={other} is not supported: gzip, zstd or uncompressed"));
            }
        };
        let level = match self.take("compression-level") {
            None => None,
            Some(level) => Some(level.parse().map_err(|_| format!("compression-level={level} should be a number"))?),
        };
        let rewrite_timestamp = self.boolean("rewrite-timestamp")?.unwrap_or(false);
        let force_compression = self.boolean("force-compression")?.unwrap_or(false);
        let docker_types = self.boolean("oci-mediatypes")? == Some(false);
        let oci_artifact = self.boolean("oci-artifact")?;
        if docker_types && oci_artifact == Some(true) {
            return Err("oci-artifact=true needs OCI's media types: leave out oci-mediatypes=false".into());
        }
        let mut annotations = vec![];
        while let Some(at) = self.0.iter().position(|(k, _)| k.starts_with("annotation")) {
            annotations.push(self.0.remove(at));
        }
        Ok(ImageOptions {
            compression,
            level,
            force_compression,
            docker_types,
            attestation_images: oci_artifact == Some(false),
            rewrite_timestamp,
            source_date_epoch: self.epoch()?,
            annotations,
        })
    }

    /// Whatever is left was understood by nobody.
    fn finish(self, kind: &str) -> Result<(), String> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) => Err(format!("type={kind} does not know `{key}=`, or it is not supported yet")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorthands() {
        assert!(matches!(parse("-"), Ok(Output::Tar { dest: None, .. })));
        assert!(matches!(parse("out/dir"), Ok(Output::Local { dest, .. }) if dest.as_os_str() == "out/dir"));
    }

    #[test]
    fn deletes_nothing_that_stays() {
        let dir = tempfile::tempdir().unwrap();
        let context = dir.path().join("project/context");
        std::fs::create_dir_all(&context).unwrap();
        std::os::unix::fs::symlink(dir.path().join("project"), dir.path().join("link")).unwrap();
        let stays = [context];
        for (dest, good) in [
            ("", false),
            ("project", false),
            ("link", false),
            ("project/context", false),
            ("project/context/out", true),
        ] {
            let dest = dir.path().join(dest).display().to_string();
            let output = parse(&format!("type=local,mode=delete,dest={dest}")).unwrap();
            assert_eq!(check_delete(&output, &stays).is_ok(), good, "{dest}");
            assert!(check_delete(&parse(&format!("type=local,mode=copy,dest={dest}")).unwrap(), &stays).is_ok());
        }
        let everything = parse("type=local,mode=delete,dest=/").unwrap();
        assert!(check_delete(&everything, &stays).is_err());
        assert!(parse("type=local,mode=merge,dest=x").is_err());
    }

    #[test]
    fn types() {
        assert!(matches!(parse("type=local,dest=a=b"), Ok(Output::Local { dest, .. }) if dest.as_os_str() == "a=b"));
        assert!(matches!(parse("type=oci,dest=-"), Ok(Output::Oci { dest: None, tar: true, .. })));
        assert!(matches!(parse("type=oci,tar=false,dest=d"), Ok(Output::Oci { tar: false, .. })));
        let named = parse(r#"type=oci,dest=-,"name=org/repo:1,repo""#);
        assert!(matches!(named, Ok(Output::Oci { names, .. }) if names.len() == 2));
        let named = parse("type=docker,dest=-,name=org/repo:1");
        assert!(matches!(named, Ok(Output::Docker { names, .. }) if names[0].to_string() == "docker.io/org/repo:1"));
        assert!(matches!(parse("type=docker"), Ok(Output::Image { push: false, .. })));
        assert!(matches!(parse("type=docker,dest=x.tar"), Ok(Output::Docker { dest: Some(_), .. })));
        assert!(matches!(parse("type=registry"), Ok(Output::Image { push: true, .. })));
        let Ok(Output::Image { push: true, names, options, .. }) = parse(
            r#"type=image,"name=h.example/a,b:1",push=true,compression=zstd,compression-level=3,annotation-index.k=v"#,
        ) else {
            panic!()
        };
        assert_eq!(names.len(), 2);
        assert_eq!((options.compression, options.level), (Some(Compression::Zstd), Some(3)));
        assert_eq!(options.annotations, [("annotation-index.k".to_owned(), "v".to_owned())]);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, word) in [
            ("dest=x,tar=true", "type="),
            ("type=local", "dest"),
            ("type=oci,tar=false", "dest"),
            ("type=zip,dest=x", "zip"),
            ("type=tar,dest=x,unpack=true", "unpack"),
            ("type=image,compression=lz4", "lz4"),
            ("type=image,oci-artifact=maybe", "oci-artifact"),
            ("type=image,push=maybe", "maybe"),
            ("type=oci,source-date-epoch=noon", "noon"),
            ("type=local,dest=x,source-date-epoch=99999999999999", "four digits"),
            ("type=local,dest", "dest"),
        ] {
            let error = parse(text).map(|_| ()).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
