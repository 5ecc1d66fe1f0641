//! Which registries are reached how: the keys that users know from `buildkitd.toml`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use serde::Deserialize;

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    /// What is wrong.
    pub message: String,
    /// Where in the text, in bytes.
    pub span: Option<Range<usize>>,
}

/// How registries are reached.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[registry."HOST"]`: one entry per registry, named as in references (`docker.io`, `127.0.0.1:5000`).
    #[serde(default)]
    pub registry: BTreeMap<String, RegistryConfig>,
    /// Folders in the form of Docker's `certs.d`: `HOST[:PORT]/*.crt` are roots, `X.cert` with `X.key` a client's keypair.
    #[serde(skip)]
    pub certs_d: Vec<PathBuf>,
}

/// How one registry is reached.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryConfig {
    /// Where to ask first when reading: `HOST[:PORT][/PREFIX]`, in this order, then the registry itself.
    #[serde(default)]
    pub mirrors: Vec<String>,
    /// Plain HTTP. Without a word a registry on loopback is spoken to in plain HTTP and every other in HTTPS.
    #[serde(default)]
    pub http: Option<bool>,
    /// HTTPS without looking at the certificate.
    #[serde(default)]
    pub insecure: bool,
    /// Files with more root certificates, PEM.
    #[serde(default)]
    pub ca: Vec<PathBuf>,
    /// Client certificates; the first is used.
    #[serde(default)]
    pub keypair: Vec<Keypair>,
}

/// A client's certificate, two PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keypair {
    /// The private key.
    pub key: PathBuf,
    /// The certificate, with its chain.
    pub cert: PathBuf,
}
