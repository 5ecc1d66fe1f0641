//! Who we are: Docker's `config.json` and Podman's `auth.json`, credential helpers, and writing them for `login` and
//! `logout`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use archipel_oci::DOCKER_HUB;
use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::DecodePaddingMode};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::authfile::AuthDocument;
use crate::helper;

/// The key that Docker writes for Docker Hub.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// What a credential helper returns as the user when the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// Files are written with padding; some were edited by hand and have none.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A password or token: never shown, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Who we are for one registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user and a password.
    Password {
        /// The user.
        user: String,
        /// The password, or an access token in its place.
        secret: Secret,
    },
    /// An OAuth2 refresh token.
    IdentityToken(Secret),
}

impl Credential {
    /// What messages call us.
    pub(crate) fn user(&self) -> &str {
        match self {
            Self::Password { user, .. } => user,
            Self::IdentityToken(_) => "the stored identity token",
        }
    }

    /// User and secret as `login` takes them: an identity token has the user that credential helpers say for one.
    #[must_use]
    pub fn into_pair(self) -> (String, Secret) {
        match self {
            Self::Password { user, secret } => (user, secret),
            Self::IdentityToken(secret) => (TOKEN_USER.to_owned(), secret),
        }
    }

    pub(crate) fn of(user: String, secret: Secret) -> Self {
        if user == TOKEN_USER { Self::IdentityToken(secret) } else { Self::Password { user, secret } }
    }
}

/// Why stored credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file is not what it should be. Its content is not in the message: it is secret.
    #[error("credentials file {file}: {reason}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A helper program did not do its work.
    #[error("credential helper docker-credential-{name}: {reason}")]
    Helper {
        /// The helper's short name.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

/// Stored credentials, in the order of precedence. Helpers are asked when a registry asks, not before.
#[derive(Default)]
pub struct Credentials {
    given: HashMap<String, Credential>,
    files: Vec<AuthFile>,
    helped: Mutex<HashMap<(String, String), Option<Credential>>>,
}

#[derive(Default)]
struct AuthFile {
    name: String,
    auths: BTreeMap<String, Entry>,
    helpers: BTreeMap<String, String>,
    store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Document {
    auths: Option<BTreeMap<String, Entry>>,
    cred_helpers: Option<BTreeMap<String, String>>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl Credentials {
    /// Reads files of Docker's or Podman's form, each a name for messages and a text. The first that knows a registry counts.
    pub fn parse(files: &[(String, String)]) -> Result<Self, CredentialsError> {
        let files = files.iter().map(|(name, text)| AuthFile::parse(name, text)).collect::<Result<_, _>>()?;
        Ok(Self { files, ..Self::default() })
    }

    /// Adds credentials that go before every file: those that a command or CI variables give.
    pub fn insert(&mut self, registry: &str, user: &str, secret: Secret) {
        self.given.insert(normal(registry), Credential::of(user.to_owned(), secret));
    }

    /// Finds the credentials for a repository of a registry, for somebody else to use.
    ///
    /// # Errors
    /// A helper or an entry is not what it should be.
    pub async fn lookup(&self, registry: &str, repository: &str) -> Result<Option<Credential>, CredentialsError> {
        self.find(&normal(registry), repository, false).await
    }

    /// Finds the credentials for a repository. `again` asks a helper even if it was asked before: what it gave then does
    /// not work any more.
    pub(crate) async fn find(
        &self,
        host: &str,
        repository: &str,
        again: bool,
    ) -> Result<Option<Credential>, CredentialsError> {
        if let Some(found) = self.given.get(host) {
            return Ok(Some(found.clone()));
        }
        for file in &self.files {
            let helper = file.helpers.get(host).map(String::as_str).or(file.store.as_deref()).filter(|h| !h.is_empty());
            if let Some(helper) = helper
                && let Some(found) = self.ask(helper, host, again).await?
            {
                return Ok(Some(found));
            }
            if let Some(found) = file.find(host, repository)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn ask(&self, name: &str, host: &str, again: bool) -> Result<Option<Credential>, CredentialsError> {
        let key = (name.to_owned(), host.to_owned());
        let known = self.helped.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let (Some(known), false) = (known, again) {
            return Ok(known);
        }
        let found = helper::get(name, file_key(host)).await?.map(|(user, secret)| Credential::of(user, secret));
        self.helped.lock().unwrap_or_else(PoisonError::into_inner).insert(key, found.clone());
        Ok(found)
    }

    /// Writes credentials to a Docker `config.json`, or to the helper that it names for this registry.
    pub async fn store(path: &Path, registry: &str, user: &str, secret: &Secret) -> Result<(), CredentialsError> {
        let registry = &normal(registry);
        let mut file = AuthDocument::open(path)?;
        if let Some(name) = file.helper(registry) {
            return helper::store(&name, file_key(registry), user, secret).await;
        }
        let pair = Zeroizing::new(format!("{user}:{}", secret.expose()));
        file.insert(file_key(registry), BASE64.encode(pair.as_bytes()));
        file.save()
    }

    /// Removes the credentials of a registry from a Docker `config.json` and from the helper that it names. Whether there
    /// were any in the file.
    pub async fn erase(path: &Path, registry: &str) -> Result<bool, CredentialsError> {
        let registry = &normal(registry);
        let mut file = AuthDocument::open(path)?;
        if let Some(name) = file.helper(registry) {
            helper::erase(&name, file_key(registry)).await?;
        }
        let erased = file.remove(registry);
        if erased {
            file.save()?;
        }
        Ok(erased)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<_> = self.files.iter().map(|file| &file.name).collect();
        f.debug_struct("Credentials").field("given", &self.given.keys()).field("files", &files).finish_non_exhaustive()
    }
}

impl AuthFile {
    fn parse(name: &str, text: &str) -> Result<Self, CredentialsError> {
        let wrong = |reason| CredentialsError::File { file: name.to_owned(), reason };
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        // The reader's own message may quote what it stumbled over, and that may be a password.
        let document: Document = serde_json::from_str(text).map_err(|e| {
            wrong(format!("not a valid docker configuration at line {}, column {}", e.line(), e.column()))
        })?;
        Ok(Self {
            name: name.to_owned(),
            auths: document.auths.unwrap_or_default(),
            helpers: document.cred_helpers.unwrap_or_default().into_iter().map(|(k, v)| (normal(&k), v)).collect(),
            store: document.creds_store,
        })
    }

    /// The entry with the longest key that the repository lies under, as Podman has it.
    fn find(&self, host: &str, repository: &str) -> Result<Option<Credential>, CredentialsError> {
        let full = format!("{host}/{repository}");
        let mut best: Option<(usize, &str, Credential)> = None;
        for (key, entry) in &self.auths {
            let place = normal(key);
            let applies = full.strip_prefix(&place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            if !applies || best.as_ref().is_some_and(|(length, ..)| *length >= place.len()) {
                continue;
            }
            if let Some(credential) = entry.credential().map_err(|reason| CredentialsError::File {
                file: self.name.clone(),
                reason: format!("the entry `{key}` {reason}"),
            })? {
                best = Some((place.len(), key, credential));
            }
        }
        Ok(best.map(|(.., credential)| credential))
    }
}

impl Entry {
    fn credential(&self) -> Result<Option<Credential>, &'static str> {
        let filled = |secret: &&Secret| !secret.expose().is_empty();
        if let Some(token) = self.identitytoken.as_ref().filter(filled) {
            return Ok(Some(Credential::IdentityToken(token.clone())));
        }
        if let Some(auth) = self.auth.as_ref().filter(filled) {
            let pair = BASE64.decode(auth.expose().trim()).map(Zeroizing::new).map_err(|_| "is not base64")?;
            let pair = std::str::from_utf8(&pair).map_err(|_| "is not text")?;
            let (user, secret) = pair.split_once(':').ok_or("has no `:` between user and password")?;
            // Old versions of Docker padded with zero bytes.
            return Ok(Some(Credential::of(user.to_owned(), Secret::new(secret.trim_matches('\0')))));
        }
        match (&self.username, &self.password) {
            (Some(user), Some(password)) if !user.is_empty() => {
                Ok(Some(Credential::of(user.clone(), password.clone())))
            }
            _ => Ok(None),
        }
    }
}

/// The key of a registry as Docker writes it and as helpers know it.
fn file_key(registry: &str) -> &str {
    if registry == DOCKER_HUB { DOCKER_HUB_KEY } else { registry }
}

/// A key of a file as a place: `host[/namespace]`. Docker writes addresses (`https://host/v1/`), Podman names.
pub(crate) fn normal(key: &str) -> String {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let bare = bare.trim_end_matches('/');
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
        other => other,
    };
    match path {
        "" | "v1" | "v2" => host.to_owned(),
        path => format!("{host}/{path}"),
    }
}

#[cfg(test)]
mod tests;
