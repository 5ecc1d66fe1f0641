//! `archipel push`.

use archipel_oci::Reference;

use super::shared;
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::render::{self, Progress};

/// Send an image, with all its platforms, to its registry.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: Reference,
    /// How to show what happens
    #[arg(long, value_enum, default_value = "auto", value_name = "FORM")]
    progress: Progress,
    /// Show nothing but errors and the image's name
    #[arg(short, long)]
    quiet: bool,
}

/// Sends it. The line at the end is docker's, which scripts read the digest from.
pub(super) fn run(args: Args, environment: &Environment) -> Result<u8, Error> {
    let progress = if args.quiet { Progress::Quiet } else { args.progress };
    let image = &args.image;
    let pushed =
        shared::on_engine_shown(environment, progress, |engine, sink| async move { engine.push(image, &sink).await })?;
    render::print(&match args.quiet {
        true => format!("{image}\n"),
        false => format!("{}: digest: {} size: {}\n", image.tag_or_latest(), pushed.digest, pushed.size),
    })?;
    Ok(status::OK)
}
