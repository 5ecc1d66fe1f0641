//! Instructions to nodes: what each needs, and what it leaves in the stage.

use std::sync::Arc;

use archipel_dockerfile::{
    self as dockerfile, AddSource, AddStep, Chmod, CopyStep, Instruction, Mount, Network, RunStep, Span,
};
use archipel_oci::Platform;

use super::metadata;
use super::stage::{Planner, Stage, State, Walk};
use super::{
    CacheMount, CopyOp, Item, MakeDirOp, MountOp, NetworkMode, Node, NodeId, Op, RunOp, SecretMount, Sharing, Source,
    Step,
};
use crate::device::{Device, Devices};
use crate::engine::warn;
use crate::tree::Selection;
use crate::{Error, How};

/// The mode of a cache folder, and of a secret, that says none (reference: "RUN --mount").
pub(crate) const CACHE_MODE: u32 = 0o755;
const SECRET_MODE: u32 = 0o400;
/// The host name that processes of a build see (BuildKit's).
pub(crate) const HOSTNAME: &str = "buildkitsandbox";

impl Planner<'_> {
    pub(super) async fn instruction(
        &mut self,
        walk: &mut Walk,
        stage: &mut Stage,
        state: &mut State,
        instruction: &Instruction,
    ) -> Result<(), Error> {
        let title = state.scope.title(instruction);
        let step = state.scope.step(instruction).map_err(|e| self.wrong(e))?;
        if let dockerfile::Step::Entrypoint(_) = &step
            && !state.has_cmd
        {
            // The base image's command was meant for the base image's entry point.
            state.config.config.cmd = None;
        }
        if let dockerfile::Step::Arg(args) = &step {
            self.declared.extend(args.iter().map(|(name, _)| name.clone()));
        }
        state.has_cmd |= matches!(step, dockerfile::Step::Cmd(_));
        metadata::apply(&mut state.config.config, &mut state.config.author, &step);
        state.name_workdir();
        let op = match &step {
            dockerfile::Step::Run(run) => Some(self.run(walk, stage, state, run, &instruction.span).await?),
            dockerfile::Step::Copy(copy) => Some(self.copy(walk, stage, copy, &instruction.span).await?),
            dockerfile::Step::Add(add) => Some(add_op(add, self.main.clone())),
            dockerfile::Step::Workdir(dir) if dir != "/" => Some(Op::MakeDir(MakeDirOp {
                path: dockerfile::clean_path(dir),
                user: state.config.config.user.clone(),
            })),
            _ => None,
        };
        let made_by = |op: &Op| matches!(op, Op::Run(_)).then(|| state.platform.clone());
        let node = op.map(|op| {
            let how = made_by(&op).map_or(How::Assembled, |platform| how(&platform));
            self.node(walk, stage, state, &title, op, how, &instruction.span)
        });
        if let Some(node) = node {
            state.root = super::Root::Node(node);
        }
        if let Some(created_by) = step.history() {
            state.steps.push(Step::of(created_by, node));
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "they are the node's own fields")]
    fn node(
        &mut self,
        walk: &Walk,
        stage: &mut Stage,
        state: &State,
        title: &str,
        op: Op,
        how: How,
        span: &Span,
    ) -> NodeId {
        stage.at += 1;
        let label = || target_label(&state.platform, |name| state.scope.get(name));
        self.intern(Node {
            root: state.root.clone(),
            op,
            name: stage.title(title),
            label: self.request.multi_platform().unwrap_or_default().then(label),
            platforms: [walk.platform.clone()].into(),
            how,
            no_cache: stage.no_cache,
            span: span.clone(),
        })
    }

    async fn run(
        &mut self,
        walk: &mut Walk,
        stage: &Stage,
        state: &State,
        run: &RunStep,
        span: &Span,
    ) -> Result<Op, Error> {
        let mut mounts = Vec::new();
        for mount in &run.mounts {
            mounts.push(self.mount(walk, stage, mount, span).await?);
        }
        if let Some(script) = &run.script {
            let target = format!("{}/{}", dockerfile::SCRIPT_DIR, script.name);
            mounts.push(MountOp::Script { target, content: script.content.clone() });
        }
        let network = self.network(run.network, span)?;
        Ok(Op::Run(Box::new(RunOp {
            argv: run.argv.clone(),
            env: run.env.to_vec(),
            hidden_env: run.hidden_env.clone(),
            cwd: state.scope.workdir().to_owned(),
            user: state.config.config.user.clone(),
            mounts,
            devices: self.devices(&run.devices, span)?,
            network,
            insecure: run.insecure,
            read_only: false,
            hostname: self.request.build_arg("BUILDKIT_SANDBOX_HOSTNAME").unwrap_or(HOSTNAME).to_owned(),
            hosts: self.request.add_hosts.clone(),
            shm_size: self.request.shm_size,
            ulimits: self.request.ulimits.clone(),
            exit_codes: Vec::new(),
            platform: state.platform.clone(),
        })))
    }

    /// The devices of a RUN. What there are is read when the first one asks.
    fn devices(&mut self, wanted: &[dockerfile::Device], span: &Span) -> Result<Vec<Arc<Device>>, Error> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let (sink, told) = (self.sink, &mut self.told);
        // Another platform's walk comes by the same instruction.
        let mut tell = |message: String| {
            if told.insert(message.clone()) {
                warn(sink, message);
            }
        };
        let devices = self.devices.get_or_insert_with(|| Devices::read(&self.request.device_specs, &mut tell));
        let chosen = devices.choose(wanted, &self.request.allow, span, &mut tell);
        chosen.map_err(|e| self.wrong(e))
    }

    /// A build's processes share the machine's network in any case; `host` is what somebody asks for who knows that it is not
    /// so elsewhere, and as elsewhere they have to say it twice.
    fn network(&self, wanted: Network, span: &Span) -> Result<NetworkMode, Error> {
        let wanted = match (wanted, self.request.network.as_deref()) {
            (Network::Default, Some("none")) | (Network::None, _) => return Ok(NetworkMode::None),
            (Network::Default, _) => return Ok(NetworkMode::Host),
            (Network::Host, _) => "network.host",
        };
        if self.request.allow.iter().any(|allowed| allowed == wanted) {
            return Ok(NetworkMode::Host);
        }
        let message = format!("entitlement {wanted} is not allowed; build with --allow {wanted} to permit it");
        Err(self.error("not-allowed", message, span))
    }

    async fn mount(&mut self, walk: &mut Walk, stage: &Stage, mount: &Mount, span: &Span) -> Result<MountOp, Error> {
        Ok(match mount {
            Mount::Bind(bind) => {
                let from = match &bind.from {
                    Some(from) => self.source(walk, stage.index, from, false, span).await?,
                    None => self.main.clone(),
                };
                let (source, target) = (bind.source.clone(), bind.target.clone());
                MountOp::Bind { from, source, target, writable: bind.writable }
            }
            Mount::Cache(cache) => {
                // What is dressed in an owner or a mode is a new folder, and not the root of what it is from.
                let dressed = cache.uid.or(cache.gid).or(cache.mode).is_some() && cache.source == "/";
                let from = match &cache.from {
                    Some(from) => {
                        let source = self.source(walk, stage.index, from, false, span).await?;
                        Some((source, cache.source.clone())).filter(|_| !dressed)
                    }
                    None if cache.source != "/" => {
                        let message = format!("open {}: no such file or directory", cache.source);
                        return Err(self.error("mount-source", message, span));
                    }
                    None => None,
                };
                let namespace = self.request.build_arg("BUILDKIT_CACHE_MOUNT_NS");
                let id = namespace.map_or_else(|| cache.id.clone(), |space| format!("{space}/{}", cache.id));
                MountOp::Cache(CacheMount {
                    id,
                    target: cache.target.clone(),
                    from,
                    sharing: match cache.sharing {
                        dockerfile::Sharing::Shared => Sharing::Shared,
                        dockerfile::Sharing::Private => Sharing::Private,
                        dockerfile::Sharing::Locked => Sharing::Locked,
                    },
                    read_only: cache.read_only,
                    owner: (cache.uid.unwrap_or(0), cache.gid.unwrap_or(0)),
                    mode: cache.mode.unwrap_or(CACHE_MODE) & 0o777,
                })
            }
            Mount::Tmpfs(tmpfs) => MountOp::Tmpfs { target: tmpfs.target.clone(), size: tmpfs.size },
            Mount::Secret(secret) => MountOp::Secret(SecretMount {
                id: secret.id.clone(),
                target: secret.target.clone(),
                env: secret.env.clone(),
                required: secret.required,
                owner: (secret.uid.unwrap_or(0), secret.gid.unwrap_or(0)),
                mode: secret.mode.unwrap_or(SECRET_MODE),
            }),
            Mount::Ssh(ssh) => MountOp::Ssh(ssh.clone()),
        })
    }

    async fn copy(&mut self, walk: &mut Walk, stage: &Stage, copy: &CopyStep, span: &Span) -> Result<Op, Error> {
        let from = match &copy.from {
            Some(from) => self.source(walk, stage.index, from, true, span).await?,
            None => self.main.clone(),
        };
        let inline = copy.files.iter().map(inline);
        Ok(Op::Copy(Box::new(CopyOp {
            from,
            items: copy.sources.iter().map(|path| Item::Path(path.clone())).chain(inline).collect(),
            dest: copy.dest.clone(),
            chown: copy.chown.clone(),
            chmod: copy.chmod.clone(),
            selection: Selection { parents: copy.parents, excludes: copy.excludes.clone(), ..Selection::default() },
            unpack_paths: false,
            unpack_urls: false,
            checksum: None,
            link: linked(copy.link, copy.chmod.as_ref()),
        })))
    }
}

/// Whether what is below is not looked at. With a `--chmod` it is (BuildKit).
fn linked(link: bool, chmod: Option<&Chmod>) -> bool {
    link && chmod.is_none()
}

fn inline(file: &dockerfile::InlineFile) -> Item {
    Item::Inline { name: file.name.clone(), content: file.content.clone() }
}

fn add_op(add: &AddStep, from: Source) -> Op {
    let item = |source: &AddSource| match source {
        AddSource::Path(path) => Item::Path(path.clone()),
        AddSource::Http { url, file_name } => Item::Http { url: url.clone(), file_name: file_name.clone() },
        AddSource::Git(git) => {
            let mut git = git.clone();
            git.keep_git_dir = add.keep_git_dir.or(git.keep_git_dir);
            Item::Git(Box::new(git))
        }
    };
    Op::Copy(Box::new(CopyOp {
        from,
        items: add.sources.iter().map(item).chain(add.files.iter().map(inline)).collect(),
        dest: add.dest.clone(),
        chown: add.chown.clone(),
        chmod: add.chmod.clone(),
        selection: Selection { excludes: add.excludes.clone(), ..Selection::default() },
        unpack_paths: add.unpack.unwrap_or(true),
        unpack_urls: add.unpack.unwrap_or(false),
        checksum: add.checksum.clone(),
        link: linked(add.link, add.chmod.as_ref()),
    }))
}

/// What names a step's platform: that of its files, and after an arrow what its variables say that it makes something for
/// (BuildKit's form).
fn target_label<'a>(platform: &Platform, get: impl Fn(&str) -> Option<&'a str>) -> String {
    let target = get("TARGETPLATFORM").and_then(|text| text.parse().ok()).or_else(|| {
        let [os, architecture, variant] = ["TARGETOS", "TARGETARCH", "TARGETVARIANT"].map(&get);
        os.or(architecture).or(variant)?;
        let or = |given: Option<&'a str>, other: &str| given.filter(|s| !s.is_empty()).unwrap_or(other).to_owned();
        Some(Platform::new(&or(os, &platform.os), &or(architecture, &platform.architecture), variant))
    });
    match target {
        Some(target) if target.os != platform.os => format!("{platform}->{target}"),
        Some(target) if target.architecture != platform.architecture => {
            let target = target.to_string();
            format!("{platform}->{}", target.split_once('/').map_or(target.as_str(), |(_, rest)| rest))
        }
        _ => platform.to_string(),
    }
}

/// Whether the machine runs a platform's programs by itself. An old processor may fail to; that is found out when it does.
pub(crate) fn how(platform: &Platform) -> How {
    let host = Platform::host();
    let same = host.architecture == platform.architecture && host.os == platform.os;
    if same || host.distance(platform).is_some() { How::Native } else { How::Emulated }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_name_what_is_made_for() {
        let amd: Platform = "linux/amd64".parse().unwrap();
        for (vars, label) in [
            (&[][..], "linux/amd64"),
            (&[("TARGETPLATFORM", "linux/arm64")], "linux/amd64->arm64"),
            (&[("TARGETARCH", "arm"), ("TARGETVARIANT", "v6")], "linux/amd64->arm/v6"),
            (&[("TARGETARCH", "amd64")], "linux/amd64"),
            (&[("TARGETOS", "windows")], "linux/amd64->windows/amd64"),
            (&[("TARGETPLATFORM", "")], "linux/amd64"),
        ] {
            let get = |name: &str| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            assert_eq!(target_label(&amd, get), label);
        }
    }
}
