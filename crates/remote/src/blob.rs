//! Pulling blobs.

use bytes::Bytes;

use crate::Error;

/// A blob on its way. Also a `futures` stream of `Result<Bytes, Error>`.
pub struct BlobStream;

impl BlobStream {
    /// The next piece; `None` after the last, when size and (from offset 0) digest were right.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        unimplemented!()
    }
}
