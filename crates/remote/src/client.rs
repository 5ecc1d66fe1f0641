//! The door: one client for all registries.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use archipel_oci::Reference;
use reqwest::Method;

use crate::auth::Scope;
use crate::credentials::normal;
use crate::endpoint::Endpoint;
use crate::request::{Call, MAX_ERROR_BODY};
use crate::tls::{self, Trust};
use crate::{Config, ConfigError, Credentials, Error, Retry, Secret};

/// What is not about one registry.
#[derive(Debug, Clone)]
pub struct Options {
    /// How we introduce ourselves.
    pub user_agent: String,
    /// Blobs that travel at once to or from one host.
    pub max_requests_per_host: usize,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long nothing may come from a host that should send.
    pub idle_timeout: Duration,
    /// Upload in pieces of this many bytes. Without a word it is done in one request, and in pieces only where the registry
    /// calls that too large.
    pub chunk_size: Option<u64>,
    /// What is done again, and when.
    pub retry: Retry,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            user_agent: concat!("archipel/", env!("CARGO_PKG_VERSION")).to_owned(),
            max_requests_per_host: 6,
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            chunk_size: None,
            retry: Retry::default(),
        }
    }
}

/// A registry client. A clone shares connections, tokens and limits.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

/// A place, and what it mirrors.
type PlaceKey = (String, Option<String>);

struct Inner {
    config: Config,
    credentials: Credentials,
    options: Options,
    endpoints: Mutex<HashMap<PlaceKey, Arc<Endpoint>>>,
    /// One per kind of trust. Made at the first use: reading the system's root certificates takes longer than everything
    /// that a build without a remote registry does here.
    http: tokio::sync::Mutex<HashMap<Trust, reqwest::Client>>,
}

impl Client {
    /// A client. Nothing is read and nobody contacted before the first request.
    #[must_use]
    pub fn new(config: Config, credentials: Credentials, options: Options) -> Self {
        let (endpoints, http) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { inner: Arc::new(Inner { config, credentials, options, endpoints, http }) }
    }

    /// Whether the registry takes these credentials. A registry that asks for none takes any.
    pub async fn check_login(&self, registry: &str, user: &str, secret: &Secret) -> Result<(), Error> {
        let mut credentials = Credentials::default();
        credentials.insert(registry, user, secret.clone());
        // Apart, so that no token of before answers for the new password.
        let client = Self::new(self.inner.config.clone(), credentials, self.inner.options.clone());
        let endpoint = client.origin(&normal(registry))?;
        let subject = format!("login as {user}");
        let call = Call::new(&endpoint, Method::GET, endpoint.top(""), Scope::default(), &subject);
        client.send(&call, MAX_ERROR_BODY).await.map(|_| ())
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.inner.credentials
    }

    pub(crate) fn options(&self) -> &Options {
        &self.inner.options
    }

    /// The registry itself.
    pub(crate) fn origin(&self, registry: &str) -> Result<Arc<Endpoint>, Error> {
        self.endpoint(registry, None)
    }

    /// Everything that may serve a read, in the order of asking: the mirrors, then the registry itself.
    pub(crate) fn places(&self, reference: &Reference) -> Result<Vec<Arc<Endpoint>>, Error> {
        let registry = reference.registry();
        let mut places = Vec::new();
        for mirror in self.inner.config.mirrors(registry) {
            places.push(self.endpoint(mirror, Some(registry))?);
        }
        places.push(self.origin(registry)?);
        Ok(places)
    }

    fn endpoint(&self, place: &str, mirror_of: Option<&str>) -> Result<Arc<Endpoint>, Error> {
        let mut endpoints = self.inner.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (place.to_owned(), mirror_of.map(str::to_owned));
        if let Some(known) = endpoints.get(&key) {
            return Ok(known.clone());
        }
        let endpoint = Arc::new(Endpoint::new(place, mirror_of, &self.inner.config, &self.inner.options)?);
        endpoints.insert(key, endpoint.clone());
        Ok(endpoint)
    }

    /// The HTTP client for a kind of trust.
    pub(crate) async fn http(&self, trust: &Trust) -> Result<reqwest::Client, ConfigError> {
        let mut known = self.inner.http.lock().await;
        if let Some(http) = known.get(trust) {
            return Ok(http.clone());
        }
        let (wanted, options) = (trust.clone(), self.inner.options.clone());
        let http = tokio::task::spawn_blocking(move || tls::http_client(&wanted, &options))
            .await
            .map_err(|e| ConfigError { message: format!("HTTP client: {e}"), span: None })??;
        known.insert(trust.clone(), http.clone());
        Ok(http)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

/// Gathers why places did not serve, and ends in one error: the place's own if there was one place, else all of them.
pub(crate) struct Tries {
    subject: String,
    tried: Vec<Error>,
}

impl Tries {
    pub(crate) fn new(subject: &str) -> Self {
        Self { subject: subject.to_owned(), tried: Vec::new() }
    }

    pub(crate) fn add(&mut self, error: Error) {
        tracing::debug!(%error, "a place did not serve");
        self.tried.push(error);
    }

    pub(crate) fn into_error(mut self) -> Error {
        match self.tried.pop() {
            Some(only) if self.tried.is_empty() => only,
            last => {
                self.tried.extend(last);
                Error::Unserved { subject: self.subject, tried: self.tried }
            }
        }
    }
}
