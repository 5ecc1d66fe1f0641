//! Registry client: the OCI Distribution 1.1 protocol and Docker's older ways, from both ends of an image's life: resolve,
//! pull, push, tag, delete, list.
//!
//! [`Client`] is the door. It knows no store: manifests come and go as [`archipel_oci::RawManifest`], blobs as streams whose
//! digest is checked while they pass. It reads no environment: the caller hands over [`Config`] (which registries, which
//! mirrors, which trust) and [`Credentials`] as texts. One exception: the system's proxy settings (`HTTPS_PROXY` and its
//! kin) are read by the HTTP library, for every host but loopback; and where the system keeps its root certificates may be
//! said by `SSL_CERT_FILE` and `SSL_CERT_DIR`.
#![forbid(unsafe_code)]

mod auth;
mod authfile;
mod blob;
mod client;
mod config;
mod credentials;
mod download;
mod endpoint;
mod error;
mod fault;
mod helper;
mod manifest;
mod referrer;
mod request;
mod retry;
mod tag;
mod tls;
mod upload;

pub use blob::BlobStream;
pub use client::{Client, Options};
pub use config::{Config, ConfigError, Keypair, RegistryConfig};
pub use credentials::{Credential, Credentials, CredentialsError, Secret};
pub use download::{DownloadRequest, DownloadStream};
pub use error::{AuthFailure, Complaint, Error, ErrorKind, Fault};
pub use retry::Retry;
pub use upload::{BlobSource, Pushed};
