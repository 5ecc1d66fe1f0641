//! The plan: one graph of operations on file systems, for all platforms of a build.
//!
//! Nodes are interned: two that do the same to the same are one. So a stage that starts from `$BUILDPLATFORM` is there once
//! for all targets up to the first instruction that asks which target it is for, and a COPY on two equal bases is one COPY.
//! Nodes refer only to earlier ones, so the order of the list is an order to run them in.
//!
//! The plan is made from texts and image configs alone. What files contain is looked at when a node runs: see `exec`.

mod instruction;
mod metadata;
mod scan;
mod source;
mod stage;

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use archipel_dockerfile::{Chmod, GitSource, SshMount};
use archipel_oci::{ImageConfig, Platform};

use crate::context::Tree;
use crate::device::Device;
use crate::image::BaseImage;
use crate::tree::Selection;
use crate::{How, SourceDateEpoch};

pub(crate) use stage::Planner;

/// A node's place in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(crate) usize);

/// A root file system.
#[derive(Clone, Debug)]
pub(crate) enum Root {
    /// Nothing.
    Scratch,
    /// An image's, as it comes.
    Image(Arc<BaseImage>),
    /// What a node made.
    Node(NodeId),
}

/// A tree to read from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A build context, by its place in the build's list.
    Context(usize),
    /// A stage or image.
    Root(Root),
}

/// One operation.
#[derive(Debug)]
pub(crate) struct Node {
    /// The file system that it changes.
    pub(crate) root: Root,
    /// What it does.
    pub(crate) op: Op,
    /// `[build 2/4] RUN go build`.
    pub(crate) name: String,
    /// The platform in that name, where the build has several.
    pub(crate) label: Option<String>,
    /// The target platforms that need it.
    pub(crate) platforms: BTreeSet<Platform>,
    /// How its process runs.
    pub(crate) how: How,
    /// Whether the cache may answer for it.
    pub(crate) no_cache: bool,
    /// Where it stands in the Dockerfile.
    pub(crate) span: Range<usize>,
}

/// What a node does.
#[derive(Debug)]
pub(crate) enum Op {
    /// RUN.
    Run(Box<RunOp>),
    /// COPY and ADD.
    Copy(Box<CopyOp>),
    /// WORKDIR: makes a directory.
    MakeDir(MakeDirOp),
}

/// RUN.
#[derive(Debug)]
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
    pub(crate) hostname: String,
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
#[derive(Debug)]
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
}

/// `--mount=type=cache`.
#[derive(Debug)]
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
#[derive(Debug)]
pub(crate) struct SecretMount {
    pub(crate) id: String,
    pub(crate) target: Option<String>,
    pub(crate) env: Option<String>,
    pub(crate) required: bool,
    pub(crate) owner: (u32, u32),
    pub(crate) mode: u32,
}

/// COPY and ADD.
#[derive(Debug)]
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
#[derive(Debug)]
pub(crate) struct MakeDirOp {
    pub(crate) path: String,
    pub(crate) user: String,
}

/// One step of an image's history.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) created_by: String,
    /// The node whose layer it is; none for a step that only changes the config.
    pub(crate) node: Option<NodeId>,
}

/// What a target's final stage comes to.
#[derive(Clone, Debug)]
pub(crate) struct StageResult {
    pub(crate) platform: Platform,
    pub(crate) base: Option<Arc<BaseImage>>,
    pub(crate) root: Root,
    /// Base history included; `rootfs.diff_ids` are filled in when the layers are there.
    pub(crate) config: ImageConfig,
    /// Our steps, after those of the base.
    pub(crate) steps: Vec<Step>,
    pub(crate) how: How,
    /// The node that lists what is in it, where that is wanted.
    pub(crate) scan: Option<NodeId>,
}

/// What a Dockerfile comes to.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    /// The build's own context first, then named ones.
    pub(crate) contexts: Vec<Tree>,
    /// One for each platform, in their order.
    pub(crate) targets: Vec<StageResult>,
    /// `SOURCE_DATE_EPOCH`, wherever it was said.
    pub(crate) epoch: Option<SourceDateEpoch>,
}

/// The graph.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) nodes: Vec<Node>,
    interned: HashMap<String, NodeId>,
}

impl Plan {
    /// Adds a node, or finds the one that does the same.
    fn intern(&mut self, node: Node) -> NodeId {
        let identity = format!("{} {} {:?}", root_identity(&node.root), node.no_cache, Identity(&node.op));
        if let Some(id) = self.interned.get(&identity) {
            self.nodes[id.0].platforms.extend(node.platforms);
            return *id;
        }
        let id = NodeId(self.nodes.len());
        self.nodes.push(node);
        self.interned.insert(identity, id);
        id
    }

    /// The nodes that a root needs, itself included, and those that they need.
    pub(crate) fn below(&self, root: &Root) -> BTreeSet<usize> {
        let mut open: Vec<usize> = match root {
            Root::Node(id) => vec![id.0],
            _ => Vec::new(),
        };
        let mut found = BTreeSet::new();
        while let Some(n) = open.pop() {
            if found.insert(n) {
                open.extend(self.needs(NodeId(n)));
            }
        }
        found
    }

    /// The nodes that a node needs.
    pub(crate) fn needs(&self, id: NodeId) -> Vec<usize> {
        let node = &self.nodes[id.0];
        let mut needs = BTreeSet::new();
        let mut add = |root: &Root| {
            if let Root::Node(id) = root {
                needs.insert(id.0);
            }
        };
        add(&node.root);
        for source in node.op.sources() {
            if let Source::Root(root) = source {
                add(root);
            }
        }
        needs.into_iter().collect()
    }
}

impl Op {
    /// The trees that it reads beside its own root.
    pub(crate) fn sources(&self) -> Vec<&Source> {
        match self {
            Self::Copy(copy) => vec![&copy.from],
            Self::Run(run) => run
                .mounts
                .iter()
                .filter_map(|mount| match mount {
                    MountOp::Bind { from, .. } => Some(from),
                    MountOp::Cache(cache) => cache.from.as_ref().map(|(source, _)| source),
                    _ => None,
                })
                .collect(),
            Self::MakeDir(_) => Vec::new(),
        }
    }
}

/// Names a root within one plan. Two images with the same layers are the same root.
fn root_identity(root: &Root) -> String {
    match root {
        Root::Scratch => "scratch".into(),
        Root::Image(image) => image.chain().map_or_else(|| "scratch".into(), |chain| chain.to_string()),
        Root::Node(NodeId(n)) => format!("#{n}"),
    }
}

/// Prints an operation for interning: like `Debug`, but with roots by what they are and without the platform that a RUN's
/// files are for, which follows from the root.
struct Identity<'a>(&'a Op);

impl std::fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let source = |source: &Source| match source {
            Source::Context(n) => format!("context {n}"),
            Source::Root(root) => root_identity(root),
        };
        for read in self.0.sources() {
            write!(f, "{} ", source(read))?;
        }
        match self.0 {
            Op::MakeDir(make) => write!(f, "{make:?}"),
            Op::Copy(c) => write!(
                f,
                "{:?}",
                (
                    &c.items,
                    &c.dest,
                    &c.chown,
                    &c.chmod,
                    &c.selection,
                    c.unpack_paths,
                    c.unpack_urls,
                    &c.checksum,
                    c.link
                )
            ),
            Op::Run(r) => {
                write!(
                    f,
                    "{:?}",
                    (&r.argv, &r.env, &r.hidden_env, &r.cwd, &r.user, r.network, r.insecure, &r.hostname)
                )?;
                for device in &r.devices {
                    write!(f, "{:?}", device.name)?;
                }
                for mount in &r.mounts {
                    match mount {
                        MountOp::Bind { source, target, writable, .. } => write!(f, "{source:?}{target:?}{writable}")?,
                        MountOp::Cache(c) => write!(
                            f,
                            "{:?}",
                            (&c.id, &c.target, c.from.as_ref().map(|x| &x.1), c.sharing, c.read_only, c.owner, c.mode)
                        )?,
                        other => write!(f, "{other:?}")?,
                    }
                }
                Ok(())
            }
        }
    }
}
