//! Changes of files that a frontend asks for (LLB's `FileOp`): copies, new files and folders, links, removals, one after the other in
//! one layer.

use std::path::Path;
use std::sync::Arc;

use archipel_dockerfile::Chmod;
use archipel_store::SnapshotId;
use serde_json::{Value, json};

use super::copy::{group_of, owner_of};
use super::mount::Opened;
use super::{Executor, archive, blocking};
use crate::Error;
use crate::plan::{Account, CopyFiles, FileAction, FileOp, NodeId, Op, Owner, Source};
use crate::tree::{Destination, Ownership, Selection, select};

/// An action with what it reads.
struct Prepared {
    from: Option<Opened>,
    owner: Option<(u32, u32)>,
}

pub(super) async fn files(
    executor: Arc<Executor>,
    op: &FileOp,
    id: NodeId,
    parent: Option<SnapshotId>,
    made: SnapshotId,
) -> Result<(), Error> {
    let mut prepared = Vec::new();
    for action in &op.actions {
        prepared.push(executor.prepare_files(action).await?);
    }
    let exec = executor.clone();
    let work = move || -> Result<(), Error> {
        let Op::Files(op) = &exec.node(id).op else { return Ok(()) };
        let draft = exec.engine.store.draft(parent.as_ref())?;
        let tree = draft.mount()?;
        for (action, prepared) in op.actions.iter().zip(&prepared) {
            apply(&exec, action, prepared, tree.path())?;
        }
        drop(tree);
        draft.commit(&made)?;
        Ok(())
    };
    blocking(work).await.map_err(|e| executor.in_step(e, id))
}

impl Executor {
    async fn prepare_files(&self, action: &FileAction) -> Result<Prepared, Error> {
        let (owner, from) = match action {
            FileAction::Copy(copy) => (&copy.owner, Some(self.open(&copy.from).await?)),
            FileAction::MakeFile { owner, .. }
            | FileAction::MakeDir { owner, .. }
            | FileAction::Symlink { owner, .. } => (owner, None),
            FileAction::Remove { .. } => return Ok(Prepared { from: None, owner: None }),
        };
        Ok(Prepared { from, owner: self.ids(owner).await? })
    }

    /// The ids that an owner means. A user brings the group that he is in, or the one with his number; unknown names are root's, as
    /// in BuildKit.
    async fn ids(&self, owner: &Owner) -> Result<Option<(u32, u32)>, Error> {
        let (uid, mut gid) = match &owner.user {
            None if owner.group.is_none() => return Ok(None),
            None => (0, 0),
            Some(Account::Id(id)) => (*id, *id),
            Some(Account::Name { name, of }) => {
                let found = owner_of(name, &self.open(of).await?.view)?;
                (found.uid, found.gid)
            }
        };
        match &owner.group {
            None => {}
            Some(Account::Id(id)) => gid = *id,
            Some(Account::Name { name, of }) => gid = group_of(name, &self.open(of).await?.view)?.unwrap_or(gid),
        }
        Ok(Some((uid, gid)))
    }

    pub(super) async fn files_key(self: &Arc<Self>, op: &FileOp, id: NodeId) -> Result<Value, Error> {
        let mut actions = Vec::new();
        for action in &op.actions {
            actions.push(self.action_key(action, id).await?);
        }
        Ok(json!({ "files": actions }))
    }

    async fn action_key(self: &Arc<Self>, action: &FileAction, id: NodeId) -> Result<Value, Error> {
        Ok(match action {
            FileAction::Copy(copy) => {
                let content = self.content(&copy.from, &copy.path, &copy.selection, id).await?;
                let CopyFiles { dest, time, may_be_empty, contents, unpack, make_parents, replace, required, .. } =
                    &**copy;
                json!({
                    "copy": content,
                    "dest": dest,
                    "owner": self.owner_key(&copy.owner)?,
                    "chmod": copy.chmod.as_ref().map(ToString::to_string),
                    "time": time,
                    "how": [may_be_empty, contents, unpack, make_parents, replace],
                    "required": required,
                })
            }
            FileAction::MakeFile { path, mode, content, owner, time } => {
                json!({ "file": content.digest(), "at": path, "mode": mode, "owner": self.owner_key(owner)?, "time": time })
            }
            FileAction::MakeDir { path, mode, parents, owner, time } => {
                json!({ "folder": path, "mode": mode, "parents": parents, "owner": self.owner_key(owner)?, "time": time })
            }
            FileAction::Symlink { target, path, owner, time } => {
                json!({ "link": target, "at": path, "owner": self.owner_key(owner)?, "time": time })
            }
            FileAction::Remove { path, may_be_absent, wildcard } => {
                json!({ "remove": path, "how": [may_be_absent, wildcard] })
            }
        })
    }

    fn owner_key(&self, owner: &Owner) -> Result<Value, Error> {
        let account = |account: &Option<Account>| -> Result<Value, Error> {
            Ok(match account {
                None => Value::Null,
                Some(Account::Id(id)) => json!(id),
                Some(Account::Name { name, of: Source::Root(root) }) => json!([name, self.root_key(root)?]),
                Some(Account::Name { of: Source::Context(_), .. }) => {
                    return Err(Error::Request("the accounts of a build context cannot be asked for".into()));
                }
            })
        };
        Ok(json!([account(&owner.user)?, account(&owner.group)?]))
    }
}

fn apply(exec: &Executor, action: &FileAction, prepared: &Prepared, root: &Path) -> Result<(), Error> {
    let ownership = |mode: Option<Chmod>| Ownership { owner: prepared.owner, mode };
    let open = |mode: Option<Chmod>, time: &Option<i64>| {
        Destination::open(root, ownership(mode), exec.now).map(|destination| destination.dated(*time))
    };
    match action {
        FileAction::Copy(copy) => {
            if let Some(from) = &prepared.from {
                let destination = open(copy.chmod.clone(), &copy.time)?.replacing(copy.replace);
                copy_files(copy, from, destination, root, prepared.owner)?;
            }
        }
        FileAction::MakeFile { path, mode, content, time, .. } => {
            let mut destination = open(None, time)?;
            destination.write_file(Path::new(path), *mode, content)?;
            destination.finish()?;
        }
        FileAction::MakeDir { path, mode, parents, time, .. } => {
            let mut destination = open(Some(Chmod::octal(*mode)), time)?;
            match parents {
                true => drop(destination.make_dirs(Path::new(path))?),
                false => destination.make_one_dir(Path::new(path))?,
            }
            destination.finish()?;
        }
        FileAction::Symlink { target, path, time, .. } => {
            let mut destination = open(None, time)?;
            destination.link(Path::new(path), target)?;
            destination.finish()?;
        }
        FileAction::Remove { path, may_be_absent, wildcard } => remove(exec, root, path, *may_be_absent, *wildcard)?,
    }
    Ok(())
}

fn copy_files(
    copy: &CopyFiles,
    from: &Opened,
    mut destination: Destination,
    root: &Path,
    owner: Option<(u32, u32)>,
) -> Result<(), Error> {
    for path in &copy.required {
        // It is selected for itself: what is not there is told as for any source.
        let whole = format!("{}/{path}", copy.path.trim_end_matches('/'));
        select(&from.view, &whole, &Selection { literal: true, ..Selection::default() })?;
    }
    let matches = select(&from.view, &copy.path, &copy.selection)?;
    if matches.is_empty() && !copy.may_be_empty {
        return Err(Error::Request(format!("{} not found", copy.path)));
    }
    if !copy.make_parents {
        destination.must_have_parent(Path::new(&copy.dest))?;
    }
    for found in matches {
        if copy.unpack && !found.is_dir() && archive::extract(&found, root, &copy.dest, owner, &mut destination)? {
            continue;
        }
        destination.copy_dirs(&from.view, std::slice::from_ref(&found), &copy.dest, copy.contents)?;
    }
    destination.finish()
}

fn remove(exec: &Executor, root: &Path, path: &str, may_be_absent: bool, wildcard: bool) -> Result<(), Error> {
    let view = crate::tree::View::open(root, None, true)?;
    let paths = match wildcard {
        true => {
            let selection = Selection { no_follow: true, ..Selection::default() };
            select(&view, path, &selection)?.iter().map(|found| found.path().to_owned()).collect()
        }
        false => vec![Path::new(path).to_owned()],
    };
    let mut destination = Destination::open(root, Ownership::default(), exec.now)?;
    for path in paths {
        if path.file_name().is_none() {
            return Err(Error::Request("the whole of a file system cannot be removed".into()));
        }
        if !destination.remove(&path)? && !may_be_absent {
            return Err(Error::Request(format!("remove {}: no such file or directory", path.display())));
        }
    }
    destination.finish()
}
