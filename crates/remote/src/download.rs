//! Files from web servers: one GET of an address that is no registry's.
//!
//! What a server says about a file (its tag and its time) comes along, so that the caller can ask next time whether the file
//! has changed. Nothing is believed about the content: whoever wants to know what came makes a digest of it.

use std::fmt;

use bytes::{Buf as _, Bytes};
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, IF_RANGE,
    LAST_MODIFIED, LOCATION, RANGE,
};
use reqwest::{Response, StatusCode, Url};

use crate::blob::PROGRESS;
use crate::endpoint::{Endpoint, host_of, same_origin};
use crate::fault::{deepest, fault_of};
use crate::retry::{Attempts, retry_after, transient};
use crate::{AuthFailure, Client, Error, Fault, Secret};

/// The longest chain of redirects; the number is curl's and Go's habit.
const MAX_REDIRECTS: usize = 10;

/// What is to be fetched.
#[derive(Debug, Clone)]
pub struct DownloadRequest {
    /// Where from: `http://` or `https://`.
    pub url: String,
    /// The most bytes that it may have.
    pub limit: u64,
    /// The value of an `Authorization` header. It goes to the address's own host and to no other.
    pub authorization: Option<Secret>,
    /// The tag that the file had when it was fetched last.
    pub etag: Option<String>,
}

/// A file on its way. A connection that breaks is resumed where the server can do that; only the end without an error says
/// that all of it came.
pub struct DownloadStream {
    client: Client,
    exchange: Exchange,
    response: Response,
    etag: Option<String>,
    last_modified: Option<String>,
    gzip: bool,
    /// The next byte that the reader gets.
    offset: u64,
    /// All of it, where the server says so.
    length: Option<u64>,
    limit: u64,
    attempts: Attempts,
    resumed_at: u64,
}

/// An address and what goes there.
struct Exchange {
    url: Url,
    /// The address as messages show it: no credentials, no query, which may carry a signature.
    shown: String,
    authorization: Option<HeaderValue>,
    endpoint: Endpoint,
}

impl Client {
    /// Fetches a file. Returns when the server begins to send it; nothing if it still has the tag that was asked about.
    ///
    /// # Errors
    /// As for a registry; the address's host is named in its place.
    pub async fn download(&self, request: &DownloadRequest) -> Result<Option<DownloadStream>, Error> {
        let exchange = Exchange::new(self, request)?;
        let mut headers = HeaderMap::new();
        if let Some(value) = request.etag.as_deref().and_then(|etag| HeaderValue::from_str(etag).ok()) {
            headers.insert(IF_NONE_MATCH, value);
        }
        let mut attempts = Attempts::new(&self.options().retry);
        let response = exchange.open(self, &headers, &mut attempts).await?;
        let etag = text(response.headers(), ETAG);
        let asked = request.etag.as_deref().map(strong);
        if response.status() == StatusCode::NOT_MODIFIED {
            return match asked {
                Some(_) => Ok(None),
                None => Err(exchange.protocol("it answers that nothing has changed, and was not asked for that")),
            };
        }
        // Some servers give tags and do not understand questions about them.
        if asked.is_some() && etag.as_deref().map(strong) == asked {
            return Ok(None);
        }
        let length = response.content_length();
        if length.is_some_and(|length| length > request.limit) {
            return Err(exchange.too_large(request.limit));
        }
        let last_modified = text(response.headers(), LAST_MODIFIED);
        let gzip = text(response.headers(), CONTENT_ENCODING).is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let (client, limit) = (self.clone(), request.limit);
        attempts.reset();
        let stream = DownloadStream {
            client,
            exchange,
            response,
            etag,
            last_modified,
            gzip,
            offset: 0,
            length,
            limit,
            attempts,
            resumed_at: 0,
        };
        Ok(Some(stream))
    }
}

impl DownloadStream {
    /// The tag that the server gives to this content.
    #[must_use]
    pub fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    /// `Last-Modified` as the server writes it (RFC 9110, 5.6.7).
    #[must_use]
    pub fn last_modified(&self) -> Option<&str> {
        self.last_modified.as_deref()
    }

    /// Whether what comes is the file as the server packed it for the way. Nobody asks for that; some do it all the same.
    #[must_use]
    pub fn is_packed(&self) -> bool {
        self.gzip
    }

    /// How many bytes there are, where the server says so.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next piece; nothing after the last.
    ///
    /// # Errors
    /// Network trouble that attempts did not help against, or more bytes than are allowed.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let idle = self.client.options().idle_timeout;
            let host = host_of(self.response.url());
            let fault = match tokio::time::timeout(idle, self.response.chunk()).await {
                Ok(Ok(Some(piece))) if piece.has_remaining() => {
                    self.offset += piece.len() as u64;
                    if self.offset > self.limit {
                        return Err(self.exchange.too_large(self.limit));
                    }
                    return Ok(Some(piece));
                }
                Ok(Ok(Some(_))) => continue,
                Ok(Ok(None)) if self.length.is_none_or(|length| length == self.offset) => return Ok(None),
                Ok(Ok(None)) => Fault::Broken { host, reason: format!("it ended after {} bytes", self.offset) },
                Ok(Err(error)) => Fault::Broken { host, reason: deepest(&error) },
                Err(_) => Fault::Timeout { host },
            };
            self.resume(fault).await?;
        }
    }

    /// Goes on after a break. Without a name for this very content, the rest might be that of another.
    async fn resume(&mut self, fault: Fault) -> Result<(), Error> {
        let strong_tag = self.etag.as_deref().filter(|etag| !etag.starts_with("W/"));
        let Some(name) = strong_tag.or(self.last_modified.as_deref()).and_then(|n| HeaderValue::from_str(n).ok())
        else {
            return Err(self.exchange.network(fault));
        };
        if self.offset - self.resumed_at >= PROGRESS {
            self.attempts.reset();
        }
        self.resumed_at = self.offset;
        if !self.attempts.again(None).await {
            return Err(self.exchange.network(fault));
        }
        let mut headers = HeaderMap::new();
        headers.insert(IF_RANGE, name);
        let range = HeaderValue::from_str(&format!("bytes={}-", self.offset));
        headers.insert(RANGE, range.map_err(|_| self.exchange.network(fault.clone()))?);
        let response = self.exchange.open(&self.client, &headers, &mut self.attempts).await?;
        let begins = format!("bytes {}-", self.offset);
        let goes_on = response.status() == StatusCode::PARTIAL_CONTENT
            && text(response.headers(), CONTENT_RANGE).is_some_and(|range| range.starts_with(&begins));
        if !goes_on {
            // It cannot, or the file is another by now: what came so far is of no use.
            return Err(self.exchange.network(fault));
        }
        self.response = response;
        Ok(())
    }
}

impl fmt::Debug for DownloadStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DownloadStream").field("url", &self.exchange.shown).finish_non_exhaustive()
    }
}

impl Exchange {
    fn new(client: &Client, request: &DownloadRequest) -> Result<Self, Error> {
        let wrong = |shown: &str, reason: String| Error::Protocol {
            registry: "address".into(),
            subject: shown.to_owned(),
            reason,
        };
        let mut url = Url::parse(&request.url)
            .map_err(|e| wrong(request.url.split(['?', '#']).next().unwrap_or_default(), e.to_string()))?;
        let shown = shown(&url);
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(&shown, format!("addresses of the kind `{}` cannot be fetched", url.scheme())));
        }
        let authorization = match &request.authorization {
            Some(secret) => {
                let mut value = HeaderValue::from_str(secret.expose())
                    .map_err(|_| wrong(&shown, "its credentials do not fit into a header".into()))?;
                value.set_sensitive(true);
                // Those in the address would become a second header of this name.
                strip_user(&mut url);
                Some(value)
            }
            None => None,
        };
        let endpoint = Endpoint::new(&host_of(&url), None, client.config(), client.options())?;
        Ok(Self { url, shown, authorization, endpoint })
    }

    /// Asks until there is an answer that is worth reading.
    async fn open(&self, client: &Client, headers: &HeaderMap, attempts: &mut Attempts) -> Result<Response, Error> {
        loop {
            match self.follow(client, headers).await {
                Ok(response) => {
                    let status = response.status();
                    if status.is_success() || status == StatusCode::NOT_MODIFIED {
                        return Ok(response);
                    }
                    if !transient(status) || !attempts.again(retry_after(response.headers())).await {
                        return Err(self.refusal(&response));
                    }
                }
                Err(Trouble::Wire(_, true)) if attempts.again(None).await => {}
                Err(Trouble::Wire(fault, _)) => return Err(self.network(fault)),
                Err(Trouble::Final(error)) => return Err(error),
            }
        }
    }

    /// One exchange, redirects followed.
    async fn follow(&self, client: &Client, headers: &HeaderMap) -> Result<Response, Trouble> {
        let mut url = self.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut trust = client.config().trust(&host_of(&url));
            // The address says how its host is spoken to, not what is configured for registries.
            trust.tls = url.scheme() == "https";
            let http = client.http(&trust).await.map_err(|e| Trouble::Final(e.into()))?;
            let mut request = http.get(url.clone()).headers(headers.clone());
            if let Some(value) = &self.authorization
                && same_origin(&self.url, &url)
            {
                request = request.header(AUTHORIZATION, value.clone());
            }
            let response = match tokio::time::timeout(client.options().idle_timeout, request.send()).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => {
                    let (fault, again) = fault_of(&error, &url, &self.endpoint);
                    return Err(Trouble::Wire(fault, again));
                }
                Err(_) => return Err(Trouble::Wire(Fault::Timeout { host: host_of(&url) }, true)),
            };
            self.endpoint.answers();
            let moved = matches!(response.status().as_u16(), 301..=303 | 307 | 308);
            let Some(location) = text(response.headers(), LOCATION).filter(|_| moved) else { return Ok(response) };
            let to =
                url.join(&location).map_err(|e| self.lost(format!("it sends us to an address that is none: {e}")))?;
            match (url.scheme(), to.scheme()) {
                (_, "https") | ("http", "http") => url = to,
                ("https", "http") => {
                    return Err(self.lost(format!("it sends us from HTTPS to plain HTTP at {}", host_of(&to))));
                }
                (_, other) => return Err(self.lost(format!("it sends us to an address of the kind `{other}`"))),
            }
        }
        Err(self.lost(format!("it sends us on more than {MAX_REDIRECTS} times")))
    }

    fn lost(&self, reason: String) -> Trouble {
        Trouble::Final(self.protocol(reason))
    }

    fn refusal(&self, response: &Response) -> Error {
        let (registry, subject) = (host_of(response.url()), self.shown.clone());
        let status = response.status().as_u16();
        if matches!(status, 401 | 403) && self.authorization.is_none() {
            let host = self.url.host_str().unwrap_or_default();
            let secrets = format!("give the secret HTTP_AUTH_TOKEN_{host} or HTTP_AUTH_HEADER_{host}");
            let note = Some(format!("invalid response status {status}: {secrets}"));
            return Error::Auth { registry, subject, failure: AuthFailure::Missing { note, complaints: Vec::new() } };
        }
        Error::Status { registry, subject, status, url: shown(response.url()) }
    }

    fn protocol(&self, reason: impl Into<String>) -> Error {
        Error::Protocol { registry: self.host(), subject: self.shown.clone(), reason: reason.into() }
    }

    fn network(&self, fault: Fault) -> Error {
        Error::Network { registry: self.host(), subject: self.shown.clone(), fault }
    }

    fn too_large(&self, limit: u64) -> Error {
        self.protocol(format!("it has more than {limit} bytes"))
    }

    fn host(&self) -> String {
        host_of(&self.url)
    }
}

/// How far one attempt went.
enum Trouble {
    /// The wire failed; with whether trying again may help.
    Wire(Fault, bool),
    /// It makes no sense to go on.
    Final(Error),
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// A tag without the mark that says that other bytes may have it too: nobody compresses here, so they are the same.
fn strong(etag: &str) -> &str {
    etag.strip_prefix("W/").unwrap_or(etag)
}

fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    strip_user(&mut url);
    url.to_string()
}

fn strip_user(url: &mut Url) {
    // Both are possible for an address with a host; one without has neither.
    let _ = url.set_username("");
    let _ = url.set_password(None);
}

#[cfg(test)]
mod tests;
