//! `archipel pull`.

use archipel_build::Pull;
use archipel_oci::{Platform, Reference};

use super::shared;
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::flags::value;
use crate::render::{self, Progress};

/// Fetch an image from its registry.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: Reference,
    /// Platforms to fetch [default: this machine's]
    #[arg(long, value_delimiter = ',', value_parser = value::platform, value_name = "PLATFORM,..")]
    platform: Vec<Platform>,
    /// Fetch every platform that the image has
    #[arg(long, conflicts_with = "platform")]
    all_platforms: bool,
    /// How to show what happens
    #[arg(long, value_enum, default_value = "auto", value_name = "FORM")]
    progress: Progress,
    /// Show nothing but errors and the image's name
    #[arg(short, long)]
    quiet: bool,
}

/// Fetches it. The lines at the end are docker's.
pub(super) fn run(args: Args, environment: &Environment) -> Result<u8, Error> {
    let progress = if args.quiet { Progress::Quiet } else { args.progress };
    let which = match (args.all_platforms, args.platform.is_empty()) {
        (true, _) => Pull::All,
        (false, true) => Pull::Only(vec![environment.default_platform()?.unwrap_or_else(Platform::host)]),
        (false, false) => Pull::Only(args.platform),
    };
    let (image, which) = (&args.image, &which);
    let pulled = shared::on_engine_shown(environment, progress, |engine, sink| async move {
        engine.pull(image, which, &sink).await
    })?;
    let state = if pulled.unchanged { "Image is up to date" } else { "Downloaded newer image" };
    render::print(&match args.quiet {
        true => format!("{image}\n"),
        false => format!("Digest: {}\nStatus: {state} for {}\n{image}\n", pulled.digest, image.familiar()),
    })?;
    Ok(status::OK)
}
