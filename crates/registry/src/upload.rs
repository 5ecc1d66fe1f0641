//! Uploads: blobs on their way in, in one piece or several.

use std::time::Duration;

use archipel_oci::Digest;
use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt as _;

use crate::blob::digest;
use crate::error::{Code, Error, Result};
use crate::name::Name;
use crate::route::Query;
use crate::server::{CONTENT_DIGEST, empty, set};
use crate::storage::{Storage, Upload};

/// What is gathered before it is given to the storage.
const BATCH: usize = 512 * 1024;

/// How long a client may send nothing. What an upload got before is kept.
const SILENCE: Duration = Duration::from_secs(60);

/// How much of a body is read after it was refused. A client that still sends when the connection closes does not see the
/// answer; one that sends more than this is on its own.
const REST: u64 = 128 << 20;

const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// `POST /v2/<name>/blobs/uploads/`: starts an upload, mounts a blob, or takes a whole blob at once.
pub(crate) async fn start(storage: &impl Storage, name: &Name, query: &Query, request: Request) -> Result<Response> {
    if let Some(mount) = query.get("mount") {
        let digest = digest(mount)?;
        let from = query.get("from").filter(|from| !from.is_empty());
        // A source that cannot be is like one that lacks the blob: the client goes on to upload it.
        let mounted = match from.map(Name::new) {
            None => storage.mount_blob(name, None, &digest).await?,
            Some(Some(from)) => storage.mount_blob(name, Some(&from), &digest).await?,
            Some(None) => false,
        };
        if mounted {
            return Ok(created(name, &digest));
        }
    } else if let Some(expected) = query.get("digest") {
        let expected = match digest(expected) {
            Ok(expected) => expected,
            Err(error) => return refuse(request, error).await,
        };
        let id = storage.start_upload(name).await?;
        let mut upload = storage.open_upload(name, &id).await?.ok_or_else(|| unknown(name, &id))?;
        let declared = length(request.headers());
        return match receive(&mut upload, request.into_body(), declared).await {
            Ok(()) => commit(name, upload, &expected).await,
            Err(error) => {
                // Nobody was told the id: nobody can go on.
                upload.cancel().await?;
                Err(error)
            }
        };
    }
    let id = storage.start_upload(name).await?;
    let mut response = empty(StatusCode::ACCEPTED);
    for (header, value) in progress(name, &id, 0) {
        set(&mut response, header, &value);
    }
    Ok(response)
}

/// `GET /v2/<name>/blobs/uploads/<id>`: how far it is.
pub(crate) async fn status(storage: &impl Storage, name: &Name, id: &str) -> Result<Response> {
    let upload = open(storage, name, id).await?;
    let mut response = empty(StatusCode::NO_CONTENT);
    for (header, value) in progress(name, id, upload.size()) {
        set(&mut response, header, &value);
    }
    Ok(response)
}

/// `PATCH /v2/<name>/blobs/uploads/<id>`: the next piece.
pub(crate) async fn append(storage: &impl Storage, name: &Name, id: &str, request: Request) -> Result<Response> {
    let mut upload = match open(storage, name, id).await {
        Ok(upload) => upload,
        Err(error) => return refuse(request, error).await,
    };
    take(&mut upload, name, id, request).await?;
    let mut response = empty(StatusCode::ACCEPTED);
    for (header, value) in progress(name, id, upload.size()) {
        set(&mut response, header, &value);
    }
    Ok(response)
}

/// `PUT /v2/<name>/blobs/uploads/<id>?digest=<digest>`: the last piece, which may be the only one or empty.
pub(crate) async fn finish(
    storage: &impl Storage,
    name: &Name,
    id: &str,
    query: &Query,
    request: Request,
) -> Result<Response> {
    let missing = || Error::new(Code::DigestInvalid, "the upload's last request needs `?digest=<digest of the blob>`");
    let expected = match query.get("digest").ok_or_else(missing).and_then(digest) {
        Ok(expected) => expected,
        Err(error) => return refuse(request, error).await,
    };
    let mut upload = match open(storage, name, id).await {
        Ok(upload) => upload,
        Err(error) => return refuse(request, error).await,
    };
    take(&mut upload, name, id, request).await?;
    commit(name, upload, &expected).await
}

/// `DELETE /v2/<name>/blobs/uploads/<id>`
pub(crate) async fn cancel(storage: &impl Storage, name: &Name, id: &str) -> Result<Response> {
    open(storage, name, id).await?.cancel().await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

async fn open<S: Storage>(storage: &S, name: &Name, id: &str) -> Result<S::Upload> {
    storage.open_upload(name, id).await?.ok_or_else(|| unknown(name, id))
}

fn unknown(name: &Name, id: &str) -> Error {
    let detail = format!("{name} has no upload {id}: it is finished, cancelled or too old; start a new one");
    Error::new(Code::BlobUploadUnknown, detail)
}

async fn commit(name: &Name, upload: impl Upload, expected: &Digest) -> Result<Response> {
    let size = upload.size();
    match upload.commit(expected).await? {
        Ok(()) => Ok(created(name, expected)),
        Err(actual) => {
            let detail = format!("the {size} bytes that came have digest {actual}, not {expected}; nothing was kept");
            Err(Error::new(Code::DigestInvalid, detail))
        }
    }
}

fn created(name: &Name, digest: &Digest) -> Response {
    let mut response = empty(StatusCode::CREATED);
    set(&mut response, header::LOCATION, &format!("/v2/{name}/blobs/{digest}"));
    set(&mut response, CONTENT_DIGEST, digest.as_str());
    response
}

/// Where to go on and from which byte. The address is relative: what host a client reached us by, it knows better than we
/// do behind a proxy.
fn progress(name: &Name, id: &str, size: u64) -> [(HeaderName, String); 3] {
    [
        (header::LOCATION, format!("/v2/{name}/blobs/uploads/{id}")),
        // There is no way to say "no byte" in this header; every registry writes the same for none and for one.
        (header::RANGE, format!("0-{}", size.saturating_sub(1))),
        (UPLOAD_UUID, id.to_owned()),
    ]
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Checks that the piece is the next one and takes it in.
async fn take(upload: &mut impl Upload, name: &Name, id: &str, request: Request) -> Result<()> {
    let start = upload.size();
    let declared = match next_piece(request.headers(), start) {
        Ok(declared) => declared,
        Err(mut error) => {
            for (header, value) in progress(name, id, start) {
                error = error.with(header, &value);
            }
            return refuse(request, error).await.map(|_| ());
        }
    };
    let result = receive(upload, request.into_body(), declared).await;
    if result.as_ref().is_err_and(|error| error.code() == Code::SizeInvalid) {
        // The client contradicted itself; none of this piece can be trusted.
        upload.truncate(start).await?;
    }
    result
}

/// How long the piece is, if that was said. Fails if it is not what comes after `size`.
fn next_piece(headers: &HeaderMap, size: u64) -> Result<Option<u64>> {
    let length = length(headers);
    let Some(range) = headers.get(header::CONTENT_RANGE) else { return Ok(length) };
    let text = range.to_str().unwrap_or_default();
    // The specification's form is `0-99`; some write HTTP's `bytes 0-99/*`.
    let bounds = text.trim().trim_start_matches("bytes").trim();
    let bounds = bounds.split_once('/').map_or(bounds, |(bounds, _)| bounds);
    let parse = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let Some((first, last)) = bounds.split_once('-').and_then(|(a, b)| Some((parse(a)?, parse(b)?))) else {
        return Err(Error::new(Code::RangeInvalid, format!("`{text}` is not of the form `<first>-<last>`")));
    };
    if first != size || last < first {
        let detail = format!("the upload has {size} bytes, so the next piece starts at {size}, not at {first}");
        return Err(Error::new(Code::RangeInvalid, detail));
    }
    let declared = (last - first).checked_add(1);
    match (declared, length) {
        (None, _) => Err(Error::new(Code::RangeInvalid, "the range has no end")),
        (Some(declared), Some(length)) if declared != length => {
            let detail = format!("Content-Range means {declared} bytes, Content-Length says {length}");
            Err(Error::new(Code::SizeInvalid, detail))
        }
        _ => Ok(declared),
    }
}

/// Reads a body to its end and appends it. Whatever came before a failure is kept.
async fn receive(upload: &mut impl Upload, body: Body, declared: Option<u64>) -> Result<()> {
    let mut stream = body.into_data_stream();
    let result = fill(upload, &mut stream, declared).await;
    if result.as_ref().is_err_and(|error| error.code() != Code::Timeout) {
        drain(&mut stream).await;
    }
    result
}

async fn fill(upload: &mut impl Upload, stream: &mut BodyDataStream, declared: Option<u64>) -> Result<()> {
    let mut batch: Vec<Bytes> = Vec::new();
    let mut gathered = 0;
    let mut total: u64 = 0;
    let end = loop {
        let bytes = match next(stream).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        total += bytes.len() as u64;
        if declared.is_some_and(|declared| total > declared) {
            break Err(Error::new(Code::SizeInvalid, "the body is longer than was said"));
        }
        gathered += bytes.len();
        batch.push(bytes);
        if gathered >= BATCH {
            upload.write(std::mem::take(&mut batch)).await?;
            gathered = 0;
        }
    };
    if !batch.is_empty() {
        upload.write(batch).await?;
    }
    upload.flush().await?;
    end?;
    if let Some(declared) = declared.filter(|declared| total != *declared) {
        return Err(Error::new(Code::SizeInvalid, format!("{declared} bytes were announced, {total} came")));
    }
    Ok(())
}

/// The next bytes of a body, or `None` at its end.
pub(crate) async fn next(stream: &mut BodyDataStream) -> Result<Option<Bytes>> {
    match tokio::time::timeout(SILENCE, stream.next()).await {
        Ok(bytes) => bytes
            .transpose()
            .map_err(|error| Error::new(Code::BlobUploadInvalid, format!("the body ended early: {error}"))),
        Err(_) => Err(Error::new(Code::Timeout, format!("nothing came for {} seconds", SILENCE.as_secs()))),
    }
}

/// Answers with an error after reading what the client is sending, so that it gets to see the answer.
pub(crate) async fn refuse(request: Request, error: Error) -> Result<Response> {
    // A client that waits for leave to send is told no at once.
    if !request.headers().contains_key(header::EXPECT) {
        drain(&mut request.into_body().into_data_stream()).await;
    }
    Err(error)
}

async fn drain(stream: &mut BodyDataStream) {
    let mut read = 0;
    while let Ok(Some(bytes)) = next(stream).await {
        read += bytes.len() as u64;
        if read > REST {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_each_other() {
        let check = |range: &str, length: Option<u64>, size| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_RANGE, range.parse().unwrap());
            if let Some(length) = length {
                headers.insert(header::CONTENT_LENGTH, length.to_string().parse().unwrap());
            }
            next_piece(&headers, size).map_err(|error| error.code())
        };
        assert_eq!(check("0-9", Some(10), 0), Ok(Some(10)));
        assert_eq!(check("bytes 10-19/*", None, 10), Ok(Some(10)));
        assert_eq!(check("5-14", Some(10), 10), Err(Code::RangeInvalid));
        assert_eq!(check("20-29", Some(10), 10), Err(Code::RangeInvalid));
        assert_eq!(check("10-9", Some(0), 10), Err(Code::RangeInvalid));
        assert_eq!(check("10-19", Some(9), 10), Err(Code::SizeInvalid));
        for bad in ["", "x", "-", "1-", "-1", "+0-9", "0-18446744073709551615", "0-99999999999999999999"] {
            assert_eq!(check(bad, None, 0), Err(Code::RangeInvalid), "{bad}");
        }
    }
}
