//! Blobs: reading, asking for, deleting.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use archipel_oci::{Descriptor, Digest, Hasher, Reference};
use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt, try_unfold};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

use crate::auth::Scope;
use crate::client::Tries;
use crate::endpoint::{Endpoint, host_of};
use crate::fault::deepest;
use crate::request::{Call, MAX_ERROR_BODY};
use crate::retry::Attempts;
use crate::{Client, Error, Fault};

/// A transfer that brings this much between two interruptions gets somewhere, and may go on for as long as it likes. Less
/// than that, and it is given up after the usual number of attempts.
pub(crate) const PROGRESS: u64 = 1024 * 1024;

/// A blob on its way, as pieces of its bytes: a `futures` stream, or piece by piece with [`BlobStream::chunk`].
///
/// Only the end without an error says that the content is right: its size always, its digest if it was read from the
/// beginning. A broken connection is resumed behind the scenes. One that is held and not read keeps one of the places that
/// its host has for blobs.
pub struct BlobStream {
    pieces: Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>,
}

impl BlobStream {
    /// The next piece; nothing after the last.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        self.pieces.next().await.transpose()
    }
}

impl Stream for BlobStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlobStream")
    }
}

impl Client {
    /// Opens a blob for reading from `offset` on. Mirrors are asked first. Returns when the first place begins to send.
    pub async fn blob(&self, reference: &Reference, descriptor: &Descriptor, offset: u64) -> Result<BlobStream, Error> {
        let mut download = Download {
            client: self.clone(),
            repository: reference.repository().to_owned(),
            subject: subject(reference, &descriptor.digest),
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            hasher: (offset == 0).then(|| Hasher::new(descriptor.digest.algorithm())),
            offset,
            left: self.places(reference)?.into_iter(),
            place: None,
            attempts: Attempts::new(&self.options().retry),
            resumed_at: offset,
        };
        if offset == 0 || offset < descriptor.size {
            download.next_place(Tries::new(&download.subject)).await?;
        }
        Ok(BlobStream { pieces: Box::pin(try_unfold(download, Download::step)) })
    }

    /// Whether the registry itself (no mirror) has a blob.
    pub async fn blob_exists(&self, reference: &Reference, digest: &Digest) -> Result<bool, Error> {
        let origin = self.origin(reference.registry())?;
        self.blob_exists_at(&origin, reference, digest, None).await
    }

    pub(crate) async fn blob_exists_at(
        &self,
        origin: &Endpoint,
        reference: &Reference,
        digest: &Digest,
        size: Option<u64>,
    ) -> Result<bool, Error> {
        let url = origin.url(reference.repository(), &format!("blobs/{digest}"));
        let subject = subject(reference, digest);
        let call = Call::new(origin, Method::HEAD, url, Scope::push(reference.repository()), &subject);
        match self.send(&call, 0).await {
            // Something that answers to everything (a login page) does not have the blob.
            Ok(reply) => {
                let length = reply.headers.get(CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse::<u64>().ok());
                // Zero is what some say for "this answer has no body".
                Ok(size.zip(length).is_none_or(|(size, length)| size == length || length == 0))
            }
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes a blob from the reference's repository.
    pub async fn delete_blob(&self, reference: &Reference, digest: &Digest) -> Result<(), Error> {
        let origin = self.origin(reference.registry())?;
        let url = origin.url(reference.repository(), &format!("blobs/{digest}"));
        let subject = subject(reference, digest);
        let call = Call::new(&origin, Method::DELETE, url, Scope::delete(reference.repository()), &subject);
        self.send(&call, MAX_ERROR_BODY).await.map(|_| ())
    }
}

pub(crate) fn subject(reference: &Reference, digest: &Digest) -> String {
    format!("blob {} of {}", digest, reference.name())
}

struct Download {
    client: Client,
    repository: String,
    subject: String,
    digest: Digest,
    size: u64,
    hasher: Option<Hasher>,
    /// The next byte that the reader gets.
    offset: u64,
    left: std::vec::IntoIter<Arc<Endpoint>>,
    place: Option<Place>,
    attempts: Attempts,
    resumed_at: u64,
}

/// An answer that is being read.
struct Place {
    endpoint: Arc<Endpoint>,
    response: Response,
    /// Bytes to pass over: from a registry that sends everything when asked for the rest.
    skip: u64,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Download {
    async fn step(mut self) -> Result<Option<(Bytes, Self)>, Error> {
        let idle = self.client.options().idle_timeout;
        loop {
            let Some(place) = &mut self.place else { return Ok(None) };
            let host = host_of(place.response.url());
            let fault = match tokio::time::timeout(idle, place.response.chunk()).await {
                Ok(Ok(Some(mut bytes))) => {
                    let skipped = place.skip.min(bytes.len() as u64);
                    place.skip -= skipped;
                    // At most the length of the piece, which is a `usize`.
                    let _ = bytes.split_to(usize::try_from(skipped).unwrap_or(bytes.len()));
                    if bytes.is_empty() {
                        continue;
                    }
                    if bytes.len() as u64 > self.size - self.offset {
                        return Err(self.mismatch(format!("{} bytes", self.size), "more".into()));
                    }
                    self.offset += bytes.len() as u64;
                    if let Some(hasher) = &mut self.hasher {
                        hasher.update(&bytes);
                    }
                    return Ok(Some((bytes, self)));
                }
                Ok(Ok(None)) if self.offset == self.size => return self.finish(),
                Ok(Ok(None)) => {
                    let reason = format!("it ended after {} of {} bytes", self.offset, self.size);
                    Fault::Broken { host, reason }
                }
                Ok(Err(error)) => Fault::Broken { host, reason: deepest(&error) },
                Err(_) => Fault::Timeout { host },
            };
            self.resume(fault).await?;
        }
    }

    fn finish(self) -> Result<Option<(Bytes, Self)>, Error> {
        if let Some(found) = self.hasher.clone().map(Hasher::finish)
            && found != self.digest
        {
            return Err(self.mismatch(self.digest.to_string(), found.to_string()));
        }
        Ok(None)
    }

    /// Goes on after a break: at the same place while that gets somewhere, then at the next.
    async fn resume(&mut self, fault: Fault) -> Result<(), Error> {
        let Some(place) = self.place.take() else { return Ok(()) };
        tracing::debug!(%fault, offset = self.offset, "resuming a download");
        let endpoint = place.endpoint.clone();
        drop(place);
        let mut tries = Tries::new(&self.subject);
        if self.offset - self.resumed_at >= PROGRESS {
            self.attempts.reset();
        }
        self.resumed_at = self.offset;
        if self.attempts.again(None).await {
            match self.open(endpoint.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => tries.add(error),
            }
        } else {
            tries.add(Error::Network { registry: endpoint.name.clone(), subject: self.subject.clone(), fault });
        }
        self.next_place(tries).await
    }

    async fn next_place(&mut self, mut tries: Tries) -> Result<(), Error> {
        while let Some(endpoint) = self.left.next() {
            match self.open(endpoint).await {
                Ok(()) => return Ok(()),
                Err(error) => tries.add(error),
            }
        }
        Err(tries.into_error())
    }

    async fn open(&mut self, endpoint: Arc<Endpoint>) -> Result<(), Error> {
        // A semaphore of ours is never closed.
        let permit = endpoint.downloads.clone().acquire_owned().await.ok();
        let url = endpoint.url(&self.repository, &format!("blobs/{}", self.digest));
        let scope = Scope::pull(&endpoint.repository(&self.repository));
        let mut call = Call::new(&endpoint, Method::GET, url, scope, &self.subject);
        if self.offset > 0
            && let Ok(value) = HeaderValue::from_str(&format!("bytes={}-", self.offset))
        {
            call.headers.insert(RANGE, value);
        }
        let mut attempts = Attempts::new(&self.client.options().retry);
        let response = self.client.open(&call, &mut attempts).await?;
        let skip = if response.status() == StatusCode::PARTIAL_CONTENT {
            if range_start(response.headers()) != Some(self.offset) {
                return Err(call.protocol("the registry sends another range than it was asked for"));
            }
            0
        } else {
            self.offset
        };
        let expected = self.size - self.offset + skip;
        if let Some(length) = response.content_length().filter(|length| *length != expected) {
            return Err(Error::Mismatch {
                registry: endpoint.name.clone(),
                subject: self.subject.clone(),
                expected: format!("{expected} bytes"),
                found: format!("{length}"),
            });
        }
        self.place = Some(Place { endpoint, response, skip, _permit: permit });
        Ok(())
    }

    fn mismatch(&self, expected: String, found: String) -> Error {
        let registry = self.place.as_ref().map(|place| place.endpoint.name.clone()).unwrap_or_default();
        Error::Mismatch { registry, subject: self.subject.clone(), expected, found }
    }
}

/// The first byte of `Content-Range: bytes 5-9/10`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    text.trim().strip_prefix("bytes")?.trim_start().split('-').next()?.parse().ok()
}
