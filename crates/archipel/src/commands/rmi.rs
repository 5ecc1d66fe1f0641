//! `archipel rmi`.

use super::shared;
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::render;

/// Remove images by name or id. What no other image needs is given back by `archipel prune`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Remove all names of an id, and do not mind images that are not here
    #[arg(short, long)]
    force: bool,
}

/// Takes the names away. Each image is tried, whatever became of those before.
pub(super) fn run(args: &Args, environment: &Environment) -> Result<u8, Error> {
    let store = shared::store(environment)?;
    let mut failed = None;
    for text in &args.images {
        let found = match shared::stored_images(&store, text) {
            Err(Error::NoImage(_)) if args.force => continue,
            Ok(found) if found.len() > 1 && !args.force => {
                let names: Vec<String> = found.iter().map(shared::familiar).collect();
                let names = names.join(", ");
                Err(Error::Usage(format!("`{text}` has several names ({names}): give one of them, or --force")))
            }
            other => other,
        };
        match found {
            Ok(found) => {
                for image in found {
                    store.untag(&image.reference)?;
                    render::print(&format!("Untagged: {}\n", shared::familiar(&image)))?;
                }
            }
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(status::OK), Err)
}
