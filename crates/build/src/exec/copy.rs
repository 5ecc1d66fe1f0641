//! COPY and ADD.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use archipel_sandbox::user;
use archipel_store::{Draft, SnapshotId};

use super::mount::Opened;
use super::remote::{Fetched, Target};
use super::{Executor, archive, blocking};
use crate::Error;
use crate::engine::warn;
use crate::plan::{CopyOp, Item, NodeId, Op};
use crate::tree::{Destination, Match, Ownership, View, names_nothing, select};

/// The most that is read of `/etc/passwd` and `/etc/group`.
const MAX_ACCOUNTS: u64 = 4 * 1024 * 1024;

/// The mode of a file that stands in the Dockerfile (reference: "COPY", here-documents).
const INLINE_MODE: u32 = 0o644;

pub(super) async fn copy(
    executor: Arc<Executor>,
    op: &CopyOp,
    id: NodeId,
    parent: Option<SnapshotId>,
    made: SnapshotId,
) -> Result<(), Error> {
    let opened = executor.open(&op.from).await?;
    let mut fetched = Vec::new();
    for item in &op.items {
        fetched.push(executor.fetched(item, op, id).await?);
    }
    let exec = executor.clone();
    let work = move || -> Result<(), Error> {
        let Op::Copy(op) = &exec.node(id).op else { return Ok(()) };
        let mut draft = exec.engine.store.draft(parent.as_ref())?;
        let owner = owner(&exec, op, &draft, parent.as_ref())?;
        let ownership = Ownership { owner, mode: op.chmod.clone() };
        if op.link {
            // What is below is not looked at: its links are not followed, its folders are replaced or merged as layers are.
            draft.keep_whole();
            write(&exec, op, &opened, &fetched, draft.upper(), ownership)?;
        } else {
            let mounted = draft.mount()?;
            write(&exec, op, &opened, &fetched, mounted.path(), ownership)?;
        }
        draft.commit(&made)?;
        Ok(())
    };
    blocking(work).await.map_err(|e| executor.in_step(e, id))
}

/// Whom `--chown` means. Names are those of the image below.
fn owner(
    exec: &Executor,
    op: &CopyOp,
    draft: &Draft,
    parent: Option<&SnapshotId>,
) -> Result<Option<(u32, u32)>, Error> {
    let Some(spec) = &op.chown else { return Ok(None) };
    let below = exec.engine.store.view(parent)?;
    let owner = owner_of(spec, &View::open(below.path(), None, true)?)?;
    if let Some(wrong) = owner.unknown.first().filter(|_| draft.lower().is_empty()) {
        // Where there is nothing to look in, BuildKit fails too.
        return Err(Error::Request(format!("--chown={spec} on nothing: {wrong}")));
    }
    // BuildKit goes on without a word; but who misspells a name should know that root has the files.
    for wrong in &owner.unknown {
        warn(&exec.sink.0, format!("--chown={spec}: {wrong}; the files get {}:{}", owner.uid, owner.gid));
    }
    Ok(Some((owner.uid, owner.gid)))
}

fn write(
    exec: &Executor,
    op: &CopyOp,
    from: &Opened,
    fetched: &[Option<Fetched>],
    root: &Path,
    ownership: Ownership,
) -> Result<(), Error> {
    let owner = ownership.owner;
    let mut destination = Destination::open(root, ownership, exec.now)?;
    let mut chosen: Vec<Vec<Match>> = Vec::new();
    for item in &op.items {
        chosen.push(match item {
            Item::Path(path) => select(&from.view, path, &op.selection)?,
            _ => Vec::new(),
        });
    }
    for item in op.items.iter().filter(|_| op.selection.parents) {
        // BuildKit copies nothing without a word; but something is meant.
        if let Item::Path(path) = item
            && names_nothing(path)
        {
            warn(&exec.sink.0, format!("{path} with --parents stands for nothing; write what is in it, such as `*`"));
        }
    }
    for found in chosen.iter().flatten().filter(|found| found.is_excluded_file()) {
        // BuildKit copies it without a word, and its documentation says that it does not.
        let name = found.path().display();
        warn(&exec.sink.0, format!("{name} is copied: --exclude is about files in directories that are copied"));
    }
    let target = Target { op, root, owner };
    for ((item, matches), fetched) in op.items.iter().zip(&chosen).zip(fetched) {
        match item {
            Item::Path(_) => paths(&target, from, matches, &mut destination)?,
            Item::Inline { name, content } => {
                destination.write(&op.dest, OsStr::new(name), INLINE_MODE, None, &mut content.as_bytes())?;
            }
            Item::Http { .. } | Item::Git(_) => {
                if let Some(fetched) = fetched {
                    fetched.write(&target, &mut destination)?;
                }
            }
        }
    }
    if destination.lone() > 1 {
        // BuildKit goes on without a word; but several files are meant to be there in the end.
        let dest = &op.dest;
        warn(&exec.sink.0, format!("{dest} is no directory, so of several files only the last is kept; write {dest}/"));
    }
    destination.finish()
}

fn paths(target: &Target<'_>, from: &Opened, matches: &[Match], destination: &mut Destination) -> Result<(), Error> {
    let Target { op, root, owner } = *target;
    if op.selection.parents {
        // Also where a wildcard stands for nothing.
        destination.make_dirs(Path::new(&op.dest))?;
    }
    for found in matches {
        if op.unpack_paths && !found.is_dir() && archive::extract(found, root, &op.dest, owner, destination)? {
            continue;
        }
        destination.copy(&from.view, std::slice::from_ref(found), &op.dest)?;
    }
    Ok(())
}

/// The id of a group by name in an image, if it has one.
pub(super) fn group_of(name: &str, view: &View) -> Result<Option<u32>, Error> {
    let group = view.read(Path::new("etc/group"), MAX_ACCOUNTS)?;
    let found = user::owner(&format!("0:{name}"), None, group.as_deref());
    Ok(found.unknown.is_empty().then_some(found.gid))
}

/// The ids that files get for a `user[:group]` in an image.
pub(super) fn owner_of(spec: &str, view: &View) -> Result<user::Owner, Error> {
    let passwd = view.read(Path::new("etc/passwd"), MAX_ACCOUNTS)?;
    let group = view.read(Path::new("etc/group"), MAX_ACCOUNTS)?;
    Ok(user::owner(spec, passwd.as_deref(), group.as_deref()))
}
