//! Bytes on their way from the network into the store: what is fetched while the disk writes.

use std::io::Write as _;
use std::sync::Arc;

use archipel_cas::Ingest;
use archipel_oci::Algorithm;
use archipel_store::Store;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::Error;

/// Pieces between the network and the disk. A piece has up to some hundred kilobytes.
const PIECES: usize = 8;

/// A blob that is being written. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Spool {
    pieces: mpsc::Sender<Bytes>,
    writer: JoinHandle<Result<Ingest, Error>>,
}

impl Spool {
    /// Begins a blob. Its content will be known by a digest of this algorithm.
    pub(crate) fn new(store: &Arc<Store>, algorithm: Algorithm) -> Self {
        let store = Arc::clone(store);
        let (sender, mut pieces) = mpsc::channel::<Bytes>(PIECES);
        let writer = tokio::task::spawn_blocking(move || {
            let mut ingest = store.blobs().ingest(algorithm)?;
            while let Some(piece) = pieces.blocking_recv() {
                ingest.write_all(&piece).map_err(Error::io("store a blob"))?;
            }
            Ok(ingest)
        });
        Self { pieces: sender, writer }
    }

    /// Hands over a piece. `false` if the writer gave up: [`Spool::finish`] says why, and more pieces are no use.
    pub(crate) async fn write(&self, piece: Bytes) -> bool {
        self.pieces.send(piece).await.is_ok()
    }

    /// Waits for the disk. The content is all there, and not in the store until it is committed.
    ///
    /// # Errors
    /// What the writer met.
    pub(crate) async fn finish(self) -> Result<Ingest, Error> {
        drop(self.pieces);
        match self.writer.await {
            Ok(ingest) => ingest,
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }
}
