//! A registry: the OCI distribution protocol, version 1.1, over a [`Storage`].
//!
//! [`Registry`] puts a storage behind HTTP. The protocol's nouns have a file each (`blob`, `upload`, `manifest`, `tag`,
//! `referrer`, `catalog`); they know headers, ranges, paging and errors, and nothing of how things are kept. A
//! [`Storage`] keeps things and knows nothing of HTTP; [`FsStorage`] does it in a folder, whose layout is described at the
//! head of `storage/fs.rs`. Everything that comes in is hostile until a type says otherwise: [`Name`], [`Tag`],
//! `archipel_oci::Digest`.
//!
//! Beside the protocol there is a web page, under `page`.
//!
//! Manifests are kept and served byte for byte, with the type they were pushed with. Blobs pass through in pieces; no
//! request holds more than a few of them, or one manifest, in memory.
#![forbid(unsafe_code)]

mod access;
mod blob;
mod catalog;
mod error;
mod manifest;
mod name;
mod page;
mod referrer;
mod route;
mod server;
pub mod storage;
mod tag;
mod upload;

pub use access::Login;
pub use name::{Name, Tag, Target, TargetError};
pub use server::Registry;
pub use storage::{Collected, FsStorage, Policy, Storage};
