//! `archipel info`.

use archipel_oci::Platform;
use archipel_sandbox::probe::Rung;

use super::shared::{self, Format};
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::render;

/// Show the version, where things are kept, and what this machine can run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Form of what is shown
    #[arg(long, value_enum, default_value = "text", value_name = "FORM")]
    format: Format,
}

/// Shows it.
pub(super) fn run(args: &Args, environment: &Environment) -> Result<u8, Error> {
    let (version, platform) = (env!("CARGO_PKG_VERSION"), Platform::host().to_string());
    let (store, credentials) = (environment.store_dir()?, environment.docker_config()?);
    let probe = shared::probe(environment)?;
    if args.format == Format::Json {
        let all = serde_json::json!({
            "version": version, "platform": platform, "store": store, "credentials": credentials, "machine": probe,
        });
        render::print(&shared::json(&all))?;
        return Ok(status::OK);
    }
    let isolation = match probe.rung {
        Rung::Userns => "user namespaces and overlayfs",
        Rung::None => "none: RUN is refused; `archipel doctor` says why",
    };
    let mut text = format!(
        "Version:      {version}\nPlatform:     {platform}\nKernel:       {}\nStore:        {}\nCredentials:  {}\nIsolation:    {isolation}\n",
        probe.kernel,
        store.display(),
        credentials.display()
    );
    for (n, (architecture, how)) in probe.architectures.iter().enumerate() {
        let head = if n == 0 { "Runs:" } else { "" };
        text.push_str(&format!("{head:<14}{architecture} ({how})\n"));
    }
    render::print(&text)?;
    Ok(status::OK)
}
