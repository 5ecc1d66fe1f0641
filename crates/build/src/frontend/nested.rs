//! Frontends that a frontend asks for: another image (`gateway.v0`), or the language of Dockerfiles (`dockerfile.v0`), into which
//! languages that are close to it are translated. Both add to the plan of the one that asks.

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use archipel_gateway::definition;
use archipel_gateway::pb::{self, result::Result as Refs};
use archipel_oci::{History, ImageConfig, Platform};
use serde_json::json;

use super::options::{CONTEXT, DOCKERFILE, FILE_NAME};
use super::result::{CONFIG, PLATFORMS};
use super::session::{Ref, Session, State};
use super::{Frontend, process};
use crate::around::Around;
use crate::context::Loaded;
use crate::plan::{Planner, Root, Source, StageResult};
use crate::{Error, Request};

/// How far frontends may lead from one to another.
const MAX_DEPTH: usize = 8;

/// The largest text that is read.
const MAX_TEXT: u64 = 16 << 20;

/// A source that only we give out: something that was solved before.
pub(super) const KNOWN: &str = "archipel-ref";

type Solving<'s> = Pin<Box<dyn Future<Output = Result<pb::Result, Error>> + Send + 's>>;

impl Session {
    /// Has another frontend say what is to be built.
    pub(super) fn nested<'s>(&'s self, request: &'s pb::SolveRequest) -> Solving<'s> {
        Box::pin(async move {
            let options = &request.frontend_opt;
            let image = options.get("cmdline").or_else(|| options.get("source")).map_or("", String::as_str);
            match (request.frontend.as_str(), Frontend::parse(image, None)) {
                ("dockerfile.v0", _) | ("gateway.v0", Ok(None)) => self.dockerfile(request).await,
                ("gateway.v0", Ok(Some(frontend))) => self.another(frontend, request).await,
                ("gateway.v0", Err(reason)) => Err(Error::Request(reason)),
                (other, _) => Err(self.wrong(&format!("asks for the frontend {other}, which there is not"))),
            }
        })
    }

    async fn another(&self, frontend: Frontend, request: &pb::SolveRequest) -> Result<pb::Result, Error> {
        if self.depth == MAX_DEPTH {
            return Err(self.wrong(&format!("is the last of {MAX_DEPTH} frontends that lead from one to another")));
        }
        let session = Arc::new(self.inner(&frontend, request));
        process::converse(&self.engine, &frontend, &session, &self.around).await
    }

    async fn dockerfile(&self, request: &pb::SolveRequest) -> Result<pb::Result, Error> {
        let options = &request.frontend_opt;
        if let Some((name, _)) =
            options.iter().find(|(name, value)| name.starts_with("context:") && value.starts_with("input:"))
        {
            return Err(
                self.wrong(&format!("gives the Dockerfile the named {name} of its own, which is not supported yet"))
            );
        }
        let mut state = self.state.lock().await;
        let main = match request.frontend_inputs.get(CONTEXT) {
            Some(definition) => self.translate(&mut state, definition).await?,
            None => {
                state.contexts.push(self.around.loaded.tree.clone());
                Source::Context(state.contexts.len() - 1)
            }
        };
        let name = options.get("filename").map_or(FILE_NAME, String::as_str).to_owned();
        let text = self.text(&mut state, request, &name).await?;
        let loaded = Loaded { tree: self.around.loaded.tree.clone(), name, text, time: None };
        let around = Around {
            request: Arc::new(asked(&self.around.request, options)?),
            loaded: Arc::new(loaded),
            frontend: None,
            ..self.around.clone()
        };
        let (plan, contexts) = ((*state.plan).clone(), state.contexts.clone());
        let before = plan.nodes.len();
        let planned = Planner::within(&self.engine, &around, plan, contexts, main)?.plan().await?;
        (state.plan, state.contexts) = (planned.plan, planned.contexts);
        // Places in that text are none in ours.
        Arc::make_mut(&mut state.plan).nodes.iter_mut().skip(before).for_each(|node| node.span = 0..0);
        let several = around.request.multi_platform()?;
        Ok(returned(&mut state, planned.targets, several))
    }

    /// The text of the Dockerfile: of an input, or of the folder that the build has for it.
    async fn text(&self, state: &mut State, request: &pb::SolveRequest, name: &str) -> Result<String, Error> {
        let key = request.frontend_opt.get("dockerfilekey").map_or(DOCKERFILE, String::as_str);
        let source = match (request.frontend_inputs.get(key), self.options.folders.get(key)) {
            (Some(definition), _) => self.translate(state, definition).await?,
            (None, Some(folder)) => {
                state.contexts.push(folder.clone());
                Source::Context(state.contexts.len() - 1)
            }
            // It is in the context, which has an address.
            (None, None) => return Ok(self.around.loaded.text.clone()),
        };
        let opened = self.open(state, &source).await?;
        let bytes = opened.view.read(Path::new(name), MAX_TEXT)?;
        let bytes = bytes.ok_or_else(|| self.wrong(&format!("gives no {name} to the language of Dockerfiles")))?;
        String::from_utf8(bytes).map_err(|_| Error::Request(format!("{name} is not UTF-8 text")))
    }
}

/// The request as the options of a frontend change it.
fn asked(outer: &Request, options: &HashMap<String, String>) -> Result<Request, Error> {
    let pairs = |prefix: &str| {
        let mut pairs: Vec<(String, String)> = options
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.to_owned(), value.clone())))
            .collect();
        pairs.sort();
        pairs
    };
    let platforms = options.get("platform").map_or("", String::as_str).split(',').filter(|text| !text.is_empty());
    let platforms: Result<Vec<Platform>, _> = platforms.map(str::parse).collect();
    Ok(Request {
        target: options.get("target").cloned().filter(|target| !target.is_empty()),
        build_args: pairs("build-arg:"),
        labels: pairs("label:"),
        platforms: platforms.map_err(|e| Error::Request(e.to_string()))?,
        sbom: None,
        ..outer.clone()
    })
}

/// Targets in the protocol's form.
fn returned(state: &mut State, targets: Vec<StageResult>, several: bool) -> pb::Result {
    let mut result = pb::Result::default();
    let (mut refs, mut named) = (Vec::new(), Vec::new());
    for target in targets {
        let id = target.platform.to_string();
        result.metadata.insert(format!("{CONFIG}/{id}"), config(&target).to_bytes());
        named.push(json!({ "ID": id, "Platform": target.platform }));
        refs.push((id, known(state, target.root)));
    }
    result.metadata.insert(PLATFORMS.into(), json!({ "Platforms": named }).to_string().into_bytes());
    result.result = Some(match refs.pop() {
        Some((_, only)) if refs.is_empty() && !several => Refs::Ref(only),
        last => Refs::Refs(pb::RefMap { refs: refs.into_iter().chain(last).collect() }),
    });
    result
}

/// The config with what our steps add to its history.
fn config(target: &StageResult) -> ImageConfig {
    let mut config = target.config.clone();
    config
        .history
        .extend(target.steps.iter().map(|step| History { empty_layer: step.node.is_none(), ..step.history.clone() }));
    config
}

/// A name for a root, and a definition by which a frontend may build on it.
fn known(state: &mut State, root: Root) -> pb::Ref {
    let id = state.name(Ref { source: Source::Root(root), definition: pb::Definition::default() });
    let source = pb::SourceOp { identifier: format!("{KNOWN}://{id}"), attrs: HashMap::new() };
    pb::Ref { id, def: Some(definition::of_source(source)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_a_request() {
        let options = [
            ("build-arg:A", "1"),
            ("label:l", "x"),
            ("target", "final"),
            ("platform", "linux/amd64,linux/arm/v7"),
            ("filename", "F"),
        ];
        let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let request = asked(&Request::empty(), &options).unwrap();
        assert_eq!(request.build_args, [("A".to_owned(), "1".to_owned())]);
        assert_eq!(request.labels, [("l".to_owned(), "x".to_owned())]);
        assert_eq!((request.target.as_deref(), request.platforms.len()), (Some("final"), 2));
        let wrong = [("platform".to_owned(), "nonsense/".to_owned())].into();
        assert!(asked(&Request::empty(), &wrong).is_err());
    }
}
