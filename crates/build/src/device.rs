//! Devices of this machine that a RUN may ask for (`RUN --device`): those that a name means, whether a build may have them, and
//! what a process sees of them. Names and permissions are as in BuildKit.

mod spec;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archipel_dockerfile::{self as dockerfile, Diagnostic, Span};
use archipel_sandbox::Mount;

use spec::{DeviceNode, Edits};

/// A device, as a spec file describes it.
#[derive(Debug)]
pub(crate) struct Device {
    /// `vendor.com/class=name`.
    pub(crate) name: String,
    /// A name that it shares with others.
    class: Option<String>,
    /// Who wrote the spec lets every build have it.
    auto_allowed: bool,
    /// The spec.
    file: PathBuf,
    /// What the spec says for all of its devices, which is done once however many of them there are.
    shared: Arc<Edits>,
    own: Edits,
}

/// The devices of this machine.
#[derive(Debug)]
pub(crate) struct Devices {
    by_name: BTreeMap<String, Arc<Device>>,
    folders: Vec<PathBuf>,
}

/// What a process sees of its devices.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) env: Vec<(String, String)>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) groups: Vec<u32>,
}

impl Devices {
    /// Reads the spec files of some folders. A later folder goes before an earlier one.
    pub(crate) fn read(folders: &[PathBuf], warn: &mut dyn FnMut(String)) -> Self {
        Self { by_name: spec::read(folders, warn), folders: folders.to_vec() }
    }

    /// The devices that one RUN asks for, each once. One that is not there or cannot be given is an error where it is `required`,
    /// and else left out; one that is there and not allowed is an error in any case.
    pub(crate) fn choose(
        &self,
        wanted: &[dockerfile::Device],
        allow: &[String],
        span: &Span,
        warn: &mut dyn FnMut(String),
    ) -> Result<Vec<Arc<Device>>, Diagnostic> {
        let mut chosen: Vec<Arc<Device>> = Vec::new();
        let mut forbidden = BTreeSet::new();
        let allowed = self.allowed(allow);
        for wish in wanted {
            let alias = grants(allow).find(|grant| grant.alias == Some(&wish.name));
            let name = alias.and_then(|grant| grant.name).unwrap_or(&wish.name);
            let named = self.named(name);
            if named.is_empty() && wish.required {
                return Err(self.missing(name, span));
            }
            for device in named {
                if !device.auto_allowed && !allowed.contains(&device.name) {
                    forbidden.insert(device.name.clone());
                }
                if let Some(edit) = device.unsupported() {
                    let why = format!("{} asks for `{edit}`, which is not supported", device.name);
                    if wish.required {
                        let file = device.file.display();
                        let help =
                            format!("remove `{edit}` from {file} if the device works without, or leave out `required`");
                        return Err(Diagnostic::error("no-device", format!("device {why}"), span.clone()).help(help));
                    }
                    warn(format!("optional device {why}: it is left out"));
                } else if !chosen.iter().any(|known| known.name == device.name) {
                    chosen.push(device.clone());
                }
            }
        }
        if forbidden.is_empty() { Ok(chosen) } else { Err(not_allowed(&forbidden, span)) }
    }

    /// What a name means. A kind alone is its first device and `kind=*` all of them; else it may be what devices call their class.
    fn named(&self, name: &str) -> Vec<&Arc<Device>> {
        let (kind, of_kind) = name.split_once('=').unwrap_or((name, ""));
        let is_kind = kind.split_once('/').is_some_and(|(vendor, class)| !vendor.is_empty() && !class.is_empty());
        let mut same_kind =
            self.by_name.values().filter(|device| device.name.split_once('=').is_some_and(|(own, _)| own == kind));
        let found: Vec<_> = match of_kind {
            _ if !is_kind => Vec::new(),
            "" => same_kind.next().into_iter().collect(),
            "*" => same_kind.collect(),
            _ => self.by_name.get(name).into_iter().collect(),
        };
        if !found.is_empty() {
            return found;
        }
        self.by_name.values().filter(|device| device.class.as_deref() == Some(name)).collect()
    }

    /// The names of what may be had. What is permitted and not there harms nobody.
    fn allowed(&self, allow: &[String]) -> BTreeSet<&String> {
        let mut names = BTreeSet::new();
        for grant in grants(allow) {
            match grant.name {
                None => names.extend(self.by_name.keys()),
                Some(name) => names.extend(self.named(name).into_iter().map(|device| &device.name)),
            }
        }
        names
    }

    fn missing(&self, name: &str, span: &Span) -> Diagnostic {
        let folders = self.folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ");
        let kinds: BTreeSet<&str> = self.by_name.keys().filter_map(|name| Some(name.split_once('=')?.0)).collect();
        let there = match kinds.len() {
            0 => format!("there are no devices in {folders}"),
            _ => format!("in {folders} there are {}", kinds.into_iter().collect::<Vec<_>>().join(", ")),
        };
        let message = format!("required device {name:?} is not registered: {there}");
        Diagnostic::error("no-device", message, span.clone())
            .help("put a CDI spec that describes it into one of these folders, or leave out `required`")
    }
}

impl Device {
    /// An edit of the spec that we do not make: network devices and cache partitions take privileges, and hooks, which BuildKit
    /// leaves to its runtime, are programs that want to find that runtime's state and files. A device without what its spec asks
    /// for would fail in ways that nobody understands, so it is not given at all.
    fn unsupported(&self) -> Option<&str> {
        self.shared.other.keys().chain(self.own.other.keys()).next().map(String::as_str)
    }
}

/// `--allow device[=NAME[,alias=ALIAS]]`.
struct Grant<'a> {
    /// None for every device.
    name: Option<&'a str>,
    /// What stands for it in the Dockerfile.
    alias: Option<&'a str>,
}

fn grants(allow: &[String]) -> impl Iterator<Item = Grant<'_>> {
    allow.iter().filter_map(|entitlement| {
        let Some(what) = entitlement.strip_prefix("device=") else {
            return (entitlement == "device").then_some(Grant { name: None, alias: None });
        };
        Some(match what.split_once(",alias=") {
            Some((name, alias)) => Grant { name: Some(name), alias: Some(alias) },
            None => Grant { name: Some(what), alias: None },
        })
    })
}

fn not_allowed(names: &BTreeSet<String>, span: &Span) -> Diagnostic {
    let list = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let message = match names.len() {
        1 => format!("device {list} is requested by the build but not allowed"),
        _ => format!("devices {list} are requested by the build but not allowed"),
    };
    let flags = names.iter().map(|name| format!("--allow device={name}")).collect::<Vec<_>>().join(" ");
    Diagnostic::error("not-allowed", message, span.clone()).help(format!("build with {flags} to permit it"))
}

/// What a process sees of its devices. Their files are looked at now, for they come and go.
pub(crate) fn give(devices: &[Arc<Device>]) -> Result<Given, String> {
    let mut given = Given::default();
    let mut done: Vec<&Arc<Edits>> = Vec::new();
    let mut nodes = Vec::new();
    for device in devices {
        let shared = (!done.iter().any(|edits| Arc::ptr_eq(edits, &device.shared))).then_some(&*device.shared);
        done.push(&device.shared);
        let told = |why: String| format!("device {} of {}: {why}", device.name, device.file.display());
        for edits in shared.into_iter().chain([&device.own]) {
            given.env.extend(edits.env.iter().map(|variable| (variable.0.clone(), variable.1.clone())));
            // That of root is nothing to give away (the CDI library).
            given.groups.extend(edits.groups.iter().map(|group| group.0).filter(|group| *group != 0));
            for mount in &edits.mounts {
                let source = &mount.host_path.0;
                if let Err(e) = source.metadata() {
                    return Err(told(format!("mount {}: {e}", source.display())));
                }
                let read_only = mount.options.iter().any(|option| option == "ro");
                given.mounts.push(bind(source, &mount.container_path, read_only));
            }
            for node in &edits.device_nodes {
                nodes.push(bind(&host_node(node).map_err(told)?, &node.path, false));
            }
        }
    }
    // Outer ones first, so that none hides another.
    given.mounts.sort_by_key(|mount| Path::new(mount.target()).components().count());
    given.mounts.extend(nodes);
    Ok(given)
}

fn bind(source: &Path, target: &str, read_only: bool) -> Mount {
    Mount::Bind { source: source.to_owned(), target: target.to_owned(), read_only }
}

/// The machine's own file for a device. A rootless process makes none, so the one there must be what the spec says.
fn host_node(node: &DeviceNode) -> Result<PathBuf, String> {
    let path = node.host_path.as_ref().map_or_else(|| PathBuf::from(&node.path), |path| path.0.clone());
    let meta = path.symlink_metadata().map_err(|e| format!("{}: {e}", path.display()))?;
    let file_type = meta.file_type();
    let fits = match node.kind.as_str() {
        "" => file_type.is_char_device() || file_type.is_block_device() || file_type.is_fifo(),
        "c" | "u" => file_type.is_char_device(),
        "b" => file_type.is_block_device(),
        "p" => file_type.is_fifo(),
        other => return Err(format!("{}: `{other}` is not a type of device: c, b and p are", path.display())),
    };
    if !fits {
        let kind = if node.kind.is_empty() { "" } else { " of this type" };
        return Err(format!("{} is not a device{kind}", path.display()));
    }
    let number = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
    let told = node.major.map_or(number, |major| (major.0, node.minor.map_or(0, |minor| minor.0)));
    if !file_type.is_fifo() && told.0 != 0 && told != number {
        return Err(format!("{} is {}:{} here, not {}:{}", path.display(), number.0, number.1, told.0, told.1));
    }
    Ok(path)
}

#[cfg(test)]
mod tests;
