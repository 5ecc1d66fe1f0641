//! Every way to fail, with the exit status it ends in and the next step that is proposed. The only place that decides either.

use std::io;

use archipel_remote::{AuthFailure, ConfigError, CredentialsError, ErrorKind, Fault};

/// What `archipel` exits with. Scripts rely on these numbers; they are in the README.
pub(crate) mod status {
    /// All is well.
    pub(crate) const OK: u8 = 0;
    /// A step failed, or a Dockerfile is wrong, or a file of this machine cannot be used.
    pub(crate) const FAILED: u8 = 1;
    /// The command line is wrong, or asks for what is not there yet.
    pub(crate) const USAGE: u8 = 2;
    /// Wrong, missing or insufficient credentials.
    pub(crate) const AUTH: u8 = 10;
    /// A registry cannot be talked to.
    pub(crate) const NETWORK: u8 = 11;
    /// A registry answers no.
    pub(crate) const REFUSED: u8 = 12;
    /// This machine lacks something; `archipel doctor` says what.
    pub(crate) const MACHINE: u8 = 13;
    /// `run`: the container did not start (docker's number).
    pub(crate) const RUN_FAILED: u8 = 125;
    /// Ctrl-C or SIGTERM.
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// What was typed cannot be done.
    #[error("{0}")]
    Usage(String),
    /// The store has no such image.
    #[error("no such image: {0}")]
    NoImage(String),
    /// Building, pulling, pushing, running.
    #[error(transparent)]
    Build(archipel_build::Error),
    /// The same, met by an instruction.
    #[error("{}", place.told(source))]
    Placed {
        /// The instruction.
        place: Box<archipel_build::Place>,
        /// What it met.
        source: Box<Error>,
    },
    /// A registry.
    #[error(transparent)]
    Remote(#[from] archipel_remote::Error),
    /// A file of credentials.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The configuration file.
    #[error("{name}: {source}")]
    Config {
        /// The file.
        name: String,
        /// Its text.
        text: String,
        /// What is wrong.
        source: ConfigError,
    },
    /// A bake file or a compose file.
    #[error(transparent)]
    Bake(#[from] archipel_bake::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] archipel_store::Error),
    /// This machine.
    #[error(transparent)]
    Sandbox(#[from] archipel_sandbox::Error),
    /// A file or terminal.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, with its path.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// Standard output.
    #[error("standard output: {0}")]
    Output(io::Error),
    /// The person stopped it.
    #[error("interrupted")]
    Interrupted,
}

impl From<archipel_build::Error> for Error {
    fn from(error: archipel_build::Error) -> Self {
        match error {
            archipel_build::Error::At { place, source } => {
                Self::Placed { place, source: Box::new(Self::from(*source)) }
            }
            other => Self::Build(other),
        }
    }
}

impl Error {
    /// An I/O error with what was tried.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// Whether nobody reads our output any more (`archipel images | head -1`), which is no failure.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(e) if e.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The exit status.
    pub(crate) fn status(&self) -> u8 {
        use archipel_build::Error as Build;
        match self {
            _ if self.is_broken_pipe() => status::OK,
            Self::Placed { source, .. } => source.status(),
            Self::Usage(_) | Self::Config { .. } | Self::Build(Build::Request(_)) => status::USAGE,
            Self::Interrupted | Self::Build(Build::Interrupted) => status::INTERRUPTED,
            Self::Remote(e) | Self::Build(Build::Remote(e)) => remote_status(e),
            Self::Sandbox(e) | Self::Build(Build::Sandbox(e)) => match e {
                archipel_sandbox::Error::Exec { .. } => status::FAILED,
                _ => status::MACHINE,
            },
            Self::NoImage(_)
            | Self::Build(_)
            | Self::Bake(_)
            | Self::Store(_)
            | Self::Credentials(_)
            | Self::Io { .. }
            | Self::Output(_) => status::FAILED,
        }
    }

    /// The exit status of `run`, which leaves the low numbers to the container as docker does: 127 and 126 where the command
    /// is not there or cannot be executed, 125 where it did not come to that.
    pub(crate) fn status_of_run(&self) -> u8 {
        use archipel_build::Error as Build;
        match self {
            Self::Sandbox(archipel_sandbox::Error::Exec { code, .. })
            | Self::Build(Build::Sandbox(archipel_sandbox::Error::Exec { code, .. })) => {
                u8::try_from(*code).unwrap_or(status::RUN_FAILED)
            }
            _ => match self.status() {
                quiet @ (status::OK | status::INTERRUPTED) => quiet,
                _ => status::RUN_FAILED,
            },
        }
    }

    /// What to do about it, where that can be said.
    pub(crate) fn hint(&self) -> Option<String> {
        use archipel_build::Error as Build;
        match self {
            Self::Placed { source, .. } => source.hint(),
            Self::Bake(e) => e.help.clone(),
            Self::Remote(e) | Self::Build(Build::Remote(e)) => remote_hint(e),
            Self::Sandbox(archipel_sandbox::Error::Exec { .. })
            | Self::Build(Build::Sandbox(archipel_sandbox::Error::Exec { .. })) => None,
            Self::Sandbox(e) | Self::Build(Build::Sandbox(e)) => Some(match e.remedy() {
                Some(command) => format!("`{command}` mends it"),
                None => "`archipel doctor` says what this machine lacks".into(),
            }),
            Self::NoImage(_) => Some("`archipel images` shows what is here; `archipel pull` fetches an image".into()),
            Self::Build(Build::NoPlatform(_)) => {
                Some("leave the platform out of --platform, or use a base image that has it".into())
            }
            _ => None,
        }
    }
}

fn remote_status(error: &archipel_remote::Error) -> u8 {
    match error.kind() {
        ErrorKind::Auth => status::AUTH,
        ErrorKind::Network => status::NETWORK,
        ErrorKind::NotFound | ErrorKind::Refused | ErrorKind::Corrupt => status::REFUSED,
        ErrorKind::Local => status::FAILED,
    }
}

fn remote_hint(error: &archipel_remote::Error) -> Option<String> {
    use archipel_remote::Error as Remote;
    match error {
        Remote::Auth { registry, failure: AuthFailure::Missing { .. } | AuthFailure::Wrong { .. }, .. } => {
            Some(format!("log in with `archipel login {registry}`"))
        }
        Remote::Auth { registry, failure: AuthFailure::Denied { .. }, .. } => {
            Some(format!("the user needs more rights at {registry}, or `archipel login {registry}` as another"))
        }
        Remote::Network { registry, fault: Fault::Tls { .. }, .. } => Some(format!(
            "in config.toml, [registry.\"{registry}\"] takes `ca = [\"FILE\"]` for a private certificate authority, and \
             `http = true` for a registry without TLS"
        )),
        Remote::Unserved { tried, .. } => tried.last().and_then(remote_hint),
        _ => None,
    }
}
