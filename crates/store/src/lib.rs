//! Content on disk: blobs, snapshots, layers, cache records, image names.
//!
//! ```text
//! <root>/
//!   lock                       shared (flock) by every open store, exclusive while one prunes
//!   blobs/ ingest/             an `archipel_cas` folder: manifests, configs, compressed layers
//!   snapshots/<id>/fs/         the files of one layer as overlayfs keeps them (`mark`), however it was made
//!   snapshots/<id>/layer.json  the parent; a snapshot without it is not there
//!   snapshots/<id>/layers/     what has been made of it: <options>.json names a blob and its diff id
//!   cache/<2 hex>/<hex>        small records by key
//!   images/<encoded>.json      a reference and what it stands for
//!   mounts/<hex>/<n>/data      the folder of a `RUN --mount=type=cache`; `lock` beside it while one has it alone
//!   known_hosts                the keys of hosts that git met over ssh: one is taken when it is first seen, and then kept
//!   work/<pid>-<n>/            what is being made, and mount points; `lock` inside is locked while its process lives
//! ```
//!
//! Everything gets its name by rename and only when whole. Several processes share a store: two that make the same do the
//! work twice, and the second takes what the first has put there. Nothing is removed but by [`Alone::prune`], which has
//! the store to itself, and by [`Store::open`], which sweeps what dead processes left in `work/`. What images name is
//! kept when pruning, with the snapshots of their layers and all that lies below.
//!
//! Where this process may mount, trees are overlays; where it may not, they are folders with all files of their layers
//! (`merged`), and what a step changes in one is found by comparison (`changes`). [`View`] and [`Draft`] are the same either way, and
//! so is the store: one process may make a snapshot without mounts, and the next one mount it.
#![forbid(unsafe_code)]

mod cache;
mod changes;
mod compare;
mod difference;
mod disk;
mod draft;
mod error;
mod image;
mod lay;
pub mod layer;
mod mark;
mod merged;
mod mount;
mod prune;
mod same;
mod snapshot;
mod store;
mod unpack;
mod view;
mod work;

pub use disk::{remove_all, size as size_on_disk};
pub use draft::Draft;
pub use error::Error;
pub use image::Image;
pub use layer::{Compression, Layer, LayerOptions, Skipped};
pub use mount::MountLock;
pub use prune::{Alone, Usage};
pub use snapshot::{BadId, Snapshot, SnapshotId};
pub use store::Store;
pub use view::{Tree, View};

type Result<T> = std::result::Result<T, Error>;
