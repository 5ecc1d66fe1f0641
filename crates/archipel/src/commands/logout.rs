//! `archipel logout`.

use archipel_remote::Credentials;

use super::shared;
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::{render, runtime};

/// Forget the credentials for a registry.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The registry [default: docker.io]
    #[arg(value_name = "REGISTRY")]
    registry: Option<String>,
}

/// Removes them from docker's file and from the helper that it names.
pub(super) fn run(args: &Args, environment: &Environment) -> Result<u8, Error> {
    let registry = shared::registry_name(args.registry.as_deref())?;
    let file = environment.docker_config()?;
    let erased = runtime::block_on(async { Ok(Credentials::erase(&file, &registry).await?) })?;
    render::print(&if erased {
        format!("Removing login credentials for {registry}\n")
    } else {
        format!("Not logged in to {registry}\n")
    })?;
    Ok(status::OK)
}
