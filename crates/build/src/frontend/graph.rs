//! Definitions to nodes of the plan.

use std::collections::BTreeSet;
use std::ops::Range;

use archipel_gateway::pb::op::Op as Kind;
use archipel_gateway::{Graph, Vertex, pb};
use archipel_oci::Platform;

use super::legible;
use super::session::{Session, State};
use super::source::platform_from;
use crate::plan::{CopyOp, Item, Node, Op, Root, Source};
use crate::{Error, How};

/// What the frontend calls an operation (BuildKit's `client/llb`).
const NAME: &str = "llb.customname";

/// As many changes of files as a name tells.
const MAX_NAMED: usize = 20;

/// The most characters of a name that are shown. A node of each change of files has one.
const MAX_NAME: usize = 500;

/// What is known of an operation whatever it does.
pub(super) struct Made<'v> {
    pub(super) vertex: &'v Vertex,
    pub(super) name: String,
    /// Whom its files are for.
    pub(super) platform: Platform,
    /// Where it stands in the text.
    pub(super) span: Range<usize>,
}

impl Session {
    /// Makes nodes of a definition, and says what its result is.
    pub(super) async fn translate(&self, state: &mut State, definition: &pb::Definition) -> Result<Source, Error> {
        let graph = Graph::decode(definition).map_err(|e| Error::Request(e.to_string()))?;
        let mut outputs: Vec<Vec<Source>> = Vec::new();
        for vertex in &graph.vertices {
            let inputs = vertex.inputs.iter().map(|(place, output)| output_of(&graph, &outputs, *place, *output));
            let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
            // Of an operation that the cache may not answer for, what needs it is another too.
            let key = format!("{} {} {inputs:?}", vertex.digest, vertex.metadata.ignore_cache);
            let known = match state.outputs.get(&key) {
                Some(known) => known.clone(),
                None => {
                    let span = self.span(&graph.source, &vertex.digest);
                    let made = self.vertex(state, vertex, &inputs, span.clone()).await;
                    let made = made.map_err(|e| self.at(e, &span))?;
                    state.outputs.insert(key, made.clone());
                    made
                }
            };
            outputs.push(known);
        }
        match graph.result {
            None => Ok(Source::Root(Root::Scratch)),
            Some((place, output)) => output_of(&graph, &outputs, place, output),
        }
    }

    async fn vertex(
        &self,
        state: &mut State,
        vertex: &Vertex,
        inputs: &[Source],
        span: Range<usize>,
    ) -> Result<Vec<Source>, Error> {
        let platform = vertex.op.platform.as_ref().map_or_else(Platform::host, platform_from);
        let name = vertex.metadata.description.get(NAME).cloned().unwrap_or_else(|| name_of(&vertex.op));
        let mut name = legible(&name).replace('\n', " ");
        if let Some((end, _)) = name.char_indices().nth(MAX_NAME) {
            name.truncate(end);
            name.push_str("...");
        }
        let made = Made { vertex, name, platform, span };
        match &vertex.op.op {
            Some(Kind::Source(op)) => Ok(vec![self.source_op(state, &made, op).await?]),
            Some(Kind::Exec(op)) => self.exec(state, &made, op, inputs),
            Some(Kind::File(op)) => super::file::file(state, &made, op, inputs),
            Some(Kind::Merge(op)) => {
                let places = op.inputs.iter().map(|input| input_at(inputs, input.input));
                let roots = places.map(|source| Ok(root_of(state, &made, source?)));
                let roots = roots.collect::<Result<Vec<_>, Error>>()?;
                Ok(vec![Source::Root(super::layers::merge(state, &made, &roots)?)])
            }
            Some(Kind::Diff(op)) => {
                let side = |input: &Option<pb::DiffInput>| input.as_ref().map_or(-1, |input| input.input);
                let lower = root_of(state, &made, input_at(inputs, side(&op.lower))?);
                let upper = root_of(state, &made, input_at(inputs, side(&op.upper))?);
                Ok(vec![Source::Root(super::layers::diff(state, &made, &lower, &upper)?)])
            }
            Some(Kind::Passthrough(_)) => Ok(inputs.to_vec()),
            Some(Kind::Build(_)) => Err(Error::Request("builds within definitions are not run".into())),
            None => Err(Error::Request("an operation that does nothing".into())),
        }
    }

    /// The lines that an operation comes from, if they are of the text that we know.
    fn span(&self, source: &pb::Source, digest: &str) -> Range<usize> {
        let places = source.locations.get(digest).map(|found| found.locations.as_slice()).unwrap_or_default();
        let ours = places.iter().find_map(|location| {
            let info = source.infos.get(usize::try_from(location.source_index).ok()?)?;
            (info.data == self.around.loaded.text.as_bytes()).then_some(location.ranges.as_slice())
        });
        ours.map_or(0..0, |ranges| super::result::span(&self.around.loaded.text, ranges))
    }
}

/// An output of an operation that comes before.
fn output_of(graph: &Graph, outputs: &[Vec<Source>], place: usize, output: usize) -> Result<Source, Error> {
    let found = outputs.get(place).and_then(|outputs| outputs.get(output)).cloned();
    found.ok_or_else(|| Error::Request(format!("{} has no output {output}", name_of(&graph.vertices[place].op))))
}

/// An input by its place; below zero it is nothing.
pub(super) fn input_at(inputs: &[Source], place: i64) -> Result<Source, Error> {
    match usize::try_from(place) {
        Err(_) => Ok(Source::Root(Root::Scratch)),
        Ok(n) => inputs.get(n).cloned().ok_or_else(|| Error::Request(format!("an operation has no input {n}"))),
    }
}

/// A source as a root file system: a context's files become one.
pub(super) fn root_of(state: &mut State, made: &Made<'_>, source: Source) -> Root {
    let from = match source {
        Source::Root(root) => return root,
        context @ Source::Context(_) => context,
    };
    let copy = CopyOp::of(from, Item::Path("/".into()));
    let node =
        Node { name: format!("{} (files)", made.name), ..assembled(made, Root::Scratch, Op::Copy(Box::new(copy))) };
    Root::Node(state.intern(node))
}

/// A node without a process.
pub(super) fn assembled(made: &Made<'_>, root: Root, op: Op) -> Node {
    Node {
        root,
        op,
        name: made.name.clone(),
        label: None,
        platforms: BTreeSet::from([made.platform.clone()]),
        how: How::Assembled,
        no_cache: made.vertex.metadata.ignore_cache,
        span: made.span.clone(),
    }
}

/// What an operation is called that the frontend has no name for.
fn name_of(op: &pb::Op) -> String {
    use pb::file_action::Action;
    match &op.op {
        Some(Kind::Exec(op)) => match op.meta.as_ref().map(|meta| meta.args.as_slice()) {
            Some([_, flag, script]) if flag == "-c" => script.clone(),
            Some(args) => args.join(" "),
            None => "exec".into(),
        },
        Some(Kind::Source(op)) => archipel_dockerfile::redacted(&op.identifier),
        Some(Kind::File(op)) => {
            let action = |action: &pb::FileAction| match &action.action {
                Some(Action::Copy(copy)) => format!("copy {} {}", copy.src, copy.dest),
                Some(Action::Mkfile(file)) => format!("mkfile {}", file.path),
                Some(Action::Mkdir(dir)) => format!("mkdir {}", dir.path),
                Some(Action::Symlink(link)) => format!("symlink {} {}", link.oldpath, link.newpath),
                Some(Action::Rm(rm)) => format!("rm {}", rm.path),
                None => "nothing".into(),
            };
            op.actions.iter().take(MAX_NAMED).map(action).collect::<Vec<_>>().join(", ")
        }
        Some(Kind::Merge(_)) => "merge".into(),
        Some(Kind::Diff(_)) => "diff".into(),
        Some(Kind::Build(_)) => "build".into(),
        Some(Kind::Passthrough(_)) => "passthrough".into(),
        None => "nothing".into(),
    }
}
