//! Layers of something else on top of a root, which merges and differences are made of.

use std::sync::Arc;

use archipel_store::SnapshotId;
use serde_json::{Value, json};

use super::{Executor, blocking};
use crate::Error;
use crate::plan::{Layer, Root};

pub(super) async fn layer(
    executor: Arc<Executor>,
    layer: &Layer,
    parent: Option<SnapshotId>,
    made: SnapshotId,
) -> Result<(), Error> {
    if let Layer::Image(image, _) = layer {
        executor.engine.unpack(image, &executor.sink.0, &executor.counter).await?;
    }
    let (of, store) = (executor.layer_snapshot(layer)?, executor.engine.store.clone());
    blocking(move || store.lay(&of, parent.as_ref(), &made).map(drop)).await?;
    Ok(())
}

pub(super) async fn difference(
    executor: Arc<Executor>,
    lower: &Root,
    upper: &Root,
    made: SnapshotId,
) -> Result<(), Error> {
    let (lower, upper) = (executor.materialize(lower).await?, executor.materialize(upper).await?);
    let store = executor.engine.store.clone();
    blocking(move || store.difference(lower.as_ref(), upper.as_ref(), &made).map(drop)).await?;
    Ok(())
}

impl Executor {
    fn layer_snapshot(&self, layer: &Layer) -> Result<SnapshotId, Error> {
        match layer {
            Layer::Node(id) => Ok(self.output(*id)?.snapshot.clone()),
            Layer::Image(image, place) => image
                .chains()
                .get(*place)
                .map(SnapshotId::chain)
                .ok_or_else(|| Error::Request(format!("{} has no layer {place}", image.reference))),
        }
    }

    pub(super) fn layer_key(&self, layer: &Layer) -> Result<Value, Error> {
        Ok(json!({ "layer": self.layer_snapshot(layer)?.to_string() }))
    }
}
