//! Pushing blobs.

use std::io::{self, Read};

/// Something that can be read again from any offset, as a retry needs.
pub trait BlobSource: Send + Sync {
    /// The bytes from `offset` on.
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>>;

    /// Told how many bytes have been handed over since the beginning; goes back when an upload starts again.
    fn progress(&self, _sent: u64) {}
}

/// How a blob got to where it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    Existed,
    /// Mounted from another repository of the registry.
    Mounted,
    /// Sent.
    Uploaded {
        /// Its size.
        bytes: u64,
    },
}
