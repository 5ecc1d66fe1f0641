//! Where results go: images into the store, to registries, into layouts and archives; files into folders and tars.

mod annotations;
mod attestation;
mod docker_archive;
pub(crate) mod file;
mod image;
mod local;
mod metadata;
mod oci_layout;
mod output;
mod prune;
mod rootfs;
mod tar;
mod terms;

pub(crate) use docker_archive::{Saved, document};
pub(crate) use oci_layout::OciLayout;
pub use output::UNNAMED;
pub(crate) use output::{PlatformResult, ResultLayer, unnamed};
