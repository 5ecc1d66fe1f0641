//! `archipel tag`.

use archipel_oci::Reference;

use super::shared;
use crate::environment::Environment;
use crate::errors::{Error, status};

/// Give an image another name.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The image
    #[arg(value_name = "IMAGE")]
    source: Reference,
    /// The new name
    #[arg(value_name = "NAME[:TAG]")]
    target: Reference,
}
