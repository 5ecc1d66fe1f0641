//! What surrounds the program: folders, files of credentials and configuration, variables. The only place that reads the
//! environment; everything else is given values.
#![expect(clippy::disallowed_methods, reason = "this is where the environment is resolved")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use archipel_ci::run::Registries;
use archipel_oci::Platform;
use archipel_remote::{Config, Credentials};
use clap::ValueEnum;

use crate::errors::Error;
use crate::flags::value;
use crate::render::Progress;

/// Where BuildKit looks for CDI specs.
const DEVICE_SPECS: [&str; 3] = ["/etc/cdi", "/var/run/cdi", "/etc/buildkit/cdi"];

/// The environment, read once. Files are read when they are asked for.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    home: Option<PathBuf>,
    store: Option<PathBuf>,
    data_home: Option<PathBuf>,
    config_home: Option<PathBuf>,
    runtime_dir: Option<PathBuf>,
    config: Option<PathBuf>,
    docker_config: Option<PathBuf>,
    podman_auth: Option<PathBuf>,
    registry_auth: Option<String>,
    default_platform: Option<String>,
    progress: Option<String>,
    builder: Option<String>,
    no_color: bool,
    dumb_terminal: bool,
}

impl Environment {
    /// Reads the variables that decide where things are. `docker_config` is the folder that a flag names in place of one.
    pub(crate) fn read(docker_config: Option<PathBuf>) -> Self {
        let path = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let text = |name| std::env::var(name).ok().filter(|v| !v.is_empty());
        // The XDG specification: a relative path is invalid and to be ignored.
        let absolute = |name| path(name).filter(|p| p.is_absolute());
        Self {
            home: absolute("HOME"),
            store: path("ARCHIPEL_STORE"),
            data_home: absolute("XDG_DATA_HOME"),
            config_home: absolute("XDG_CONFIG_HOME"),
            runtime_dir: absolute("XDG_RUNTIME_DIR"),
            config: path("ARCHIPEL_CONFIG"),
            docker_config: docker_config.or_else(|| path("DOCKER_CONFIG")),
            podman_auth: path("REGISTRY_AUTH_FILE"),
            registry_auth: text("DOCKER_AUTH_CONFIG"),
            default_platform: text("DOCKER_DEFAULT_PLATFORM"),
            progress: text("BUILDKIT_PROGRESS"),
            builder: text("BUILDX_BUILDER"),
            no_color: path("NO_COLOR").is_some(),
            dumb_terminal: text("TERM").is_none_or(|term| term == "dumb"),
        }
    }

    /// The person's own folder, where it is known.
    pub(crate) fn home_dir(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// Where blobs, snapshots and the cache are. A job of a pipeline finds its store by our own variable, for the others are its own.
    pub(crate) fn store_dir(&self) -> Result<PathBuf, Error> {
        match (&self.store, &self.data_home) {
            (Some(store), _) if store.is_absolute() => Ok(store.clone()),
            (Some(store), _) => Err(Error::Usage(format!(
                "ARCHIPEL_STORE is `{}`: give the store's folder as an absolute path",
                store.display()
            ))),
            (None, Some(data)) => Ok(data.join("archipel")),
            (None, None) => Ok(self.home("ARCHIPEL_STORE")?.join(".local/share/archipel")),
        }
    }

    /// What pipelines keep from one run to the next: their registry and their caches. Beside the store, for a registry may be served
    /// without it.
    pub(crate) fn pipelines_dir(&self) -> Result<PathBuf, Error> {
        let mut name = self.store_dir()?.into_os_string();
        name.push("-ci");
        Ok(name.into())
    }

    /// Docker's configuration file, where `login` writes.
    pub(crate) fn docker_config(&self) -> Result<PathBuf, Error> {
        match &self.docker_config {
            Some(dir) => Ok(dir.join("config.json")),
            None => Ok(self.home("DOCKER_CONFIG")?.join(".docker/config.json")),
        }
    }

    /// Where docker's plugins have their own state: builders, manifest lists. Beside the credentials, and not in the store,
    /// so that a job with a configuration of its own sees nothing of the last one's.
    pub(crate) fn docker_state(&self) -> Result<PathBuf, Error> {
        Ok(self.docker_config()?.with_file_name("archipel"))
    }

    /// The builder that docker's variable names.
    pub(crate) fn builder(&self) -> Option<&str> {
        self.builder.as_deref()
    }

    /// How registries are reached.
    pub(crate) fn registries(&self) -> Result<Config, Error> {
        let mut config = match self.config_file()? {
            Some((name, text)) => Config::parse(&text).map_err(|source| Error::Config { name, text, source })?,
            None => Config::default(),
        };
        config.certs_d = self.certs_d();
        Ok(config)
    }

    /// The same, for the programs in a pipeline's jobs.
    pub(crate) fn registries_of_jobs(&self) -> Result<Registries, Error> {
        let file = self.config_file()?;
        let made = Registries::new(file.as_ref().map(|(_, text)| text.as_str()), &self.certs_d());
        made.map_err(|source| {
            let (name, text) = file.unwrap_or_default();
            Error::Config { name, text, source }
        })
    }

    /// The folders of CDI specs (`RUN --device`): those of the configuration, else BuildKit's.
    pub(crate) fn device_specs(&self) -> Result<Vec<PathBuf>, Error> {
        let usual = || DEVICE_SPECS.map(PathBuf::from).to_vec();
        Ok(self.registries()?.cdi_spec_dirs.unwrap_or_else(usual))
    }

    /// The name and text of the configuration file. One that the person named must be there; the one at the usual place may be missing.
    fn config_file(&self) -> Result<Option<(String, String)>, Error> {
        let (path, named) = match (&self.config, self.config_home()) {
            (Some(path), _) => (path.clone(), true),
            (None, Some(dir)) => (dir.join("archipel/config.toml"), false),
            (None, None) => return Ok(None),
        };
        match read_if_there(&path)? {
            Some(text) => Ok(Some((path.display().to_string(), text))),
            None if named => Err(Error::Usage(format!("ARCHIPEL_CONFIG names {}, which is not there", path.display()))),
            None => Ok(None),
        }
    }

    /// The credentials that Docker and Podman keep: Podman's files first, as Podman reads them.
    pub(crate) fn credentials(&self) -> Result<Credentials, Error> {
        let podman =
            self.podman_auth.clone().or_else(|| self.runtime_dir.as_ref().map(|d| d.join("containers/auth.json")));
        let shared = self.config_home().map(|d| d.join("containers/auth.json"));
        let mut files = vec![];
        // GitLab's variable, which its users know to go before every file.
        if let Some(text) = &self.registry_auth {
            files.push(("DOCKER_AUTH_CONFIG".to_owned(), text.clone()));
        }
        for path in [podman, shared, self.docker_config().ok()].into_iter().flatten() {
            if let Some(text) = read_if_there(&path)? {
                files.push((path.display().to_string(), text));
            }
        }
        Credentials::parse(&files).map_err(Error::Credentials)
    }

    /// What docker takes where no `--platform` is given.
    pub(crate) fn default_platform(&self) -> Result<Option<Platform>, Error> {
        let told = |reason| Error::Usage(format!("DOCKER_DEFAULT_PLATFORM: {reason}"));
        self.default_platform.as_deref().map(|text| value::platform(text).map_err(told)).transpose()
    }

    /// The form of progress that a flag asks for, else the one that docker's variable does.
    pub(crate) fn progress(&self, flag: Progress) -> Result<Progress, Error> {
        let (Progress::Auto, Some(text)) = (flag, &self.progress) else { return Ok(flag) };
        Progress::from_str(text, false)
            .map_err(|_| Error::Usage(format!("BUILDKIT_PROGRESS: `{text}` is not a form of progress")))
    }

    /// Whether the cursor can be moved about.
    pub(crate) fn dumb_terminal(&self) -> bool {
        self.dumb_terminal
    }

    /// Whether what goes there may be coloured.
    pub(crate) fn colours(&self, stream: impl std::os::fd::AsFd) -> bool {
        !self.no_color && !self.dumb_terminal && rustix::termios::isatty(stream)
    }

    /// A variable that a flag names: `--build-arg K`, `-e K`, `--secret env=K`.
    pub(crate) fn variable(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }

    fn home(&self, instead: &str) -> Result<&Path, Error> {
        self.home.as_deref().ok_or_else(|| Error::Usage(format!("HOME is not set; set it, or {instead}")))
    }

    fn config_home(&self) -> Option<PathBuf> {
        self.config_home.clone().or_else(|| self.home.as_ref().map(|h| h.join(".config")))
    }

    /// The folders in which docker, podman and their rootless kin look for registries' certificates.
    fn certs_d(&self) -> Vec<PathBuf> {
        let own = self.config_home().map(|d| d.join("containers/certs.d"));
        let docker = self.docker_config().ok().and_then(|f| Some(f.parent()?.join("certs.d")));
        let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
        own.into_iter().chain(docker).chain(system).collect()
    }
}

fn read_if_there(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { what: path.display().to_string(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_store_is() {
        let of = |store: Option<&str>, data: Option<&str>| {
            let path = |text: Option<&str>| text.map(PathBuf::from);
            Environment { home: Some("/h".into()), store: path(store), data_home: path(data), ..Environment::default() }
        };
        for (store, data, expected) in [
            (None, None, "/h/.local/share/archipel"),
            (None, Some("/d"), "/d/archipel"),
            (Some("/s"), Some("/d"), "/s"),
        ] {
            assert_eq!(of(store, data).store_dir().unwrap(), Path::new(expected));
            assert_eq!(of(store, data).pipelines_dir().unwrap(), Path::new(&format!("{expected}-ci")));
        }
        let error = of(Some("s"), None).store_dir().unwrap_err().to_string();
        assert_eq!(error, "ARCHIPEL_STORE is `s`: give the store's folder as an absolute path");
    }
}
