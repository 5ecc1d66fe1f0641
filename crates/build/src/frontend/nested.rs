//! Frontends that a frontend asks for: another image (`gateway.v0`), or the language of Dockerfiles (`dockerfile.v0`), into which
//! languages that are close to it are translated. Both add to the plan of the one that asks.

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use archipel_gateway::definition;
use archipel_gateway::pb::{self, result::Result as Refs};
use archipel_oci::{History, ImageConfig};
use serde_json::json;

use super::asked::asked;
use super::options::{CONTEXT, DOCKERFILE, FILE_NAME};
use super::result::{CONFIG, PLATFORMS};
use super::session::{Ref, Session, State};
use super::{Frontend, process};
use crate::Error;
use crate::around::Around;
use crate::context::Loaded;
use crate::plan::{Planner, Root, Source, StageResult};

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
            match request.frontend.as_str() {
                "dockerfile.v0" => self.dockerfile(request).await,
                "gateway.v0" => match self.source_of(request)? {
                    None => self.dockerfile(request).await,
                    Some(frontend) => self.another(frontend, request).await,
                },
                other => Err(self.wrong(&format!("asks for the frontend {other}, which there is not"))),
            }
        })
    }

    /// Which frontend `gateway.v0` is to run. `cmdline` is for that one to read, and often still the asking one's own.
    fn source_of(&self, request: &pb::SolveRequest) -> Result<Option<Frontend>, Error> {
        match request.frontend_opt.get("source").filter(|image| !image.is_empty()) {
            Some(image) => Frontend::parse(image, None).map_err(Error::Request),
            None => Err(self.wrong("asks for another frontend and does not say which: the option `source` is missing")),
        }
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
        let wanted = asked(&self.around.request, &self.options, options).map_err(|reason| self.wrong(&reason))?;
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
        let around =
            Around { request: Arc::new(wanted), loaded: Arc::new(loaded), frontend: None, ..self.around.clone() };
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

/// Targets in the protocol's form.
fn returned(state: &mut State, targets: Vec<StageResult>, several: bool) -> pb::Result {
    let mut result = pb::Result::default();
    let (mut refs, mut named) = (Vec::new(), Vec::new());
    for target in targets {
        let id = target.platform.to_string();
        // Where one platform was asked for, nobody looks for a key with its name (BuildKit).
        let key = if several { format!("{CONFIG}/{id}") } else { CONFIG.to_owned() };
        result.metadata.insert(key, config(&target).to_bytes());
        named.push(json!({ "ID": id, "Platform": target.platform }));
        refs.push((id, known(state, target.root)));
    }
    result.metadata.insert(PLATFORMS.into(), json!({ "Platforms": named }).to_string().into_bytes());
    result.result = Some(match refs.pop() {
        Some((_, only)) if !several => Refs::Ref(only),
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
    use archipel_oci::Platform;

    use super::*;
    use crate::How;

    fn keys(platforms: &[&str], several: bool) -> String {
        let target = |name: &&str| {
            let platform: Platform = name.parse().unwrap();
            let (config, steps, attested) = (ImageConfig::empty(&platform), Vec::new(), Vec::new());
            let (base, root, how) = (None, Root::Scratch, How::Assembled);
            StageResult { platform, base, root, config, steps, how, scan: None, attested }
        };
        let targets = platforms.iter().map(target).collect();
        let result = returned(&mut State::default(), targets, several);
        let mut keys: Vec<_> = result.metadata.into_keys().collect();
        keys.sort();
        let one = matches!(result.result, Some(Refs::Ref(_)));
        format!("{} {one}", keys.join(" "))
    }

    #[test]
    fn keys_name_platforms_where_there_may_be_several() {
        assert_eq!(keys(&["linux/amd64"], false), "containerimage.config refs.platforms true");
        assert_eq!(keys(&["linux/amd64"], true), "containerimage.config/linux/amd64 refs.platforms false");
        let both = "containerimage.config/linux/amd64 containerimage.config/linux/arm/v7 refs.platforms false";
        assert_eq!(keys(&["linux/amd64", "linux/arm/v7"], true), both);
    }
}
