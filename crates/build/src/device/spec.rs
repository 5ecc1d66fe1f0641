//! Spec files of the Container Device Interface (github.com/cncf-tags/container-device-interface, SPEC.md).

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::{Device, yaml};

/// The longest file. Those that `nvidia-ctk` writes for machines full of processors have some hundred KiB.
const MAX_BYTES: u64 = 1 << 20;
/// How many files of a folder are read.
const MAX_FILES: usize = 256;

/// BuildKit's annotations.
const CLASS: &str = "org.mobyproject.buildkit.device.class";
const AUTO_ALLOW: &str = "org.mobyproject.buildkit.device.autoallow";

/// A file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    cdi_version: String,
    kind: String,
    #[serde(default)]
    annotations: BTreeMap<String, Text>,
    devices: Vec<Entry>,
    #[serde(default)]
    container_edits: Edits,
}

/// A device in it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    annotations: BTreeMap<String, Text>,
    #[serde(default)]
    container_edits: Edits,
}

/// What is to be different in a container that has a device.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Edits {
    /// `NAME=VALUE`.
    pub(super) env: Vec<Variable>,
    pub(super) device_nodes: Vec<DeviceNode>,
    pub(super) mounts: Vec<HostMount>,
    #[serde(rename = "additionalGids")]
    pub(super) groups: Vec<Number>,
    /// What we do not do: `hooks`, which are the runtime's, `netDevices`, `intelRdt`, and what newer versions have.
    #[serde(flatten)]
    pub(super) other: BTreeMap<String, Value>,
}

/// `NAME=VALUE`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Variable(pub(super) String, pub(super) String);

/// A device's file. Which owner, mode and `permissions` it should have is not kept: without privileges it is the machine's own
/// file, and the machine's rights to it hold.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeviceNode {
    pub(super) path: String,
    pub(super) host_path: Option<Absolute>,
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    pub(super) major: Option<Number>,
    pub(super) minor: Option<Number>,
}

/// A file or folder of the machine.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HostMount {
    pub(super) host_path: Absolute,
    pub(super) container_path: String,
    /// Of these, `ro` matters: others take away what a rootless process does not have, or say how mounts spread.
    #[serde(default)]
    pub(super) options: Vec<String>,
}

/// A path of the machine.
#[derive(Debug, Deserialize)]
#[serde(try_from = "PathBuf")]
pub(super) struct Absolute(pub(super) PathBuf);

/// A number, which in YAML is still text.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Value")]
pub(super) struct Number(pub(super) u32);

/// A text, which in JSON may be a bool, for BuildKit takes one.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
struct Text(String);

impl TryFrom<String> for Variable {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self(name.into(), value.into())),
            _ => Err(format!("the variable `{text}` is not NAME=VALUE")),
        }
    }
}

impl TryFrom<PathBuf> for Absolute {
    type Error = String;

    fn try_from(path: PathBuf) -> Result<Self, String> {
        if path.is_absolute() { Ok(Self(path)) } else { Err(format!("`{}` is not an absolute path", path.display())) }
    }
}

impl TryFrom<Value> for Number {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let number = match &value {
            Value::Number(number) => number.as_u64().and_then(|n| n.try_into().ok()),
            Value::String(text) => match text.strip_prefix("0x") {
                Some(digits) => u32::from_str_radix(digits, 16).ok(),
                None => text.parse().ok(),
            },
            _ => None,
        };
        number.map(Self).ok_or_else(|| format!("{value} is not a number of a device or group"))
    }
}

impl TryFrom<Value> for Text {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(Self(text)),
            Value::Bool(_) | Value::Number(_) => Ok(Self(value.to_string())),
            _ => Err(format!("the annotation {value} is not a text")),
        }
    }
}

/// Reads the specs of some folders: a device of a later folder counts in place of its namesake in an earlier one. What is wrong
/// with a file is told, and the others still count.
pub(super) fn read(folders: &[PathBuf], warn: &mut dyn FnMut(String)) -> BTreeMap<String, Arc<Device>> {
    let mut all = BTreeMap::new();
    for folder in folders {
        let files = match files(folder) {
            Ok(files) => files,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => {
                warn(format!("{}: {e}; the devices that it describes are not there for this build", folder.display()));
                continue;
            }
        };
        if files.len() > MAX_FILES {
            warn(format!("{}: of its {} files the first {MAX_FILES} are read", folder.display(), files.len()));
        }
        let mut here: BTreeMap<String, Arc<Device>> = BTreeMap::new();
        let mut twice = BTreeSet::new();
        for file in files.iter().take(MAX_FILES) {
            match text(file).and_then(|text| devices(file, &text)) {
                Ok(devices) => {
                    for device in devices {
                        if let Some(first) = here.get(&device.name) {
                            let (one, other) = (first.file.display(), file.display());
                            warn(format!("device {} is in {one} and in {other}: remove it from one", device.name));
                            twice.insert(device.name);
                        } else {
                            here.insert(device.name.clone(), Arc::new(device));
                        }
                    }
                }
                Err(why) => {
                    warn(format!("{}: {why}; its devices are not there for this build", file.display()));
                }
            }
        }
        // Nobody can say which of them is meant.
        here.retain(|name, _| !twice.contains(name));
        all.extend(here);
    }
    all
}

/// The specs of a folder, by name. Those in folders below it are not looked at.
fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "json" || end == "yaml" || end == "yml") && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn text(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    // Asked before it is opened: to open a pipe is to wait for who writes to it.
    if !path.metadata().map_err(|e| e.to_string())?.is_file() {
        return Err("it is not a file".into());
    }
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|e| e.to_string())?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("it is longer than {} MiB", MAX_BYTES >> 20));
    }
    Ok(text)
}

/// The devices of one spec.
fn devices(file: &Path, text: &str) -> Result<Vec<Device>, String> {
    let value = match file.extension() {
        Some(end) if end == "json" => serde_json::from_str(text).map_err(|e| format!("this is not JSON: {e}"))?,
        _ => yaml::read(text)?,
    };
    let spec: Spec = serde_json::from_value(value).map_err(|e| e.to_string())?;
    if !spec.cdi_version.starts_with("0.") && !spec.cdi_version.starts_with("1.") {
        return Err(format!("cdiVersion {} is not known; 0.x and 1.x are", spec.cdi_version));
    }
    match spec.kind.split_once('/') {
        Some((vendor, class)) if is_name(vendor, "_-.") && is_name(class, "_-.") => {}
        _ => return Err(format!("the kind `{}` is not VENDOR/CLASS", spec.kind)),
    }
    if spec.devices.is_empty() {
        return Err("it has no devices".into());
    }
    let shared = Arc::new(spec.container_edits);
    let mut devices: Vec<Device> = Vec::new();
    for entry in spec.devices {
        if !is_name(&entry.name, "_-.:") {
            return Err(format!("`{}` is not a device's name", entry.name));
        }
        let name = format!("{}={}", spec.kind, entry.name);
        if devices.iter().any(|device| device.name == name) {
            return Err(format!("it has two devices {}", entry.name));
        }
        // A device's own annotations go before those of its file.
        let annotation = |key| entry.annotations.get(key).or_else(|| spec.annotations.get(key)).map(|text| &text.0);
        devices.push(Device {
            class: annotation(CLASS).cloned(),
            auto_allowed: annotation(AUTO_ALLOW).and_then(|text| archipel_dockerfile::boolean(text)) == Some(true),
            name,
            file: file.to_owned(),
            shared: shared.clone(),
            own: entry.container_edits,
        });
    }
    Ok(devices)
}

/// Letters and digits, and between them some marks.
fn is_name(text: &str, marks: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    ends(text.chars().next())
        && ends(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || marks.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spec_in_both_forms() {
        let yaml = r#"
cdiVersion: "0.6.0"
kind: vendor.com/net
annotations:
  org.mobyproject.buildkit.device.autoallow: true
containerEdits:
  env: ["ALL=1=2"]
devices:
- name: 0
  annotations: {org.mobyproject.buildkit.device.class: c}
  containerEdits:
    deviceNodes:
    - {path: /dev/n0, hostPath: /dev/null, type: c, major: 1, minor: 0x3, permissions: rw, fileMode: 438}
    mounts:
    - {hostPath: /opt, containerPath: /o, options: [ro, nosuid, bind]}
    additionalGids: [44]
    hooks: [{hookName: createContainer, path: /x}]
- name: off
  annotations: {org.mobyproject.buildkit.device.autoallow: "false"}
"#;
        let value = yaml::read(yaml).unwrap();
        let mut json = value.to_string();
        for (text, typed) in
            [("\"true\"", "true"), ("\"1\"", "1"), ("\"0x3\"", "3"), ("\"44\"", "44"), ("\"438\"", "438")]
        {
            assert!(json.contains(text));
            json = json.replace(text, typed);
        }
        for (file, text) in [("a.yml", yaml), ("a.json", &json)] {
            let devices = devices(Path::new(file), text).unwrap();
            let [first, second] = &devices[..] else { panic!("{devices:?}") };
            assert_eq!((first.name.as_str(), first.class.as_deref()), ("vendor.com/net=0", Some("c")));
            assert!(first.auto_allowed && !second.auto_allowed);
            assert_eq!((second.name.as_str(), &second.class), ("vendor.com/net=off", &None));
            assert!(Arc::ptr_eq(&first.shared, &second.shared));
            assert_eq!((first.shared.env[0].0.as_str(), first.shared.env[0].1.as_str()), ("ALL", "1=2"));
            let node = &first.own.device_nodes[0];
            assert_eq!((node.major.map(|n| n.0), node.minor.map(|n| n.0)), (Some(1), Some(3)));
            assert_eq!(first.own.mounts[0].options, ["ro", "nosuid", "bind"]);
            assert_eq!(first.own.groups[0].0, 44);
            assert_eq!(first.own.other.keys().collect::<Vec<_>>(), ["hooks"]);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let with = |device: &str| format!("{{cdiVersion: 0.6.0, kind: a.b/c, devices: [{{name: d, {device}}}]}}");
        for (text, expected) in [
            ("{cdiVersion: 0.6.0, kind: a/b}".to_owned(), "missing field `devices`"),
            ("{cdiVersion: 0.6.0, kind: a/b, devices: []}".to_owned(), "it has no devices"),
            ("{cdiVersion: 2.0.0, kind: a/b, devices: []}".to_owned(), "cdiVersion 2.0.0 is not known"),
            ("{cdiVersion: 0.6.0, kind: ab, devices: []}".to_owned(), "the kind `ab` is not VENDOR/CLASS"),
            (with("name: e"), "line 1: `name` is given twice"),
            (with("edits: {}"), "unknown field `edits`"),
            (with("containerEdits: {env: [A]}"), "the variable `A` is not NAME=VALUE"),
            (with("containerEdits: {mounts: [{hostPath: a, containerPath: /b}]}"), "`a` is not an absolute path"),
            (with("containerEdits: {deviceNodes: [{path: /a, major: x}]}"), "\"x\" is not a number"),
            (with("}, {name: d"), "it has two devices d"),
            (with("}, {name: a b"), "`a b` is not a device's name"),
        ] {
            let error = devices(Path::new("a.yaml"), &text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }

    #[test]
    fn folders_and_what_is_wrong_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let (low, high) = (dir.path().join("low"), dir.path().join("high"));
        let spec = |devices: &str| format!("{{cdiVersion: 0.6.0, kind: v/c, devices: [{devices}]}}");
        let write = |path: PathBuf, text: &str| {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(low.join("a.yaml"), &spec("{name: both}, {name: low}, {name: twice}"));
        write(low.join("b.yaml"), &spec("{name: twice}"));
        write(low.join("c.json"), "{");
        write(low.join("long.json"), &" ".repeat(1 + (1 << 20)));
        write(low.join("readme.txt"), "nothing to see");
        write(low.join("below/d.yaml"), &spec("{name: below}"));
        write(high.join("a.yml"), &spec("{name: both}"));
        let mut warnings = Vec::new();
        let found = read(&[low.clone(), dir.path().join("gone"), high.clone()], &mut |text| warnings.push(text));
        assert_eq!(found.keys().collect::<Vec<_>>(), ["v/c=both", "v/c=low"]);
        assert_eq!(found["v/c=both"].file, high.join("a.yml"));
        assert_eq!(warnings.len(), 3, "{warnings:?}");
        let low = low.display();
        assert_eq!(warnings[0], format!("device v/c=twice is in {low}/a.yaml and in {low}/b.yaml: remove it from one"));
        assert!(warnings[1].starts_with(&format!("{low}/c.json: this is not JSON: ")), "{}", warnings[1]);
        assert!(warnings[2].contains("it is longer than 1 MiB; its devices are not there"), "{}", warnings[2]);
    }
}
