//! What `--from` and `--build-context` name.

use archipel_dockerfile::{self as dockerfile, From, Span};
use archipel_oci::{Platform, Reference};

use super::stage::{Planner, State, Walk};
use super::{CopyOp, Item, Node, Op, Root, Source};
use crate::context;
use crate::request::{Context, normal};
use crate::{Error, How};

impl Planner<'_> {
    /// The tree that a `--from` names: a stage, a named context, or an image for the target platform, whatever the platform of
    /// the stage that asks.
    pub(super) async fn source(
        &mut self,
        walk: &mut Walk,
        stage: usize,
        from: &str,
        numbers: bool,
        span: &Span,
    ) -> Result<Source, Error> {
        match self.dockerfile.source(stage, from, numbers, span).map_err(|e| self.wrong(e))? {
            From::Stage(index) => Ok(Source::Root(self.stage(walk, index).await?.root.clone())),
            From::Other(name) => {
                let platform = walk.platform.clone();
                if name == "scratch" {
                    return Ok(Source::Root(Root::Scratch));
                }
                if let Some(source) = self.named_source(walk, &name, &platform).await? {
                    return Ok(source);
                }
                let reference: Reference = name.parse().map_err(|e| {
                    let message =
                        format!("--from={name} is neither a stage nor an image: invalid reference format: {e}");
                    self.error("invalid-reference", message, span)
                })?;
                let image = self.image(&reference, &platform).await.map_err(|e| self.no_image(e, &name, span))?;
                Ok(Source::Root(Root::Image(image)))
            }
        }
    }

    /// A named context as something to copy from.
    pub(super) async fn named_source(
        &mut self,
        walk: &mut Walk,
        name: &str,
        platform: &Platform,
    ) -> Result<Option<Source>, Error> {
        let Some((known, context)) = self.request.named_context(name) else { return Ok(None) };
        let key = (normal(&known), platform.to_string());
        if let Some(source) = self.named.get(&key) {
            return Ok(Some(source.clone()));
        }
        let source = match self.named_image(walk, &known, &context, platform).await? {
            Some(state) => Source::Root(state.root),
            None => {
                let tree = context::named(&known, &context, self.request, self.engine).await?;
                self.contexts.push(tree);
                Source::Context(self.contexts.len() - 1)
            }
        };
        self.named.insert(key, source.clone());
        Ok(Some(source))
    }

    /// A named context as something to build on: an image, or the files of a folder with nothing else.
    pub(super) async fn named_base(
        &mut self,
        walk: &mut Walk,
        name: &str,
        platform: &Platform,
    ) -> Result<Option<State>, Error> {
        let Some((known, context)) = self.request.named_context(name) else { return Ok(None) };
        if let Some(state) = self.named_image(walk, &known, &context, platform).await? {
            return Ok(Some(state));
        }
        let Some(from) = self.named_source(walk, &known, platform).await? else { return Ok(None) };
        let mut state = State::scratch(&walk.globals, platform);
        let copy = CopyOp::of(from, Item::Path("/".into()));
        let node = self.intern(Node {
            root: Root::Scratch,
            op: Op::Copy(Box::new(copy)),
            name: format!("[context {known}] load from client"),
            label: None,
            platforms: [walk.platform.clone()].into(),
            how: How::Assembled,
            no_cache: false,
            span: 0..0,
        });
        state.root = Root::Node(node);
        state.steps.push(super::Step::of(format!("COPY / / # {known}"), Some(node)));
        Ok(Some(state))
    }

    /// A whole stage that a named context stands in for.
    pub(super) async fn replaced(
        &mut self,
        walk: &mut Walk,
        stage: &dockerfile::Stage,
    ) -> Result<Option<State>, Error> {
        let Some(name) = stage.name.as_ref().map(|name| name.value.clone()) else { return Ok(None) };
        let platform = walk.platform.clone();
        self.named_base(walk, &name, &platform).await
    }

    async fn named_image(
        &mut self,
        walk: &Walk,
        name: &str,
        context: &Context,
        platform: &Platform,
    ) -> Result<Option<State>, Error> {
        let image = match context {
            // BuildKit: the same empty image as in FROM.
            Context::Image(reference) if reference.familiar_name() == "scratch" => {
                return Ok(Some(State::scratch(&walk.globals, platform)));
            }
            Context::Image(reference) => self.image(reference, platform).await?,
            Context::OciLayout { path, target } => {
                context::layout_image(name, path, target.as_deref(), platform, self.engine).await?
            }
            _ => return Ok(None),
        };
        Ok(Some(State::of_image(&walk.globals, image)))
    }
}
