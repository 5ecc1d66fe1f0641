//! COPY and ADD.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use archipel_store::SnapshotId;

use super::archive;
use super::mount::Opened;
use super::{Executor, blocking};
use crate::Error;
use crate::plan::{CopyOp, NodeId};
use crate::tree::{Destination, Match, Ownership, View, select};

/// The most that is read of `/etc/passwd` and `/etc/group`.
const MAX_ACCOUNTS: u64 = 4 * 1024 * 1024;

pub(super) async fn copy(
    executor: Arc<Executor>,
    op: &CopyOp,
    id: NodeId,
    parent: Option<SnapshotId>,
    made: SnapshotId,
) -> Result<(), Error> {
    let opened = executor.open(&op.from).await?;
    let exec = executor.clone();
    let work = move || -> Result<(), Error> {
        let crate::plan::Op::Copy(op) = &exec.node(id).op else { return Ok(()) };
        let draft = exec.engine.store.draft(parent.as_ref())?;
        let mounted = draft.mount()?;
        write(&exec, op, &opened, mounted.path())?;
        drop(mounted);
        draft.commit(&made)?;
        Ok(())
    };
    blocking(work).await.map_err(|e| executor.in_step(e, id))
}

fn write(exec: &Executor, op: &CopyOp, from: &Opened, root: &Path) -> Result<(), Error> {
    let owner = match &op.chown {
        Some(spec) => Some(owner_of(spec, &View::open(root, None, true)?)?),
        None => None,
    };
    let mut destination = Destination::open(root, Ownership { owner, mode: op.chmod.clone() }, exec.now)?;
    let mut chosen: Vec<Vec<Match>> = Vec::new();
    for source in &op.sources {
        chosen.push(select(&from.view, source, &op.selection)?);
    }
    let many = op.sources.len() + op.inline.len() > 1 || chosen.iter().any(|matches| matches.len() > 1);
    for matches in &chosen {
        for found in matches {
            if op.extract && !found.is_dir() && archive::extract(found, root, &op.dest, &mut destination)? {
                continue;
            }
            destination.copy(&from.view, std::slice::from_ref(found), &op.dest, many)?;
        }
        if matches.is_empty() && op.selection.parents {
            destination.make_dirs(Path::new(&op.dest))?;
        }
    }
    for (name, content) in &op.inline {
        destination.write(&op.dest, OsStr::new(name), many, content.as_bytes())?;
    }
    destination.finish()
}

/// The ids that a `user[:group]` means in an image.
pub(super) fn owner_of(spec: &str, view: &View) -> Result<(u32, u32), Error> {
    let user = archipel_sandbox::user::resolve(
        spec,
        view.read(Path::new("etc/passwd"), MAX_ACCOUNTS)?.as_deref(),
        view.read(Path::new("etc/group"), MAX_ACCOUNTS)?.as_deref(),
    )
    .map_err(|e| Error::Request(e.to_string()))?;
    Ok((user.uid, user.gid))
}
