//! `--sbom`: a step more for each platform, in which a generator looks at the files of the result and writes down what it found
//! there (BuildKit's `docs/attestations/sbom-protocol.md`). A step as any other: cached by the contents that it sees.

use std::collections::BTreeMap;

use archipel_dockerfile::boolean;
use archipel_oci::{Platform, Reference};

use super::instruction::HOSTNAME;
use super::stage::{Planner, Walk};
use super::{MakeDirOp, MountOp, NetworkMode, Node, NodeId, Op, Root, RunOp, Source};
use crate::sbom::{self, CORE, EXTRA};
use crate::{Error, How};

/// The ARGs by which a Dockerfile asks for more to be looked at: its context, a stage that the result has files of.
const CONTEXT: &str = "BUILDKIT_SBOM_SCAN_CONTEXT";
const STAGE: &str = "BUILDKIT_SBOM_SCAN_STAGE";

const SOURCES: &str = "/run/src";

impl Planner<'_> {
    /// The step for one platform, if there is to be one.
    pub(super) async fn scan(&mut self, walk: &Walk, target: usize) -> Result<Option<NodeId>, Error> {
        let Some(wanted) = self.request.sbom.clone() else { return Ok(None) };
        let host = Platform::host();
        let generator = self.image(&wanted.generator, &host).await?;
        let config = generator.config.config.clone();
        let argv = [config.entrypoint, config.cmd].into_iter().flatten().flatten().collect::<Vec<_>>();
        if argv.is_empty() {
            let message = format!("the SBOM generator {} has no command", wanted.generator);
            return Err(Error::Request(message));
        }
        let mut env: Vec<(String, String)> = config.env.iter().map(|line| pair(line)).collect();
        env.push(("BUILDKIT_SCAN_DESTINATION".into(), sbom::DESTINATION.into()));
        env.push(("BUILDKIT_SCAN_SOURCE".into(), format!("{SOURCES}/core/{CORE}")));
        let extras = self.extras(walk, target);
        if !extras.is_empty() {
            env.push(("BUILDKIT_SCAN_SOURCE_EXTRAS".into(), format!("{SOURCES}/extras")));
        }
        env.extend(wanted.parameters.iter().map(|(key, value)| (format!("BUILDKIT_SCAN_{key}"), value.clone())));
        let read = |from: Source, target: String| MountOp::Bind { from, source: "/".into(), target, writable: false };
        let core = Source::Root(walk.states[&target].root.clone());
        let mut mounts = vec![read(core, format!("{SOURCES}/core/{CORE}"))];
        mounts.extend(extras.into_iter().map(|(name, from)| read(from, format!("{SOURCES}/extras/{EXTRA}{name}"))));
        mounts.push(MountOp::Tmpfs { target: "/tmp".into(), size: None });
        let empty = MakeDirOp { path: sbom::DESTINATION.trim_end_matches('/').into(), user: String::new() };
        let root = self.scan_node(walk, &wanted.generator, Root::Image(generator), Op::MakeDir(empty), How::Assembled);
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
            hosts: self.request.add_hosts.clone(),
            shm_size: self.request.shm_size,
            ulimits: self.request.ulimits.clone(),
            exit_codes: Vec::new(),
            platform: host,
        };
        let (root, how) = (Root::Node(root), How::Native);
        Ok(Some(self.scan_node(walk, &wanted.generator, root, Op::Run(Box::new(run)), how)))
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

    fn scan_node(&mut self, walk: &Walk, generator: &Reference, root: Root, op: Op, how: How) -> NodeId {
        let name = match &op {
            Op::Run(_) => format!("[{}] generating sbom using {generator}", walk.platform),
            _ => "[internal] prepare sbom generation".into(),
        };
        let platforms = [walk.platform.clone()].into();
        let no_cache = self.request.no_cache && matches!(op, Op::Run(_));
        self.intern(Node { root, op, name, label: None, platforms, how, no_cache, span: 0..0 })
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
