//! `--sbom`: a step more for each platform, in which a generator looks at the files of the result and writes down what it found
//! there (BuildKit's `docs/attestations/sbom-protocol.md`). A step as any other: cached by the contents that it sees.

use std::collections::BTreeMap;
use std::sync::Arc;

use archipel_dockerfile::boolean;
use archipel_oci::Platform;

use super::instruction::HOSTNAME;
use super::stage::{Planner, Walk};
use super::{MakeDirOp, MountOp, NetworkMode, Node, NodeId, Op, Plan, Root, RunOp, Source};
use crate::image::BaseImage;
use crate::sbom::{self, CORE, EXTRA};
use crate::{Error, How, Request, Sbom};

/// The ARGs by which a Dockerfile asks for more to be looked at: its context, a stage that the result has files of.
const CONTEXT: &str = "BUILDKIT_SBOM_SCAN_CONTEXT";
const STAGE: &str = "BUILDKIT_SBOM_SCAN_STAGE";

const SOURCES: &str = "/run/src";

impl Planner<'_> {
    /// The step for one platform, if there is to be one.
    pub(super) async fn scan(&mut self, walk: &Walk, target: usize) -> Result<Option<NodeId>, Error> {
        let Some(wanted) = self.request.sbom.clone() else { return Ok(None) };
        let generator = self.image(&wanted.generator, &Platform::host()).await?;
        let scan = Scan {
            generator,
            result: walk.states[&target].root.clone(),
            extras: self.extras(walk, target),
            platform: walk.platform.clone(),
        };
        scan.plan(&mut self.plan, self.request, &wanted).map(Some)
    }

    /// What is looked at beside the result, by name.
    fn extras(&self, walk: &Walk, target: usize) -> BTreeMap<String, Source> {
        let mut extras = BTreeMap::new();
        for (index, state) in &walk.states {
            let label = self.dockerfile.stages[*index].label();
            let asks = |name| state.scope.argument(name).is_some_and(|value| includes(value, &label));
            if *index == target && asks(CONTEXT) {
                extras.insert("context".into(), self.main.clone());
            }
            if *index != target && asks(STAGE) {
                extras.insert(label.to_lowercase(), Source::Root(state.root.clone()));
            }
        }
        extras
    }
}

/// What one step looks at, and with what.
pub(crate) struct Scan {
    pub(crate) generator: Arc<BaseImage>,
    /// The files of the result.
    pub(crate) result: Root,
    /// What else, by name.
    pub(crate) extras: BTreeMap<String, Source>,
    /// Whom the result is for.
    pub(crate) platform: Platform,
}

impl Scan {
    /// Adds the step to a plan.
    pub(crate) fn plan(self, plan: &mut Plan, request: &Request, wanted: &Sbom) -> Result<NodeId, Error> {
        let config = self.generator.config.config.clone();
        let argv = [config.entrypoint, config.cmd].into_iter().flatten().flatten().collect::<Vec<_>>();
        if argv.is_empty() {
            let message = format!("the SBOM generator {} has no command", wanted.generator);
            return Err(Error::Request(message));
        }
        let mut env: Vec<(String, String)> = config.env.iter().map(|line| pair(line)).collect();
        env.push(("BUILDKIT_SCAN_DESTINATION".into(), sbom::DESTINATION.into()));
        env.push(("BUILDKIT_SCAN_SOURCE".into(), format!("{SOURCES}/core/{CORE}")));
        if !self.extras.is_empty() {
            env.push(("BUILDKIT_SCAN_SOURCE_EXTRAS".into(), format!("{SOURCES}/extras")));
        }
        env.extend(wanted.parameters.iter().map(|(key, value)| (format!("BUILDKIT_SCAN_{key}"), value.clone())));
        let read = |from: Source, target: String| MountOp::Bind { from, source: "/".into(), target, writable: false };
        let mut mounts = vec![read(Source::Root(self.result), format!("{SOURCES}/core/{CORE}"))];
        let extras = self.extras.into_iter();
        mounts.extend(extras.map(|(name, from)| read(from, format!("{SOURCES}/extras/{EXTRA}{name}"))));
        mounts.push(MountOp::Tmpfs { target: "/tmp".into(), size: None });
        let node = |root: Root, op: Op, how: How, name: String| Node {
            root,
            no_cache: request.no_cache && matches!(op, Op::Run(_)),
            op,
            name,
            label: None,
            platforms: [self.platform.clone()].into(),
            how,
            span: 0..0,
        };
        let folder = MakeDirOp { path: sbom::DESTINATION.trim_end_matches('/').into(), user: String::new() };
        let name = "[internal] prepare sbom generation".into();
        let empty = plan.intern(node(Root::Image(self.generator), Op::MakeDir(folder), How::Assembled, name));
        let run = RunOp {
            argv,
            env,
            hidden_env: Vec::new(),
            cwd: if config.working_dir.is_empty() { "/".into() } else { config.working_dir },
            user: config.user,
            mounts,
            devices: Vec::new(),
            network: NetworkMode::Host,
            insecure: false,
            read_only: false,
            hostname: HOSTNAME.into(),
            hosts: request.add_hosts.clone(),
            shm_size: request.shm_size,
            ulimits: request.ulimits.clone(),
            exit_codes: Vec::new(),
            platform: Platform::host(),
        };
        let name = format!("[{}] generating sbom using {}", self.platform, wanted.generator);
        Ok(plan.intern(node(Root::Node(empty), Op::Run(Box::new(run)), How::Native, name)))
    }
}

fn pair(line: &str) -> (String, String) {
    let (name, value) = line.split_once('=').unwrap_or((line, ""));
    (name.into(), value.into())
}

/// A truth value, or the names of the stages that are meant.
fn includes(value: &str, stage: &str) -> bool {
    boolean(value).unwrap_or_else(|| value.split(',').any(|name| name.eq_ignore_ascii_case(stage)))
}

#[cfg(test)]
mod tests {
    use super::includes;

    #[test]
    fn stages_that_are_meant() {
        for (value, expected) in [("true", true), ("0", false), ("a,build", true), ("a", false), ("", false)] {
            assert_eq!(includes(value, "build"), expected, "{value}");
        }
    }
}
