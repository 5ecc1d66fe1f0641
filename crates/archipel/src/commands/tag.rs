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
    if args.target.digest().is_some() {
        return Err(Error::Usage(format!("{} names a digest, which an image cannot be given", args.target)));
    }
    let store = shared::store(environment)?;
    let target = args.target.with_tag(args.target.tag_or_latest()).map_err(|e| Error::Usage(e.to_string()))?;
    if let Some(image) = shared::stored_images(&store, &args.source)?.first() {
        store.tag(&target, &image.descriptor)?;
    }
    Ok(status::OK)
}
