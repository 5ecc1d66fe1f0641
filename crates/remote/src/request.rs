//! One request: authorization, redirects, attempts, and what its failure means.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;

use crate::auth::{Authorization, Challenge, Scope, TokenRequest, read_token};
use crate::endpoint::{Endpoint, host_of};
use crate::fault::{deepest, fault_of};
use crate::retry::{Attempts, retry_after, transient};
use crate::{AuthFailure, Client, Complaint, Error, Fault};

/// The longest chain of redirects: registries use one, to their storage.
const MAX_REDIRECTS: usize = 5;

/// The most that is read of an answer that is an error.
pub(crate) const MAX_ERROR_BODY: usize = 64 * 1024;

/// The most that is read of a token server's answer.
const MAX_TOKEN_BODY: usize = 256 * 1024;

/// A request that can be made again: its body, if any, is in memory.
pub(crate) struct Call<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) scope: Scope,
    /// What messages say it is about.
    pub(crate) subject: &'a str,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A successful answer, read.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) url: Url,
    pub(crate) bytes: Vec<u8>,
}

/// How far one attempt went.
pub(crate) enum Failure {
    /// The wire failed; with whether trying again may help.
    Wire(Fault, bool),
    /// It makes no sense to go on.
    Final(Error),
}

impl<'a> Call<'a> {
    pub(crate) fn new(endpoint: &'a Endpoint, method: Method, url: Url, scope: Scope, subject: &'a str) -> Self {
        Self { endpoint, method, url, scope, subject, headers: HeaderMap::new(), body: Bytes::new() }
    }

    pub(crate) fn protocol(&self, reason: impl Into<String>) -> Error {
        Error::Protocol {
            registry: self.endpoint.name.clone(),
            subject: self.subject.to_owned(),
            reason: reason.into(),
        }
    }

    pub(crate) fn network(&self, fault: Fault) -> Error {
        Error::Network { registry: self.endpoint.name.clone(), subject: self.subject.to_owned(), fault }
    }

    pub(crate) fn auth(&self, failure: AuthFailure) -> Error {
        Error::Auth { registry: self.endpoint.name.clone(), subject: self.subject.to_owned(), failure }
    }

    /// What an answer that is not a success means. `authorization` is what was sent along.
    pub(crate) async fn refusal(
        &self,
        response: Response,
        authorization: Option<&Authorization>,
        idle: Duration,
    ) -> Error {
        let status = response.status();
        // Credentials matter only where they were sent: a storage that a redirect led to has its own reasons.
        let ours = self.endpoint.owns(response.url());
        let url = bare(response.url());
        let plain = response.url().scheme() == "http";
        let host = host_of(response.url());
        let complaints = read_complaints(response, idle).await;
        // What a Go program says that listens with TLS: half of all registries.
        if plain && complaints.iter().any(|c| c.message.contains("HTTP request to an HTTPS server")) {
            let reason = format!(
                "it was spoken to in plain HTTP and wants TLS; set `http = false` under `[registry.\"{}\"]`",
                self.endpoint.host
            );
            return self.network(Fault::Tls { host, reason });
        }
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if ours => {
                self.auth(match authorization.and_then(|a| a.user.clone().map(|user| (user, a.basic))) {
                    Some((user, true)) if status == StatusCode::UNAUTHORIZED => AuthFailure::Wrong { user },
                    Some((user, _)) => AuthFailure::Denied { user, complaints },
                    None => AuthFailure::Missing { note: self.endpoint.session.note(), complaints },
                })
            }
            StatusCode::NOT_FOUND => {
                Error::NotFound { registry: self.endpoint.name.clone(), subject: self.subject.to_owned(), url }
            }
            _ => Error::Refused {
                registry: self.endpoint.name.clone(),
                subject: self.subject.to_owned(),
                status: status.as_u16(),
                complaints,
            },
        }
    }
}

impl Client {
    /// Makes a request until it succeeds or cannot, and reads the whole answer, of `limit` bytes at most.
    pub(crate) async fn send(&self, call: &Call<'_>, limit: usize) -> Result<Reply, Error> {
        // A semaphore of ours is never closed.
        let _permit = call.endpoint.small.acquire().await;
        let mut attempts = Attempts::new(&self.options().retry);
        loop {
            let response = self.open(call, &mut attempts).await?;
            let (status, headers, url) = (response.status(), response.headers().clone(), response.url().clone());
            match read_body(response, limit, self.options().idle_timeout).await {
                Ok(Some(bytes)) => return Ok(Reply { status, headers, url, bytes }),
                Ok(None) => return Err(call.protocol(format!("the answer has more than {limit} bytes"))),
                Err(fault) => {
                    if !attempts.again(None).await {
                        return Err(call.network(fault));
                    }
                }
            }
        }
    }

    /// Makes a request until its answer begins with a success.
    pub(crate) async fn open(&self, call: &Call<'_>, attempts: &mut Attempts) -> Result<Response, Error> {
        let idle = self.options().idle_timeout;
        let mut authorization = self.authorize(call).await?;
        let mut renewed = false;
        loop {
            let response = match self.follow(call, authorization.as_ref()).await {
                Ok(response) => response,
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Wire(fault, again)) => {
                    let refused = matches!(fault, Fault::ConnectionRefused { .. }) && call.endpoint.has_answered();
                    if (again || refused) && attempts.again(None).await {
                        continue;
                    }
                    return Err(call.network(fault));
                }
            };
            call.endpoint.answers();
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            if status == StatusCode::UNAUTHORIZED && !renewed && call.endpoint.owns(response.url()) {
                // Once for each request: what the registry does not take fresh it will not take fresher.
                renewed = true;
                let before = authorization.is_some();
                authorization = self.renew(call, response.headers(), authorization.as_ref()).await?;
                if authorization.is_some() || before {
                    drain(response, idle).await;
                    continue;
                }
            }
            if transient(status) && attempts.again(retry_after(response.headers())).await {
                renewed = false;
                continue;
            }
            return Err(call.refusal(response, authorization.as_ref(), idle).await);
        }
    }

    /// One exchange, redirects followed.
    async fn follow(&self, call: &Call<'_>, authorization: Option<&Authorization>) -> Result<Response, Failure> {
        let mut url = call.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let http = self.http_for(call.endpoint, &url).await.map_err(|e| Failure::Final(e.into()))?;
            let mut request = http.request(call.method.clone(), url.clone()).headers(call.headers.clone());
            if call.method == Method::PUT || call.method == Method::POST || call.method == Method::PATCH {
                request = request.body(call.body.clone());
            }
            if let Some(authorization) = authorization
                && call.endpoint.owns(&url)
            {
                request = request.header(AUTHORIZATION, authorization.header.clone());
            }
            let response = match tokio::time::timeout(self.options().idle_timeout, request.send()).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => {
                    let (fault, again) = fault_of(&error, &url, call.endpoint);
                    return Err(Failure::Wire(fault, again));
                }
                Err(_) => return Err(Failure::Wire(Fault::Timeout { host: host_of(&url) }, true)),
            };
            let reading = call.method == Method::GET || call.method == Method::HEAD;
            let moved = match response.status().as_u16() {
                301..=303 => reading,
                307 | 308 => true,
                _ => false,
            };
            let Some(location) = response.headers().get(LOCATION).filter(|_| moved) else { return Ok(response) };
            let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
            url = call.endpoint.follow(&url, &location).map_err(|reason| Failure::Final(call.protocol(reason)))?;
        }
        Err(Failure::Final(call.protocol("the registry redirects without end")))
    }

    /// The HTTP client for an address that an endpoint sent us to: another host gets its own trust if it is configured,
    /// else the endpoint's without its keypair, for that is meant for the registry.
    pub(crate) async fn http_for(&self, endpoint: &Endpoint, url: &Url) -> Result<reqwest::Client, crate::ConfigError> {
        if endpoint.owns(url) {
            return self.http(&endpoint.trust).await;
        }
        let host = host_of(url);
        let mut trust = self.config().trust(&host);
        trust.tls = url.scheme() == "https";
        if !self.config().names(&host) {
            trust.insecure = endpoint.trust.insecure;
            trust.ca.clone_from(&endpoint.trust.ca);
        }
        self.http(&trust).await
    }

    /// What should go along with a request: a kept authorization, or a new one where the way to get it is known.
    pub(crate) async fn authorize(&self, call: &Call<'_>) -> Result<Option<Authorization>, Error> {
        let session = &call.endpoint.session;
        let Some(challenge) = session.challenge() else { return Ok(None) };
        if let Some(granted) = session.granted(&call.scope) {
            return Ok(Some(granted));
        }
        self.fetch_authorization(call, &challenge, None).await
    }

    /// A new authorization after a 401. `stale` is the one that was not taken.
    pub(crate) async fn renew(
        &self,
        call: &Call<'_>,
        headers: &HeaderMap,
        stale: Option<&Authorization>,
    ) -> Result<Option<Authorization>, Error> {
        let session = &call.endpoint.session;
        let Some(challenge) = Challenge::of(headers) else { return Ok(None) };
        session.challenged(challenge.clone());
        if let Some(stale) = stale {
            session.revoke(&stale.header);
        }
        self.fetch_authorization(call, &challenge, stale).await
    }

    async fn fetch_authorization(
        &self,
        call: &Call<'_>,
        challenge: &Challenge,
        stale: Option<&Authorization>,
    ) -> Result<Option<Authorization>, Error> {
        let session = &call.endpoint.session;
        let _one_at_a_time = session.fetching.lock().await;
        // Somebody else may have fetched it in the meantime.
        if let Some(granted) = session.granted(&call.scope)
            && stale.is_none_or(|stale| stale.header != granted.header)
        {
            return Ok(Some(granted));
        }
        let mut credential = self.credential(call, stale.is_some_and(|stale| stale.user.is_some())).await;
        let mut asked_again = false;
        loop {
            let result = match challenge {
                Challenge::Basic => Ok(match &credential {
                    Some(crate::Credential::Password { user, secret }) => Authorization::basic(user, secret)
                        .map(|authorization| (call.scope.clone(), authorization, None)),
                    Some(crate::Credential::IdentityToken(_)) => {
                        return Err(call.auth(AuthFailure::Unsupported(
                            "the stored credentials are an identity token, and the registry asks for a password".into(),
                        )));
                    }
                    None => None,
                }),
                Challenge::Bearer { realm, service, scope } => {
                    let realm = self.realm(call, realm)?;
                    let request = TokenRequest::new(
                        realm,
                        service.as_deref(),
                        scope.as_deref(),
                        &call.scope,
                        credential.as_ref(),
                    );
                    let user = credential.as_ref().map(crate::Credential::user);
                    self.token(call, &request, user).await.map(|(a, life)| Some((request.scope, a, Some(life))))
                }
            };
            match result {
                Ok(Some((scope, authorization, life))) => {
                    session.grant(scope, authorization.clone(), life);
                    return Ok(Some(authorization));
                }
                Ok(None) => return Ok(None),
                Err(error @ Error::Auth { .. }) if !asked_again => {
                    // What a helper gave earlier may have expired: if it has something else now, that is tried, once.
                    asked_again = true;
                    let newer = self.credential(call, true).await;
                    if newer.is_none() || newer == credential {
                        return Err(error);
                    }
                    credential = newer;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Credentials that cannot be read are as good as none, until the registry insists: a helper that is not installed
    /// must not stand in the way of a public image. The reason is kept for that case.
    async fn credential(&self, call: &Call<'_>, again: bool) -> Option<crate::Credential> {
        let endpoint = call.endpoint;
        match self.credentials().find(&endpoint.host, call.scope.repository(), again).await {
            Ok(found) => {
                endpoint.session.set_note(None);
                found
            }
            Err(error) => {
                tracing::warn!(registry = endpoint.name, %error, "credentials");
                endpoint.session.set_note(Some(error.to_string()));
                None
            }
        }
    }

    /// Where tokens are had. Credentials go there, so it must be as safe as the registry.
    fn realm(&self, call: &Call<'_>, realm: &str) -> Result<Url, Error> {
        let unsupported = |reason: String| call.auth(AuthFailure::Unsupported(reason));
        let url =
            call.url.join(realm).map_err(|e| unsupported(format!("its token server has no valid address: {e}")))?;
        match url.scheme() {
            "https" => Ok(url),
            "http" if call.url.scheme() == "http" => Ok(url),
            "http" => {
                Err(unsupported(format!("its token server {} speaks plain HTTP; nothing is sent there", host_of(&url))))
            }
            other => Err(unsupported(format!("its token server has an address of the kind `{other}`"))),
        }
    }

    async fn token(
        &self,
        call: &Call<'_>,
        request: &TokenRequest,
        user: Option<&str>,
    ) -> Result<(Authorization, Duration), Error> {
        let idle = self.options().idle_timeout;
        let http = self.http_for(call.endpoint, &request.url).await?;
        let host = host_of(&request.url);
        let mut attempts = Attempts::new(&self.options().retry);
        loop {
            let mut sending = match &request.form {
                Some(form) => http
                    .post(request.url.clone())
                    .header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(form.to_string()),
                None => http.get(request.url.clone()),
            };
            if let Some(basic) = &request.basic {
                sending = sending.header(AUTHORIZATION, basic.header.clone());
            }
            let (fault, again) = match tokio::time::timeout(idle, sending.send()).await {
                Ok(Ok(response)) => {
                    let status = response.status();
                    if status.is_success() {
                        match read_body(response, MAX_TOKEN_BODY, idle).await {
                            Ok(bytes) => {
                                return bytes.and_then(|bytes| read_token(&bytes, user)).ok_or_else(|| {
                                    call.protocol(format!("the token server {host} answers without a token"))
                                });
                            }
                            Err(fault) => (fault, true),
                        }
                    } else if transient(status) && attempts.again(retry_after(response.headers())).await {
                        continue;
                    } else {
                        return Err(self.token_refusal(call, response, &host, user).await);
                    }
                }
                Ok(Err(error)) => fault_of(&error, &request.url, call.endpoint),
                Err(_) => (Fault::Timeout { host: host.clone() }, true),
            };
            if !again || !attempts.again(None).await {
                return Err(call.network(fault));
            }
        }
    }

    async fn token_refusal(&self, call: &Call<'_>, response: Response, host: &str, user: Option<&str>) -> Error {
        let status = response.status();
        let complaints = read_complaints(response, self.options().idle_timeout).await;
        match (status.as_u16(), user) {
            // OAuth2 says 400 (`invalid_grant`) for a refresh token that is not valid.
            (400 | 401, Some(user)) => call.auth(AuthFailure::Wrong { user: user.to_owned() }),
            (403, Some(user)) => call.auth(AuthFailure::Denied { user: user.to_owned(), complaints }),
            (401 | 403, None) => call.auth(AuthFailure::Missing { note: call.endpoint.session.note(), complaints }),
            (status, _) => Error::Refused {
                registry: call.endpoint.name.clone(),
                subject: format!("token from {host} for {}", call.subject),
                status,
                complaints,
            },
        }
    }
}

/// An address without its query, which may carry a signature.
fn bare(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

/// Reads an answer; nothing if it has more than `limit` bytes.
async fn read_body(mut response: Response, limit: usize, idle: Duration) -> Result<Option<Vec<u8>>, Fault> {
    let host = host_of(response.url());
    let mut bytes = Vec::new();
    loop {
        match tokio::time::timeout(idle, response.chunk()).await {
            Ok(Ok(None)) => return Ok(Some(bytes)),
            Ok(Ok(Some(chunk))) if bytes.len() + chunk.len() > limit => return Ok(None),
            Ok(Ok(Some(chunk))) => bytes.extend_from_slice(&chunk),
            Ok(Err(error)) => return Err(Fault::Broken { host, reason: deepest(&error) }),
            Err(_) => return Err(Fault::Timeout { host }),
        }
    }
}

/// Reads a small body to its end, so that the connection can be used again.
async fn drain(response: Response, idle: Duration) {
    let _ = read_body(response, MAX_ERROR_BODY, idle).await;
}

#[derive(Deserialize)]
struct ErrorList {
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    code: Option<String>,
    message: Option<String>,
}

/// A registry's words. They end in a terminal, so control characters do not survive, and there are not many of them.
async fn read_complaints(response: Response, idle: Duration) -> Vec<Complaint> {
    let html =
        response.headers().get(reqwest::header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"text/html"));
    let Ok(Some(bytes)) = read_body(response, MAX_ERROR_BODY, idle).await else { return Vec::new() };
    if let Ok(list) = serde_json::from_slice::<ErrorList>(&bytes) {
        let word = |text: Option<String>| printable(&text.unwrap_or_default());
        return list
            .errors
            .into_iter()
            .take(8)
            .map(|e| Complaint { code: word(e.code), message: word(e.message) })
            .filter(|c| !(c.code.is_empty() && c.message.is_empty()))
            .collect();
    }
    let message = printable(&String::from_utf8_lossy(&bytes));
    if html || message.is_empty() { Vec::new() } else { vec![Complaint { code: String::new(), message }] }
}

fn printable(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
}
