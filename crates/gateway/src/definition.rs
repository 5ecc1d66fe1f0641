//! From the bytes of a definition to the graph that they describe.
//!
//! A definition is a list of operations, each of them bytes. An operation names what it needs by the digests of those bytes. The last
//! one does nothing: its only input is the result.

use std::collections::HashMap;

use archipel_oci::Digest;
use prost::Message as _;

use crate::pb;

/// As many operations as a definition may have. Real ones have some hundreds; the memory of a graph is bounded by this.
const MAX_OPS: usize = 100_000;

/// A definition that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// The operations: each once, and none before those that it needs.
    pub vertices: Vec<Vertex>,
    /// The place of the operation that makes the result, and which of its outputs that is. None: an empty file system.
    pub result: Option<(usize, usize)>,
    /// Which lines of which files the operations come from.
    pub source: pb::Source,
}

/// An operation of a [`Graph`].
#[derive(Clone, Debug, PartialEq)]
pub struct Vertex {
    /// Its identity, `sha256:` and hexadecimal digits.
    pub digest: String,
    /// What it does.
    pub op: pb::Op,
    /// For each input of the operation the place of the one that makes it, and which of its outputs that is.
    pub inputs: Vec<(usize, usize)>,
    /// What is said of it and has no part in its identity.
    pub metadata: pb::OpMetadata,
}

/// Why a definition is none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More operations than anybody needs.
    #[error("the definition has {0} operations: at most {MAX_OPS} are accepted, so split the build into several")]
    TooMany(usize),
    /// Bytes that are no message.
    #[error("operation {place} of the definition is not a message of the protocol ({source}): the frontend is broken")]
    Bytes {
        /// Its place in the definition.
        place: usize,
        /// What is wrong with them.
        source: prost::DecodeError,
    },
    /// An operation that does nothing, or that is of a kind that came after us.
    #[error(
        "operation {0} of the definition is of no known kind: use a version of the frontend that needs no newer builder"
    )]
    Kind(String),
    /// The last operation does something, or has several inputs.
    #[error("the last operation of the definition has to name one result and do nothing else: the frontend is broken")]
    Result,
    /// An input that nobody makes.
    #[error(
        "operation {op} of the definition needs {input}, which the definition does not have: the frontend is broken"
    )]
    Missing {
        /// Who needs it.
        op: String,
        /// What it needs.
        input: String,
    },
    /// An input that cannot be.
    #[error(
        "operation {op} of the definition needs output {index} of another, which cannot be: the frontend is broken"
    )]
    Index {
        /// Who needs it.
        op: String,
        /// The output's number.
        index: i64,
    },
    /// Operations that need each other. As digests go that cannot be made, but nothing is to hang on it.
    #[error("operation {0} of the definition needs itself: the frontend is broken")]
    Cycle(String),
}

impl Graph {
    /// Reads a definition.
    ///
    /// # Errors
    ///
    /// When it is not what the protocol says.
    pub fn decode(definition: &pb::Definition) -> Result<Self, Error> {
        if definition.def.len() > MAX_OPS {
            return Err(Error::TooMany(definition.def.len()));
        }
        let source = definition.source.clone().unwrap_or_default();
        let Some((last, rest)) = definition.def.split_last() else { return Ok(Self { source, ..Self::default() }) };
        let ops = Ops::read(rest)?;
        let last = Op::read(last, rest.len())?;
        let (None, [] | [_]) = (&last.message.op, last.message.inputs.as_slice()) else { return Err(Error::Result) };

        let mut needs = Vec::with_capacity(ops.list.len());
        for op in &ops.list {
            if op.message.op.is_none() {
                return Err(Error::Kind(op.digest.clone()));
            }
            needs.push(ops.inputs(op)?);
        }
        let result = ops.inputs(&last)?.first().copied();
        let order = order(&needs).map_err(|place| Error::Cycle(ops.list[place].digest.clone()))?;
        let mut places = vec![0; order.len()];
        for (new, old) in order.iter().enumerate() {
            places[*old] = new;
        }
        let moved = |(place, output): (usize, usize)| (places[place], output);

        let mut list: Vec<Option<Op>> = ops.list.into_iter().map(Some).collect();
        let vertices = order.iter().filter_map(|old| {
            let Op { digest, message: op } = list[*old].take()?;
            let metadata = definition.metadata.get(&digest).cloned().unwrap_or_default();
            Some(Vertex { digest, op, inputs: needs[*old].iter().copied().map(moved).collect(), metadata })
        });
        Ok(Self { vertices: vertices.collect(), result: result.map(moved), source })
    }
}

/// The definition of a source alone.
#[must_use]
pub fn of_source(source: pb::SourceOp) -> pb::Definition {
    let op = pb::Op { op: Some(pb::op::Op::Source(source)), ..pb::Op::default() }.encode_to_vec();
    let input = pb::Input { digest: Digest::of(&op).to_string(), index: 0 };
    let last = pb::Op { inputs: vec![input], ..pb::Op::default() }.encode_to_vec();
    pb::Definition { def: vec![op, last], ..pb::Definition::default() }
}

/// An operation and its identity.
struct Op {
    digest: String,
    message: pb::Op,
}

impl Op {
    fn read(bytes: &[u8], place: usize) -> Result<Self, Error> {
        let message = pb::Op::decode(bytes).map_err(|source| Error::Bytes { place, source })?;
        Ok(Self { digest: Digest::of(bytes).to_string(), message })
    }
}

/// Operations, each once, in the order of the definition.
struct Ops {
    list: Vec<Op>,
    places: HashMap<String, usize>,
}

impl Ops {
    fn read(bytes: &[Vec<u8>]) -> Result<Self, Error> {
        let mut ops = Self { list: Vec::with_capacity(bytes.len()), places: HashMap::with_capacity(bytes.len()) };
        for (place, bytes) in bytes.iter().enumerate() {
            let op = Op::read(bytes, place)?;
            if !ops.places.contains_key(&op.digest) {
                ops.places.insert(op.digest.clone(), ops.list.len());
                ops.list.push(op);
            }
        }
        Ok(ops)
    }

    fn inputs(&self, op: &Op) -> Result<Vec<(usize, usize)>, Error> {
        let place = |input: &pb::Input| {
            let missing = || Error::Missing { op: op.digest.clone(), input: input.digest.clone() };
            let wrong = |_| Error::Index { op: op.digest.clone(), index: input.index };
            let place = self.places.get(&input.digest).copied().ok_or_else(missing)?;
            Ok((place, usize::try_from(input.index).map_err(wrong)?))
        };
        op.message.inputs.iter().map(place).collect()
    }
}

/// An order in which everybody comes after what it needs, which is the given one if that is so already; or somebody who needs
/// itself. With a list for a stack, for the depth of a graph is up to whoever wrote it.
fn order(needs: &[Vec<(usize, usize)>]) -> Result<Vec<usize>, usize> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Begun,
        Done,
    }
    let mut states = vec![State::New; needs.len()];
    let mut order = Vec::with_capacity(needs.len());
    for start in 0..needs.len() {
        let mut stack = vec![(start, 0)];
        while let Some((place, next)) = stack.pop() {
            if states[place] == State::Done {
                continue;
            }
            states[place] = State::Begun;
            if let Some((need, _)) = needs[place].get(next) {
                if states[*need] == State::Begun {
                    return Err(place);
                }
                stack.extend([(place, next + 1), (*need, 0)]);
            } else {
                states[place] = State::Done;
                order.push(place);
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests;
