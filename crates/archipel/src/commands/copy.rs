//! `archipel copy`.

use archipel_build::Location;

use super::shared;
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::render::{self, Progress};

/// Copy an image with all its platforms from one place to another, bytes unchanged.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where it is: a reference, or oci:FOLDER[:TAG]
    #[arg(value_name = "SOURCE")]
    source: Location,
    /// Where it should go: a reference, or oci:FOLDER[:TAG]
    #[arg(value_name = "TARGET")]
    target: Location,
    /// How to show what happens
    #[arg(long, value_enum, default_value = "auto", value_name = "FORM")]
    progress: Progress,
    /// Show nothing but errors and the digest
    #[arg(short, long)]
    quiet: bool,
}

/// Copies it.
pub(super) fn run(args: Args, environment: &Environment) -> Result<u8, Error> {
    let progress = if args.quiet { Progress::Quiet } else { args.progress };
    let (source, target) = (&args.source, &args.target);
    let digest = shared::on_engine_shown(environment, progress, |engine, sink| async move {
        engine.copy(source, target, &sink).await
    })?;
    render::print(&match args.quiet {
        true => format!("{digest}\n"),
        false => format!("Digest: {digest}\n"),
    })?;
    Ok(status::OK)
}
