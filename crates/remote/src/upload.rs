//! Pushing blobs: ask, mount, upload, and go on after an interruption.

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use archipel_oci::{Descriptor, Reference};
use bytes::Bytes;
use futures_util::stream::unfold;
use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, LOCATION, RANGE,
};
use reqwest::{Body, Method, Response, StatusCode, Url};
use tokio::sync::mpsc;

use crate::auth::{Authorization, Scope};
use crate::blob::{PROGRESS, subject};
use crate::endpoint::{Endpoint, host_of};
use crate::fault::fault_of;
use crate::request::{Call, MAX_ERROR_BODY};
use crate::retry::{Attempts, retry_after, transient};
use crate::{Client, Error, Fault};

/// What is read from a source at once. Two of them wait for the network, so an upload holds under 1 MiB.
const CHUNK: usize = 256 * 1024;

/// A registry that got everything may have to copy it within its storage before it answers.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Where a registry's limit for a request is lower than this, its proxy is set up for something else.
const SMALLEST_PIECE: u64 = 256 * 1024;

/// The first size of pieces after a registry calls one request too large.
const FIRST_PIECE: u64 = 16 * 1024 * 1024;

const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// Something that can be read again from any offset, as a retry needs. A function that opens is one, so are a path and bytes.
pub trait BlobSource: Send + Sync {
    /// The bytes from `offset` on.
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>>;

    /// Told how many bytes have been handed over since the beginning of the blob. Goes back when an upload has to.
    fn progress(&self, _sent: u64) {}
}

impl<F: Fn(u64) -> io::Result<Box<dyn Read + Send>> + Send + Sync> BlobSource for F {
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        self(offset)
    }
}

impl BlobSource for PathBuf {
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        use std::io::{Seek, SeekFrom};
        let mut file = std::fs::File::open(self)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Box::new(file))
    }
}

impl BlobSource for Bytes {
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        Ok(Box::new(io::Cursor::new(self.slice(offset..))))
    }
}

/// How a blob got to where it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    Existed,
    /// Mounted from another repository of the registry.
    Mounted,
    /// Sent.
    Uploaded {
        /// Its size.
        bytes: u64,
    },
}

/// Where the registry takes the bytes, and how many it has.
struct Session {
    url: Url,
    offset: u64,
    /// The least that it takes in one piece, the last one aside.
    least: u64,
}

/// Why a piece did not arrive.
enum Setback {
    /// The connection, or a registry that is busy: the session may be resumed.
    Broken(Error, Option<Duration>),
    /// The token ran out on the way.
    Unauthorized(HeaderMap, Option<Authorization>, Error),
    /// Too large for one request.
    TooLarge(Error),
    /// Sent elsewhere.
    Moved(Url),
    /// It makes no sense to go on.
    Final(Error),
}

struct Upload<'a> {
    client: &'a Client,
    origin: &'a Endpoint,
    reference: &'a Reference,
    descriptor: &'a Descriptor,
    source: &'a dyn BlobSource,
    subject: String,
}

impl Client {
    /// Makes sure that the reference's repository has the blob: asks for it, mounts it from one of the repositories
    /// `mount_from` of the same registry, uploads it. Dropping the future cancels it, and nothing is half there.
    pub async fn push_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        source: &dyn BlobSource,
        mount_from: &[String],
    ) -> Result<Pushed, Error> {
        let origin = self.origin(reference.registry())?;
        let subject = subject(reference, &descriptor.digest);
        if self.blob_exists_at(&origin, reference, &descriptor.digest, Some(descriptor.size)).await? {
            return Ok(Pushed::Existed);
        }
        let upload = Upload { client: self, origin: &origin, reference, descriptor, source, subject };
        let mut session = None;
        for from in mount_from.iter().filter(|from| *from != reference.repository()) {
            match upload.mount(from).await? {
                Mount::Done => return Ok(Pushed::Mounted),
                // The registry opens a session where it cannot mount. One is enough.
                Mount::Session(opened) => {
                    if let Some(unused) = session.replace(opened) {
                        upload.abandon(unused).await;
                    }
                }
                Mount::Refused => {}
            }
        }
        // A semaphore of ours is never closed.
        let _permit = origin.uploads.acquire().await;
        upload.run(session).await?;
        Ok(Pushed::Uploaded { bytes: descriptor.size })
    }
}

enum Mount {
    Done,
    Session(Session),
    Refused,
}

impl Upload<'_> {
    fn scope(&self) -> Scope {
        Scope::push(self.reference.repository())
    }

    fn call(&self, method: Method, url: Url) -> Call<'_> {
        Call::new(self.origin, method, url, self.scope(), &self.subject)
    }

    fn uploads(&self) -> Url {
        self.origin.url(self.reference.repository(), "blobs/uploads/")
    }

    async fn mount(&self, from: &str) -> Result<Mount, Error> {
        let mut call = self.call(Method::POST, self.uploads());
        call.scope = call.scope.and(from, &["pull"]);
        call.url.query_pairs_mut().append_pair("mount", self.descriptor.digest.as_str()).append_pair("from", from);
        match self.client.send(&call, MAX_ERROR_BODY).await {
            Ok(reply) if reply.status == StatusCode::CREATED => Ok(Mount::Done),
            Ok(reply) => Ok(Mount::Session(self.session(&reply.url, &reply.headers)?)),
            // No right to read there, no such repository, or a registry that knows no mounts: it is uploaded then.
            Err(Error::Auth { .. } | Error::Refused { .. } | Error::NotFound { .. }) => Ok(Mount::Refused),
            Err(error) => Err(error),
        }
    }

    async fn start(&self) -> Result<Session, Error> {
        let call = self.call(Method::POST, self.uploads());
        let reply = self.client.send(&call, MAX_ERROR_BODY).await?;
        self.session(&reply.url, &reply.headers)
    }

    fn session(&self, from: &Url, headers: &HeaderMap) -> Result<Session, Error> {
        let call = self.call(Method::POST, from.clone());
        let location = headers
            .get(LOCATION)
            .ok_or_else(|| call.protocol("the registry opens an upload and does not say where"))?;
        let location = String::from_utf8_lossy(location.as_bytes());
        let url = self.origin.follow(from, &location).map_err(|reason| call.protocol(reason))?;
        let least = headers.get(CHUNK_MIN_LENGTH).and_then(|l| l.to_str().ok()?.parse().ok()).unwrap_or(0);
        Ok(Session { url, offset: 0, least })
    }

    /// Best effort: registries collect what is left over.
    async fn abandon(&self, session: Session) {
        let call = self.call(Method::DELETE, session.url);
        if let Err(error) = self.client.send(&call, MAX_ERROR_BODY).await {
            tracing::debug!(%error, "an unused upload stays");
        }
    }

    async fn run(&self, session: Option<Session>) -> Result<(), Error> {
        let options = self.client.options();
        let mut piece = options.chunk_size;
        let mut attempts = Attempts::new(&options.retry);
        let mut renewed_at = None;
        let mut farthest = 0;
        let mut session = match session {
            Some(session) => session,
            None => self.start().await?,
        };
        loop {
            let setback = match self.advance(&mut session, piece).await {
                Ok(true) => return Ok(()),
                Ok(false) => continue,
                Err(setback) => setback,
            };
            match setback {
                Setback::Final(error) => return Err(error),
                Setback::Moved(url) => {
                    if !attempts.again(Some(Duration::ZERO)).await {
                        let call = self.call(Method::PUT, url);
                        return Err(call.protocol("the registry redirects without end"));
                    }
                    session.url = url;
                }
                Setback::Unauthorized(headers, stale, error) => {
                    // Once at one place of the blob: a fresh token that is not taken is a refusal.
                    if renewed_at.replace(session.offset) == Some(session.offset) {
                        return Err(error);
                    }
                    let call = self.call(Method::PUT, session.url.clone());
                    if self.client.renew(&call, &headers, stale.as_ref()).await?.is_none() {
                        return Err(error);
                    }
                    if !self.recover(&mut session).await? {
                        return Ok(());
                    }
                }
                Setback::TooLarge(error) => {
                    let tried = piece.unwrap_or(u64::MAX).min(self.descriptor.size);
                    if tried <= SMALLEST_PIECE {
                        return Err(error);
                    }
                    piece = Some((tried / 4).clamp(SMALLEST_PIECE, FIRST_PIECE));
                    if !self.recover(&mut session).await? {
                        return Ok(());
                    }
                }
                Setback::Broken(error, wait) => {
                    if !attempts.again(wait).await {
                        return Err(error);
                    }
                    tracing::debug!(%error, "resuming an upload");
                    // The error of the upload says more than that of a question about it.
                    match self.recover(&mut session).await {
                        Ok(true) => {}
                        Ok(false) => return Ok(()),
                        Err(Error::Network { .. }) => return Err(error),
                        Err(other) => return Err(other),
                    }
                    // Against the farthest, so that a registry that loses what it kept cannot go on forever.
                    if session.offset >= farthest + PROGRESS {
                        attempts.reset();
                    }
                    farthest = farthest.max(session.offset);
                }
            }
        }
    }

    /// Sends the next piece, or all, or the end. Whether that was the end.
    async fn advance(&self, session: &mut Session, piece: Option<u64>) -> Result<bool, Setback> {
        let size = self.descriptor.size;
        let piece = piece.map(|piece| piece.max(session.least));
        let whole = session.offset == 0 && piece.is_none_or(|piece| piece >= size);
        let commit = whole || session.offset == size;
        let end = if whole { size } else { size.min(session.offset.saturating_add(piece.unwrap_or(u64::MAX))) };
        let mut url = session.url.clone();
        if commit {
            url.query_pairs_mut().append_pair("digest", self.descriptor.digest.as_str());
        }
        let method = if commit { Method::PUT } else { Method::PATCH };
        let response = self.exchange(method, url, session.offset, end, whole).await?;
        if commit {
            return Ok(true);
        }
        // The registry may have taken less than it was sent, but not nothing.
        let kept = kept(response.headers()).map_or(end, |kept| kept.min(end));
        if kept <= session.offset {
            let call = self.call(Method::PATCH, session.url.clone());
            return Err(Setback::Broken(call.protocol("the registry accepts bytes and does not keep them"), None));
        }
        session.offset = kept;
        self.moved(session, &response).map_err(Setback::Final)?;
        Ok(false)
    }

    fn moved(&self, session: &mut Session, response: &Response) -> Result<(), Error> {
        if response.headers().contains_key(LOCATION) {
            session.url = self.session(response.url(), response.headers())?.url;
        }
        Ok(())
    }

    /// Asks how much of an interrupted upload the registry has, or starts a new one. False if there is nothing left to do:
    /// the end had arrived, and only the answer was lost.
    async fn recover(&self, session: &mut Session) -> Result<bool, Error> {
        let call = self.call(Method::GET, session.url.clone());
        if let Ok(reply) = self.client.send(&call, MAX_ERROR_BODY).await
            && let Some(kept) = kept(&reply.headers).filter(|kept| *kept <= self.descriptor.size)
        {
            if reply.headers.contains_key(LOCATION) {
                session.url = self.session(&reply.url, &reply.headers)?.url;
            }
            session.offset = kept;
            return Ok(true);
        }
        let size = Some(self.descriptor.size);
        if self.client.blob_exists_at(self.origin, self.reference, &self.descriptor.digest, size).await? {
            return Ok(false);
        }
        *session = self.start().await?;
        Ok(true)
    }

    /// One request with the bytes from `start` to `end` as its body.
    async fn exchange(&self, method: Method, url: Url, start: u64, end: u64, whole: bool) -> Result<Response, Setback> {
        let call = self.call(method.clone(), url.clone());
        let idle = self.client.options().idle_timeout;
        let authorization = self.client.authorize(&call).await.map_err(Setback::Final)?;
        let http = self.client.http_for(self.origin, &url).await.map_err(|e| Setback::Final(e.into()))?;
        let mut request = http
            .request(method, url.clone())
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, end - start);
        if !whole && end > start {
            request = request.header(CONTENT_RANGE, format!("{start}-{}", end - 1));
        }
        if let Some(authorization) = &authorization
            && self.origin.owns(&url)
        {
            request = request.header(AUTHORIZATION, authorization.header.clone());
        }
        let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(1);
        let pieces = unfold(receiver, |mut receiver| async { receiver.recv().await.map(|piece| (piece, receiver)) });
        let answer = request.body(Body::wrap_stream(pieces)).send();
        let feed = self.feed(start, end, sender, idle);
        tokio::pin!(answer, feed);
        let answered = tokio::select! {
            // An answer before the end of the body is a refusal, and the rest need not be sent.
            answered = &mut answer => Ok(answered),
            fed = &mut feed => match fed {
                Fed::All => tokio::time::timeout(COMMIT_TIMEOUT.max(idle), &mut answer).await.map_err(|_| ()),
                Fed::Stalled => Err(()),
                Fed::Source(source) => {
                    return Err(Setback::Final(Error::Source { subject: self.subject.clone(), source }));
                }
            },
        };
        let response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let (fault, again) = fault_of(&error, &url, self.origin);
                let refused = matches!(fault, Fault::ConnectionRefused { .. });
                let error = call.network(fault);
                return Err(if again || refused { Setback::Broken(error, None) } else { Setback::Final(error) });
            }
            Err(()) => return Err(Setback::Broken(call.network(Fault::Timeout { host: host_of(&url) }), None)),
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let headers = response.headers().clone();
        if matches!(status.as_u16(), 307 | 308)
            && let Some(location) = headers.get(LOCATION)
        {
            let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
            let moved = self.origin.follow(&url, &location).map_err(|reason| Setback::Final(call.protocol(reason)))?;
            return Err(Setback::Moved(moved));
        }
        let ours = self.origin.owns(response.url());
        let error = call.refusal(response, authorization.as_ref(), idle).await;
        Err(match status {
            StatusCode::UNAUTHORIZED if ours => Setback::Unauthorized(headers, authorization, error),
            StatusCode::PAYLOAD_TOO_LARGE => Setback::TooLarge(error),
            // The session is not where we believe it is, or gone: asking helps.
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::NOT_FOUND => Setback::Broken(error, None),
            status if transient(status) => Setback::Broken(error, retry_after(&headers)),
            _ => Setback::Final(error),
        })
    }

    /// Reads the source into the body, on the threads for what blocks.
    async fn feed(&self, start: u64, end: u64, sender: mpsc::Sender<io::Result<Bytes>>, idle: Duration) -> Fed {
        self.source.progress(start);
        if start == end {
            return Fed::All;
        }
        let mut reader = match self.source.open(start) {
            Ok(reader) => reader,
            Err(error) => return Fed::Source(error),
        };
        let mut sent = start;
        while sent < end {
            let wanted = usize::try_from(end - sent).unwrap_or(CHUNK).min(CHUNK);
            let read = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; wanted];
                reader.read_exact(&mut piece).map(|()| (reader, Bytes::from(piece)))
            });
            let piece = match read.await.map_err(io::Error::other).flatten() {
                Ok((back, piece)) => {
                    reader = back;
                    piece
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    let text = format!("it has fewer than {} bytes", self.descriptor.size);
                    return Fed::Source(io::Error::new(error.kind(), text));
                }
                Err(error) => return Fed::Source(error),
            };
            sent += piece.len() as u64;
            match tokio::time::timeout(idle, sender.send(Ok(piece))).await {
                Ok(Ok(())) => self.source.progress(sent),
                // The request has ended: its answer is what counts.
                Ok(Err(_)) => return Fed::All,
                Err(_) => return Fed::Stalled,
            }
        }
        Fed::All
    }
}

enum Fed {
    All,
    Stalled,
    Source(io::Error),
}

/// How many bytes a session has: `Range: 0-N`, with `bytes=` in front from some. Registries say `0-0` for nothing as well as
/// for one byte; it is taken as unknown.
fn kept(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(RANGE)?.to_str().ok()?.trim();
    let last: u64 = text.strip_prefix("bytes=").unwrap_or(text).strip_prefix("0-")?.parse().ok()?;
    (last > 0).then_some(last.checked_add(1)?)
}
