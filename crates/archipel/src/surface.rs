//! Under which name the program was called. As `docker` it takes docker's commands, and shows what docker shows; the
//! commands are the same.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    /// Its own.
    Archipel,
    /// Docker's: a link of that name, or `archipel docker ...`.
    Docker,
}

/// The docker whose commands and forms of output these are. Scripts compare it with the version that brought a feature.
pub(crate) const DOCKER_VERSION: &str = "29.0.0";
/// The same, as `docker --version` shows it.
pub(crate) const DOCKER_BUILD: &str = concat!("29.0.0, build archipel-", env!("CARGO_PKG_VERSION"));
/// The version of docker's API that goes with it.
pub(crate) const API_VERSION: &str = "1.52";
/// The same for buildx.
pub(crate) const BUILDX_VERSION: &str = "v0.30.0";
/// And for BuildKit.
pub(crate) const BUILDKIT_VERSION: &str = "v0.26.0";

impl Surface {
    /// Looks at how the program was called; the arguments come back without what said so.
    pub(crate) fn of(mut arguments: Vec<OsString>) -> (Self, Vec<OsString>) {
        let name = arguments.first().map(Path::new).and_then(Path::file_name).unwrap_or_default().to_owned();
        let first = arguments.get(1).map(OsString::as_os_str);
        if name == "docker-buildx" {
            // Docker's plugin, called by its own name; docker itself puts its word before the arguments.
            let words = if first == Some(OsStr::new("buildx")) { 2 } else { 1 };
            arguments.splice(..words, ["docker".into(), "buildx".into()]);
        } else if name == "docker" {
            arguments.splice(..1, ["docker".into()]);
        } else if first == Some(OsStr::new("docker")) {
            arguments.remove(0);
        } else {
            return (Self::Archipel, arguments);
        }
        (Self::Docker, arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_version() {
        assert!(DOCKER_BUILD.starts_with(DOCKER_VERSION));
    }

    #[test]
    fn names() {
        for (called, surface, seen) in [
            ("/usr/bin/archipel build .", Surface::Archipel, "/usr/bin/archipel build ."),
            ("archipel docker build .", Surface::Docker, "docker build ."),
            ("/usr/local/bin/docker run x", Surface::Docker, "docker run x"),
            ("docker", Surface::Docker, "docker"),
            ("/x/docker-buildx ls", Surface::Docker, "docker buildx ls"),
            ("/x/docker-buildx buildx ls", Surface::Docker, "docker buildx ls"),
            ("archipel", Surface::Archipel, "archipel"),
        ] {
            let (found, arguments) = Surface::of(called.split(' ').map(OsString::from).collect());
            let arguments: Vec<&str> = arguments.iter().map(|a| a.to_str().unwrap()).collect();
            assert_eq!((found, arguments.join(" ").as_str()), (surface, seen), "{called}");
        }
    }
}
