//! Lists of what is in an image, as SPDX documents (`--sbom`). Another program makes them: a generator that comes as an image and
//! speaks BuildKit's protocol. What it wrote is what an index or a folder then has beside the files.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;

use archipel_oci::Reference;

use crate::Error;
use crate::attestation::Attestation;
use crate::exec::{Executor, blocking};
use crate::plan::NodeId;
use crate::tree::View;

/// Where a generator writes.
pub(crate) const DESTINATION: &str = "/run/out/";

/// What the result's own list is called, and how the names of others begin.
pub(crate) const CORE: &str = "sbom";
pub(crate) const EXTRA: &str = "sbom-";

/// What SPDX documents are as predicates (in-toto attestation framework).
const PREDICATE: &str = "https://spdx.dev/Document";

/// The longest list that is taken. BuildKit has the same bound.
const MAX_DOCUMENT: u64 = 40 << 20;

/// `--sbom`, `--attest type=sbom`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sbom {
    /// The generator's image.
    pub generator: Reference,
    /// What it is told beside the usual: `BUILDKIT_SCAN_<name>`.
    pub parameters: Vec<(String, String)>,
}

fn list(view: &View, folder: &Path, name: &OsStr) -> Result<Attestation, Error> {
    let shown = name.to_string_lossy();
    let wrong = |reason: String| Error::Request(format!("{DESTINATION}{shown}: {reason}"));
    let bytes = view.read(&folder.join(name), MAX_DOCUMENT + 1)?.ok_or_else(|| wrong("it is no file".into()))?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(wrong(format!("it is longer than {} MiB", MAX_DOCUMENT >> 20)));
    }
    parse(&shown, &bytes).map_err(wrong)
}

/// Reads what a generator wrote to a file.
fn parse(file: &str, bytes: &[u8]) -> Result<Attestation, String> {
    let found = Attestation::parse(file, bytes)?;
    if found.predicate_type != PREDICATE {
        return Err(format!("it is of type {}, and should be of type {PREDICATE}", found.predicate_type));
    }
    Ok(found)
}

impl Executor {
    /// What a generator's step has written, the result's own list first.
    pub(crate) async fn lists(&self, scan: NodeId) -> Result<Vec<Attestation>, Error> {
        let (store, snapshot) = (self.engine.store.clone(), self.output(scan)?.snapshot.clone());
        let found = blocking(move || {
            let mounted = store.view(Some(&snapshot))?;
            read(mounted.path())
        })
        .await;
        found.map_err(|reason| match reason {
            Error::Request(reason) => Error::Request(format!("{}: {reason}", self.plan.nodes[scan.0].name)),
            other => other,
        })
    }
}

/// A generator is somebody else's program: none of what it left may lead out of its files.
fn read(root: &Path) -> Result<Vec<Attestation>, Error> {
    let view = View::open(root, None, true)?;
    let told = || Error::io(format!("read {DESTINATION} of the SBOM generator"));
    let place = view.locate(Path::new(DESTINATION), true).map_err(|e| told()(e.into()))?;
    let entries = fs::read_dir(root.join(&place.path)).map_err(told())?;
    let names: Result<Vec<OsString>, _> = entries.map(|entry| Ok(entry?.file_name())).collect();
    let mut names = names.map_err(told())?;
    names.sort();
    let mut lists = names.into_iter().map(|name| list(&view, &place.path, &name)).collect::<Result<Vec<_>, _>>()?;
    let core = |list: &Attestation| list.file.split('.').next() == Some(CORE);
    lists.sort_by_key(|list| !core(list));
    Ok(lists)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn statements() {
        let about = [json!({ "name": "image" })];
        let written =
            json!({ "_type": "any", "predicateType": PREDICATE, "subject": null, "predicate": { "name": "n" } });
        let found = parse("sbom.spdx.json", written.to_string().as_bytes()).unwrap().statement(&about);
        assert_eq!(found["subject"], json!(about));
        assert_eq!(found["predicate"]["name"], "n");
        let own = json!({ "predicateType": PREDICATE, "subject": [{ "name": "own" }], "predicate": {} });
        let found = parse("x", own.to_string().as_bytes()).unwrap().statement(&about);
        assert_eq!(found["subject"][0]["name"], "own");
        let other = json!({ "predicateType": "https://slsa.dev/provenance/v1", "predicate": {} }).to_string();
        assert!(parse("x", other.as_bytes()).unwrap_err().contains("slsa.dev"));
        assert!(parse("x", b"{").unwrap_err().contains("no in-toto statement"));
    }

    #[test]
    fn what_a_generator_leaves() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("run/out");
        fs::create_dir_all(&out).unwrap();
        let written = json!({ "predicateType": PREDICATE, "predicate": {} }).to_string();
        for name in ["a.spdx.json", "sbom-build.spdx.json", "sbom.spdx.json"] {
            fs::write(out.join(name), &written).unwrap();
        }
        let names: Vec<String> = read(root.path()).unwrap().into_iter().map(|list| list.file).collect();
        assert_eq!(names, ["sbom.spdx.json", "a.spdx.json", "sbom-build.spdx.json"]);
        std::os::unix::fs::symlink("/etc/hostname", out.join("z.spdx.json")).unwrap();
        assert!(read(root.path()).unwrap_err().to_string().contains("z.spdx.json"));
    }
}
