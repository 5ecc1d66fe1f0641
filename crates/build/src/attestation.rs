//! What is attested of a build's result, for one platform.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::Error;
use crate::exec::Executor;
use crate::plan::StageResult;

/// What statements of this kind are called (in-toto attestation framework, version 1).
const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// A predicate, and what it is called where it is a file.
#[derive(Clone, Debug)]
pub(crate) struct Attestation {
    /// Its file, beside those that it is about.
    pub(crate) file: String,
    pub(crate) predicate_type: String,
    pub(crate) predicate: Value,
    /// What it is about, where whoever made it has said so.
    pub(crate) subjects: Vec<Value>,
}

/// A statement that somebody else made (in-toto attestation framework).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    predicate_type: String,
    #[serde(default)]
    subject: Option<Vec<Value>>,
    predicate: Value,
}

impl Attestation {
    /// Reads a statement that lies in a file.
    pub(crate) fn parse(file: &str, bytes: &[u8]) -> Result<Self, String> {
        let found: Statement = serde_json::from_slice(bytes).map_err(|e| format!("it is no in-toto statement: {e}"))?;
        let (predicate_type, predicate) = (found.predicate_type, found.predicate);
        Ok(Self { file: file.into(), predicate_type, predicate, subjects: found.subject.unwrap_or_default() })
    }

    /// The statement, about these unless it says itself what it is about.
    pub(crate) fn statement(&self, subjects: &[Value]) -> Value {
        let subjects = if self.subjects.is_empty() { subjects } else { &self.subjects };
        let (kind, predicate) = (&self.predicate_type, &self.predicate);
        json!({ "_type": STATEMENT, "subject": subjects, "predicateType": kind, "predicate": predicate })
    }
}

impl Executor {
    /// All that was asked for.
    pub(crate) async fn attestations(&self, target: &StageResult) -> Result<Vec<Attestation>, Error> {
        let mut attestations = match target.scan {
            Some(scan) => self.lists(scan).await?,
            None => Vec::new(),
        };
        attestations.extend(target.attested.iter().cloned());
        if let Some(provenance) = &self.request.provenance {
            let materials = self.materials(&target.root).await?;
            attestations.push(provenance.attestation(&self.request, self.frontend.as_ref(), &materials));
        }
        Ok(attestations)
    }
}
