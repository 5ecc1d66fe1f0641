//! Credentials.

use std::path::Path;

use zeroize::Zeroizing;

/// A password or token. Never shown.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

/// Stored credentials.
#[derive(Debug, Default)]
pub struct Credentials;

/// Who we are for one registry.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A user and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        secret: Secret,
    },
    /// An OAuth2 refresh token.
    IdentityToken(Secret),
}

/// Why stored credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file is not valid.
    #[error("{file}: {message}")]
    File { file: String, message: String },
}

impl Credentials {
    /// Reads docker's `config.json` or podman's `auth.json` files: (name for messages, text), the first match wins.
    pub fn parse(files: &[(String, String)]) -> Result<Self, CredentialsError> {
        unimplemented!()
    }
    /// Adds credentials that go before every file (CI variables).
    pub fn insert(&mut self, registry: &str, user: &str, secret: Secret) {}
    /// Writes credentials to a docker `config.json`, or to the helper it names.
    pub async fn store(path: &Path, registry: &str, user: &str, secret: &Secret) -> Result<(), CredentialsError> {
        unimplemented!()
    }
    /// Removes them; whether there were any.
    pub async fn erase(path: &Path, registry: &str) -> Result<bool, CredentialsError> {
        unimplemented!()
    }
}
