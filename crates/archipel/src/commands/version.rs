//! `archipel version`.

use archipel_oci::Platform;
use serde_json::{Value, json};

use super::shared;
use crate::errors::{Error, status};
use crate::render::{self, template};
use crate::surface::{API_VERSION, BUILDKIT_VERSION, DOCKER_VERSION, Surface};

/// Show the version.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Form of what is shown: text, json, or a template such as '{{.Client.Version}}'
    #[arg(short, long, default_value = "text", value_name = "FORM")]
    format: String,
}

/// Shows it.
pub(super) fn run(args: &Args, surface: Surface) -> Result<u8, Error> {
    let value = match surface {
        Surface::Archipel => json!({ "version": env!("CARGO_PKG_VERSION"), "platform": Platform::host().to_string() }),
        Surface::Docker => as_docker(),
    };
    render::print(&match (args.format.as_str(), surface) {
        ("text", Surface::Archipel) => format!("archipel {} {}\n", env!("CARGO_PKG_VERSION"), Platform::host()),
        ("text", Surface::Docker) => docker_text(),
        ("json", Surface::Archipel) => shared::json(&value),
        ("json", Surface::Docker) => format!("{value}\n"),
        (format, _) => template::render(format, &value).map_err(Error::Usage)? + "\n",
    })?;
    Ok(status::OK)
}

/// What docker's templates see. Client and server are one program.
fn as_docker() -> Value {
    let host = Platform::host();
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let both = json!({
        "Platform": { "Name": concat!("archipel ", env!("CARGO_PKG_VERSION")) },
        "Version": DOCKER_VERSION, "ApiVersion": API_VERSION, "Os": host.os, "Arch": host.architecture,
    });
    let (mut client, mut server) = (both.clone(), both);
    client["Context"] = "default".into();
    server["KernelVersion"] = kernel.into();
    server["MinAPIVersion"] = API_VERSION.into();
    server["Components"] = json!([
        { "Name": "archipel", "Version": env!("CARGO_PKG_VERSION") },
        { "Name": "buildkit", "Version": BUILDKIT_VERSION },
    ]);
    json!({ "Client": client, "Server": server })
}

fn docker_text() -> String {
    let (version, host) = (env!("CARGO_PKG_VERSION"), Platform::host());
    format!(
        "Client: archipel {version}\n Version:           {DOCKER_VERSION}\n API version:       {API_VERSION}\n \
         OS/Arch:           {host}\n Context:           default\n\n\
         Server: archipel {version} (no daemon: the same program)\n Engine:\n  Version:          {DOCKER_VERSION}\n  \
         API version:      {API_VERSION} (minimum version {API_VERSION})\n  OS/Arch:          {host}\n  \
         Experimental:     false\n"
    )
}
