//! What a frontend attests of what it returns: predicates and statements that lie in files of its results.

use std::path::Path;

use archipel_gateway::pb::{self, AttestationKind, InTotoSubjectKind};
use serde_json::{Value, json};

use super::session::{Session, State};
use crate::Error;
use crate::attestation::Attestation;
use crate::exec::Opened;

/// The longest document that is taken. BuildKit has the same bound.
const MAX_DOCUMENT: u64 = 40 << 20;

impl Session {
    /// Reads them.
    pub(super) async fn attested(
        &self,
        state: &mut State,
        given: &[pb::Attestation],
    ) -> Result<Vec<Attestation>, Error> {
        let mut found = Vec::new();
        for attestation in given {
            let Some(reference) = &attestation.r#ref else {
                return Err(self.wrong("attests something and does not say where it is"));
            };
            let source = self.reference(state, reference).await?;
            let opened = self.open(state, &source).await?;
            match AttestationKind::try_from(attestation.kind) {
                Ok(AttestationKind::InToto) => found.push(self.predicate(&opened, attestation)?),
                Ok(AttestationKind::Bundle) => found.extend(self.bundle(&opened, &attestation.path)?),
                Err(_) => return Err(self.wrong("attests something in a form that is not known")),
            }
        }
        Ok(found)
    }

    fn predicate(&self, opened: &Opened, attestation: &pb::Attestation) -> Result<Attestation, Error> {
        let path = Path::new(&attestation.path);
        let told = |e| self.wrong(&format!("attests {}, which is no JSON: {e}", attestation.path));
        Ok(Attestation {
            file: path.file_name().map_or_else(|| "attestation.json".into(), |name| name.to_string_lossy().into()),
            predicate_type: attestation.in_toto_predicate_type.clone(),
            predicate: serde_json::from_slice(&self.document(opened, path)?).map_err(told)?,
            subjects: attestation.in_toto_subjects.iter().filter_map(subject).collect(),
        })
    }

    /// Every statement in a folder.
    fn bundle(&self, opened: &Opened, folder: &str) -> Result<Vec<Attestation>, Error> {
        let told = |e: rustix::io::Errno| Error::io(format!("open {folder}"))(e.into());
        let place = opened.view.locate(Path::new(folder), true).map_err(told)?;
        let read = |name: std::ffi::OsString| {
            let bytes = self.document(opened, &place.path.join(&name))?;
            let name = name.to_string_lossy();
            Attestation::parse(&name, &bytes).map_err(|e| self.wrong(&format!("attests {name}: {e}")))
        };
        opened.view.names(&place.path).map_err(told)?.into_iter().map(read).collect()
    }

    fn document(&self, opened: &Opened, path: &Path) -> Result<Vec<u8>, Error> {
        let shown = path.display();
        let bytes = opened.view.read(path, MAX_DOCUMENT + 1)?;
        let bytes = bytes.ok_or_else(|| self.wrong(&format!("attests {shown}, which is not there")))?;
        match bytes.len() as u64 > MAX_DOCUMENT {
            true => Err(self.wrong(&format!("attests {shown}, which is longer than {} MiB", MAX_DOCUMENT >> 20))),
            false => Ok(bytes),
        }
    }
}

/// Whom a predicate is about. What is not said is the image itself.
fn subject(given: &pb::InTotoSubject) -> Option<Value> {
    if given.kind != InTotoSubjectKind::Raw as i32 {
        return None;
    }
    let digests = given.digest.iter().filter_map(|digest| digest.split_once(':'));
    let digests: serde_json::Map<String, Value> = digests.map(|(name, hex)| (name.into(), json!(hex))).collect();
    Some(json!({ "name": given.name, "digest": digests }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_named_where_they_are_not_the_image() {
        let raw = pb::InTotoSubject {
            kind: InTotoSubjectKind::Raw as i32,
            digest: vec!["sha256:00ff".into()],
            name: "file".into(),
        };
        assert_eq!(subject(&raw).unwrap(), json!({ "name": "file", "digest": { "sha256": "00ff" } }));
        assert_eq!(subject(&pb::InTotoSubject::default()), None);
    }
}
