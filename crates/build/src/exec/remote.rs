//! What ADD takes from elsewhere: files of the web and git repositories.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Executor;
use crate::Error;
use crate::plan::{CopyOp, Item, NodeId};
use crate::tree::Destination;

/// Something that was fetched and is here now.
#[derive(Debug)]
pub(super) enum Fetched {}

impl Executor {
    /// What a key says of an item: its content, however it came.
    pub(super) async fn remote_key(self: &Arc<Self>, item: &Item, op: &CopyOp, id: NodeId) -> Result<Value, Error> {
        self.fetched(item, op, id).await.map(|_| json!(null))
    }

    /// Fetches an item, if it is one to fetch.
    pub(super) async fn fetched(
        self: &Arc<Self>,
        item: &Item,
        _op: &CopyOp,
        id: NodeId,
    ) -> Result<Option<Fetched>, Error> {
        match item {
            Item::Path(_) | Item::Inline { .. } => Ok(None),
            Item::Http { url, .. } => Err(self.step_failed(id, format!("ADD {url}: not supported yet"), String::new())),
            Item::Git(git) => Err(self.step_failed(id, format!("ADD {}: not supported yet", git.text), String::new())),
        }
    }
}

impl Fetched {
    pub(super) fn write(&self, _: &CopyOp, _: &Path, _: bool, _: &mut Destination) -> Result<(), Error> {
        match *self {}
    }
}
