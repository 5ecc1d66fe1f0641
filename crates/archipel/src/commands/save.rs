//! `archipel save`.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use archipel_oci::Reference;

use super::shared;
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::render::Progress;

/// Write images of the store into one archive, for `load` and `docker load`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Writes it.
pub(super) fn run(args: Args, environment: &Environment) -> Result<u8, Error> {
    let dest = args.output.filter(|path| path.as_os_str() != "-");
    if dest.is_none() && std::io::stdout().is_terminal() {
        return Err(Error::Usage("an archive is nothing for a terminal: use -o FILE, or redirect the output".into()));
    }
    let store = shared::store(environment)?;
    let mut names: Vec<Reference> = Vec::new();
    for text in &args.images {
        names.extend(shared::stored_images(&store, text)?.into_iter().map(|image| image.reference));
    }
    drop(store);
    shared::on_engine_shown(environment, Progress::Quiet, |engine, sink| async move {
        engine.save(&names, dest.as_deref(), &sink).await
    })?;
    Ok(status::OK)
}
