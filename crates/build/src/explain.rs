//! What a build would do, and why: the plan in words (`--explain`). Nothing is run, and no layer is fetched; but a frontend is, with
//! what it must see to make a plan.

use archipel_oci::Platform;

use crate::around::Around;
use crate::frontend::Frontend;
use crate::plan::{
    CacheMount, CopyOp, FileAction, FileOp, Item, MountOp, NetworkMode, Node, NodeId, Op, Plan, Planned, Planner, Root,
    RunOp, Source,
};
use crate::steps::Steps;
use crate::{Engine, Error, How, Request, Sink, context};

/// A step of a plan.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ExplainedStep {
    /// As it is shown when it runs.
    pub name: String,
    /// The target platforms that need it.
    pub platforms: Vec<Platform>,
    /// How its process would run.
    pub how: How,
    /// What it changes: an image, another step's files, nothing.
    pub on: String,
    /// What its cache key depends on beside that.
    pub key: Vec<String>,
    /// What it sees and the key does not: secrets, caches, proxies.
    pub unkeyed: Vec<String>,
    /// It runs whatever the cache has.
    pub no_cache: bool,
}

impl Engine {
    /// Plans a build and says what its steps are, in an order in which they could run.
    ///
    /// # Errors
    /// What is wrong with the Dockerfile, or a base image that cannot be had.
    pub async fn explain(&self, request: &Request, sink: &Sink) -> Result<Vec<ExplainedStep>, Error> {
        let loaded = context::load(request, self).await?;
        let frontend = Frontend::of(&loaded, request)?;
        let around = Around::new(request.clone(), loaded, frontend, sink, &Steps::default());
        let planned = match &around.frontend {
            Some(frontend) => self.planned_by(frontend, &around).await?,
            None => Planner::new(self, &around)?.plan().await?,
        };
        // A frontend may have asked for what its result does not need.
        let wanted = planned.plan.nodes.iter().filter(|node| !node.platforms.is_empty());
        Ok(wanted.map(|node| step(&planned, node, request)).collect())
    }
}

fn step(planned: &Planned, node: &Node, request: &Request) -> ExplainedStep {
    let plan = &planned.plan;
    let (mut key, mut unkeyed) = (Vec::new(), Vec::new());
    match &node.op {
        Op::MakeDir(op) => key.push(format!("the path {}", op.path)),
        Op::Copy(op) => copy(plan, op, &mut key),
        Op::Files(op) => files(plan, op, &mut key),
        Op::Part(_) => key.push("what the process left there".into()),
        Op::Layer(_) => key.push("the layer".into()),
        Op::Difference { lower, upper } => {
            key.push(format!("{} and {}", root(plan, lower), root(plan, upper)));
        }
        Op::Run(op) => {
            run(plan, op, &mut key, &mut unkeyed);
            key.extend(surroundings(request));
        }
    }
    if planned.epoch.is_some() && !matches!(node.op, Op::Run(_)) {
        key.push("the time of SOURCE_DATE_EPOCH, which its files get".into());
    }
    ExplainedStep {
        name: node.name.clone(),
        platforms: node.platforms.iter().cloned().collect(),
        how: node.how,
        on: root(plan, &node.root),
        key,
        unkeyed,
        no_cache: node.no_cache,
    }
}

fn root(plan: &Plan, root: &Root) -> String {
    match root {
        Root::Scratch => "nothing".into(),
        Root::Image(image) => format!("{} for {}", image.reference.familiar(), image.platform),
        Root::Node(NodeId(n)) => plan.nodes.get(*n).map_or_else(String::new, |node| node.name.clone()),
    }
}

fn source(plan: &Plan, source: &Source) -> String {
    match source {
        Source::Context(0) => "the context".into(),
        Source::Context(n) => format!("named context {n}"),
        Source::Root(from) => root(plan, from),
    }
}

fn copy(plan: &Plan, op: &CopyOp, key: &mut Vec<String>) {
    for item in &op.items {
        key.push(match item {
            Item::Path(path) => format!("names, modes and content of {path} in {}", source(plan, &op.from)),
            Item::Inline { name, .. } => format!("the document {name}"),
            Item::Http { file_name, .. } => format!("the content of the URL's {file_name}, and its time"),
            Item::Git(git) => format!("the commit of {}", git.reference.as_deref().unwrap_or("the repository's HEAD")),
        });
    }
    let options = [
        op.chown.as_ref().map(|owner| format!("--chown={owner}")),
        op.chmod.as_ref().map(|mode| format!("--chmod={mode}")),
    ];
    key.extend(options.into_iter().flatten());
}

fn files(plan: &Plan, op: &FileOp, key: &mut Vec<String>) {
    for action in &op.actions {
        key.push(match action {
            FileAction::Copy(copy) => {
                format!("names, modes and content of {} in {}", copy.path, source(plan, &copy.from))
            }
            FileAction::MakeFile { path, .. } => format!("the content of {path}"),
            FileAction::MakeDir { path, .. } => format!("the path {path}"),
            FileAction::Symlink { target, path, .. } => format!("the link {path} to {target}"),
            FileAction::Remove { path, .. } => format!("that {path} is removed"),
        });
    }
}

fn run(plan: &Plan, op: &RunOp, key: &mut Vec<String>, unkeyed: &mut Vec<String>) {
    key.push("the command".into());
    // Names only: a value may be what nobody should see on a screen.
    let names = |pairs: &[(String, String)]| pairs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ");
    key.push(format!("the variables {}", names(&op.env)));
    if !op.hidden_env.is_empty() {
        unkeyed.push(format!("the proxies {}", names(&op.hidden_env)));
    }
    if !op.user.is_empty() {
        key.push(format!("the user {}", op.user));
    }
    if op.network == NetworkMode::None {
        key.push("that it has no network".into());
    }
    for device in &op.devices {
        key.push(format!("that it has the device {}", device.name));
        unkeyed.push(format!("what the device {} brings", device.name));
    }
    for mount in &op.mounts {
        match mount {
            MountOp::Bind { from, source: path, .. } => {
                key.push(format!("names, modes and content of {path} in {}", source(plan, from)));
            }
            MountOp::Cache(CacheMount { id, from, .. }) => {
                if let Some((from, path)) = from {
                    key.push(format!("names, modes and content of {path} in {}", source(plan, from)));
                }
                unkeyed.push(format!("what the cache {id} holds"));
            }
            MountOp::Secret(secret) => unkeyed.push(format!("the secret {}", secret.id)),
            MountOp::Ssh(ssh) => unkeyed.push(format!("the agent {}", ssh.id)),
            MountOp::Script { .. } => key.push("its script".into()),
            MountOp::Part { root: of, target, .. } => {
                key.push(format!("{}, which it changes at {target}", root(plan, of)))
            }
            MountOp::Tmpfs { .. } => {}
        }
    }
}

/// What a RUN step depends on that was said on the command line for all of them.
fn surroundings(request: &Request) -> Vec<String> {
    let mut found: Vec<String> = request.add_hosts.iter().map(|(name, _)| format!("--add-host {name}")).collect();
    found.extend(request.shm_size.map(|size| format!("--shm-size {size}")));
    found.extend(request.ulimits.iter().map(|(name, ..)| format!("--ulimit {name}")));
    found
}
