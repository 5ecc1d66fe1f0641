//! Layers as archives: read, applied to a tree, and written from a snapshot.

mod apply;
mod compress;
mod confine;
mod decompress;
mod entry;
mod make;
#[cfg(test)]
mod tests;
mod tree;
mod writer;

pub(crate) use archipel_sandbox::copy::is_private;
use serde::{Deserialize, Serialize};

pub use apply::{apply, extract, extract_for};
pub use compress::Compression;
pub use decompress::decompress;
pub use make::{Layer, LayerOptions};
pub use tree::{Form, write_tree};
pub use writer::{Header, Kind, Writer};

/// What an archive wanted and this machine does not give: a rootless process makes no devices, and has perhaps one user only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Devices that were not made.
    pub devices: u64,
    /// Files that belong to us and not to whom they should.
    pub owners: u64,
    /// Extended attributes that were not set.
    pub attributes: u64,
}

/// How a layer says that a file of that name is gone.
pub(crate) const GONE: &[u8] = b".wh.";
/// How a layer says that a folder holds nothing but what this layer puts there.
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";
