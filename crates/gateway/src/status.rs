//! How calls end: [`pb::Status`], and the headers that it travels in.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message as _;

use crate::pb;

/// No error.
pub const OK: i32 = 0;
/// Nobody waits for the answer any more.
pub const CANCELLED: i32 = 1;
/// An error that nothing else is known of: a step that failed, for instance.
pub const UNKNOWN: i32 = 2;
/// A request that nobody could do anything with.
pub const INVALID_ARGUMENT: i32 = 3;
/// Something that was asked for is not there.
pub const NOT_FOUND: i32 = 5;
/// It is there, and this caller may not have it.
pub const PERMISSION_DENIED: i32 = 7;
/// Too much of something.
pub const RESOURCE_EXHAUSTED: i32 = 8;
/// A request that is good at another time.
pub const FAILED_PRECONDITION: i32 = 9;
/// Something that this builder does not do.
pub const UNIMPLEMENTED: i32 = 12;
/// A mistake of the builder's own.
pub const INTERNAL: i32 = 13;
/// The connection is gone.
pub const UNAVAILABLE: i32 = 14;

const CODE: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// Headers are written without padding, and are to be read with and without it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An error without details.
#[must_use]
pub fn error(code: i32, message: impl Into<String>) -> pb::Status {
    pb::Status { code, message: message.into(), details: Vec::new() }
}

/// Adds the headers of a call's end.
pub(crate) fn write(status: &pb::Status, headers: &mut HeaderMap) {
    headers.insert(CODE, HeaderValue::from(status.code));
    let mut insert = |name, text: String| {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    };
    if !status.message.is_empty() {
        insert(MESSAGE, percent_encoded(&status.message));
    }
    if !status.details.is_empty() {
        insert(DETAILS, BASE64.encode(status.encode_to_vec()));
    }
}

/// How a call ended; nothing if these headers do not say.
pub(crate) fn read(headers: &HeaderMap) -> Option<pb::Status> {
    let code = headers.get(CODE)?.to_str().ok()?.parse().unwrap_or(UNKNOWN);
    let details = headers.get(DETAILS).and_then(|value| BASE64.decode(value).ok());
    if let Some(status) = details.and_then(|bytes| pb::Status::decode(bytes.as_slice()).ok()) {
        return Some(status);
    }
    let message = headers.get(MESSAGE).map(|value| percent_decoded(value.as_bytes())).unwrap_or_default();
    Some(error(code, message))
}

/// What gRPC lets stand in a message: visible ASCII and blanks, the percent sign not.
fn percent_encoded(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            let digit = |bits: u8| char::from(DIGITS[usize::from(bits)]);
            encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    encoded
}

/// The contrary. What is no escape is itself.
fn percent_decoded(mut text: &[u8]) -> String {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let mut decoded = Vec::with_capacity(text.len());
    while let [byte, rest @ ..] = text {
        let escape = match rest {
            [high, low, ..] if *byte == b'%' => digit(high).zip(digit(low)),
            _ => None,
        };
        decoded.push(escape.map_or(*byte, |(high, low)| high << 4 | low));
        text = if escape.is_some() { &rest[2..] } else { rest };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn travels_in_headers() {
        let detail = pb::Any { type_url: "github.com/moby/buildkit/errdefs.Source".into(), value: b"{}".into() };
        for status in [
            error(OK, ""),
            error(NOT_FOUND, "no `a b` at 100%: zweite Zeile\nkürzer %zz %"),
            pb::Status { details: vec![detail], ..error(UNKNOWN, "exit code 1") },
        ] {
            let mut headers = HeaderMap::new();
            write(&status, &mut headers);
            assert_eq!(read(&headers), Some(status));
        }
    }

    #[test]
    fn headers_are_what_grpc_says() {
        let mut headers = HeaderMap::new();
        write(&error(UNIMPLEMENTED, "ä 5%\n"), &mut headers);
        assert_eq!(headers["grpc-status"], "12");
        assert_eq!(headers["grpc-message"], "%C3%A4 5%25%0A");
        assert!(!headers.contains_key("grpc-status-details-bin"));
        assert_eq!(read(&HeaderMap::new()), None);
    }
}
