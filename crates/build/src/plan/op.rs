//! What the nodes of a plan do.

use std::sync::Arc;

use archipel_dockerfile::{Chmod, GitSource, SshMount};
use archipel_oci::{Digest, Platform};

use super::{NodeId, Root, Source};
use crate::device::Device;
use crate::image::BaseImage;
use crate::tree::Selection;

/// What a node does.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// RUN.
    Run(Box<RunOp>),
    /// COPY and ADD.
    Copy(Box<CopyOp>),
    /// WORKDIR: makes a directory.
    MakeDir(MakeDirOp),
    /// Changes of files that a frontend asks for, one after the other.
    Files(FileOp),
    /// What a process left in one of its mounts.
    Part(PartOp),
    /// One layer of something else, on top of this root: what merges and differences are made of.
    Layer(Layer),
    /// What one file system has beyond another that it was not made from.
    Difference { lower: Root, upper: Root },
}

/// RUN.
#[derive(Clone, Debug)]
pub(crate) struct RunOp {
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// Proxy settings: the process sees them, the key does not.
    pub(crate) hidden_env: Vec<(String, String)>,
    pub(crate) cwd: String,
    pub(crate) user: String,
    pub(crate) mounts: Vec<MountOp>,
    pub(crate) devices: Vec<Arc<Device>>,
    pub(crate) network: NetworkMode,
    pub(crate) insecure: bool,
    /// Nothing changes in its root; its mounts may.
    pub(crate) read_only: bool,
    pub(crate) hostname: String,
    /// Lines for `/etc/hosts`: name and address.
    pub(crate) hosts: Vec<(String, String)>,
    /// Bytes of `/dev/shm`.
    pub(crate) shm_size: Option<u64>,
    /// Name, soft and hard limit.
    pub(crate) ulimits: Vec<(String, u64, u64)>,
    /// How the process may end; 0 alone if none is named.
    pub(crate) exit_codes: Vec<i32>,
    /// Which processor its files are for.
    pub(crate) platform: Platform,
}

/// The network that a process sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NetworkMode {
    Host,
    None,
}

/// `RUN --mount`.
#[derive(Clone, Debug)]
pub(crate) enum MountOp {
    Bind {
        from: Source,
        source: String,
        target: String,
        writable: bool,
    },
    Cache(CacheMount),
    Tmpfs {
        target: String,
        size: Option<u64>,
    },
    Secret(SecretMount),
    Ssh(SshMount),
    /// A file of the instruction itself: the script of a heredoc with a shebang.
    Script {
        target: String,
        content: String,
    },
    /// Files that the process changes, and that are a result beside its root: see [`PartOp`].
    Part {
        root: Root,
        source: String,
        target: String,
    },
}

/// `--mount=type=cache`.
#[derive(Clone, Debug)]
pub(crate) struct CacheMount {
    pub(crate) id: String,
    pub(crate) target: String,
    pub(crate) from: Option<(Source, String)>,
    pub(crate) sharing: Sharing,
    pub(crate) read_only: bool,
    pub(crate) owner: (u32, u32),
    pub(crate) mode: u32,
}

/// Who may use a cache mount at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    Shared,
    Private,
    Locked,
}

/// `--mount=type=secret`.
#[derive(Clone, Debug)]
pub(crate) struct SecretMount {
    pub(crate) id: String,
    pub(crate) target: Option<String>,
    pub(crate) env: Option<String>,
    pub(crate) required: bool,
    pub(crate) owner: (u32, u32),
    pub(crate) mode: u32,
}

/// COPY and ADD.
#[derive(Clone, Debug)]
pub(crate) struct CopyOp {
    /// Where paths are looked up.
    pub(crate) from: Source,
    pub(crate) items: Vec<Item>,
    /// Absolute; a `/` at its end says that it is a directory.
    pub(crate) dest: String,
    pub(crate) chown: Option<String>,
    pub(crate) chmod: Option<Chmod>,
    pub(crate) selection: Selection,
    /// Archives among the paths are unpacked: what ADD does unless it is told not to.
    pub(crate) unpack_paths: bool,
    /// Archives that come from URLs are unpacked: what ADD does only where it is told to.
    pub(crate) unpack_urls: bool,
    /// `--checksum`, of the one item.
    pub(crate) checksum: Option<String>,
    /// `--link`: what is below is not looked at. Its directories and links do not matter.
    pub(crate) link: bool,
}

impl CopyOp {
    /// All of one thing, as it is, to the root.
    pub(crate) fn of(from: Source, item: Item) -> Self {
        Self {
            from,
            items: vec![item],
            dest: "/".into(),
            chown: None,
            chmod: None,
            selection: Selection::default(),
            unpack_paths: false,
            unpack_urls: false,
            checksum: None,
            link: false,
        }
    }
}

/// One thing to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A path, with wildcards.
    Path(String),
    /// A file that stands in the Dockerfile.
    Inline { name: String, content: String },
    /// A file of the web.
    Http { url: String, file_name: String },
    /// A git repository's tree.
    Git(Box<GitSource>),
}

/// WORKDIR.
#[derive(Clone, Debug)]
pub(crate) struct MakeDirOp {
    pub(crate) path: String,
    pub(crate) user: String,
}

/// Changes of files: LLB's `FileOp`, as far as its actions lead to one result.
#[derive(Clone, Debug)]
pub(crate) struct FileOp {
    pub(crate) actions: Vec<FileAction>,
}

/// One change. Modes are permission bits; times are nanoseconds since 1970, the build's where there is none.
#[derive(Clone, Debug)]
pub(crate) enum FileAction {
    Copy(Box<CopyFiles>),
    MakeFile { path: String, mode: u32, content: Content, owner: Owner, time: Option<i64> },
    MakeDir { path: String, mode: u32, parents: bool, owner: Owner, time: Option<i64> },
    Symlink { target: String, path: String, owner: Owner, time: Option<i64> },
    Remove { path: String, may_be_absent: bool, wildcard: bool },
}

/// The bytes of a file, which are shared and told by their digest.
#[derive(Clone)]
pub(crate) struct Content(Arc<[u8]>);

impl Content {
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl std::ops::Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.digest())
    }
}

/// LLB's `FileActionCopy`.
#[derive(Clone, Debug)]
pub(crate) struct CopyFiles {
    pub(crate) from: Source,
    pub(crate) path: String,
    pub(crate) dest: String,
    pub(crate) owner: Owner,
    pub(crate) chmod: Option<Chmod>,
    pub(crate) time: Option<i64>,
    pub(crate) selection: Selection,
    /// A wildcard may stand for nothing.
    pub(crate) may_be_empty: bool,
    /// Of a directory its contents, and not itself.
    pub(crate) contents: bool,
    /// Archives are unpacked.
    pub(crate) unpack: bool,
    /// The folder that it goes to is made.
    pub(crate) make_parents: bool,
    /// What is of another kind at the destination gives way.
    pub(crate) replace: bool,
    /// Paths that must be among what is copied.
    pub(crate) required: Vec<String>,
}

/// Who owns what is made; who is not named is root, or for a copy, the source's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owner {
    pub(crate) user: Option<Account>,
    pub(crate) group: Option<Account>,
}

/// A user or group.
#[derive(Clone, Debug)]
pub(crate) enum Account {
    Id(u32),
    /// A name in the accounts of a root file system.
    Name {
        name: String,
        of: Source,
    },
}

/// What a process left in the mount with this number. Its node's root is what the mount was made of.
#[derive(Clone, Debug)]
pub(crate) struct PartOp {
    pub(crate) run: NodeId,
    pub(crate) number: usize,
}

/// One layer.
#[derive(Clone, Debug)]
pub(crate) enum Layer {
    /// What a node made.
    Node(NodeId),
    /// An image's, by its place from the bottom.
    Image(Arc<BaseImage>, usize),
}

impl Op {
    /// The trees that it reads beside its own root.
    pub(crate) fn sources(&self) -> Vec<Source> {
        match self {
            Self::Copy(copy) => vec![copy.from.clone()],
            Self::Run(run) => run.mounts.iter().filter_map(MountOp::source).collect(),
            Self::MakeDir(_) => Vec::new(),
            Self::Files(files) => files.actions.iter().flat_map(FileAction::sources).collect(),
            Self::Part(part) => vec![Source::Root(Root::Node(part.run))],
            Self::Difference { lower, upper } => vec![Source::Root(lower.clone()), Source::Root(upper.clone())],
            Self::Layer(Layer::Node(id)) => vec![Source::Root(Root::Node(*id))],
            Self::Layer(Layer::Image(image, _)) => vec![Source::Root(Root::Image(image.clone()))],
        }
    }
}

impl Op {
    /// The numbers of the mounts that are results of their own.
    pub(crate) fn parts(&self) -> impl Iterator<Item = usize> {
        let mounts = match self {
            Self::Run(run) => run.mounts.as_slice(),
            _ => &[],
        };
        mounts.iter().enumerate().filter(|(_, mount)| matches!(mount, MountOp::Part { .. })).map(|(number, _)| number)
    }
}

impl MountOp {
    fn source(&self) -> Option<Source> {
        match self {
            Self::Bind { from, .. } => Some(from.clone()),
            Self::Cache(cache) => cache.from.as_ref().map(|(source, _)| source.clone()),
            Self::Part { root, .. } => Some(Source::Root(root.clone())),
            Self::Tmpfs { .. } | Self::Secret(_) | Self::Ssh(_) | Self::Script { .. } => None,
        }
    }
}

impl FileAction {
    fn sources(&self) -> Vec<Source> {
        let (owner, from) = match self {
            Self::Copy(copy) => (&copy.owner, Some(copy.from.clone())),
            Self::MakeFile { owner, .. } | Self::MakeDir { owner, .. } | Self::Symlink { owner, .. } => (owner, None),
            Self::Remove { .. } => return Vec::new(),
        };
        let accounts = [&owner.user, &owner.group].into_iter().flatten();
        let named = accounts.filter_map(|account| match account {
            Account::Name { of, .. } => Some(of.clone()),
            Account::Id(_) => None,
        });
        named.chain(from).collect()
    }
}

/// What an operation is within one plan: what it does, to what. The platform of a RUN follows from its root.
pub(super) fn identity(op: &Op) -> String {
    let Op::Run(run) = op else { return format!("{op:?}") };
    let RunOp { argv, env, hidden_env, cwd, user, mounts, devices, network, insecure, read_only, .. } = &**run;
    let RunOp { hostname, hosts, shm_size, ulimits, exit_codes, platform: _, .. } = &**run;
    let devices: Vec<&String> = devices.iter().map(|device| &device.name).collect();
    let process = (argv, env, hidden_env, cwd, user, mounts, devices);
    let around = (network, insecure, read_only, hostname, hosts, shm_size, ulimits, exit_codes);
    format!("{process:?} {around:?}")
}
