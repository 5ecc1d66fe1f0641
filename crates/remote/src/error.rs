//! What can go wrong between us and a registry, told so that a person knows which registry, which reference and what to do.

use std::fmt;
use std::io;

use crate::{ConfigError, CredentialsError};

/// Everything that this crate's requests end in. Secrets are never in it, nor are the queries of addresses (they carry
/// signatures and tokens).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry does not let us.
    #[error("{registry}: {subject}: {failure}")]
    Auth {
        /// The registry as the user names it.
        registry: String,
        /// What was asked for.
        subject: String,
        /// Why not.
        failure: AuthFailure,
    },
    /// No answer, or half of one.
    #[error("{registry}: {subject}: {fault}")]
    Network {
        /// The registry as the user names it.
        registry: String,
        /// What was asked for.
        subject: String,
        /// What happened.
        fault: Fault,
    },
    /// The registry answers, and does not have it.
    #[error("{registry}: {subject}: not found at {url}")]
    NotFound {
        /// The registry as the user names it.
        registry: String,
        /// What was asked for.
        subject: String,
        /// The address that was asked, without its query.
        url: String,
    },
    /// A web server does not give a file. The words are those that people search for.
    #[error("{registry}: {subject}: invalid response status {status} from {url}")]
    Status {
        /// The server.
        registry: String,
        /// What was asked for.
        subject: String,
        /// The HTTP status.
        status: u16,
        /// The address that was asked last, without its query.
        url: String,
    },
    /// The registry answers no.
    #[error("{registry}: {subject}: the server refused with status {status}{}", Complaints(.complaints))]
    Refused {
        /// The registry as the user names it.
        registry: String,
        /// What was asked for.
        subject: String,
        /// The HTTP status.
        status: u16,
        /// The registry's own words.
        complaints: Vec<Complaint>,
    },
    /// Content is not what it says it is.
    #[error("{registry}: {subject}: expected {expected}, received {found}")]
    Mismatch {
        /// The registry as the user names it.
        registry: String,
        /// What was asked for.
        subject: String,
        /// The digest or size that it should have.
        expected: String,
        /// The digest or size that it has.
        found: String,
    },
    /// The registry says what no registry should.
    #[error("{registry}: {subject}: {reason}")]
    Protocol {
        /// The registry as the user names it.
        registry: String,
        /// What was asked for.
        subject: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// Several places were asked, and none served. The last is the registry itself, the others are its mirrors.
    #[error("{subject} cannot be had{}", Tried(.tried))]
    Unserved {
        /// What was asked for.
        subject: String,
        /// Each place's answer, in the order of asking. Never empty.
        tried: Vec<Error>,
    },
    /// The configuration names a file that cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Stored credentials cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// What should be pushed cannot be read.
    #[error("{subject}: cannot read what is to be pushed: {source}")]
    Source {
        /// What was to be pushed.
        subject: String,
        /// Why it cannot be read.
        source: io::Error,
    },
}

/// The kinds that a program tells apart, for its exit status and for its next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Wrong, missing or insufficient credentials.
    Auth,
    /// The registry could not be talked to.
    Network,
    /// The registry has no such thing.
    NotFound,
    /// The registry refused.
    Refused,
    /// Content or protocol are damaged.
    Corrupt,
    /// Something on this machine: a file that cannot be read, a configuration that is wrong.
    Local,
}

impl Error {
    /// The kind of this error. Where several places were asked, the registry's own answer counts.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Auth { .. } => ErrorKind::Auth,
            Self::Network { .. } => ErrorKind::Network,
            Self::NotFound { .. } | Self::Status { status: 404, .. } => ErrorKind::NotFound,
            Self::Refused { .. } | Self::Status { .. } => ErrorKind::Refused,
            Self::Mismatch { .. } | Self::Protocol { .. } => ErrorKind::Corrupt,
            Self::Unserved { tried, .. } => tried.last().map_or(ErrorKind::NotFound, Self::kind),
            Self::Config(_) | Self::Credentials(_) | Self::Source { .. } => ErrorKind::Local,
        }
    }

    /// Whether everybody who was asked answered that it does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::NotFound { .. } | Self::Status { status: 404, .. } => true,
            Self::Unserved { tried, .. } => tried.iter().all(Self::is_not_found),
            _ => false,
        }
    }

    /// The status of a refusal.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } | Self::Status { status, .. } => Some(*status),
            Self::NotFound { .. } => Some(404),
            _ => None,
        }
    }
}

/// Why a registry does not let us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthFailure {
    /// It knows the user and the secret is not the right one, or it does not know the user.
    #[error("wrong user name or password for `{user}`")]
    Wrong {
        /// The user that was tried.
        user: String,
    },
    /// The credentials are good, but not for this.
    #[error("access denied for `{user}`{}", Complaints(.complaints))]
    Denied {
        /// The user that was tried.
        user: String,
        /// The registry's own words.
        complaints: Vec<Complaint>,
    },
    /// No credentials are known, and it asks for some.
    #[error("the registry asks for credentials and none are known{}{}", Note(.note), Complaints(.complaints))]
    Missing {
        /// Why none are known, where there is a reason (a credential helper that does not run).
        note: Option<String>,
        /// The registry's own words.
        complaints: Vec<Complaint>,
    },
    /// The way to log in that it names cannot be gone.
    #[error("{0}")]
    Unsupported(String),
}

/// What happened on the wire.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The name of the host is not known.
    #[error("no address is known for {host}")]
    Dns {
        /// The host.
        host: String,
    },
    /// Nobody listens there.
    #[error("connection to {host} refused: nothing listens there")]
    ConnectionRefused {
        /// The host.
        host: String,
    },
    /// Nothing came for too long.
    #[error("{host} does not answer in time")]
    Timeout {
        /// The host.
        host: String,
    },
    /// The certificate or the handshake.
    #[error("TLS with {host} fails: {reason}")]
    Tls {
        /// The host.
        host: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The connection broke.
    #[error("the connection to {host} broke: {reason}")]
    Broken {
        /// The host.
        host: String,
        /// What the system says.
        reason: String,
    },
}

/// One entry of a registry's list of errors (OCI distribution specification, "Error Codes").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// `MANIFEST_INVALID` and the like; empty where the registry did not answer in the common form.
    pub code: String,
    /// Its words.
    pub message: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code.is_empty(), self.message.is_empty()) {
            (true, _) => f.write_str(&self.message),
            (false, true) => f.write_str(&self.code),
            (false, false) => write!(f, "{}: {}", self.code, self.message),
        }
    }
}

struct Complaints<'a>(&'a [Complaint]);

impl fmt::Display for Complaints<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, complaint) in self.0.iter().enumerate() {
            write!(f, "{}{complaint}", if i == 0 { ": " } else { "; " })?;
        }
        Ok(())
    }
}

struct Note<'a>(&'a Option<String>);

impl fmt::Display for Note<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |note| write!(f, " ({note})"))
    }
}

struct Tried<'a>(&'a [Error]);

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in self.0 {
            write!(f, "\n  tried {error}")?;
        }
        Ok(())
    }
}
