//! Merged trees to read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use archipel_sandbox::overlay::{self, Layers, Mounted};

use crate::merged::{Merged, Spares, lay_over};
use crate::work::Work;
use crate::{Result, SnapshotId, Store};
use archipel_sandbox::copy::How;

/// A tree: a plain folder, or an overlay that is unmounted when this is dropped. Whoever it is made of outlives it.
#[derive(Debug)]
pub struct Tree(Place);

#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    Mounted(Mounted),
}

impl Tree {
    pub(crate) fn folder(path: PathBuf) -> Self {
        Self(Place::Folder(path))
    }

    pub(crate) fn mount(layers: &Layers<'_>, target: &Path) -> Result<Self> {
        Ok(Self(Place::Mounted(overlay::mount(layers, target)?)))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        match &self.0 {
            Place::Folder(path) => path,
            Place::Mounted(mounted) => mounted.path(),
        }
    }
}

/// All files of a snapshot with what it lies on. Not to be written to.
#[derive(Debug)]
pub struct View {
    // Before the folder that it is mounted in: fields are dropped in this order.
    tree: Tree,
    _work: Option<Work>,
    _lent: Option<Lent>,
}

/// A tree that waits for a step and may be read meanwhile.
#[derive(Debug)]
struct Lent {
    spares: Arc<Spares>,
    tree: Option<(SnapshotId, Merged)>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some((id, merged)) = self.tree.take() {
            self.spares.keep(id, merged);
        }
    }
}

impl View {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.tree.path()
    }
}

impl Store {
    /// Shows a snapshot's files; without one, an empty folder.
    ///
    /// # Errors
    /// [`crate::Error::Missing`], or a mount's.
    pub fn view(&self, id: Option<&SnapshotId>) -> Result<View> {
        let lower = id.map(|id| self.lower_dirs(id)).transpose()?.unwrap_or_default();
        if let [only] = lower.as_slice() {
            return Ok(View { tree: Tree::folder(only.clone()), _work: None, _lent: None });
        }
        if let Some(id) = id
            && let Some(merged) = self.spares.lend(id)
        {
            let tree = Tree::folder(merged.path().to_owned());
            let lent = Lent { spares: self.spares.clone(), tree: Some((id.clone(), merged)) };
            return Ok(View { tree, _work: None, _lent: Some(lent) });
        }
        let work = Work::new(self.root())?;
        let target = work.folder("merged")?;
        let tree = match lower.as_slice() {
            [] => Tree::folder(target),
            lower if self.mounts()? => Tree::mount(&Layers { lower, upper: None }, &target)?,
            lower => {
                for layer in lower.iter().rev() {
                    lay_over(layer, &target, How::Link)?;
                }
                Tree::folder(target)
            }
        };
        Ok(View { tree, _work: Some(work), _lent: None })
    }
}
