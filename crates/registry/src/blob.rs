//! Blobs: reading and deleting them.

use std::ops::Range;

use archipel_oci::Digest;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;

use crate::error::{Code, Error, Result};
use crate::name::Name;
use crate::server::{CONTENT_DIGEST, empty, set};
use crate::storage::{Blob as _, Storage};

pub(crate) fn digest(text: &str) -> Result<Digest> {
    text.parse().map_err(|e: archipel_oci::DigestError| Error::new(Code::DigestInvalid, e.to_string()))
}

fn unknown(name: &Name, digest: &Digest) -> Error {
    Error::new(Code::BlobUnknown, format!("{name} has no blob {digest}"))
}

/// `HEAD /v2/<name>/blobs/<digest>`
pub(crate) async fn head(storage: &impl Storage, name: &Name, text: &str) -> Result<Response> {
    let digest = digest(text)?;
    let size = storage.blob_size(name, &digest).await?.ok_or_else(|| unknown(name, &digest))?;
    let mut response = empty(StatusCode::OK);
    describe(&mut response, &digest);
    set(&mut response, header::CONTENT_LENGTH, &size.to_string());
    Ok(response)
}

/// `GET /v2/<name>/blobs/<digest>`
pub(crate) async fn get(storage: &impl Storage, name: &Name, text: &str, headers: &HeaderMap) -> Result<Response> {
    let digest = digest(text)?;
    let blob = storage.open_blob(name, &digest).await?.ok_or_else(|| unknown(name, &digest))?;
    if is_cached(headers, &digest) {
        let mut response = empty(StatusCode::NOT_MODIFIED);
        describe(&mut response, &digest);
        return Ok(response);
    }
    let size = blob.size();
    let (status, range) = match wanted(headers, &digest, size) {
        Wanted::All => (StatusCode::OK, 0..size),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => {
            let detail = format!("the blob has {size} bytes, none of them in the range that was asked for");
            return Err(Error::new(Code::RangeInvalid, detail).with(header::CONTENT_RANGE, &format!("bytes */{size}")));
        }
    };
    let mut response = Response::new(Body::from_stream(blob.stream(range.clone())));
    *response.status_mut() = status;
    describe(&mut response, &digest);
    set(&mut response, header::CONTENT_LENGTH, &(range.end - range.start).to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        set(&mut response, header::CONTENT_RANGE, &format!("bytes {}-{}/{size}", range.start, range.end - 1));
    }
    Ok(response)
}

/// `DELETE /v2/<name>/blobs/<digest>`
pub(crate) async fn delete(storage: &impl Storage, name: &Name, text: &str) -> Result<Response> {
    let digest = digest(text)?;
    if storage.delete_blob(name, &digest).await? {
        return Ok(empty(StatusCode::ACCEPTED));
    }
    Err(unknown(name, &digest))
}

fn describe(response: &mut Response, digest: &Digest) {
    set(response, header::CONTENT_TYPE, "application/octet-stream");
    set(response, header::ACCEPT_RANGES, "bytes");
    set(response, header::ETAG, &format!("\"{digest}\""));
    // A digest never means other bytes.
    set(response, header::CACHE_CONTROL, "max-age=31536000, immutable");
    set(response, CONTENT_DIGEST, digest.as_str());
}

/// Whether the client says that it has these bytes (`If-None-Match`).
pub(crate) fn is_cached(headers: &HeaderMap, digest: &Digest) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    tags.flat_map(|v| v.split(',')).any(|tag| {
        let tag = tag.trim();
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag == "*" || tag.trim_matches('"') == digest.as_str()
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part(Range<u64>),
    Nothing,
}

fn wanted(headers: &HeaderMap, digest: &Digest, size: u64) -> Wanted {
    let text = |name| headers.get(name).map(|v| v.to_str().unwrap_or_default());
    let Some(range) = text(header::RANGE) else { return Wanted::All };
    // A range of something else is of no use: the client has to begin again.
    if text(header::IF_RANGE).is_some_and(|tag| tag.trim().trim_matches('"') != digest.as_str()) {
        return Wanted::All;
    }
    parse_range(range, size)
}

/// One byte range (RFC 9110, section 14). Where a server may ignore the header, a list of ranges or another unit, all is
/// sent. A range that ends before it begins is answered with 416, which is what the OCI's conformance tests want and what
/// shows a client its mistake.
fn parse_range(text: &str, size: u64) -> Wanted {
    let Some((unit, range)) = text.split_once('=') else { return Wanted::All };
    let (Some((first, last)), false) = (range.trim().split_once('-'), range.contains(',')) else { return Wanted::All };
    if !unit.trim().eq_ignore_ascii_case("bytes") || size == 0 {
        return Wanted::All; // nothing can be part of nothing
    }
    let range = match (number(first), number(last)) {
        (Number::Is(first), Number::Is(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Number::Is(_), Number::Is(_)) => return Wanted::Nothing,
        (Number::Is(first), Number::Missing) => first..size,
        (Number::Missing, Number::Is(length)) => size.saturating_sub(length)..size,
        _ => return Wanted::All,
    };
    if range.is_empty() { Wanted::Nothing } else { Wanted::Part(range) }
}

enum Number {
    Is(u64),
    Missing,
    Wrong,
}

fn number(text: &str) -> Number {
    match text.trim() {
        "" => Number::Missing,
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => Number::Is(digits.parse().unwrap_or(u64::MAX)),
        _ => Number::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, size, wanted) in [
            ("bytes=0-0", 10, Wanted::Part(0..1)),
            ("bytes=0-", 10, Wanted::Part(0..10)),
            ("bytes=9-", 10, Wanted::Part(9..10)),
            ("bytes=-3", 10, Wanted::Part(7..10)),
            ("bytes=-30", 10, Wanted::Part(0..10)),
            ("bytes=2-99999999999999999999999", 10, Wanted::Part(2..10)),
            ("Bytes = 2-4", 10, Wanted::Part(2..5)),
            ("bytes=10-", 10, Wanted::Nothing),
            ("bytes=10-20", 10, Wanted::Nothing),
            ("bytes=99999999999999999999999-", 10, Wanted::Nothing),
            ("bytes=5-0", 10, Wanted::Nothing),
            ("bytes=-0", 10, Wanted::Nothing),
            ("bytes=0-1,3-4", 10, Wanted::All),
            ("bytes=a-b", 10, Wanted::All),
            ("bytes=-", 10, Wanted::All),
            ("bytes=--1", 10, Wanted::All),
            ("bytes", 10, Wanted::All),
            ("lines=0-1", 10, Wanted::All),
            ("bytes=0-0", 0, Wanted::All),
            ("bytes=-1", 0, Wanted::All),
        ] {
            assert_eq!(parse_range(text, size), wanted, "{text} of {size}");
        }
    }
}
