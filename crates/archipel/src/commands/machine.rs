//! This machine as `docker info` shows it.

use archipel_oci::{DOCKER_HUB, Platform};
use archipel_sandbox::probe::{Probe, Rung};
use serde_json::{Value, json};

use super::shared;
use crate::environment::Environment;
use crate::errors::Error;
use crate::surface::{API_VERSION, BUILDX_VERSION, DOCKER_VERSION};

/// What docker's templates see.
pub(super) fn value(probe: &Probe, environment: &Environment) -> Result<Value, Error> {
    let name = rustix::system::uname();
    let memory = rustix::system::sysinfo();
    let memory = (memory.totalram as u64).saturating_mul(memory.mem_unit.into());
    let registries = environment.registries()?;
    let plain = registries.registry.iter().filter(|(_, one)| one.http == Some(true) || one.insecure);
    let insecure: Vec<&String> = plain.map(|(host, _)| host).collect();
    let mirrors: Vec<&String> =
        registries.registry.get(DOCKER_HUB).map_or_else(Vec::new, |hub| hub.mirrors.iter().collect());
    let unavailable: Vec<String> =
        probe.findings.iter().filter(|f| !f.good).map(|f| format!("{}: {}", f.name, f.detail)).collect();
    Ok(json!({
        "ServerVersion": DOCKER_VERSION,
        "Driver": match probe.rung {
            Rung::Userns => "overlayfs",
            Rung::UsernsCopy | Rung::Chroot => "vfs",
            Rung::None => "none",
        },
        "OSType": Platform::host().os,
        "Architecture": name.machine().to_string_lossy(),
        "KernelVersion": name.release().to_string_lossy(),
        "OperatingSystem": operating_system(),
        "Name": name.nodename().to_string_lossy(),
        "NCPU": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "MemTotal": memory,
        "DockerRootDir": environment.store_dir()?,
        "Images": shared::store(environment)?.images()?.len(),
        "Containers": 0, "ContainersRunning": 0, "ContainersPaused": 0, "ContainersStopped": 0,
        "SecurityOptions": match probe.rung {
            Rung::Userns | Rung::UsernsCopy => vec!["name=seccomp,profile=builtin", "name=rootless", "name=userns"],
            Rung::Chroot | Rung::None => vec![],
        },
        "ExperimentalBuild": false,
        "LiveRestoreEnabled": false,
        "Debug": false,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": { "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"], "InsecureRegistries": insecure, "Mirrors": mirrors },
        "Warnings": unavailable,
        "ClientInfo": {
            "Version": DOCKER_VERSION, "ApiVersion": API_VERSION, "Context": "default", "Debug": false,
            "Plugins": [{ "Name": "buildx", "Version": BUILDX_VERSION }],
        },
    }))
}

/// What the machine calls its system. A container of scratch does not say.
fn operating_system() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".into(), |name| name.trim_matches(['"', '\'']).to_owned())
}

/// The lines that scripts look for.
pub(super) fn text(value: &Value) -> String {
    let show = |name: &str| match &value[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let memory = value["MemTotal"].as_u64().unwrap_or(0) as f64 / f64::from(1 << 30);
    let mut text = format!(
        "Client:\n Version:    {DOCKER_VERSION}\n Context:    default\n Debug Mode: false\n Plugins:\n  buildx: Docker Buildx \
         (archipel {version})\n    Version:  {BUILDX_VERSION}\n\nServer:\n Containers: 0\n  Running: 0\n  Paused: 0\n  \
         Stopped: 0\n Images: {images}\n Server Version: {server}\n Storage Driver: {driver}\n",
        version = env!("CARGO_PKG_VERSION"),
        images = show("Images"),
        server = show("ServerVersion"),
        driver = show("Driver"),
    );
    let options = value["SecurityOptions"].as_array().map_or(&[][..], Vec::as_slice);
    if !options.is_empty() {
        text.push_str(" Security Options:\n");
    }
    for option in options.iter().filter_map(Value::as_str) {
        let (name, rest) = option.split_once(',').unwrap_or((option, ""));
        text.push_str(&format!("  {}\n", name.trim_start_matches("name=")));
        if let Some(profile) = rest.strip_prefix("profile=") {
            text.push_str(&format!("   Profile: {profile}\n"));
        }
    }
    for (label, name) in [
        ("Kernel Version", "KernelVersion"),
        ("Operating System", "OperatingSystem"),
        ("OSType", "OSType"),
        ("Architecture", "Architecture"),
        ("CPUs", "NCPU"),
    ] {
        text.push_str(&format!(" {label}: {}\n", show(name)));
    }
    text.push_str(&format!(" Total Memory: {memory:.2}GiB\n"));
    for (label, name) in [
        ("Name", "Name"),
        ("Docker Root Dir", "DockerRootDir"),
        ("Debug Mode", "Debug"),
        ("Experimental", "ExperimentalBuild"),
    ] {
        text.push_str(&format!(" {label}: {}\n", show(name)));
    }
    for (label, names) in [
        ("Insecure Registries", &["InsecureRegistries", "InsecureRegistryCIDRs"][..]),
        ("Registry Mirrors", &["Mirrors"]),
    ] {
        let listed =
            names.iter().flat_map(|name| value["RegistryConfig"][name].as_array().cloned().unwrap_or_default());
        let listed: Vec<String> = listed.filter_map(|one| Some(format!("  {}\n", one.as_str()?))).collect();
        if !listed.is_empty() {
            text.push_str(&format!(" {label}:\n{}", listed.concat()));
        }
    }
    text.push_str(" Live Restore Enabled: false\n");
    text
}
