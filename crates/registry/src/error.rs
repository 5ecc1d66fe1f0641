//! Errors as clients see them: a status, a code from the specification, and a detail that says what to do.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::storage;

/// Codes of the OCI distribution specification ("Error Codes"), with distribution's additions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestTooLarge,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    PageInvalid,
    RangeInvalid,
    SizeInvalid,
    TagInvalid,
    Busy,
    Timeout,
    NotFound,
    Unauthorized,
    Unsupported,
    StorageFull,
    Unknown,
}

impl Code {
    /// Status, code and message. The message is fixed by the code; what varies is in the detail.
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::BlobUnknown => (S::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry"),
            Self::BlobUploadInvalid => (S::BAD_REQUEST, "BLOB_UPLOAD_INVALID", "blob upload invalid"),
            Self::BlobUploadUnknown => (S::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"),
            Self::DigestInvalid => (S::BAD_REQUEST, "DIGEST_INVALID", "provided digest did not match uploaded content"),
            Self::ManifestBlobUnknown => {
                (S::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN", "manifest references content unknown to the repository")
            }
            Self::ManifestInvalid => (S::BAD_REQUEST, "MANIFEST_INVALID", "manifest invalid"),
            Self::ManifestTooLarge => (S::PAYLOAD_TOO_LARGE, "MANIFEST_INVALID", "manifest too large"),
            Self::ManifestUnknown => (S::NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown to registry"),
            Self::NameInvalid => (S::BAD_REQUEST, "NAME_INVALID", "invalid repository name"),
            Self::NameUnknown => (S::NOT_FOUND, "NAME_UNKNOWN", "repository name not known to registry"),
            Self::PageInvalid => (S::BAD_REQUEST, "PAGINATION_NUMBER_INVALID", "invalid number of results requested"),
            Self::RangeInvalid => (S::RANGE_NOT_SATISFIABLE, "RANGE_INVALID", "invalid content range"),
            Self::SizeInvalid => (S::BAD_REQUEST, "SIZE_INVALID", "provided length did not match content length"),
            Self::TagInvalid => (S::BAD_REQUEST, "TAG_INVALID", "invalid tag"),
            Self::Busy => (S::CONFLICT, "BLOB_UPLOAD_INVALID", "blob upload is in use"),
            Self::Timeout => (S::REQUEST_TIMEOUT, "BLOB_UPLOAD_INVALID", "no data came"),
            Self::NotFound => (S::NOT_FOUND, "UNSUPPORTED", "no such endpoint"),
            Self::Unauthorized => (S::UNAUTHORIZED, "UNAUTHORIZED", "authentication required"),
            Self::Unsupported => (S::METHOD_NOT_ALLOWED, "UNSUPPORTED", "the operation is unsupported"),
            Self::StorageFull => (S::INSUFFICIENT_STORAGE, "UNKNOWN", "the registry has no space left"),
            Self::Unknown => (S::INTERNAL_SERVER_ERROR, "UNKNOWN", "unknown error"),
        }
    }
}

/// One answer that is not the one that was hoped for.
#[derive(Debug)]
pub(crate) struct Error {
    code: Code,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Details quote what a client sent; a megabyte of it helps nobody.
const MAX_DETAIL: usize = 2000;

impl Error {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if detail.len() > MAX_DETAIL {
            let end = (0..=MAX_DETAIL).rev().find(|i| detail.is_char_boundary(*i)).unwrap_or(0);
            detail.truncate(end);
            detail.push('…');
        }
        Self { code, detail, headers: Vec::new() }
    }

    pub(crate) fn code(&self) -> Code {
        self.code
    }

    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }
}

impl From<storage::Error> for Error {
    fn from(error: storage::Error) -> Self {
        match &error {
            storage::Error::Busy => Self::new(Code::Busy, "another request writes to this upload; try again"),
            _ if error.is_full() => {
                tracing::error!("{error}");
                Self::new(Code::StorageFull, "tell the registry's operator; what was acknowledged is safe")
            }
            _ => {
                // The text names paths of this machine: it goes to the operator, not to the client.
                tracing::error!("{error}");
                Self::new(Code::Unknown, "the registry's storage has a problem; its log says which")
            }
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code, message) = self.code.parts();
        let body = serde_json::json!({
            "errors": [{ "code": code, "message": message, "detail": self.detail }]
        });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().extend(self.headers);
        response
    }
}
