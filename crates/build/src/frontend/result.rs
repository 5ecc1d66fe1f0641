//! What a frontend returned, as targets of the build: roots, configs, platforms.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use archipel_gateway::pb::{self, result::Result as Refs};
use archipel_oci::{History, ImageConfig, Platform};
use base64::Engine as _;
use serde::Deserialize;

use super::Called;
use super::session::{Session, State};
use crate::context::Loaded;
use crate::epoch::NAME as EPOCH;
use crate::image::BaseImage;
use crate::plan::{CopyOp, Item, Node, NodeId, Op, Plan, Root, Scan, Source, StageResult, Step};
use crate::{Error, How, Place, Request, SourceDateEpoch};

/// Keys of what is to be known of a result (BuildKit's `exporter/containerimage/exptypes`).
pub(super) const PLATFORMS: &str = "refs.platforms";
pub(super) const CONFIG: &str = "containerimage.config";
const SOURCE_EPOCH: &str = "source.date.epoch";

/// Who made the history of a layer of which a config says nothing.
const COMMENT: &str = "buildkit.exporter.image.v0";

/// What errors say of the places that they are about: JSON, in spite of its name.
const SOURCE_DETAIL: &str = "errdefs.Source";

pub(super) struct Targets {
    pub(super) targets: Vec<StageResult>,
    pub(super) epoch: Option<SourceDateEpoch>,
    pub(super) annotations: Vec<(String, String)>,
}

/// `refs.platforms`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Platforms {
    platforms: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Platform")]
    platform: Platform,
}

/// What a result is of: one file system, or one for each platform.
enum Given {
    One(pb::Ref),
    Several(HashMap<String, pb::Ref>),
}

/// A target, and the name under which things are said of it.
struct Found {
    id: String,
    target: StageResult,
}

type Metadata = HashMap<String, Vec<u8>>;

impl Session {
    pub(super) async fn targets(&self, state: &mut State, returned: pb::Result) -> Result<Targets, Error> {
        let pb::Result { result, metadata, attestations } = returned;
        let mut found = self.found(state, given(result), &metadata).await?;
        self.attest(state, &mut found, &attestations).await?;
        let epoch = self.time(&metadata, &found)?;
        let mut targets: Vec<_> = found.into_iter().map(|found| found.target).collect();
        self.scan(state, &mut targets).await?;
        mark(Arc::make_mut(&mut state.plan), &targets);
        Ok(Targets { targets, epoch, annotations: annotations(&metadata) })
    }

    /// The file systems, each with its platform and config.
    async fn found(&self, state: &mut State, given: Given, metadata: &Metadata) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        for (named, reference) in self.paired(given, self.platforms(metadata)?)? {
            let source = self.reference(state, &reference).await?;
            let (id, platform) = named.map_or_else(Default::default, |named| (named.id, Some(named.platform)));
            let target = self.target(state, source, platform, said(metadata, CONFIG, &id))?;
            // Without a name it has that of its platform.
            let id = if id.is_empty() { target.platform.to_string() } else { id };
            found.push(Found { id, target });
        }
        Ok(found)
    }

    /// The platforms, where they are named (BuildKit's `exptypes.ParsePlatforms`).
    fn platforms(&self, metadata: &Metadata) -> Result<Option<Vec<Named>>, Error> {
        let Some(bytes) = metadata.get(PLATFORMS) else { return Ok(None) };
        let Platforms { platforms } = serde_json::from_slice(bytes)
            .map_err(|e| self.wrong(&format!("returns {PLATFORMS} that cannot be read: {e}")))?;
        let is_empty =
            |named: &Named| [&named.id, &named.platform.os, &named.platform.architecture].map(String::is_empty);
        if platforms.is_empty() {
            return Err(self.wrong(&format!("returns {PLATFORMS} and names none")));
        }
        if platforms.iter().any(|named| is_empty(named).contains(&true)) {
            return Err(self.wrong(&format!("returns {PLATFORMS} with an empty id, os or architecture")));
        }
        Ok(Some(platforms))
    }

    fn paired(&self, given: Given, named: Option<Vec<Named>>) -> Result<Vec<(Option<Named>, pb::Ref)>, Error> {
        let mut refs = match (given, named.as_deref()) {
            (Given::One(one), None) => return Ok(vec![(None, one)]),
            (Given::One(one), Some([only])) => HashMap::from([(only.id.clone(), one)]),
            (Given::One(_), Some(_)) => return Err(self.wrong("returns one result and names several platforms for it")),
            (Given::Several(_), None) => {
                return Err(self.wrong("returns several results and does not say for which platforms"));
            }
            (Given::Several(refs), Some(_)) => refs,
        };
        let pair = |named: Named| match refs.remove(&named.id) {
            Some(found) => Ok((Some(named), found)),
            None => Err(self.wrong(&format!("returns nothing for {}, which it names", named.id))),
        };
        named.into_iter().flatten().map(pair).collect()
    }

    /// Adds what the frontend attests of targets.
    async fn attest(
        &self,
        state: &mut State,
        found: &mut [Found],
        given: &HashMap<String, pb::Attestations>,
    ) -> Result<(), Error> {
        for (id, given) in given {
            let Some(found) = found.iter_mut().find(|found| found.id == *id) else {
                return Err(self.wrong(&format!("attests something of {id}, which it does not return")));
            };
            found.target.attested = self.attested(state, &given.attestation).await?;
        }
        Ok(())
    }

    /// Adds the steps that list what is in targets, if that is asked for.
    async fn scan(&self, state: &mut State, targets: &mut [StageResult]) -> Result<(), Error> {
        let Some(wanted) = &self.around.request.sbom else { return Ok(()) };
        let generator = self.image(&wanted.generator.to_string(), &Platform::host(), "").await?;
        for target in targets {
            let (generator, result) = (generator.clone(), target.root.clone());
            let scan = Scan { generator, result, extras: BTreeMap::new(), platform: target.platform.clone() };
            target.scan = Some(scan.plan(Arc::make_mut(&mut state.plan), &self.around.request, wanted)?);
        }
        Ok(())
    }

    /// The build's time: what the frontend says it is, else what the request says. A build has one, so of several it is the latest.
    fn time(&self, metadata: &Metadata, found: &[Found]) -> Result<Option<SourceDateEpoch>, Error> {
        let mut latest: Option<SourceDateEpoch> = None;
        for found in found {
            let told = said(metadata, SOURCE_EPOCH, &found.id).map(|bytes| text(bytes)).filter(|told| !told.is_empty());
            let Some(told) = told else { continue };
            let time: SourceDateEpoch =
                told.parse().map_err(|reason| self.wrong(&format!("returns a {SOURCE_EPOCH}: {reason}")))?;
            latest = latest.filter(|known| known.0 > time.0).or(Some(time));
        }
        let time = latest.map_or_else(|| epoch(&self.around.request), |time| Ok(Some(time)))?;
        match self.around.request.build_arg(EPOCH).filter(|text| time.is_none() && !text.is_empty()) {
            None => Ok(time),
            Some(text) => {
                Err(Error::Request(format!("invalid {EPOCH}: {text}: the frontend {} has no time for it", self.name())))
            }
        }
    }

    fn target(
        &self,
        state: &mut State,
        source: Source,
        platform: Option<Platform>,
        config: Option<&Vec<u8>>,
    ) -> Result<StageResult, Error> {
        let asked = || self.around.request.platforms.first().cloned();
        let config = match config.filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => ImageConfig::parse(bytes)
                .map_err(|e| self.wrong(&format!("returns a config of an image that cannot be read: {e}")))?,
            None => empty(&platform.clone().or_else(asked).unwrap_or_else(Platform::host)),
        };
        let platform = platform.or_else(asked).unwrap_or_else(|| config.platform());
        let root = match source {
            Source::Root(root) => root,
            Source::Context(n) => Root::Node(state.intern(files(n, &platform))),
        };
        let (base, nodes) = chain(state, &root);
        let names = |id: &NodeId| state.plan.nodes[id.0].name.clone();
        let (config, steps) = history(config, base.as_ref().map_or(0, |base| base.layers.len()), &nodes, names);
        let below = state.plan.below(&root);
        let how = |how: How| below.iter().any(|n| state.plan.nodes[*n].how == how);
        let how = [How::Emulated, How::Native].into_iter().find(|kind| how(*kind)).unwrap_or(How::Assembled);
        Ok(StageResult { platform, base, root, config, steps, how, scan: None, attested: Vec::new() })
    }

    pub(super) fn wrong(&self, what: &str) -> Error {
        Error::Frontend(format!("{} {what}", self.name()))
    }
}

fn given(returned: Option<Refs>) -> Given {
    let old = |id: String| pb::Ref { id, def: None };
    match returned {
        None => Given::One(pb::Ref::default()),
        Some(Refs::RefDeprecated(id)) => Given::One(old(id)),
        Some(Refs::Ref(found)) => Given::One(found),
        Some(Refs::RefsDeprecated(found)) => {
            Given::Several(found.refs.into_iter().map(|(name, id)| (name, old(id))).collect())
        }
        Some(Refs::Refs(found)) => Given::Several(found.refs),
    }
}

/// What is said of a target: of it by name, else of all (BuildKit's `exptypes.ParseKey`).
fn said<'m>(metadata: &'m Metadata, key: &str, id: &str) -> Option<&'m Vec<u8>> {
    metadata.get(&format!("{key}/{id}")).or_else(|| metadata.get(key))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Notes for the outputs' manifests and indexes, as an output's options have them.
fn annotations(metadata: &Metadata) -> Vec<(String, String)> {
    let noted = metadata.iter().filter(|(key, _)| key.starts_with("annotation") && key.contains('.'));
    let mut annotations: Vec<_> = noted.map(|(key, value)| (key.clone(), text(value))).collect();
    annotations.sort();
    annotations
}

/// Tells nodes the platforms that they are for, which is known only now.
fn mark(plan: &mut Plan, targets: &[StageResult]) {
    for node in &mut plan.nodes {
        node.platforms.clear();
    }
    for target in targets {
        let scan = target.scan.map(|scan| plan.below(&Root::Node(scan))).unwrap_or_default();
        for n in plan.below(&target.root).into_iter().chain(scan) {
            plan.nodes[n].platforms.insert(target.platform.clone());
        }
    }
}

/// The answer to a question that is no build.
pub(super) fn called(returned: &pb::Result) -> Option<Called> {
    let answer = |name: &str| returned.metadata.get(name).map(|bytes| text(bytes));
    let (told, json) = (answer("result.txt"), answer("result.json"));
    if told.is_none() && json.is_none() {
        return None;
    }
    let status = answer("result.statuscode").and_then(|code| code.trim().parse().ok()).unwrap_or(0);
    Some(Called { text: told.unwrap_or_default(), json: json.unwrap_or_default(), status })
}

/// The time that the request names. What is no number is the frontend's to understand.
pub(super) fn epoch(request: &Request) -> Result<Option<SourceDateEpoch>, Error> {
    match request.build_arg(EPOCH).filter(|text| text.parse::<i64>().is_ok()) {
        Some(text) => text.parse().map(Some).map_err(Error::Request),
        None => Ok(None),
    }
}

/// A context's files as a result.
fn files(context: usize, platform: &Platform) -> Node {
    let copy = CopyOp::of(Source::Context(context), Item::Path("/".into()));
    Node {
        root: Root::Scratch,
        op: Op::Copy(Box::new(copy)),
        name: "load from client".into(),
        label: None,
        platforms: [platform.clone()].into(),
        how: How::Assembled,
        no_cache: false,
        span: 0..0,
    }
}

/// The config of a result that has none (BuildKit's `emptyImageConfig`).
fn empty(platform: &Platform) -> ImageConfig {
    let mut config = ImageConfig::empty(platform);
    config.config.env.push(crate::plan::DEFAULT_PATH.into());
    config.config.working_dir = "/".into();
    config
}

/// The nodes whose layers a root has, lowest first, and the image below.
fn chain(state: &State, root: &Root) -> (Option<Arc<BaseImage>>, Vec<NodeId>) {
    let (mut at, mut nodes) = (root.clone(), Vec::new());
    let base = loop {
        at = match at {
            Root::Scratch => break None,
            Root::Image(image) => break Some(image),
            Root::Node(id) => {
                nodes.push(id);
                state.plan.nodes[id.0].root.clone()
            }
        };
    };
    nodes.reverse();
    (base, nodes)
}

/// Splits a config's history at the end of what the base image says of itself, and gives layers to the rest. Where the two do not
/// fit, entries lose their layers from the end, and layers without an entry get one (BuildKit's `normalizeLayersAndHistory`).
fn history(
    mut config: ImageConfig,
    below: usize,
    nodes: &[NodeId],
    name: impl Fn(&NodeId) -> String,
) -> (ImageConfig, Vec<Step>) {
    let mut layers = 0;
    let mut steps = Vec::new();
    for entry in std::mem::take(&mut config.history) {
        let has_layer = !entry.empty_layer && layers < below + nodes.len();
        let entry = History { empty_layer: !has_layer, ..entry };
        if layers < below {
            config.history.push(entry);
        } else {
            steps.push(Step { node: has_layer.then(|| nodes[layers - below]), history: entry });
        }
        layers += usize::from(has_layer);
    }
    for n in layers..below {
        let created_by = Some(format!("layer {n} of the base image"));
        config.history.push(History { created_by, comment: Some(COMMENT.into()), ..History::default() });
    }
    for node in nodes.iter().skip(layers.saturating_sub(below)) {
        let history = History { created_by: Some(name(node)), comment: Some(COMMENT.into()), ..History::default() };
        steps.push(Step { node: Some(*node), history });
    }
    config.rootfs.diff_ids.clear();
    (config, steps)
}

/// The bytes of a text that ranges of lines mean.
pub(super) fn span(text: &str, ranges: &[pb::Range]) -> Range<usize> {
    let line =
        |position: &Option<pb::Position>| position.as_ref().and_then(|p| usize::try_from(p.line).ok()).unwrap_or(0);
    let first = ranges.iter().map(|range| line(&range.start)).min().unwrap_or(0);
    let last = ranges.iter().map(|range| line(&range.end).max(line(&range.start))).max().unwrap_or(0);
    if first == 0 {
        return 0..0;
    }
    let mut at = 0;
    let mut span = 0..0;
    for (n, whole) in text.split_inclusive('\n').enumerate() {
        if n + 1 == first {
            span.start = at;
        }
        if (first..=last).contains(&(n + 1)) {
            span.end = at + whole.trim_end().len();
        }
        at += whole.len();
    }
    if span.end < span.start { 0..0 } else { span }
}

/// An error with the place in the text that a frontend says it is about, unless it has one of its own.
pub(super) fn placed(error: Error, loaded: &Loaded, returned: &pb::Status) -> Error {
    let span = returned.details.iter().find_map(|detail| place_of(&loaded.text, detail));
    match (error, span) {
        (error @ (Error::At { .. } | Error::Dockerfile { .. } | Error::Step(_) | Error::Interrupted), _) => error,
        (error, None) => error,
        (error, Some(span)) => {
            let place = Place { name: loaded.name.clone(), text: loaded.text.clone(), span, meant: None };
            Error::At { place: Box::new(place), source: Box::new(error) }
        }
    }
}

/// The place that a detail of an error is about, if that is in our text.
fn place_of(text: &str, detail: &pb::Any) -> Option<Range<usize>> {
    #[derive(Deserialize)]
    struct Place {
        info: Info,
        #[serde(default)]
        ranges: Vec<Lines>,
    }
    #[derive(Deserialize)]
    struct Info {
        #[serde(default)]
        data: String,
    }
    #[derive(Deserialize)]
    struct Lines {
        #[serde(default)]
        start: Line,
        #[serde(default)]
        end: Line,
    }
    #[derive(Deserialize, Default)]
    struct Line {
        #[serde(default)]
        line: i32,
    }
    if !detail.type_url.contains(SOURCE_DETAIL) {
        return None;
    }
    let place: Place = serde_json::from_slice(&detail.value).ok()?;
    let data = base64::engine::general_purpose::STANDARD.decode(place.info.data).ok()?;
    if data != text.as_bytes() {
        return None;
    }
    let position = |line: &Line| Some(pb::Position { line: line.line, character: 0 });
    let ranges: Vec<_> = place
        .ranges
        .iter()
        .map(|lines| pb::Range { start: position(&lines.start), end: position(&lines.end) })
        .collect();
    Some(span(text, &ranges)).filter(|span| !span.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(created_by: &str, empty_layer: bool) -> History {
        History { created_by: Some(created_by.into()), empty_layer, ..History::default() }
    }

    fn shown(below: usize, nodes: usize, entries: Vec<History>) -> (usize, Vec<(String, bool)>) {
        let config = ImageConfig { history: entries, ..ImageConfig::empty(&Platform::host()) };
        let nodes: Vec<NodeId> = (0..nodes).map(NodeId).collect();
        let (config, steps) = history(config, below, &nodes, |id| format!("node {}", id.0));
        let step = |step: &Step| (step.history.created_by.clone().unwrap_or_default(), step.node.is_some());
        (config.history.len(), steps.iter().map(step).collect())
    }

    #[test]
    fn histories_and_layers_fit() {
        let step = |name: &str, layer: bool| (name.to_owned(), layer);
        let entries = vec![entry("base", false), entry("env", true), entry("run", false)];
        assert_eq!(shown(1, 1, entries.clone()), (1, vec![step("env", false), step("run", true)]));
        assert_eq!(shown(1, 0, entries.clone()), (1, vec![step("env", false), step("run", false)]));
        let told = vec![step("env", false), step("run", true), step("node 1", true)];
        assert_eq!(shown(1, 2, entries), (1, told));
        assert_eq!(shown(2, 1, vec![]), (2, vec![step("node 0", true)]));
    }

    #[test]
    fn lines_as_bytes() {
        let range = |start, end| {
            let position = |line| Some(pb::Position { line, character: 0 });
            pb::Range { start: position(start), end: position(end) }
        };
        let text = "one\ntwo  \nthree\n";
        assert_eq!(&text[span(text, &[range(2, 2)])], "two");
        assert_eq!(&text[span(text, &[range(2, 3)])], "two  \nthree");
        assert_eq!(span(text, &[range(9, 9)]), 0..0);
        assert_eq!(span(text, &[]), 0..0);
    }
}
