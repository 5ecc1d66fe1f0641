//! The files of a build's platforms, to be read as they would be seen in a container.

use archipel_store::{SnapshotId, Store, View};

use crate::Error;

/// The files of one platform. What they are mounted on goes with the value.
#[derive(Debug)]
pub(super) struct Root {
    /// The folder that they get where there are several platforms.
    pub(super) place: Option<String>,
    pub(super) files: View,
}

/// Opens merged views of snapshots. An image without any layer is an empty folder.
pub(super) fn open(store: &Store, roots: Vec<(Option<String>, Option<SnapshotId>)>) -> Result<Vec<Root>, Error> {
    let open = |(place, snapshot): (_, Option<SnapshotId>)| Ok(Root { place, files: store.view(snapshot.as_ref())? });
    roots.into_iter().map(open).collect()
}
