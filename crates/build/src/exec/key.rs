//! Cache keys, and the records that they lead to.

use std::sync::Arc;

use archipel_dockerfile::GitSource;
use archipel_oci::Digest;
use archipel_store::{SnapshotId, Store};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Executor, blocking};
use crate::Error;
use crate::plan::{CopyOp, Item, MountOp, NodeId, Op, Root, RunOp, Source};
use crate::source::GitCommit;
use crate::tree::{Selection, View, digest, select};

/// Changes when the same operation would make other bytes: old records are then not found.
const FORMAT: u32 = 6;

/// What the cache remembers of a node.
///
/// It does not name the snapshot. Records also come from caches elsewhere, and one that could name it could put its files where
/// another step's are looked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Tells what was made by a step that had to run again from what the step made before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    again: Option<Digest>,
    /// Seconds since 1970.
    pub(crate) created: i64,
}

impl Record {
    /// Of what is about to be made.
    pub(super) fn new(created: i64, again: bool) -> Self {
        let again = again.then(|| {
            let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
            Digest::of(format!("{time} {}", std::process::id()).as_bytes())
        });
        Self { again, created }
    }

    /// The name of what the node of `key` made: the same on every machine that has this record.
    pub(crate) fn snapshot(&self, key: &Digest) -> SnapshotId {
        match &self.again {
            None => SnapshotId::step(key),
            Some(again) => SnapshotId::step(&Digest::of(format!("{key} {again}").as_bytes())),
        }
    }
}

/// The store's records, typed.
pub(super) trait Records {
    fn cached(&self, key: &Digest) -> Result<Option<Record>, Error>;
    fn remember(&self, key: &Digest, record: &Record) -> Result<(), Error>;
}

impl Records for Store {
    fn cached(&self, key: &Digest) -> Result<Option<Record>, Error> {
        let Some(bytes) = self.cache_get(key)? else { return Ok(None) };
        // A record that cannot be read, or whose snapshot was pruned, is one that is not there.
        let Ok(record) = serde_json::from_slice::<Record>(&bytes) else { return Ok(None) };
        Ok(self.snapshot(&record.snapshot(key))?.map(|_| record))
    }

    fn remember(&self, key: &Digest, record: &Record) -> Result<(), Error> {
        let bytes = json!(record).to_string();
        Ok(self.cache_put(key, bytes.as_bytes())?)
    }
}

impl Executor {
    /// The identity of a root's files.
    pub(super) fn root_key(&self, root: &Root) -> Result<String, Error> {
        Ok(match root {
            Root::Scratch => "scratch".into(),
            Root::Image(image) => image.chain().map_or_else(|| "scratch".into(), |chain| chain.to_string()),
            Root::Node(id) => self.output(*id)?.snapshot.to_string(),
        })
    }

    pub(super) async fn key(self: Arc<Self>, id: NodeId) -> Result<Digest, Error> {
        let node = self.node(id);
        let operation = match &node.op {
            Op::MakeDir(op) => json!({ "mkdir": op.path, "user": op.user }),
            Op::Copy(op) => self.copy_key(op, id).await?,
            Op::Run(op) => self.run_key(op, id).await?,
            Op::Files(op) => self.files_key(op, id).await?,
            Op::Layer(layer) => self.layer_key(layer)?,
            Op::Difference { lower, upper } => {
                json!({ "difference": [self.root_key(lower)?, self.root_key(upper)?] })
            }
            Op::Part(op) => return Ok(part(&self.output(op.run)?.snapshot, op.number)),
        };
        // A time that is written into the files is part of what they are. A process writes its own.
        let epoch = self.epoch.filter(|_| !matches!(node.op, Op::Run(_)));
        let document = json!({
            "format": FORMAT,
            "root": self.root_key(&node.root)?,
            "operation": operation,
            "epoch": epoch.map(|e| e.0),
        });
        Ok(Digest::of(document.to_string().as_bytes()))
    }

    async fn copy_key(self: &Arc<Self>, op: &CopyOp, id: NodeId) -> Result<serde_json::Value, Error> {
        let mut contents = Vec::new();
        for item in &op.items {
            contents.push(match item {
                Item::Path(path) => json!(self.content(&op.from, path, &op.selection, id).await?),
                Item::Inline { name, content } => json!({ "name": name, "content": content }),
                Item::Http { .. } | Item::Git(_) => self.remote_key(item, op, id).await?,
            });
        }
        Ok(json!({
            "copy": contents,
            "dest": op.dest,
            "chown": op.chown,
            "chmod": op.chmod.as_ref().map(ToString::to_string),
            "unpack": [op.unpack_paths, op.unpack_urls],
            "link": op.link,
        }))
    }

    async fn run_key(self: &Arc<Self>, op: &RunOp, id: NodeId) -> Result<serde_json::Value, Error> {
        let mut mounts = Vec::new();
        for mount in &op.mounts {
            mounts.push(match mount {
                MountOp::Bind { from, source, target, writable } => {
                    json!({ "bind": self.content(from, source, &Selection::default(), id).await?, "at": target, "rw": writable })
                }
                MountOp::Cache(cache) => {
                    let seed = match &cache.from {
                        Some((from, source)) => Some(self.content(from, source, &Selection::default(), id).await?),
                        None => None,
                    };
                    json!({ "cache": cache.id, "at": cache.target, "ro": cache.read_only, "seed": seed,
                            "owner": cache.owner, "mode": cache.mode })
                }
                MountOp::Tmpfs { target, size } => json!({ "tmpfs": target, "size": size }),
                // What a secret is must not matter to the result, and its value must not be in a key.
                MountOp::Secret(secret) => json!({ "secret": secret.id, "at": secret.target, "env": secret.env,
                        "owner": secret.owner, "mode": secret.mode, "required": secret.required }),
                MountOp::Ssh(ssh) => json!({ "ssh": ssh.id, "at": ssh.target, "owner": [ssh.uid, ssh.gid],
                        "mode": ssh.mode, "required": ssh.required }),
                MountOp::Script { target, content } => json!({ "script": content, "at": target }),
                MountOp::Part { root, source, target } => {
                    json!({ "part": self.root_key(root)?, "source": source, "at": target })
                }
            });
        }
        // Its name alone, as in BuildKit: what it brings differs from machine to machine, and the result must not.
        mounts.extend(op.devices.iter().map(|device| json!({ "device": device.name })));
        Ok(json!({
            "run": op.argv,
            "env": op.env,
            "cwd": op.cwd,
            "user": op.user,
            "mounts": mounts,
            "network": op.network,
            "insecure": op.insecure,
            "hostname": op.hostname,
            "platform": op.platform.to_string(),
            "hosts": op.hosts,
            "shm": op.shm_size,
            "ulimits": op.ulimits,
            "exits": op.exit_codes,
            "read-only": op.read_only,
        }))
    }

    /// The digest of what a source stands for. That of a stage's or image's files is remembered: they never change.
    pub(super) async fn content(
        self: &Arc<Self>,
        from: &Source,
        source: &str,
        selection: &Selection,
        id: NodeId,
    ) -> Result<String, Error> {
        let memo = match from {
            Source::Context(_) => None,
            Source::Root(root) => Some(memo(&self.root_key(root)?, source, selection)),
        };
        if let Some(known) = self.remembered(memo.as_ref())? {
            return Ok(known);
        }
        let opened = self.open(from).await?;
        self.content_of(opened.view.clone(), source, selection, memo).await.map_err(|e| self.in_step(e, id))
    }

    /// The digest of a repository's files: a commit that changes nothing in them is no other content. It is remembered of a commit, for
    /// whose key nothing is fetched then.
    pub(super) async fn git_content(
        &self,
        git: &GitSource,
        commit: &GitCommit,
        selection: &Selection,
    ) -> Result<String, Error> {
        let memo = Some(memo(commit.key(git).as_str(), "/", selection));
        if let Some(known) = self.remembered(memo.as_ref())? {
            return Ok(known);
        }
        let tree = self.engine.git_tree(git, commit, &self.request).await?;
        self.content_of(View::open(&tree.path, None, false)?, "/", selection, memo).await
    }

    /// Makes a digest, and remembers it where it has a name.
    async fn content_of(
        &self,
        view: View,
        source: &str,
        selection: &Selection,
        memo: Option<Digest>,
    ) -> Result<String, Error> {
        let (source, selection) = (source.to_owned(), selection.clone());
        let found = blocking(move || digest(&view, &select(&view, &source, &selection)?, selection.named)).await?;
        if let Some(memo) = &memo {
            self.engine.store.cache_put(memo, found.as_str().as_bytes())?;
        }
        Ok(found.to_string())
    }

    fn remembered(&self, memo: Option<&Digest>) -> Result<Option<String>, Error> {
        let Some(memo) = memo else { return Ok(None) };
        Ok(self.engine.store.cache_get(memo)?.and_then(|bytes| String::from_utf8(bytes).ok()))
    }
}

/// The key of what a process left in one of its mounts, by what it made of its root.
pub(super) fn part(made: &SnapshotId, number: usize) -> Digest {
    Digest::of(format!("{made} part {number}").as_bytes())
}

/// The name under which the digest of what is selected in files that never change is remembered.
fn memo(of: &str, source: &str, selection: &Selection) -> Digest {
    let document = json!({ "content": FORMAT, "of": of, "source": source, "parents": selection.parents,
                "excludes": selection.excludes, "includes": selection.includes,
                "as-it-is": [selection.literal, selection.no_follow, selection.named] });
    Digest::of(document.to_string().as_bytes())
}
