//! Definitions, and what they are in a plan: told in words, a root and what is done to it.

use std::sync::Arc;

use archipel_gateway::Message as _;
use archipel_gateway::pb::file_action::Action;
use archipel_gateway::pb::op::Op as Kind;
use archipel_gateway::pb::{self, MountType};
use archipel_oci::{Descriptor, DiffId, Digest, ImageConfig, Platform, media_type};
use archipel_remote::{Client, Config, Credentials, Options};
use archipel_store::Store;

use super::session::{Session, State};
use super::*;
use crate::context::{Loaded, Tree};
use crate::image::{BaseImage, BaseLayer};
use crate::plan::{FileAction, Layer, MountOp, Op, Plan, Root, Source};

const TEXT: &str = "first\nsecond\nthird\n";

/// A conversation that nobody has.
struct World {
    _dir: tempfile::TempDir,
    session: Arc<Session>,
    state: State,
}

impl World {
    async fn new(allow: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let client = Client::new(Config::default(), Credentials::default(), Options::default());
        let engine = Engine::new(Store::open(dir.path()).unwrap(), client, Vec::new());
        let allow = allow.iter().map(|name| (*name).into()).collect();
        let request = Request { allow, ..Request::empty() };
        let tree = Tree::folder(dir.path());
        let loaded = Loaded { tree, name: "text".into(), text: TEXT.into(), time: None };
        let sink: Sink = Arc::new(|_| {});
        let around = Around::new(request, loaded, None, &sink, &Steps::default());
        let image = "example.com/lang".parse().unwrap();
        let frontend = Frontend { image, command_line: String::new(), span: None };
        let session = Session::new(&engine, &frontend, &around, None).await.unwrap();
        Self { _dir: dir, session, state: State::default() }
    }

    /// What the output of a definition's last operation is.
    async fn told(&mut self, ops: &Ops, output: i64) -> Result<String, Error> {
        let source = self.session.translate(&mut self.state, &ops.definition(output)).await?;
        Ok(source_in(&self.state.plan, &source))
    }

    async fn fails(&mut self, ops: &Ops) -> String {
        self.told(ops, 0).await.unwrap_err().to_string()
    }
}

/// Operations, each with its digest.
#[derive(Default)]
struct Ops(Vec<(String, Vec<u8>)>);

impl Ops {
    /// Adds one, whose inputs are first outputs of those with these numbers. Gives its number.
    fn add(&mut self, inputs: &[usize], kind: Kind) -> usize {
        let inputs = inputs.iter().map(|n| pb::Input { digest: self.0[*n].0.clone(), index: 0 }).collect();
        let bytes = pb::Op { inputs, op: Some(kind), platform: None }.encode_to_vec();
        self.0.push((Digest::of(&bytes).to_string(), bytes));
        self.0.len() - 1
    }

    fn file(&mut self, inputs: &[usize], actions: Vec<pb::FileAction>) -> usize {
        self.add(inputs, Kind::File(pb::FileOp { actions }))
    }

    fn definition(&self, output: i64) -> pb::Definition {
        let mut def: Vec<_> = self.0.iter().map(|(_, bytes)| bytes.clone()).collect();
        let inputs = vec![pb::Input { digest: self.0[self.0.len() - 1].0.clone(), index: output }];
        def.push(pb::Op { inputs, ..Default::default() }.encode_to_vec());
        pb::Definition { def, ..Default::default() }
    }
}

fn files(actions: Vec<pb::FileAction>) -> Ops {
    let mut ops = Ops::default();
    let _ = ops.file(&[], actions);
    ops
}

fn action(action: Action, input: i64, output: i64) -> pb::FileAction {
    pb::FileAction { input, secondary_input: -1, output, action: Some(action) }
}

fn mkdir(path: &str, input: i64, output: i64) -> pb::FileAction {
    action(Action::Mkdir(pb::FileActionMkDir { path: path.into(), timestamp: -1, ..Default::default() }), input, output)
}

fn rm(path: &str, input: i64, output: i64) -> pb::FileAction {
    action(Action::Rm(pb::FileActionRm { path: path.into(), ..Default::default() }), input, output)
}

fn source_in(plan: &Plan, source: &Source) -> String {
    match source {
        Source::Context(n) => format!("context {n}"),
        Source::Root(root) => root_in(plan, root),
    }
}

fn root_in(plan: &Plan, root: &Root) -> String {
    match root {
        Root::Scratch => "nothing".into(),
        Root::Image(image) => image.reference.familiar(),
        Root::Node(id) => {
            let node = &plan.nodes[id.0];
            format!("{} > {}", root_in(plan, &node.root), op_in(plan, &node.op))
        }
    }
}

fn op_in(plan: &Plan, op: &Op) -> String {
    let change = |action: &FileAction| match action {
        FileAction::MakeDir { path, .. } => format!("mkdir {path}"),
        FileAction::Remove { path, .. } => format!("rm {path}"),
        FileAction::Copy(copy) => format!("copy {} of ({})", copy.path, source_in(plan, &copy.from)),
        other => format!("{other:?}"),
    };
    let node = |id: crate::plan::NodeId| op_in(plan, &plan.nodes[id.0].op);
    match op {
        Op::Files(files) => files.actions.iter().map(change).collect::<Vec<_>>().join(", "),
        Op::Run(run) => run.argv.join(" "),
        Op::Part(part) => format!("mount {} of {}", part.number, node(part.run)),
        Op::Layer(Layer::Node(id)) => format!("layer {}", node(*id)),
        Op::Layer(Layer::Image(image, n)) => format!("layer {n} of {}", image.reference.familiar()),
        Op::Difference { lower, upper } => format!("{} beyond {}", root_in(plan, upper), root_in(plan, lower)),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn changes_are_one_node_up_to_where_a_result_is_wanted() {
    let mut world = World::new(&[]).await;
    let copy = pb::FileActionCopy { src: "/c".into(), dest: "/".into(), mode: -1, timestamp: -1, ..Default::default() };
    let ops = files(vec![
        mkdir("a", -1, -1),
        mkdir("/a/b", 0, 0),
        mkdir("/a/c", 1, -1),
        rm("/a/b", 2, 1),
        // Beside the rest, on what nobody else wants.
        mkdir("/d", 0, 2),
        pb::FileAction { secondary_input: 2, ..action(Action::Copy(copy), 4, 3) },
    ]);
    let first = "nothing > mkdir /a, mkdir /a/b";
    let expected = [
        first.to_owned(),
        // What is copied from is a result too, as in BuildKit.
        format!("{first} > mkdir /a/c > rm /a/b"),
        "nothing > mkdir /a, mkdir /d".into(),
        format!("nothing > mkdir /a, mkdir /d > copy /c of ({first} > mkdir /a/c)"),
    ];
    for (output, expected) in (0..).zip(expected) {
        assert_eq!(world.told(&ops, output).await.unwrap(), expected);
    }
    let nodes = world.state.plan.nodes.len();
    // The same again is nothing new.
    world.told(&ops, 3).await.unwrap();
    world.state.outputs.clear();
    world.told(&ops, 3).await.unwrap();
    assert_eq!(world.state.plan.nodes.len(), nodes);
}

#[tokio::test]
async fn what_refers_to_what_refers_to_what() {
    let mut world = World::new(&[]).await;
    // Each copies from the one before: no depth of them may be a depth of calls.
    let copy = |n: i64| {
        let copy =
            pb::FileActionCopy { src: "/".into(), dest: "/".into(), mode: -1, timestamp: -1, ..Default::default() };
        pb::FileAction { secondary_input: n - 1, ..action(Action::Copy(copy), -1, -1) }
    };
    let mut actions: Vec<_> = (0..20_000).map(copy).collect();
    actions.last_mut().unwrap().output = 0;
    let ops = files(actions);
    let source = world.session.translate(&mut world.state, &ops.definition(0)).await.unwrap();
    assert!(matches!(source, Source::Root(Root::Node(id)) if id.0 == 19_999));
    // A merge of merges has twice as many layers each time.
    let mut ops = files(vec![mkdir("/a", -1, 0)]);
    for n in 0..40 {
        let inputs = vec![pb::MergeInput { input: 0 }, pb::MergeInput { input: 1 }];
        ops.add(&[n, n], Kind::Merge(pb::MergeOp { inputs }));
    }
    assert!(world.fails(&ops).await.contains("more than 500 layers"));
}

#[tokio::test]
async fn what_the_cache_may_not_answer_for_is_another_operation() {
    let mut world = World::new(&[]).await;
    let ops = files(vec![mkdir("/a", -1, 0)]);
    let mut anew = ops.definition(0);
    anew.metadata.insert(ops.0[0].0.clone(), pb::OpMetadata { ignore_cache: true, ..Default::default() });
    for (definition, nodes) in [(ops.definition(0), 1), (anew.clone(), 2), (anew, 2)] {
        world.session.translate(&mut world.state, &definition).await.unwrap();
        assert_eq!(world.state.plan.nodes.len(), nodes);
    }
}

#[test]
fn nothing_that_a_frontend_says_moves_the_cursor() {
    assert_eq!(legible("a\u{1b}]0;x\u{7}\nb\r"), "a\u{fffd}]0;x\u{fffd}\nb\u{fffd}");
}

#[tokio::test]
async fn changes_that_cannot_be() {
    let mut world = World::new(&[]).await;
    for (actions, reason) in [
        (vec![mkdir("/a", -1, -1)], "without a result"),
        (vec![], "without a result"),
        (vec![mkdir("/a", -1, 0), mkdir("/b", -1, 2), mkdir("/c", -1, -1)], "with a gap"),
        (vec![mkdir("/a", -1, 9)], "an output 9, of 1"),
        (vec![mkdir("/a", 0, 0)], "the result of number 0, which comes later"),
        (vec![mkdir("/a", 1, 0), mkdir("/b", -1, 1)], "the result of number 1, which comes later"),
        (vec![pb::FileAction { action: None, ..mkdir("/a", -1, 0) }], "of a kind that is not known"),
    ] {
        let told = world.fails(&files(actions)).await;
        assert!(told.contains(reason), "{told}");
    }
    let ops = files(vec![mkdir("/a", -1, 0)]);
    assert!(world.told(&ops, 1).await.unwrap_err().to_string().contains("mkdir /a has no output 1"));
}

#[tokio::test]
async fn merges_and_differences_are_stacks() {
    let mut world = World::new(&[]).await;
    let mut ops = Ops::default();
    let below = ops.file(&[], vec![mkdir("/a", -1, 0)]);
    let one = ops.file(&[below], vec![mkdir("/b", 0, 0)]);
    let two = ops.file(&[one], vec![rm("/a", 0, 0)]);
    let other = ops.file(&[], vec![mkdir("/x", -1, 0)]);
    let side = |input| Some(pb::DiffInput { input });
    let diff = |ops: &mut Ops, lower: usize, upper: usize| {
        ops.add(&[lower, upper], Kind::Diff(pb::DiffOp { lower: side(0), upper: side(1) }))
    };
    let merge = |ops: &mut Ops, inputs: &[usize]| {
        let places = (0..).zip(inputs).map(|(input, _)| pb::MergeInput { input }).collect();
        ops.add(inputs, Kind::Merge(pb::MergeOp { inputs: places }))
    };
    let difference = diff(&mut ops, below, two);
    assert_eq!(world.told(&ops, 0).await.unwrap(), "nothing > layer mkdir /b > layer rm /a");
    merge(&mut ops, &[other, difference, below]);
    let merged = "nothing > mkdir /x > layer mkdir /b > layer rm /a > layer mkdir /a";
    assert_eq!(world.told(&ops, 0).await.unwrap(), merged);
    diff(&mut ops, two, two);
    assert_eq!(world.told(&ops, 0).await.unwrap(), "nothing");
    ops.add(&[two], Kind::Diff(pb::DiffOp { lower: side(-1), upper: side(0) }));
    assert_eq!(world.told(&ops, 0).await.unwrap(), "nothing > mkdir /a > mkdir /b > rm /a");
    // Of what has nothing to do with each other the files are compared.
    let compared = diff(&mut ops, other, two);
    let words = "nothing > layer nothing > mkdir /a > mkdir /b > rm /a beyond nothing > mkdir /x";
    assert_eq!(world.told(&ops, 0).await.unwrap(), words);
    merge(&mut ops, &[below, compared]);
    let words = words.replacen("nothing", "nothing > mkdir /a", 1);
    assert_eq!(world.told(&ops, 0).await.unwrap(), words);
    diff(&mut ops, two, one);
    assert!(world.told(&ops, 0).await.unwrap().contains(" beyond "));
}

#[tokio::test]
async fn the_layers_of_images_are_the_same_under_other_names() {
    let mut world = World::new(&[]).await;
    let image = |name: &str, layers: &[&str]| {
        let layer = |text: &&str| BaseLayer {
            descriptor: Descriptor::of(media_type::OCI_LAYER, text.as_bytes()),
            diff_id: DiffId(Digest::of(text.as_bytes())),
        };
        Root::Image(Arc::new(BaseImage {
            reference: format!("example.com/{name}").parse().unwrap(),
            top: Digest::of(name.as_bytes()),
            config: ImageConfig::default(),
            layers: layers.iter().map(layer).collect(),
            platform: Platform::host(),
        }))
    };
    let ops = files(vec![mkdir("/a", -1, 0)]);
    let graph = archipel_gateway::Graph::decode(&ops.definition(0)).unwrap();
    let (vertex, platform) = (&graph.vertices[0], Platform::host());
    let made = graph::Made { vertex, name: "diff".into(), platform, span: 0..0 };
    let (lower, upper) = (image("lower", &["1", "2"]), image("upper", &["1", "2", "3", "4"]));
    let root = layers::diff(&mut world.state, &made, &lower, &upper).unwrap();
    let words = "nothing > layer 2 of example.com/upper:latest > layer 3 of example.com/upper:latest";
    assert_eq!(root_in(&world.state.plan, &root), words);
    // The second layer is another, though the files in it are the same.
    let moved = image("moved", &["2", "2", "3"]);
    let root = layers::diff(&mut world.state, &made, &lower, &moved).unwrap();
    assert!(root_in(&world.state.plan, &root).ends_with("beyond example.com/lower:latest"));
}

fn process(args: &[&str], mounts: Vec<pb::Mount>) -> pb::ExecOp {
    let args = args.iter().map(|word| (*word).into()).collect();
    pb::ExecOp { meta: Some(pb::Meta { args, ..Default::default() }), mounts, ..Default::default() }
}

fn mount(dest: &str, input: i64, output: i64) -> pb::Mount {
    pb::Mount { dest: dest.into(), input, output, ..Default::default() }
}

#[tokio::test]
async fn what_a_process_writes_to_is_a_result() {
    let mut world = World::new(&[]).await;
    let mut ops = Ops::default();
    let (root, other) = (ops.file(&[], vec![mkdir("/r", -1, 0)]), ops.file(&[], vec![mkdir("/o", -1, 0)]));
    let read_only = pb::Mount { readonly: true, ..mount("/ro", 1, 3) };
    let cache = pb::Mount { mount_type: MountType::Cache as i32, ..mount("/c", 1, 2) };
    let mounts = vec![mount("/", 0, 1), mount("rel", 1, 0), read_only, cache, mount("/lost", 1, -1)];
    ops.add(&[root, other], Kind::Exec(Box::new(process(&["make"], mounts))));
    let mut told = Vec::new();
    for output in 0..4 {
        told.push(world.told(&ops, output).await.unwrap());
    }
    let other = "nothing > mkdir /o";
    assert_eq!(told, [&format!("{other} > mount 0 of make"), "nothing > mkdir /r > make", other, other]);
    let run = world.state.plan.nodes.iter().find_map(|node| if let Op::Run(run) = &node.op { Some(run) } else { None });
    let run = run.unwrap();
    assert!(matches!(&run.mounts[0], MountOp::Part { target, .. } if target == "/rel"));
    assert!(matches!(&run.mounts[1], MountOp::Bind { writable: false, .. }));
    assert!(matches!(&run.mounts[3], MountOp::Bind { writable: true, .. }));
    assert!(run.env.iter().any(|(name, _)| name == "PATH"));
}

#[tokio::test]
async fn processes_that_cannot_be() {
    let mut world = World::new(&[]).await;
    let host = pb::ExecOp { network: pb::NetMode::Host as i32, ..process(&["make"], vec![mount("/", -1, 0)]) };
    for (exec, reason) in [
        (process(&["make"], vec![mount("/r", -1, 0)]), "make has no root file system"),
        (process(&[], vec![mount("/", -1, 0)]), "has no command"),
        (process(&["make"], vec![mount("/", 0, 0)]), "an operation has no input 0"),
        (process(&["make"], vec![mount("/", -1, 1)]), "an output 1 and none before it"),
        (process(&["make"], vec![mount("/", -1, 0), mount("/r", -1, 0)]), "a gap among its outputs"),
        (host.clone(), "entitlement network.host is not allowed"),
        (pb::ExecOp { network: 9, ..host.clone() }, "network mode 9 is not known"),
    ] {
        let mut ops = Ops::default();
        ops.add(&[], Kind::Exec(Box::new(exec)));
        let told = world.fails(&ops).await;
        assert!(told.contains(reason), "{told}");
    }
    let mut ops = Ops::default();
    ops.add(&[], Kind::Exec(Box::new(host)));
    assert_eq!(World::new(&["network.host"]).await.told(&ops, 0).await.unwrap(), "nothing > make");
}

#[tokio::test]
async fn errors_have_places_in_our_text_and_in_no_other() {
    let mut world = World::new(&[]).await;
    let mut ops = Ops::default();
    ops.add(&[], Kind::Source(pb::SourceOp { identifier: "what://is/it".into(), ..Default::default() }));
    for (data, line, expected) in [(TEXT, 2, Some("second")), (TEXT, 9, None), ("other\n", 1, None)] {
        let position = Some(pb::Position { line, character: 0 });
        let range = pb::Range { start: position.clone(), end: position };
        let infos = ["another".as_bytes(), data.as_bytes()];
        let infos = infos.map(|data| pb::SourceInfo { data: data.into(), ..Default::default() });
        let location = |source_index| pb::Location { source_index, ranges: vec![range.clone()] };
        let locations = pb::Locations { locations: vec![location(0), location(1), location(7), location(-1)] };
        let locations = [(ops.0[0].0.clone(), locations)].into();
        let source = Some(pb::Source { infos: infos.into(), locations });
        let definition = pb::Definition { source, ..ops.definition(0) };
        let error = world.session.translate(&mut world.state, &definition).await.unwrap_err();
        let found = match &error {
            Error::At { place, .. } => Some(&place.text[place.span.clone()]),
            _ => None,
        };
        assert_eq!(found, expected, "{error}");
        assert!(error.to_string().contains("the source what:// is not supported"), "{error}");
    }
}

impl World {
    /// What a result of nothing at all is: labels of the configs, and the time.
    async fn targets(&mut self, result: pb::Result) -> Result<(Vec<String>, Option<i64>), Error> {
        let found = self.session.targets(&mut self.state, result).await?;
        let label = |target: &crate::plan::StageResult| target.config.config.labels.values().cloned().collect();
        Ok((found.targets.iter().map(label).collect(), found.epoch.map(|epoch| epoch.0)))
    }
}

/// Results of nothing, by their ids; one alone where there are none.
fn returned(ids: &[&str], metadata: &[(&str, &str)]) -> pb::Result {
    let refs = ids.iter().map(|id| ((*id).to_owned(), pb::Ref::default())).collect();
    let result = match ids {
        [] => pb::result::Result::Ref(pb::Ref::default()),
        _ => pb::result::Result::Refs(pb::RefMap { refs }),
    };
    let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    pb::Result { result: Some(result), metadata, ..Default::default() }
}

/// `refs.platforms`, of ids, operating systems and architectures.
fn platforms(named: &[(&str, &str, &str)]) -> String {
    let named = named.iter().map(|(id, os, architecture)| {
        format!(r#"{{"ID":"{id}","Platform":{{"os":"{os}","architecture":"{architecture}"}}}}"#)
    });
    format!(r#"{{"Platforms":[{}]}}"#, named.collect::<Vec<_>>().join(","))
}

fn labelled(value: &str) -> String {
    format!(r#"{{"os":"linux","architecture":"amd64","config":{{"Labels":{{"l":"{value}"}}}}}}"#)
}

#[tokio::test]
async fn what_is_said_of_results_is_found_by_their_ids() {
    let mut world = World::new(&[]).await;
    let (all, one) = (labelled("all"), labelled("one"));
    let (a, both) = (("a", "linux", "amd64"), [("a", "linux", "amd64"), ("b", "linux", "arm64")]);
    let (single, both) = (platforms(&[a]), platforms(&both));
    let metadata = [
        ("containerimage.config", &all[..]),
        ("containerimage.config/a", &one),
        ("source.date.epoch", "1"),
        ("source.date.epoch/a", "2"),
        ("refs.platforms", &single),
    ];
    assert_eq!(world.targets(returned(&[], &metadata)).await.unwrap(), (vec!["one".into()], Some(2)));
    assert_eq!(world.targets(returned(&["a"], &metadata)).await.unwrap(), (vec!["one".into()], Some(2)));
    assert_eq!(world.targets(returned(&[], &metadata[..4])).await.unwrap(), (vec!["all".into()], Some(1)));
    let several = [&metadata[..4], &[("refs.platforms", &both[..])]].concat();
    let expected = (vec!["one".into(), "all".into()], Some(2));
    assert_eq!(world.targets(returned(&["a", "b"], &several)).await.unwrap(), expected);
    // What is attested, too: the platform's name is an id only where there is no other.
    for (named, id, expected) in
        [(true, "a", true), (true, "linux/amd64", false), (false, "linux/amd64", true), (false, "a", false)]
    {
        let metadata = if named { &metadata[..] } else { &metadata[..1] };
        let attestations = [(id.to_owned(), pb::Attestations::default())].into();
        let result = pb::Result { attestations, ..returned(&[], metadata) };
        assert_eq!(world.targets(result).await.is_ok(), expected, "{named} {id}");
    }
}

#[tokio::test]
async fn results_that_cannot_be() {
    let mut world = World::new(&[]).await;
    let a = ("a", "linux", "amd64");
    for (ids, named, reason) in [
        (&[][..], &[][..], "names none"),
        (&[], &[("", "linux", "amd64")], "an empty id, os or architecture"),
        (&[], &[("a", "", "amd64")], "an empty id, os or architecture"),
        (&["a", "b"], &[a, ("b", "linux", "")], "an empty id, os or architecture"),
        (&["b"], &[a], "returns nothing for a"),
        (&[], &[a, ("b", "linux", "arm64")], "one result and names several"),
    ] {
        let named = platforms(named);
        let told = world.targets(returned(ids, &[("refs.platforms", &named)])).await.unwrap_err().to_string();
        assert!(told.contains(reason), "{told}");
    }
    for (ids, metadata, reason) in [
        (&["a"][..], ("other", ""), "does not say for which platforms"),
        (&[], ("refs.platforms", ""), "cannot be read"),
        (&[], ("source.date.epoch", "soon"), "returns a source.date.epoch: invalid"),
    ] {
        let told = world.targets(returned(ids, &[metadata])).await.unwrap_err().to_string();
        assert!(told.contains(reason), "{told}");
    }
}
