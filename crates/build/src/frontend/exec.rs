//! `ExecOp`: a process, with results for its root and for mounts that it changes.

use std::sync::Arc;

use archipel_dockerfile::{self as dockerfile, SshMount};
use archipel_gateway::pb::{self, CacheSharingOpt, MountType, NetMode, SecurityMode};

use super::graph::{Made, assembled, input_at, root_of};
use super::session::{Session, State};
use crate::Error;
use crate::device::{Device, Devices};
use crate::engine::warn;
use crate::plan::instruction::{CACHE_MODE, HOSTNAME, how};
use crate::plan::{
    CacheMount, DEFAULT_PATH, MountOp, NetworkMode, Node, NodeId, Op, PartOp, Root, RunOp, SecretMount, Sharing, Source,
};

const ROOT: &str = "/";

/// What a process has around it, and what becomes of that.
struct Surroundings {
    root: Root,
    read_only: bool,
    mounts: Vec<MountOp>,
    /// Outputs by their numbers; below zero nobody asks for it.
    results: Vec<(i64, Output)>,
}

/// What an output of a process is.
enum Output {
    /// Its root.
    Root,
    /// What the mount of this number has become, which was made of that.
    Part(usize, Root),
    /// What a mount was made of, which it did not change.
    Same(Source),
}

impl Session {
    /// The outputs of the operation.
    pub(super) fn exec(
        &self,
        state: &mut State,
        made: &Made<'_>,
        op: &pb::ExecOp,
        inputs: &[Source],
    ) -> Result<Vec<Source>, Error> {
        let meta = op.meta.clone().unwrap_or_default();
        let cwd = if meta.cwd.is_empty() { ROOT.to_owned() } else { meta.cwd.clone() };
        let Surroundings { root, read_only, mut mounts, results } =
            surroundings(state, made, &op.mounts, inputs, &cwd)?;
        mounts.extend(op.secretenv.iter().map(secret_variable));
        let run = RunOp {
            argv: meta.args.clone(),
            env: with_path(meta.env.iter().map(|line| pair(line)).collect()),
            hidden_env: meta.proxy_env.as_ref().map(proxies).unwrap_or_default(),
            cwd,
            user: meta.user.clone(),
            mounts,
            devices: self.devices(&op.cdi_devices)?,
            network: self.network(op.network)?,
            insecure: op.security == SecurityMode::Insecure as i32,
            read_only,
            hostname: if meta.hostname.is_empty() { HOSTNAME.into() } else { meta.hostname.clone() },
            hosts: meta.extra_hosts.iter().map(|host| (host.host.clone(), host.ip.clone())).collect(),
            shm_size: None,
            ulimits: meta.ulimit.iter().map(limit).collect(),
            exit_codes: meta.valid_exit_codes.clone(),
            platform: made.platform.clone(),
        };
        if run.argv.is_empty() {
            return Err(Error::Request(format!("{} has no command", made.name)));
        }
        let node = assembled(made, root, Op::Run(Box::new(run)));
        let run = state.intern(Node { how: how(&made.platform), ..node });
        outputs(state, made, run, results)
    }

    fn network(&self, mode: i32) -> Result<NetworkMode, Error> {
        let wanted = "network.host";
        match NetMode::try_from(mode) {
            Ok(NetMode::None) => Ok(NetworkMode::None),
            Ok(NetMode::Host) if !self.around.request.allow.iter().any(|allowed| allowed == wanted) => {
                Err(Error::Request(format!(
                    "entitlement {wanted} is not allowed; build with --allow {wanted} to permit it"
                )))
            }
            Ok(NetMode::Host | NetMode::Unset) => Ok(NetworkMode::Host),
            Err(_) => Err(Error::Request(format!("network mode {mode} is not known"))),
        }
    }

    fn devices(&self, wanted: &[pb::CdiDevice]) -> Result<Vec<Arc<Device>>, Error> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut tell = |message: String| warn(&self.around.sink, message);
        let request = &self.around.request;
        let known = Devices::read(&request.device_specs, &mut tell);
        let wish =
            |device: &pb::CdiDevice| dockerfile::Device { name: device.name.clone(), required: !device.optional };
        let wanted: Vec<_> = wanted.iter().map(wish).collect();
        let chosen = known.choose(&wanted, &request.allow, &(0..0), &mut tell);
        chosen.map_err(|diagnostic| Error::Request(diagnostic.message))
    }
}

fn surroundings(
    state: &mut State,
    made: &Made<'_>,
    given: &[pb::Mount],
    inputs: &[Source],
    cwd: &str,
) -> Result<Surroundings, Error> {
    let (mut root, mut read_only, mut mounts, mut results) = (None, false, Vec::new(), Vec::new());
    for mount in given {
        let input = input_at(inputs, mount.input)?;
        let relative = !mount.dest.starts_with('/');
        let folder = if relative { format!("{}/", cwd.trim_end_matches('/')) } else { String::new() };
        let target = folder + &mount.dest;
        let is = |kind: MountType| mount.mount_type == kind as i32;
        if target == ROOT {
            read_only = mount.readonly;
            root = Some(root_of(state, made, input));
            results.push((mount.output, Output::Root));
        } else if is(MountType::Bind) && mount.output >= 0 && !mount.readonly {
            let below = root_of(state, made, input);
            results.push((mount.output, Output::Part(mounts.len(), below.clone())));
            mounts.push(MountOp::Part { root: below, source: selector(mount), target });
        } else {
            // Mounts of other kinds have no result, whatever stands there.
            if is(MountType::Bind) || is(MountType::Cache) {
                results.push((mount.output, Output::Same(input.clone())));
            }
            mounts.push(mount_op(mount, input, target)?);
        }
    }
    let root = root.ok_or_else(|| Error::Request(format!("{} has no root file system", made.name)))?;
    Ok(Surroundings { root, read_only, mounts, results })
}

fn outputs(state: &mut State, made: &Made<'_>, run: NodeId, results: Vec<(i64, Output)>) -> Result<Vec<Source>, Error> {
    let wanted = results.iter().filter(|(output, _)| *output >= 0).count();
    let mut outputs = vec![None; wanted];
    for (output, result) in results {
        let Ok(place) = usize::try_from(output) else { continue };
        let Some(slot) = outputs.get_mut(place) else {
            return Err(Error::Request(format!("{} has an output {place} and none before it", made.name)));
        };
        *slot = Some(match result {
            Output::Root => Source::Root(Root::Node(run)),
            Output::Same(source) => source,
            Output::Part(number, below) => {
                let part = assembled(made, below, Op::Part(PartOp { run, number }));
                let part = Node { name: format!("{} (mount {number})", made.name), no_cache: false, ..part };
                Source::Root(Root::Node(state.intern(part)))
            }
        });
    }
    let all: Option<Vec<Source>> = outputs.into_iter().collect();
    all.ok_or_else(|| Error::Request(format!("{} has a gap among its outputs", made.name)))
}

fn secret_variable(secret: &pb::SecretEnv) -> MountOp {
    MountOp::Secret(SecretMount {
        id: secret.id.clone(),
        target: None,
        env: Some(secret.name.clone()),
        required: !secret.optional,
        owner: (0, 0),
        mode: 0o400,
    })
}

/// The part of its input that a mount shows.
fn selector(mount: &pb::Mount) -> String {
    format!("/{}", mount.selector.trim_start_matches('/'))
}

fn mount_op(mount: &pb::Mount, from: Source, target: String) -> Result<MountOp, Error> {
    let source = selector(mount);
    Ok(match MountType::try_from(mount.mount_type) {
        Ok(MountType::Bind) => MountOp::Bind { from, source, target, writable: !mount.readonly },
        Ok(MountType::Tmpfs) => {
            let size = mount.tmpfs_opt.as_ref().and_then(|opt| u64::try_from(opt.size).ok()).filter(|size| *size > 0);
            MountOp::Tmpfs { target, size }
        }
        Ok(MountType::Cache) => {
            let opt = mount.cache_opt.clone().unwrap_or_default();
            MountOp::Cache(CacheMount {
                id: opt.id,
                target,
                from: (mount.input >= 0).then_some((from, source)),
                sharing: match CacheSharingOpt::try_from(opt.sharing) {
                    Ok(CacheSharingOpt::Private) => Sharing::Private,
                    Ok(CacheSharingOpt::Locked) => Sharing::Locked,
                    Ok(CacheSharingOpt::Shared) | Err(_) => Sharing::Shared,
                },
                read_only: mount.readonly,
                owner: (0, 0),
                mode: CACHE_MODE,
            })
        }
        Ok(MountType::Secret) => {
            let opt = mount.secret_opt.clone().unwrap_or_default();
            MountOp::Secret(SecretMount {
                id: opt.id,
                target: Some(target),
                env: None,
                required: !opt.optional,
                owner: (opt.uid, opt.gid),
                mode: opt.mode & 0o777,
            })
        }
        Ok(MountType::Ssh) => {
            let opt = mount.ssh_opt.clone().unwrap_or_default();
            let id = if opt.id.is_empty() { "default".into() } else { opt.id };
            let (uid, gid, mode) = (Some(opt.uid), Some(opt.gid), Some(opt.mode & 0o777));
            MountOp::Ssh(SshMount { id, target: Some(target), required: !opt.optional, uid, gid, mode })
        }
        Err(_) => return Err(Error::Request(format!("the mount of {target} is of a kind that is not known"))),
    })
}

/// Variables with a `PATH` among them.
fn with_path(mut env: Vec<(String, String)>) -> Vec<(String, String)> {
    if !env.iter().any(|(name, _)| name == "PATH")
        && let Some((name, value)) = DEFAULT_PATH.split_once('=')
    {
        env.push((name.into(), value.into()));
    }
    env
}

fn pair(line: &str) -> (String, String) {
    let (name, value) = line.split_once('=').unwrap_or((line, ""));
    (name.into(), value.into())
}

/// In both cases, as BuildKit has it.
fn proxies(given: &pb::ProxyEnv) -> Vec<(String, String)> {
    let named = [
        ("http_proxy", &given.http_proxy),
        ("https_proxy", &given.https_proxy),
        ("ftp_proxy", &given.ftp_proxy),
        ("no_proxy", &given.no_proxy),
        ("all_proxy", &given.all_proxy),
    ];
    let set = named.into_iter().filter(|(_, value)| !value.is_empty());
    set.flat_map(|(name, value)| [(name.to_ascii_uppercase(), value.clone()), (name.to_owned(), value.clone())])
        .collect()
}

fn limit(limit: &pb::Ulimit) -> (String, u64, u64) {
    // Below zero there is no limit.
    let bound = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
    (limit.name.clone(), bound(limit.soft), bound(limit.hard))
}
