//! Opens what an instruction reads: a context's folder, or the merged files of a stage or image.

use archipel_store::{Draft, Tree};

use super::{Executor, blocking};
use crate::Error;
use crate::error::{Place, StepFailure};
use crate::plan::{NodeId, Source};
use crate::tree::View;

/// A tree that is open to read, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) view: View,
    /// The folder that it is.
    pub(super) path: std::path::PathBuf,
    _mounted: Option<archipel_store::View>,
    _filtered: Option<Filtered>,
}

/// A context without what its ignore file leaves out: marks that hide it, over it.
#[derive(Debug)]
struct Filtered {
    // Before the folders that it is made of: fields are dropped in this order.
    _tree: Tree,
    _marks: Draft,
}

impl Executor {
    pub(crate) async fn open(&self, source: &Source) -> Result<Opened, Error> {
        match source {
            Source::Context(n) => {
                let tree = self.contexts[*n].clone();
                let view = View::open(&tree.path, tree.ignore, tree.keeps_owners)?;
                Ok(Opened { view, path: tree.path, _mounted: None, _filtered: None })
            }
            Source::Root(root) => {
                let snapshot = self.materialize(root).await?;
                let store = self.engine.store.clone();
                let mounted = blocking(move || store.view(snapshot.as_ref())).await?;
                let path = mounted.path().to_owned();
                Ok(Opened { view: View::open(&path, None, true)?, path, _mounted: Some(mounted), _filtered: None })
            }
        }
    }

    /// The same, to be mounted: processes must not see what an ignore file leaves out either.
    pub(super) async fn open_to_mount(&self, source: &Source) -> Result<Opened, Error> {
        let opened = self.open(source).await?;
        if !matches!(source, Source::Context(n) if self.contexts[*n].ignore.is_some()) {
            return Ok(opened);
        }
        let store = self.engine.store.clone();
        blocking(move || {
            let marks = store.draft(None)?;
            for path in opened.view.ignored()? {
                marks.hide(&path)?;
            }
            let tree = marks.over(&opened.path)?;
            let path = tree.path().to_owned();
            let view = View::open(&path, None, opened.view.keeps_owners)?;
            Ok(Opened { view, path, _mounted: None, _filtered: Some(Filtered { _tree: tree, _marks: marks }) })
        })
        .await
    }

    /// Says of an error which instruction met it.
    pub(super) fn in_step(&self, error: Error, id: NodeId) -> Error {
        let reason = match error {
            Error::Request(reason) => reason,
            Error::Io { what, source } => format!("{what}: {source}"),
            Error::Store(archive @ archipel_store::Error::Tar { .. }) => archive.to_string(),
            other => return other,
        };
        self.step_failed(id, reason, String::new())
    }

    pub(super) fn step_failed(&self, id: NodeId, reason: String, tail: String) -> Error {
        let node = self.node(id);
        let (name, text) = self.dockerfile.clone();
        let place = (!node.span.is_empty()).then(|| Place { name, text, span: node.span.clone(), meant: None });
        let platform = node.platforms.first().cloned().unwrap_or_else(archipel_oci::Platform::host);
        Error::Step(Box::new(StepFailure { step: node.name.clone(), platform, reason, tail, place }))
    }
}
