//! `archipel info`.

use archipel_oci::Platform;
use archipel_sandbox::probe::{Probe, Rung};
use serde_json::Value;

use super::{machine, shared};
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::render::{self, template};
use crate::surface::Surface;

/// Show the version, where things are kept, and what this machine can run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Form of what is shown: text, json, or a template such as '{{json .}}'
    #[arg(short, long, default_value = "text", value_name = "FORM")]
    format: String,
}

/// Shows it.
pub(super) fn run(args: &Args, surface: Surface, environment: &Environment) -> Result<u8, Error> {
    let probe = shared::probe(environment)?;
    let value = match surface {
        Surface::Archipel => value(&probe, environment)?,
        Surface::Docker => machine::value(&probe, environment)?,
    };
    render::print(&match (args.format.as_str(), surface) {
        ("text", Surface::Archipel) => text(&probe, environment)?,
        ("text", Surface::Docker) => machine::text(&value),
        ("json", Surface::Archipel) => shared::json(&value),
        ("json", Surface::Docker) => format!("{value}\n"),
        (format, _) => template::render(format, &value).map_err(Error::Usage)? + "\n",
    })?;
    Ok(status::OK)
}

fn value(probe: &Probe, environment: &Environment) -> Result<Value, Error> {
    Ok(serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "platform": Platform::host().to_string(),
        "store": environment.store_dir()?,
        "credentials": environment.docker_config()?,
        "machine": probe,
    }))
}

fn text(probe: &Probe, environment: &Environment) -> Result<String, Error> {
    let (version, platform) = (env!("CARGO_PKG_VERSION"), Platform::host().to_string());
    let (store, credentials) = (environment.store_dir()?, environment.docker_config()?);
    let isolation = match probe.rung {
        Rung::Userns => "user namespaces and overlayfs",
        Rung::UsernsCopy => "user namespaces; files are copied",
        Rung::Chroot => "a chroot; files are copied (`archipel doctor` says what that means)",
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
    Ok(text)
}
