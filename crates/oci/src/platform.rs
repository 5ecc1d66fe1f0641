//! Platforms: what an image runs on, and which image a machine can run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An operating system, an architecture and its variant, in Go's names (OCI image specification, "Image Index").
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// `amd64`, `arm64`, `arm`, ...
    pub architecture: String,
    /// `linux`, ...
    pub os: String,
    /// Windows' build number.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Windows' features.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// `v7` of `arm`, `v8` of `arm64`, `v2` of `amd64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Why a text is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a platform: {reason}; write it as `linux/arm64` or `linux/arm/v7`")]
pub struct PlatformError {
    text: String,
    reason: &'static str,
}

impl Platform {
    /// A platform in normal form.
    #[must_use]
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        Self {
            os: os.into(),
            architecture: architecture.into(),
            variant: variant.filter(|v| !v.is_empty()).map(Into::into),
            os_version: None,
            os_features: Vec::new(),
        }
        .normalized()
    }

    /// The platform that this program was compiled for. The variant of arm is what the compiler aimed at, not a probe.
    #[must_use]
    pub fn host() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "x86" => ("386", None),
            "aarch64" => ("arm64", None),
            "arm" => ("arm", Some("v7")),
            "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", None),
            "loongarch64" => ("loong64", None),
            other => (other, None),
        };
        Self::new("linux", architecture, variant)
    }

    /// One spelling for each platform: `x86_64` is `amd64`, `arm` means `arm/v7`, `arm64` means `arm64/v8` and is written
    /// without it, `amd64/v1` is `amd64` (containerd's `platforms.Normalize`).
    #[must_use]
    pub fn normalized(mut self) -> Self {
        self.os = match self.os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".into(),
            other => other.into(),
        };
        let variant = self.variant.take().map(|v| v.to_ascii_lowercase()).filter(|v| !v.is_empty());
        let architecture = self.architecture.to_ascii_lowercase();
        let (architecture, variant): (&str, Option<String>) = match (architecture.as_str(), variant.as_deref()) {
            ("i386" | "i486" | "i586" | "i686" | "x86" | "386", _) => ("386", None),
            ("x86_64" | "x86-64" | "amd64", Some("v1")) => ("amd64", None),
            ("x86_64" | "x86-64" | "amd64", _) => ("amd64", variant),
            ("aarch64" | "arm64", None | Some("8" | "v8" | "v8.0")) => ("arm64", None),
            ("aarch64" | "arm64", Some("9" | "9.0" | "v9.0")) => ("arm64", Some("v9".into())),
            ("aarch64" | "arm64", _) => ("arm64", variant),
            ("armhf", _) => ("arm", Some("v7".into())),
            ("armel", _) => ("arm", Some("v6".into())),
            ("arm", None | Some("7")) => ("arm", Some("v7".into())),
            ("arm", Some(v @ ("5" | "6" | "8"))) => ("arm", Some(format!("v{v}"))),
            (other, _) => (other, variant),
        };
        self.architecture = architecture.into();
        self.variant = variant;
        self
    }

    /// How well an image for `image` runs where `self` is wanted: 0 is exact, larger is worse, `None` not at all. An arm/v7
    /// machine runs v6 and v5, an amd64/v3 one runs v2 and v1; amd64 takes 386 and arm64 takes 32-bit arm only where
    /// nothing better is there (containerd's `platforms.Only`). Windows runs what is made for its build number.
    #[must_use]
    pub fn distance(&self, image: &Platform) -> Option<u32> {
        let want = self.clone().normalized();
        let have = image.clone().normalized();
        if want.os != have.os || !want.runs_version(&have) {
            return None;
        }
        let (want_level, have_level) = (want.level(), have.level());
        match (want.architecture.as_str(), have.architecture.as_str()) {
            (w, h) if w == h => match (want_level, have_level) {
                (Some(w), Some(h)) => w.checked_sub(h),
                _ => (want.variant == have.variant).then_some(0),
            },
            ("amd64", "386") => Some(100),
            ("arm64", "arm") => have_level.and_then(|h| 8u32.checked_sub(h)).map(|d| 100 + d),
            _ => None,
        }
    }

    /// Windows compares the first three numbers of a version; other systems none.
    fn runs_version(&self, image: &Platform) -> bool {
        let build = |version: &str| version.splitn(4, '.').take(3).map(str::to_owned).collect::<Vec<_>>();
        match (&self.os_version, &image.os_version) {
            (Some(want), Some(have)) if self.os == "windows" => build(want) == build(have),
            _ => true,
        }
    }

    /// Like [`Platform::distance`], without taking an image of another architecture: what a build wants of its bases.
    #[must_use]
    pub fn same_architecture_distance(&self, image: &Platform) -> Option<u32> {
        self.distance(image).filter(|d| *d < 100)
    }

    /// The level of a variant on an architecture whose variants are ordered.
    fn level(&self) -> Option<u32> {
        let number = |default: u32| match &self.variant {
            None => Some(default),
            Some(v) => v.strip_prefix('v').and_then(|n| n.parse().ok()),
        };
        match self.architecture.as_str() {
            "amd64" => number(1),
            "arm64" => number(8),
            "arm" => number(7),
            _ => None,
        }
    }

    /// `linux-arm-v7`: a name for a file or folder (docker names the folders of `type=local` so, with `_`).
    #[must_use]
    pub fn file_name(&self) -> String {
        self.to_string().replace('/', "_")
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    /// Reads `os[(version[+feature...])]/arch[/variant]`, or an architecture or operating system alone as docker does.
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let err = |reason| PlatformError { text: text.into(), reason };
        let mut parts: Vec<&str> = text.split('/').collect();
        let options = match parts.first().and_then(|os| os.strip_suffix(')')?.split_once('(')) {
            Some((os, options)) => {
                parts[0] = os;
                options.split('+').collect()
            }
            None => Vec::new(),
        };
        let plain = |text: &&str| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if !options.iter().all(plain) {
            return Err(err("its version has a character that no version has"));
        }
        let mut platform = Self::of_parts(&parts).map_err(err)?;
        if let Some((version, features)) = options.split_first() {
            platform.os_version = Some((*version).to_owned()).filter(|version| !version.is_empty());
            platform.os_features = features.iter().map(|feature| (*feature).to_owned()).collect();
        }
        Ok(platform)
    }
}

impl Platform {
    fn of_parts(parts: &[&str]) -> Result<Self, &'static str> {
        let valid = |p: &&str| {
            p.starts_with(|c: char| c.is_ascii_alphanumeric())
                && p.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        };
        if !parts.iter().all(valid) {
            return Err("a part of it is empty or has a character that no platform has");
        }
        match parts {
            [os @ ("linux" | "windows" | "darwin" | "freebsd")] => {
                let host = Self::host();
                Ok(Self::new(os, &host.architecture, host.variant.as_deref()))
            }
            [arch] => {
                let platform = Self::new("linux", arch, None);
                const KNOWN: &[&str] =
                    &["amd64", "386", "arm64", "arm", "riscv64", "ppc64le", "s390x", "mips64le", "mips64", "loong64"];
                if KNOWN.contains(&platform.architecture.as_str()) {
                    Ok(platform)
                } else {
                    Err("neither an operating system nor an architecture that is known")
                }
            }
            [os, arch] => Ok(Self::new(os, arch, None)),
            [os, arch, variant] => Ok(Self::new(os, arch, Some(variant))),
            _ => Err("more than three parts"),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.os.clone();
        if self.os_version.is_some() || !self.os_features.is_empty() {
            text.push('(');
            text.push_str(self.os_version.as_deref().unwrap_or_default());
            self.os_features.iter().for_each(|feature| text.extend(["+", feature]));
            text.push(')');
        }
        text.push('/');
        text.push_str(&self.architecture);
        if let Some(variant) = &self.variant {
            text.push('/');
            text.push_str(variant);
        }
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn one_spelling() {
        for (from, to) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/arm64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/7", "linux/arm/v7"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("arm64", "linux/arm64"),
            ("LINUX/ARM64", "linux/arm64"),
            ("linux/riscv64", "linux/riscv64"),
            ("windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64"),
            ("windows(10.0.1+win32k+x)/amd64/v1", "windows(10.0.1+win32k+x)/amd64"),
            ("windows(+win32k)/amd64", "windows(+win32k)/amd64"),
            ("windows()/amd64", "windows/amd64"),
        ] {
            assert_eq!(p(from).to_string(), to);
        }
    }

    #[test]
    fn what_is_no_platform() {
        for bad in [
            "",
            "/",
            "linux/",
            "linux//v7",
            "a/b/c/d",
            "nonsense",
            "linux/arm 64",
            "../etc",
            "windows(1/amd64",
            "windows(a b)/amd64",
        ] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn which_image_a_machine_runs() {
        for (want, have, distance) in [
            ("linux/arm64", "linux/arm64/v8", Some(0)),
            ("linux/arm/v7", "linux/arm/v6", Some(1)),
            ("linux/arm/v6", "linux/arm/v7", None),
            ("linux/arm64", "linux/arm/v7", Some(101)),
            ("linux/amd64/v3", "linux/amd64", Some(2)),
            ("linux/amd64", "linux/amd64/v2", None),
            ("linux/amd64", "linux/386", Some(100)),
            ("linux/amd64", "linux/arm64", None),
            ("linux/amd64", "windows/amd64", None),
            ("linux/riscv64", "linux/riscv64", Some(0)),
            ("windows(10.0.1.5)/amd64", "windows(10.0.1.6)/amd64", Some(0)),
            ("windows(10.0.1)/amd64", "windows(10.0.2)/amd64", None),
            ("windows/amd64", "windows(10.0.2)/amd64", Some(0)),
            ("windows(10.0.1)/amd64", "windows/amd64", Some(0)),
        ] {
            assert_eq!(p(want).distance(&p(have)), distance, "{want} takes {have}");
        }
    }
}
