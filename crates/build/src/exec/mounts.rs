//! What a RUN step has in its file system beside its layers: `--mount`, devices, a script.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use archipel_dockerfile::SshMount;
use archipel_sandbox as sandbox;
use archipel_store::{Draft, MountLock, Tree};

use super::mount::Opened;
use super::{Executor, blocking};
use crate::plan::{CacheMount, MountOp, NodeId, Root, RunOp, SecretMount, Sharing};
use crate::request::SecretSource;
use crate::ssh::Socket;
use crate::tree::{Selection, View};
use crate::{Error, device};

/// The mode of an agent's socket, and where it comes (reference: "RUN --mount=type=ssh").
const SOCKET_MODE: u32 = 0o600;
const SOCKET_TARGET: &str = "/run/buildkit/ssh_agent";

/// How long a step that waits for a cache leaves it alone between two looks: at first, and when it has waited long.
const LOCK_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Files that become a result of their own when the process has ended well.
pub(super) struct Part {
    pub(super) number: usize,
    // Unmounted before the draft that it shows is committed.
    pub(super) tree: Tree,
    pub(super) draft: Draft,
}

/// What a RUN step holds while it runs.
pub(super) struct Mounts {
    pub(super) list: Vec<sandbox::Mount>,
    /// Environment variables that come from devices and secrets.
    pub(super) env: Vec<(String, String)>,
    pub(super) groups: Vec<u32>,
    _opened: Vec<Opened>,
    _drafts: Vec<Draft>,
    pub(super) parts: Vec<Part>,
    /// By the caches' names.
    locks: BTreeMap<String, Arc<MountLock>>,
    /// Caches that nobody else has meanwhile.
    _private: Vec<Arc<MountLock>>,
    sockets: Vec<Socket>,
}

pub(super) async fn collect(exec: &Arc<Executor>, op: &RunOp, id: NodeId) -> Result<Mounts, Error> {
    let given = device::give(&op.devices).map_err(|reason| exec.step_failed(id, reason, String::new()))?;
    let names = cache_names(exec, op, id).await?;
    let mut mounts = Mounts {
        list: given.mounts,
        env: given.env,
        groups: given.groups,
        _opened: Vec::new(),
        _drafts: Vec::new(),
        parts: Vec::new(),
        locks: lock(exec, op, &names).await?,
        _private: Vec::new(),
        sockets: Vec::new(),
    };
    let mut agents = 0;
    for (number, (mount, name)) in op.mounts.iter().zip(&names).enumerate() {
        match mount {
            MountOp::Part { root, source, target } => {
                part_mount(exec, number, root, (source, target), id, &mut mounts).await?;
            }
            MountOp::Bind { from, source, target, writable } => {
                let opened = exec.open_to_mount(from).await?;
                let path = inside(exec, &opened.view, &opened.path, source, id)?;
                if *writable {
                    let scratch = exec.engine.store.draft(None)?;
                    mounts.list.push(writable_mount(path, target.clone(), &scratch)?);
                    mounts._drafts.push(scratch);
                } else {
                    mounts.list.push(sandbox::Mount::Bind { source: path, target: target.clone(), read_only: true });
                }
                mounts._opened.push(opened);
            }
            MountOp::Cache(cache) => cache_mount(exec, cache, name, id, &mut mounts).await?,
            MountOp::Tmpfs { target, size } => {
                mounts.list.push(sandbox::Mount::Tmpfs { target: target.clone(), size: *size, mode: 0o1777 });
            }
            MountOp::Script { target, content } => mounts.list.push(sandbox::Mount::File {
                target: target.clone(),
                content: content.clone().into_bytes(),
                mode: 0o755,
                uid: 0,
                gid: 0,
                read_only: true,
            }),
            MountOp::Secret(secret) => secret_mount(exec, secret, id, &mut mounts)?,
            MountOp::Ssh(ssh) => {
                ssh_mount(exec, ssh, agents, op, id, &mut mounts).await?;
                agents += 1;
            }
        }
    }
    // As BuildKit has it: what lies in another mount comes after that, in whatever order they are written.
    mounts.list.sort_by(|a, b| Path::new(a.target()).cmp(Path::new(b.target())));
    Ok(mounts)
}

async fn part_mount(
    exec: &Executor,
    number: usize,
    root: &Root,
    (source, target): (&str, &str),
    id: NodeId,
    mounts: &mut Mounts,
) -> Result<(), Error> {
    let (below, store) = (exec.materialize(root).await?, exec.engine.store.clone());
    let (draft, tree) = blocking(move || {
        let draft = store.draft(below.as_ref())?;
        let tree = draft.mount()?;
        Ok::<_, Error>((draft, tree))
    })
    .await?;
    let source = inside(exec, &View::open(tree.path(), None, true)?, tree.path(), source, id)?;
    mounts.list.push(sandbox::Mount::Bind { source, target: target.into(), read_only: false });
    mounts.parts.push(Part { number, tree, draft });
    Ok(())
}

/// What may be written to, and is thrown away: an upper layer over a folder, a copy of a file.
fn writable_mount(path: PathBuf, target: String, scratch: &Draft) -> Result<sandbox::Mount, Error> {
    let kind = std::fs::metadata(&path).map_err(Error::io(path.display().to_string()))?.file_type();
    if kind.is_dir() {
        return Ok(scratch.writable(path, target)?);
    }
    if !kind.is_file() {
        return Err(Error::Request(format!("mount source {} is neither a folder nor a file", path.display())));
    }
    let copy = scratch.upper().join("file");
    let copied = std::fs::copy(&path, &copy).and_then(|_| {
        let meta = std::fs::metadata(&path)?;
        std::os::unix::fs::chown(&copy, Some(meta.uid()), Some(meta.gid()))?;
        std::fs::set_permissions(&copy, meta.permissions())
    });
    copied.map_err(Error::io(format!("a copy of {} to write to", path.display())))?;
    Ok(sandbox::Mount::Bind { source: copy, target, read_only: false })
}

fn inside(exec: &Executor, view: &View, root: &Path, source: &str, id: NodeId) -> Result<PathBuf, Error> {
    let place = view.locate(Path::new(source), true).map_err(|e| {
        exec.step_failed(id, format!("mount source {source:?}: {}", std::io::Error::from(e)), String::new())
    })?;
    Ok(root.join(place.path))
}

/// What the store calls the caches of a step, in the places of their mounts; mounts that are no caches have no name. A cache that
/// began otherwise is another, as it is in BuildKit.
async fn cache_names(exec: &Arc<Executor>, op: &RunOp, id: NodeId) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for mount in &op.mounts {
        let MountOp::Cache(cache) = mount else {
            names.push(String::new());
            continue;
        };
        let seed = match &cache.from {
            Some((from, source)) => exec.content(from, source, &Selection::default(), id).await?,
            None => String::new(),
        };
        names.push(format!("{}\0{seed}\0{:?}\0{:o}", cache.id, cache.owner, cache.mode));
    }
    Ok(names)
}

/// Takes the caches that a step shares with others, waiting for those that want one alone. Each once, and all steps in the same
/// order: so two steps never wait for each other.
async fn lock(exec: &Executor, op: &RunOp, names: &[String]) -> Result<BTreeMap<String, Arc<MountLock>>, Error> {
    let mut alone: BTreeMap<&String, bool> = BTreeMap::new();
    for (mount, name) in op.mounts.iter().zip(names) {
        if let MountOp::Cache(cache) = mount
            && cache.sharing != Sharing::Private
        {
            // In a chroot a cache is moved to the step that uses it.
            *alone.entry(name).or_default() |= cache.sharing == Sharing::Locked || sandbox::chroot::is_chosen();
        }
    }
    let mut locks = BTreeMap::new();
    for (name, alone) in alone {
        // The other may be another process, which cannot be waited for in a way that can be interrupted.
        let mut pause = LOCK_PAUSE;
        let lock = loop {
            if let Some(lock) = exec.engine.store.lock_mount(name, alone)? {
                break lock;
            }
            tokio::select! {
                () = exec.cancel.cancelled() => return Err(Error::Interrupted),
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        };
        locks.insert(name.clone(), Arc::new(lock));
    }
    Ok(locks)
}

async fn cache_mount(
    exec: &Arc<Executor>,
    cache: &CacheMount,
    name: &str,
    id: NodeId,
    mounts: &mut Mounts,
) -> Result<(), Error> {
    let seed = match &cache.from {
        Some((from, source)) => {
            let opened = exec.open(from).await?;
            Some((inside(exec, &opened.view, &opened.path, source, id)?, opened))
        }
        None => None,
    };
    let lock = match mounts.locks.get(name).filter(|_| cache.sharing != Sharing::Private) {
        Some(lock) => lock.clone(),
        None => {
            let own = Arc::new(exec.engine.store.private_mount(name)?);
            mounts._private.push(own.clone());
            own
        }
    };
    // The steps of one build share what the first of them began anew.
    let mut begun = exec.fresh_caches.lock().await;
    let private = cache.sharing == Sharing::Private;
    let fresh = exec.node(id).no_cache && (private || begun.insert(name.to_owned()));
    let (owner, mode) = dress(cache, seed.as_ref().map(|(path, _)| path.as_path()))?;
    let store = exec.engine.store.clone();
    let folder = blocking(move || {
        let seed = seed.as_ref().map(|(path, _)| path.as_path());
        store.cache_mount(&lock, fresh, seed, owner, mode)
    })
    .await?;
    drop(begun);
    mounts.list.push(sandbox::Mount::Bind { source: folder, target: cache.target.clone(), read_only: cache.read_only });
    Ok(())
}

/// Owner and mode of a cache's folder. A folder that it was seeded from is itself what is mounted, as in BuildKit.
fn dress(cache: &CacheMount, seed: Option<&Path>) -> Result<((u32, u32), u32), Error> {
    match (&cache.from, seed) {
        (Some((_, source)), Some(path)) if source != "/" => {
            let meta = std::fs::metadata(path).map_err(Error::io(path.display().to_string()))?;
            Ok(((meta.uid(), meta.gid()), meta.mode() & 0o7777))
        }
        _ => Ok((cache.owner, cache.mode)),
    }
}

/// `number` is the mount's place among those of agents, whether the ones before it were given or not.
async fn ssh_mount(
    exec: &Executor,
    ssh: &SshMount,
    number: usize,
    op: &RunOp,
    id: NodeId,
    mounts: &mut Mounts,
) -> Result<(), Error> {
    let target = match &ssh.target {
        Some(target) => target.clone(),
        None => format!("{SOCKET_TARGET}.{number}"),
    };
    // Told whether there is an agent or not.
    if number == 0 && !op.env.iter().any(|(name, _)| name == "SSH_AUTH_SOCK") {
        mounts.env.push(("SSH_AUTH_SOCK".into(), target.clone()));
    }
    let (owner, mode) = ((ssh.uid.unwrap_or(0), ssh.gid.unwrap_or(0)), ssh.mode.unwrap_or(SOCKET_MODE));
    let socket = exec.engine.ssh_socket(&exec.request, &ssh.id, owner, mode).await.map_err(|e| exec.in_step(e, id))?;
    let Some(socket) = socket else {
        if ssh.required {
            let reason = format!("unset ssh forward key {}: give it with --ssh {}", ssh.id, ssh.id);
            return Err(exec.step_failed(id, reason, String::new()));
        }
        return Ok(());
    };
    mounts.list.push(sandbox::Mount::Bind { source: socket.path().to_owned(), target, read_only: false });
    mounts.sockets.push(socket);
    Ok(())
}

fn secret_mount(exec: &Executor, secret: &SecretMount, id: NodeId, mounts: &mut Mounts) -> Result<(), Error> {
    let Some(given) = exec.request.secrets.iter().find(|s| s.id == secret.id) else {
        if secret.required {
            let reason = format!("secret {}: not found; give it with --secret id={},src=FILE", secret.id, secret.id);
            return Err(exec.step_failed(id, reason, String::new()));
        }
        // A variable is there, and empty (BuildKit).
        mounts.env.extend(secret.env.iter().map(|name| (name.clone(), String::new())));
        return Ok(());
    };
    let value = match &given.source {
        SecretSource::Value(value) => value.clone(),
        SecretSource::File(path) => {
            std::fs::read(path).map_err(Error::io(format!("secret {} from {}", secret.id, path.display())))?
        }
    };
    if let Some(name) = &secret.env {
        mounts.env.push((name.clone(), String::from_utf8_lossy(&value).into_owned()));
    }
    if let Some(target) = &secret.target {
        let (uid, gid) = secret.owner;
        mounts.list.push(sandbox::Mount::File {
            target: target.clone(),
            content: value,
            mode: secret.mode,
            uid,
            gid,
            read_only: true,
        });
    }
    Ok(())
}
