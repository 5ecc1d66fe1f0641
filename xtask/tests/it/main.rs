//! The rules that hold for the whole workspace.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod layers;
mod sources;

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
