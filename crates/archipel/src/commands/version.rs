//! `archipel version`.

use crate::errors::{Error, status};
use crate::render;

/// Show the version.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Form of what is shown
    #[arg(long, value_enum, default_value = "text", value_name = "FORM")]
    format: super::shared::Format,
}

/// Shows it.
pub(super) fn run(args: &Args) -> Result<u8, Error> {
    let (version, platform) = (env!("CARGO_PKG_VERSION"), archipel_oci::Platform::host().to_string());
    render::print(&match args.format {
        super::shared::Format::Text => format!("archipel {version} {platform}\n"),
        super::shared::Format::Json => {
            super::shared::json(&serde_json::json!({ "version": version, "platform": platform }))
        }
    })?;
    Ok(status::OK)
}
