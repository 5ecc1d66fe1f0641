//! `archipel tag`.

use archipel_oci::Reference;

use super::shared;
use crate::environment::Environment;
use crate::errors::{Error, status};

/// Give an image another name.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The image, by name or id
    #[arg(value_name = "IMAGE")]
    source: String,
    /// The new name
    #[arg(value_name = "NAME[:TAG]")]
    target: Reference,
}

/// Names it.
pub(super) fn run(args: &Args, environment: &Environment) -> Result<u8, Error> {
    let store = shared::store(environment)?;
    let target = shared::tagged(&args.target)?;
    // All names of an id stand for one image.
    if let Some(image) = shared::stored_images(&store, &args.source)?.first() {
        store.tag(&target, &image.descriptor)?;
    }
    Ok(status::OK)
}
