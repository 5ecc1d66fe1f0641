//! The base images that `cargo xtask bases` makes.

use std::env;
use std::path::{Path, PathBuf};

/// The OCI layout of a base image (`busybox`, `golang`): in `$ARCHIPEL_TEST_BASES`, or where the Makefile puts them.
///
/// # Panics
/// When it has not been made.
#[must_use]
pub fn bases(name: &str) -> PathBuf {
    let dir = env::var_os("ARCHIPEL_TEST_BASES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bases"), PathBuf::from);
    let layout = dir.join(name);
    assert!(
        layout.join("index.json").exists(),
        "no base image {}: run cargo xtask bases target/bases --only {name}",
        layout.display()
    );
    layout
}
