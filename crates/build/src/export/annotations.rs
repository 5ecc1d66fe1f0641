//! `--annotation` and `annotation…=` of an output: notes on manifests, indexes and the descriptors that lead to them.

use std::collections::BTreeMap;

use archipel_oci::Platform;

use crate::Error;

/// What a note is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    Manifest,
    Index,
    /// A manifest's entry in the index, or in a layout's `index.json`.
    ManifestDescriptor,
    /// The index's entry in a layout's `index.json`.
    IndexDescriptor,
}

/// The notes of one image.
#[derive(Clone, Debug, Default)]
pub(super) struct Annotations(Vec<Annotation>);

#[derive(Clone, Debug)]
struct Annotation {
    on: On,
    /// For this platform only.
    platform: Option<Platform>,
    key: String,
    value: String,
}

impl Annotations {
    /// Reads the build's (`[type[platform],..:]key`) and one output's (`annotation[-type][platform].key`).
    pub(super) fn parse(of_build: &[(String, String)], of_output: &[(String, String)]) -> Result<Self, Error> {
        let mut all = Vec::new();
        for (text, value) in of_build {
            let (kinds, key) = match text.split_once(':') {
                Some((kinds, key)) if is_prefix(kinds) => (kinds, key),
                _ => ("manifest", text.as_str()),
            };
            for kind in kinds.split(',') {
                all.push(annotation(kind, key, value)?);
            }
        }
        for (text, value) in of_output {
            let wrong = || Error::Request(format!("`{text}` is not an annotation: write annotation.KEY=VALUE"));
            let rest = text.strip_prefix("annotation").ok_or_else(wrong)?;
            // A platform has no dot, so the first one ends the kind.
            let (kind, key) = rest.split_once('.').ok_or_else(wrong)?;
            let kind = match kind.strip_prefix('-') {
                Some(kind) => kind.to_owned(),
                None => format!("manifest{kind}"),
            };
            all.push(annotation(&kind, key, value)?);
        }
        Ok(Self(all))
    }

    /// The notes on one thing.
    pub(super) fn of(&self, on: On, platform: Option<&Platform>) -> BTreeMap<String, String> {
        let meant = |a: &&Annotation| a.on == on && (a.platform.is_none() || a.platform.as_ref() == platform);
        self.0.iter().filter(meant).map(|a| (a.key.clone(), a.value.clone())).collect()
    }

    /// Whether there are none at all.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is any on indexes.
    pub(super) fn need_index(&self) -> bool {
        self.0.iter().any(|a| matches!(a.on, On::Index | On::IndexDescriptor))
    }
}

/// Whether what stands before a colon is a list of kinds, and not a part of the key.
fn is_prefix(text: &str) -> bool {
    let word = |part: &str| {
        let word = part.split('[').next().unwrap_or(part);
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
    };
    text.split(',').all(word)
}

fn annotation(kind: &str, key: &str, value: &str) -> Result<Annotation, Error> {
    let (word, platform) = match kind.strip_suffix(']').and_then(|kind| kind.split_once('[')) {
        Some((word, platform)) => {
            let platform = platform.parse().map_err(|e| Error::Request(format!("annotation `{kind}`: {e}")))?;
            (word, Some(platform))
        }
        None => (kind, None),
    };
    let on = match word {
        "manifest" => On::Manifest,
        "index" => On::Index,
        "manifest-descriptor" => On::ManifestDescriptor,
        "index-descriptor" => On::IndexDescriptor,
        other => {
            return Err(Error::Request(format!(
                "unknown annotation type {other:?}: manifest, index, manifest-descriptor or index-descriptor"
            )));
        }
    };
    if platform.is_some() && matches!(on, On::Index | On::IndexDescriptor) {
        return Err(Error::Request(format!("annotation `{kind}`: an index is for all platforms")));
    }
    if key.is_empty() {
        return Err(Error::Request(format!("annotation `{kind}` has an empty key")));
    }
    Ok(Annotation { on, platform, key: key.to_owned(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(build: &[&str], output: &[&str]) -> Result<Annotations, Error> {
        let pairs = |list: &[&str]| -> Vec<(String, String)> {
            list.iter().map(|k| ((*k).to_owned(), "v".to_owned())).collect()
        };
        Annotations::parse(&pairs(build), &pairs(output))
    }

    #[test]
    fn prefixes_say_what_is_annotated() {
        let arm: Platform = "linux/arm64".parse().unwrap();
        let amd: Platform = "linux/amd64".parse().unwrap();
        let all = parse(
            &["a.b/c", "index,manifest-descriptor:i", "manifest[linux/arm64]:arm", "com.example:colon"],
            &["annotation.o", "annotation-index.oi", "annotation[linux/arm64].oarm", "annotation-index-descriptor.d.e"],
        )
        .unwrap();
        let keys = |on, p: Option<&Platform>| all.of(on, p).into_keys().collect::<Vec<_>>().join(" ");
        assert_eq!(keys(On::Manifest, Some(&amd)), "a.b/c com.example:colon o");
        assert_eq!(keys(On::Manifest, Some(&arm)), "a.b/c arm com.example:colon o oarm");
        assert_eq!(keys(On::Index, None), "i oi");
        assert_eq!(keys(On::ManifestDescriptor, Some(&amd)), "i");
        assert_eq!(keys(On::IndexDescriptor, None), "d.e");
        assert!(all.need_index() && !parse(&["a"], &[]).unwrap().need_index());
    }

    #[test]
    fn mistakes_are_named() {
        for (build, output, word) in [
            (&["indx:a"][..], &[][..], "\"indx\""),
            (&["manifest[nonsense]:a"], &[], "nonsense"),
            (&["index[linux/arm64]:a"], &[], "all platforms"),
            (&["index:"], &[], "empty key"),
            (&[], &["annotations.a"], "manifests"),
            (&[], &["annotation"], "KEY=VALUE"),
        ] {
            let error = parse(build, output).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
