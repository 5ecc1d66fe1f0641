//! Opens what an instruction reads: a context's folder, or the files of a stage or image through an overlay without an
//! upper layer.

use super::{Executor, blocking};
use crate::Error;
use crate::error::{Place, StepFailure};
use crate::plan::{NodeId, Source};
use crate::tree::View;

/// A tree that is open to read, for as long as this lives.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) view: View,
    /// The folder that it is.
    pub(super) path: std::path::PathBuf,
    _mounted: Option<archipel_store::View>,
}

impl Executor {
    pub(super) async fn open(&self, source: &Source) -> Result<Opened, Error> {
        match source {
            Source::Context(n) => {
                let tree = self.contexts[*n].clone();
                let view = View::open(&tree.path, tree.ignore, tree.keeps_owners)?;
                Ok(Opened { view, path: tree.path, _mounted: None })
            }
            Source::Root(root) => {
                let snapshot = self.materialize(root).await?;
                let store = self.engine.store.clone();
                let mounted = blocking(move || store.view(snapshot.as_ref())).await?;
                let path = mounted.path().to_owned();
                Ok(Opened { view: View::open(&path, None, true)?, path, _mounted: Some(mounted) })
            }
        }
    }

    /// Says of an error which instruction met it.
    pub(super) fn in_step(&self, error: Error, id: NodeId) -> Error {
        let reason = match error {
            Error::Request(reason) => reason,
            Error::Io { what, source } => format!("{what}: {source}"),
            other => return other,
        };
        self.step_failed(id, reason, String::new())
    }

    pub(super) fn step_failed(&self, id: NodeId, reason: String, tail: String) -> Error {
        let node = self.node(id);
        let (name, text) = self.dockerfile.clone();
        let place = (!node.span.is_empty()).then(|| Place { name, text, span: node.span.clone() });
        let platform = node.platforms.first().cloned().unwrap_or_else(archipel_oci::Platform::host);
        Error::Step(Box::new(StepFailure { step: node.name.clone(), platform, reason, tail, place }))
    }
}
