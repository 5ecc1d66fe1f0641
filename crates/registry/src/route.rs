//! From a path to what it means.
//!
//! Repository names have slashes, so no router with one pattern per segment can tell where a name ends. Paths are read
//! from their end instead: the last segments say the endpoint, the rest is the name, and a name that happens to contain
//! `manifests` or `blobs` is no exception.

use crate::error::{Code, Error, Result};
use crate::name::Name;

/// An endpoint with its arguments; the text ones are not checked yet, for how a wrong one is answered is the endpoint's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v2/`
    Ping,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/tags/list`
    Tags(Name),
    /// `/v2/<name>/manifests/<tag or digest>`
    Manifest(Name, String),
    /// `/v2/<name>/blobs/<digest>`
    Blob(Name, String),
    /// `/v2/<name>/blobs/uploads/`
    Uploads(Name),
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload(Name, String),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(Name, String),
}

/// Whether a path is the protocol's; the others are pages.
pub(crate) fn is_protocol(path: &str) -> bool {
    path == "/v2" || path.starts_with("/v2/")
}

/// Reads the path of a request to `/v2`.
pub(crate) fn parse(path: &str) -> Result<Route> {
    let unknown = || Error::new(Code::NotFound, format!("`{path}` is not an endpoint of the distribution API"));
    let rest = match path.strip_prefix("/v2") {
        Some("" | "/") => return Ok(Route::Ping),
        Some(rest) => rest.strip_prefix('/').ok_or_else(unknown)?,
        None => return Err(unknown()),
    };
    // Decoded as a whole: some clients send the colon of a digest as `%3A`, some the slashes of a name as `%2F`.
    let rest = decode(rest).ok_or_else(unknown)?;
    if rest == "_catalog" {
        return Ok(Route::Catalog);
    }
    let name = |text: &str| {
        Name::new(text).ok_or_else(|| {
            let rule =
                "lower-case letters and digits, joined by `.`, `_`, `__` or `-`, in parts joined by `/`, 255 at most";
            Error::new(Code::NameInvalid, format!("`{text}` is not a repository name: {rule}"))
        })
    };
    if let Some(rest) = rest.strip_suffix("/tags/list") {
        return Ok(Route::Tags(name(rest)?));
    }
    if let Some(rest) = rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads")) {
        return Ok(Route::Uploads(name(rest)?));
    }
    let (rest, last) = rest.rsplit_once('/').ok_or_else(unknown)?;
    let (repository, kind) = rest.rsplit_once('/').ok_or_else(unknown)?;
    match kind {
        "manifests" => Ok(Route::Manifest(name(repository)?, last.into())),
        "blobs" => Ok(Route::Blob(name(repository)?, last.into())),
        "referrers" => Ok(Route::Referrers(name(repository)?, last.into())),
        "uploads" => {
            let repository = repository.strip_suffix("/blobs").ok_or_else(unknown)?;
            Ok(Route::Upload(name(repository)?, last.into()))
        }
        _ => Err(unknown()),
    }
}

/// Undoes percent-encoding; `None` where what comes out is not text.
fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.into());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        out.push(digit(bytes.next())? << 4 | digit(bytes.next())?);
    }
    String::from_utf8(out).ok().filter(|text| !text.contains('\0'))
}

/// The parameters after the question mark.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads them; what cannot be decoded is taken as it stands.
    pub(crate) fn new(text: Option<&str>) -> Self {
        let undo = |part: &str| {
            let spaced = part.replace('+', " ");
            decode(&spaced).unwrap_or(spaced)
        };
        let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (undo(key), undo(value))
                })
                .collect(),
        )
    }

    /// The first of that name.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// Every one of that name, in order.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }
}

/// Encodes a value for a query.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/' | b':') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn paths_are_read_from_their_end() {
        for (path, route) in [
            ("/v2", Route::Ping),
            ("/v2/", Route::Ping),
            ("/v2/_catalog", Route::Catalog),
            ("/v2/a/tags/list", Route::Tags(name("a"))),
            ("/v2/a/b/c/manifests/latest", Route::Manifest(name("a/b/c"), "latest".into())),
            ("/v2/a/manifests/manifests/manifests", Route::Manifest(name("a/manifests"), "manifests".into())),
            ("/v2/a/blobs/uploads/manifests/x", Route::Manifest(name("a/blobs/uploads"), "x".into())),
            ("/v2/a/blobs/sha256%3Aab", Route::Blob(name("a"), "sha256:ab".into())),
            ("/v2/a%2Fb/blobs/x", Route::Blob(name("a/b"), "x".into())),
            ("/v2/a/blobs/uploads", Route::Uploads(name("a"))),
            ("/v2/a/blobs/uploads/", Route::Uploads(name("a"))),
            ("/v2/a/blobs/uploads/id", Route::Upload(name("a"), "id".into())),
            ("/v2/uploads/blobs/uploads/id", Route::Upload(name("uploads"), "id".into())),
            ("/v2/a/referrers/sha256:1", Route::Referrers(name("a"), "sha256:1".into())),
        ] {
            assert_eq!(parse(path).unwrap(), route, "{path}");
        }
    }

    #[test]
    fn what_is_no_endpoint_or_no_name_is_refused() {
        for path in [
            "/",
            "/v1/",
            "/v2x",
            "/v2/a",
            "/v2/a/b",
            "/v2//manifests/x",
            "/v2/../../etc/manifests/passwd",
            "/v2/%2e%2e/manifests/x",
            "/v2/a/%00/manifests/x",
            "/v2/_x/manifests/x",
            "/v2/A/tags/list",
            "/v2/a/uploads/x",
            "/v2/a/%zz/manifests/x",
            "/v2/a/%/manifests/x",
            "/v2/manifests/x",
        ] {
            assert!(parse(path).is_err(), "{path}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::new(Some("n=5&last=a%2Fb+c&tag=x&tag=y&&flag&bad=%zz"));
        assert_eq!(query.get("n"), Some("5"));
        assert_eq!(query.get("last"), Some("a/b c"));
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(query.get("flag"), Some(""));
        assert_eq!(query.get("bad"), Some("%zz"));
        assert_eq!(Query::new(Some(&format!("k={}", encode("a b&c=d%\"<>")))).get("k"), Some("a b&c=d%\"<>"));
    }
}
