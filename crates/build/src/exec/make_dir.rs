//! WORKDIR: makes the directory if it is not there.

use std::path::Path;
use std::sync::Arc;

use archipel_store::SnapshotId;

use super::copy::owner_of;
use super::{Executor, blocking};
use crate::Error;
use crate::plan::{MakeDirOp, NodeId};
use crate::tree::{Destination, Ownership, View};

pub(super) async fn make_dir(
    executor: Arc<Executor>,
    op: &MakeDirOp,
    id: NodeId,
    parent: Option<SnapshotId>,
    made: SnapshotId,
) -> Result<(), Error> {
    let (path, user) = (op.path.clone(), op.user.clone());
    let exec = executor.clone();
    let work = move || -> Result<(), Error> {
        let draft = exec.engine.store.draft(parent.as_ref())?;
        let mounted = draft.mount()?;
        let view = View::open(mounted.path(), None, true)?;
        let owner = if user.is_empty() { None } else { Some(owner_of(&user, &view)?) };
        let owner = owner.map(|owner| (owner.uid, owner.gid));
        let mut destination = Destination::open(mounted.path(), Ownership { owner, mode: None }, exec.now)?;
        destination.make_dirs(Path::new(&path))?;
        destination.finish()?;
        drop((view, mounted));
        draft.commit(&made)?;
        Ok(())
    };
    blocking(work).await.map_err(|e| executor.in_step(e, id))
}
