//! Merges and differences of file systems, as stacks of layers: which layers a file system has follows from how it was made. Only where
//! neither of two was made from the other their files are compared.

use super::graph::{Made, assembled};
use super::session::State;
use crate::Error;
use crate::plan::{Layer, Op, Plan, Root};

/// As many layers as a file system may have. Merges of merges have twice as many each time.
const MAX_LAYERS: usize = 500;

/// File systems one on top of the other.
pub(super) fn merge(state: &mut State, made: &Made<'_>, roots: &[Root]) -> Result<Root, Error> {
    let mut merged = Root::Scratch;
    let mut depth = 0;
    for root in roots {
        let layers = layers(&state.plan, root)?;
        depth += layers.len();
        if depth > MAX_LAYERS {
            return Err(too_many());
        }
        merged = match merged {
            Root::Scratch => root.clone(),
            below => stack(state, made, below, layers),
        };
    }
    Ok(merged)
}

fn too_many() -> Error {
    Error::Request(format!("a file system of more than {MAX_LAYERS} layers cannot be mounted"))
}

/// What one file system has beyond another.
pub(super) fn diff(state: &mut State, made: &Made<'_>, lower: &Root, upper: &Root) -> Result<Root, Error> {
    let (below, mut above) = (layers(&state.plan, lower)?, layers(&state.plan, upper)?);
    if below.is_empty() {
        return Ok(upper.clone());
    }
    let same = above.len() >= below.len() && below.iter().zip(&above).all(|(a, b)| identity(a) == identity(b));
    if same {
        let rest = above.split_off(below.len());
        return Ok(stack(state, made, Root::Scratch, rest));
    }
    let op = Op::Difference { lower: lower.clone(), upper: upper.clone() };
    let found = state.intern(assembled(made, Root::Scratch, op));
    // By itself it is laid on nothing, where what it removed is not to be seen.
    Ok(stack(state, made, Root::Scratch, vec![Layer::Node(found)]))
}

fn stack(state: &mut State, made: &Made<'_>, below: Root, layers: Vec<Layer>) -> Root {
    layers.into_iter().fold(below, |root, layer| Root::Node(state.intern(assembled(made, root, Op::Layer(layer)))))
}

/// The layers of a root, lowest first.
fn layers(plan: &Plan, root: &Root) -> Result<Vec<Layer>, Error> {
    let mut found = Vec::new();
    let mut at = root.clone();
    loop {
        if found.len() > MAX_LAYERS {
            return Err(too_many());
        }
        at = match at {
            Root::Scratch => break,
            Root::Image(image) => {
                found.extend((0..image.layers.len()).rev().map(|n| Layer::Image(image.clone(), n)));
                break;
            }
            Root::Node(id) => {
                let node = &plan.nodes[id.0];
                // What was laid once is laid again as it was, with all that it removes.
                found.push(if let Op::Layer(layer) = &node.op { layer.clone() } else { Layer::Node(id) });
                node.root.clone()
            }
        };
    }
    found.reverse();
    Ok(found)
}

/// What a layer is, whichever image it is named by.
fn identity(layer: &Layer) -> String {
    match layer {
        Layer::Node(id) => format!("{id:?}"),
        Layer::Image(image, n) => image.chains().get(*n).map(ToString::to_string).unwrap_or_default(),
    }
}
