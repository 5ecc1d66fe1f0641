//! `archipel prune`.

use super::pipelines::Kept;
use super::shared;
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::render::{self, text};

/// Remove the build cache, images without a name, and what no image needs
///
/// The same is done to what pipelines keep: caches of jobs and what they built go, and what has had no name for a day in their registry; with --all,
/// everything in it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Remove the images too
    #[arg(short, long)]
    all: bool,
    /// Do not ask, as happens anyway
    #[arg(short, long, hide = true)]
    force: bool,
}

/// Removes it.
pub(super) fn run(args: &Args, environment: &Environment) -> Result<u8, Error> {
    let store = shared::store(environment)?;
    let kept = Kept::of(environment)?;
    let alone = store.alone()?;
    let freed = alone.prune(|image| !args.all && !shared::is_unnamed(image))? + kept.prune(args.all)?;
    drop(alone);
    render::print(&format!("Total reclaimed space: {}\n", text::size(freed)))?;
    Ok(status::OK)
}
