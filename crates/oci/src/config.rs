//! Image configurations, with every field that Docker knows and whatever else stood there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::descriptor::null_is_default;
use crate::{ChainId, DiffId, Platform};

/// An image configuration (OCI image specification, "Image Configuration"). Unknown fields are kept in their place in
/// `extra`, so that an image built on a base loses nothing of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// `amd64`, `arm64`, ...
    #[serde(default)]
    pub architecture: String,
    /// `v7` of `arm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// `linux`.
    #[serde(default)]
    pub os: String,
    /// Windows' build number.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Windows' features.
    #[serde(
        rename = "os.features",
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub os_features: Vec<String>,
    /// When the image was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// What a container of it starts with.
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: ContainerConfig,
    /// The layers' identities, lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub rootfs: RootFs,
    /// The steps that made it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub history: Vec<History>,
    /// What else the document holds.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The `config` part: Docker's container settings, in Docker's order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// `USER`.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub user: String,
    /// `EXPOSE`: `80/tcp`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub exposed_ports: BTreeMap<String, Value>,
    /// `ENV`: `NAME=value`, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    /// `ENTRYPOINT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// `CMD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// `VOLUME`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub volumes: BTreeMap<String, Value>,
    /// `WORKDIR`.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub working_dir: String,
    /// `LABEL`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// `STOPSIGNAL`.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub stop_signal: String,
    /// Whether the command is a shell line on Windows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not", deserialize_with = "null_is_default")]
    pub args_escaped: bool,
    /// `HEALTHCHECK`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// `ONBUILD`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub on_build: Vec<String>,
    /// `SHELL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    /// What else stood there.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Docker's health check. Durations are nanoseconds; 0 means the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", ...]` or `["CMD-SHELL", line]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub test: Vec<String>,
    /// Between two checks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// For one check.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// Before failures count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Between two checks in the start period.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures that make it unhealthy.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: i64,
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}

/// The identities of the layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub diff_ids: Vec<DiffId>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".into(), diff_ids: Vec::new() }
    }
}

/// One step of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The instruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// `buildkit.dockerfile.v0` for BuildKit and us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the step added no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not", deserialize_with = "null_is_default")]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// The config of an empty image for a platform.
    #[must_use]
    pub fn empty(platform: &Platform) -> Self {
        let mut config = Self::default();
        config.set_platform(platform);
        config
    }

    /// Reads a document.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// Writes it as BuildKit does, by name and with Go's escapes: so an image of the same parts has the same id.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // String keys and plain values: nothing here can fail to be JSON.
        let mut document = serde_json::to_value(self).unwrap_or_default();
        if let Some(parts) = document.as_object_mut() {
            parts.sort_keys();
        }
        let mut text = document.to_string();
        // They can be in texts only.
        for (character, escape) in
            [('&', "\\u0026"), ('<', "\\u003c"), ('>', "\\u003e"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")]
        {
            text = text.replace(character, escape);
        }
        text.into_bytes()
    }

    /// The platform it says it is for, in normal form.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
        }
        .normalized()
    }

    /// Says that it is for a platform that was asked for, whatever its base was for. What that leaves open stays as it is.
    pub fn set_target(&mut self, platform: &Platform) {
        let mut target = platform.clone();
        if self.os == target.os && self.architecture == target.architecture {
            target.variant = target.variant.or(self.variant.take());
            target.os_version = target.os_version.or(self.os_version.take());
        }
        if target.os_features.is_empty() {
            target.os_features = std::mem::take(&mut self.os_features);
        }
        self.set_platform(&target);
    }

    /// Says which platform it is for.
    pub fn set_platform(&mut self, platform: &Platform) {
        let platform = platform.clone().normalized();
        self.os = platform.os;
        self.architecture = platform.architecture;
        self.variant = platform.variant;
        self.os_version = platform.os_version;
        self.os_features = platform.os_features;
    }

    /// The chain of all layers, or `None` for an image without one.
    #[must_use]
    pub fn chain(&self) -> Option<ChainId> {
        self.rootfs.diff_ids.iter().fold(None, |parent, layer| Some(ChainId::extend(parent.as_ref(), layer)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_counts() {
        let base = |platform: &str| ImageConfig::empty(&platform.parse().unwrap());
        for (from, target, expected) in [
            ("linux/arm64", "linux/amd64", "linux/amd64"),
            ("linux/arm/v6", "linux/arm64", "linux/arm64"),
            ("linux/amd64/v3", "linux/amd64", "linux/amd64/v3"),
            ("linux/arm/v6", "linux/arm/v7", "linux/arm/v7"),
            ("windows(10.0.1)/amd64", "windows/amd64", "windows(10.0.1)/amd64"),
            ("windows(10.0.1)/amd64", "linux/amd64", "linux/amd64"),
        ] {
            let mut config = base(from);
            config.set_target(&target.parse().unwrap());
            assert_eq!(config.platform().to_string(), expected, "{from} for {target}");
        }
        let mut spelled = ImageConfig { variant: Some("v8".into()), ..base("linux/arm64") };
        spelled.set_target(&Platform::new("linux", "arm64", None));
        assert_eq!(spelled.variant, None);
    }

    #[test]
    fn documents_are_written_as_by_buildkit() {
        let mut config = ImageConfig::empty(&"linux/arm/v7".parse().unwrap());
        config.created = Some("2026-01-01T00:00:00Z".into());
        config.config.shell = Some(vec!["a && b".into()]);
        config.config.labels.insert("<k>".into(), "\u{2028}".into());
        config.extra.insert("moby.x".into(), 1.into());
        let text = concat!(
            r#"{"architecture":"arm","config":{"Labels":{"\u003ck\u003e":"\u2028"},"Shell":["a \u0026\u0026 b"]},"#,
            r#""created":"2026-01-01T00:00:00Z","moby.x":1,"os":"linux","rootfs":{"type":"layers","diff_ids":[]},"variant":"v7"}"#
        );
        assert_eq!(String::from_utf8(config.to_bytes()).unwrap(), text);
        assert_eq!(ImageConfig::parse(text.as_bytes()).unwrap(), config);
    }

    #[test]
    fn nothing_of_a_base_is_lost() {
        let text = r#"{"architecture":"arm64","variant":"v8","os":"linux","config":{"Env":["A=b"],"Cmd":null,"Labels":null,
            "Healthcheck":{"Test":["CMD","true"],"Interval":1000},"OnBuild":["RUN x"],"Shell":["/bin/bash","-c"],"Novelty":[1]},
            "rootfs":{"type":"layers","diff_ids":null},"history":null,"moby.buildkit.cache.v0":"x"}"#;
        let config = ImageConfig::parse(text.as_bytes()).unwrap();
        assert_eq!(config.config.on_build, ["RUN x"]);
        assert_eq!(config.config.healthcheck.as_ref().unwrap().interval, 1000);
        let again: Value = serde_json::from_slice(&config.to_bytes()).unwrap();
        assert_eq!(again["config"]["Novelty"][0], 1);
        assert_eq!(again["moby.buildkit.cache.v0"], "x");
        assert_eq!(ImageConfig::parse(&config.to_bytes()).unwrap(), config);
        assert_eq!(config.platform().to_string(), "linux/arm64");
    }
}
