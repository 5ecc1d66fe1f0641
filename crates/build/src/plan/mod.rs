//! The plan: one graph of operations on file systems, for all platforms of a build.
//!
//! Nodes are interned: two that do the same to the same are one. So a stage that starts from `$BUILDPLATFORM` is there once
//! for all targets up to the first instruction that asks which target it is for, and a COPY on two equal bases is one COPY.
//! Nodes refer only to earlier ones, so the order of the list is an order to run them in.
//!
//! A Dockerfile's plan is made from texts and image configs alone: what files contain is looked at when a node runs (see `exec`).
//! A frontend may ask for files before it has said all. What that needs of its plan is then run first, and never again.

pub(crate) mod instruction;
mod metadata;
mod op;
mod scan;
mod source;
mod stage;

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use archipel_oci::{Digest, History, ImageConfig, Platform};

use crate::around::Made;
use crate::attestation::Attestation;
use crate::context::Tree;
use crate::image::BaseImage;
use crate::{How, SourceDateEpoch};

pub(crate) use op::*;
pub(crate) use scan::Scan;
pub(crate) use stage::{DEFAULT_PATH, Planner};

/// A node's place in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(crate) usize);

/// A root file system.
#[derive(Clone)]
pub(crate) enum Root {
    /// Nothing.
    Scratch,
    /// An image's, as it comes.
    Image(Arc<BaseImage>),
    /// What a node made.
    Node(NodeId),
}

/// Names a root within one plan. Two images with the same layers are the same root.
impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Image(image) => match image.chain() {
                Some(chain) => write!(f, "{chain}"),
                None => f.write_str("scratch"),
            },
            Self::Scratch => f.write_str("scratch"),
            Self::Node(NodeId(n)) => write!(f, "#{n}"),
        }
    }
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
#[derive(Clone, Debug)]
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

/// One step of an image's history.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// What is told of it. When it was made is filled in where it is not said.
    pub(crate) history: History,
    /// The node whose layer it is; none for a step that only changes the config.
    pub(crate) node: Option<NodeId>,
}

impl Step {
    /// A step of the Dockerfile's language.
    pub(crate) fn of(created_by: String, node: Option<NodeId>) -> Self {
        let comment = Some("buildkit.dockerfile.v0".into());
        Self { history: History { created_by: Some(created_by), comment, ..History::default() }, node }
    }
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
    /// What a frontend attests of it.
    pub(crate) attested: Vec<Attestation>,
}

/// What a Dockerfile comes to.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) plan: Arc<Plan>,
    /// The build's own context first, then named ones.
    pub(crate) contexts: Vec<Tree>,
    /// One for each platform, in their order.
    pub(crate) targets: Vec<StageResult>,
    /// `SOURCE_DATE_EPOCH`, wherever it was said.
    pub(crate) epoch: Option<SourceDateEpoch>,
    /// Nodes that had to run for the plan to be made.
    pub(crate) made: Made,
    /// What a frontend notes on manifests, as an output's option says it (`annotation-index.KEY`).
    pub(crate) annotations: Vec<(String, String)>,
}

/// The graph.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) nodes: Vec<Node>,
    /// By the digest of what they are and do.
    interned: HashMap<Digest, NodeId>,
}

impl Plan {
    /// Adds a node, or finds the one that does the same.
    pub(crate) fn intern(&mut self, node: Node) -> NodeId {
        let identity = format!("{:?} {} {}", node.root, node.no_cache, op::identity(&node.op));
        let identity = Digest::of(identity.as_bytes());
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
                add(&root);
            }
        }
        needs.into_iter().collect()
    }
}
