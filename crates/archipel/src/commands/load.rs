//! `archipel load`.

use std::path::PathBuf;

use super::shared;
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::render::{self, Progress};

/// Read the images of an archive that `save`, `docker save` or a build wrote.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Read this file instead of standard input
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Show nothing but errors and the names
    #[arg(short, long)]
    quiet: bool,
}

/// Reads it.
pub(super) fn run(args: Args, environment: &Environment) -> Result<u8, Error> {
    let (path, _spool) = match args.input.filter(|path| path.as_os_str() != "-") {
        Some(path) => (path, None),
        None => {
            let mut spool = tempfile::NamedTempFile::new().map_err(Error::io("a file for standard input"))?;
            std::io::copy(&mut std::io::stdin().lock(), &mut spool).map_err(Error::io("standard input"))?;
            (spool.path().to_owned(), Some(spool))
        }
    };
    let progress = if args.quiet { Progress::Quiet } else { Progress::Auto };
    let loaded =
        shared::on_engine_shown(environment, progress, |engine, sink| async move { engine.load(&path, &sink).await })?;
    for image in loaded {
        render::print(&match image.name {
            Some(name) => format!("Loaded image: {}\n", name.familiar()),
            None => format!("Loaded image ID: {}\n", image.top.digest),
        })?;
    }
    Ok(status::OK)
}
