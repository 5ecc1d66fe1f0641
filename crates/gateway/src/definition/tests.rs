use proptest::prelude::*;

use super::*;

/// A definition as it is written: operations by number, each needing earlier ones.
#[derive(Default)]
struct Writer {
    definition: pb::Definition,
    digests: Vec<String>,
}

impl Writer {
    fn push(&mut self, op: &pb::Op) -> pb::Input {
        let bytes = op.encode_to_vec();
        self.digests.push(Digest::of(&bytes).to_string());
        self.definition.def.push(bytes);
        pb::Input { digest: self.digests[self.digests.len() - 1].clone(), index: 0 }
    }

    fn op(&mut self, name: &str, inputs: Vec<pb::Input>) -> pb::Input {
        let source = pb::SourceOp { identifier: name.into(), ..pb::SourceOp::default() };
        self.push(&pb::Op { inputs, op: Some(pb::op::Op::Source(source)), platform: None })
    }

    fn end(mut self, inputs: Vec<pb::Input>) -> pb::Definition {
        self.push(&pb::Op { inputs, ..pb::Op::default() });
        self.definition
    }
}

fn message(definition: &pb::Definition) -> String {
    Graph::decode(definition).unwrap_err().to_string()
}

#[test]
fn nothing_is_an_empty_file_system() {
    for definition in [pb::Definition::default(), Writer::default().end(Vec::new())] {
        assert_eq!(Graph::decode(&definition).unwrap(), Graph::default());
    }
}

#[test]
fn what_is_needed_comes_first_and_once() {
    let mut writer = Writer::default();
    let base = writer.op("base", Vec::new());
    let left = writer.op("left", vec![base.clone()]);
    writer.op("base", Vec::new());
    let both = writer.op("both", vec![pb::Input { index: 1, ..base.clone() }, left]);
    let mut definition = writer.end(vec![pb::Input { index: 2, ..both }]);
    let described = pb::OpMetadata { ignore_cache: true, ..pb::OpMetadata::default() };
    definition.metadata.insert(base.digest.clone(), described.clone());
    // Nobody promises that they come in order.
    definition.def[..4].reverse();

    let graph = Graph::decode(&definition).unwrap();
    let inputs: Vec<_> = graph.vertices.iter().map(|vertex| vertex.inputs.clone()).collect();
    assert_eq!(inputs, [vec![], vec![(0, 0)], vec![(0, 1), (1, 0)]]);
    assert_eq!((graph.vertices[0].digest.as_str(), &graph.vertices[0].metadata), (base.digest.as_str(), &described));
    assert_eq!(graph.result, Some((2, 2)));
}

#[test]
fn what_is_wrong_is_said() {
    let mut writer = Writer::default();
    let base = writer.op("base", Vec::new());
    let index = Writer::default().end(vec![pb::Input { index: -1, ..base.clone() }]);
    assert!(message(&index).ends_with("which the definition does not have: the frontend is broken"));
    writer.op("x", vec![pb::Input { index: -1, ..base.clone() }]);
    assert!(message(&writer.end(vec![base.clone()])).contains("needs output -1 of another"));

    let mut idle = Writer::default();
    idle.push(&pb::Op::default());
    assert!(message(&idle.end(Vec::new())).contains("is of no known kind"));

    let mut endless = Writer::default();
    endless.op("base", Vec::new());
    assert!(message(&endless.definition).contains("has to name one result"));
    assert!(message(&endless.end(vec![base.clone(), base])).contains("has to name one result"));

    let bytes = pb::Definition { def: vec![vec![255], Vec::new()], ..pb::Definition::default() };
    assert!(message(&bytes).starts_with("operation 0 of the definition is not a message"));
    let many = pb::Definition { def: vec![Vec::new(); MAX_OPS + 1], ..pb::Definition::default() };
    assert!(message(&many).contains("has 100001 operations: at most 100000"));
}

#[test]
fn a_circle_is_found_and_a_long_chain_is_no_depth() {
    assert_eq!(order(&[vec![(2, 0)], vec![(0, 0)], vec![(1, 0)]]), Err(1));
    assert_eq!(order(&[vec![(0, 0)]]), Err(0));
    let chain: Vec<_> = (1..MAX_OPS).map(|next| vec![(next, 0)]).chain([Vec::new()]).collect();
    assert_eq!(order(&chain).unwrap(), (0..MAX_OPS).rev().collect::<Vec<_>>());
}

/// For each operation which earlier ones it needs.
fn needs() -> impl Strategy<Value = Vec<Vec<prop::sample::Index>>> {
    prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..4), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read(def in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..6)) {
        let _ = Graph::decode(&pb::Definition { def, ..pb::Definition::default() });
    }

    #[test]
    fn any_graph_is_found_again(needs in needs(), order in any::<u64>()) {
        let mut writer = Writer::default();
        let mut made: Vec<pb::Input> = Vec::new();
        for (place, needs) in needs.iter().enumerate() {
            let inputs = needs.iter().filter(|_| place > 0).map(|need| made[need.index(place)].clone()).collect();
            made.push(writer.op(&place.to_string(), inputs));
        }
        let digests = writer.digests.clone();
        let mut definition = writer.end(vec![made[made.len() - 1].clone()]);
        let straight = Graph::decode(&definition).unwrap();
        let found: Vec<_> = straight.vertices.iter().map(|vertex| vertex.digest.clone()).collect();
        prop_assert_eq!(found, &digests[..]);
        prop_assert_eq!(straight.result, Some((needs.len() - 1, 0)));

        definition.def[..needs.len()].sort_by_key(|bytes| Digest::of(&[bytes, &order.to_be_bytes()[..]].concat()));
        let mixed = Graph::decode(&definition).unwrap();
        prop_assert_eq!(mixed.vertices.len(), digests.len());
        for (place, vertex) in mixed.vertices.iter().enumerate() {
            prop_assert_eq!(vertex.inputs.len(), vertex.op.inputs.len());
            for ((need, _), input) in vertex.inputs.iter().zip(&vertex.op.inputs) {
                prop_assert!(*need < place);
                prop_assert_eq!(&mixed.vertices[*need].digest, &input.digest);
            }
        }
    }
}
