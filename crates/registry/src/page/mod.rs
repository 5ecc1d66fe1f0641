//! The web page: repositories, their images, and how to pull them.
//!
//! Made on the server, readable without scripts; there are none. Everything shown was written by whoever pushed it, so all
//! of it is escaped by the templates, and the policy in the headers lets a browser load one style sheet and nothing else.

mod model;

use askama::Template as _;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::error::{Code, Error, Result};
use crate::name::{Name, Tag};
use crate::route::{Query, encode};
use crate::storage::Storage;
use model::{Reader, Repository};

const STYLE: &str = include_str!("../../templates/style.css");

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Repositories on one page, and tags of each; then tags on a repository's own page.
const REPOSITORIES: usize = 25;
const TAGS: usize = 20;
const TAGS_ALONE: usize = 100;

#[derive(askama::Template)]
#[template(path = "page.html", whitespace = "minimize")]
struct Page {
    /// How clients reach this registry.
    host: String,
    /// The one repository that the page is about, or none if it is about all.
    only: Option<Name>,
    repositories: Vec<Repository>,
    /// The address of the next page.
    next: Option<String>,
}

impl Page {
    fn size(&self, bytes: &u64) -> String {
        human(*bytes)
    }

    fn pull(&self, repository: &Repository, tag: &Tag) -> String {
        format!("docker pull {}/{}:{tag}", self.host, repository.name)
    }
}

/// Answers what is not the protocol's.
pub(crate) async fn answer(
    storage: &impl Storage,
    method: &Method,
    path: &str,
    query: &Query,
    headers: &HeaderMap,
) -> Response {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let error = Error::new(Code::Unsupported, format!("{method} is not a method of a page"));
        return error.with(header::ALLOW, "GET, HEAD").into_response();
    }
    let page = match path {
        "/style.css" => return respond(StatusCode::OK, "text/css; charset=utf-8", STYLE.into()),
        "/" => overview(storage, query, headers).await,
        _ => match path.strip_prefix("/repositories/").and_then(Name::new) {
            Some(name) => one(storage, name, query, headers).await,
            None => Ok(None),
        },
    };
    let rendered = page.map(|page| page.map(|page| page.render()));
    match rendered {
        Ok(Some(Ok(text))) => respond(StatusCode::OK, "text/html; charset=utf-8", text),
        Ok(None) => respond(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "There is no such page.\n".into()),
        Ok(Some(Err(error))) => {
            tracing::error!("page: {error}");
            respond(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", "The page cannot be made.\n".into())
        }
        Err(error) => error.into_response(),
    }
}

fn respond(status: StatusCode, media_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

async fn overview(storage: &impl Storage, query: &Query, headers: &HeaderMap) -> Result<Option<Page>> {
    let last = query.get("last").unwrap_or_default();
    let names = storage.repositories().await?;
    let start = if last.is_empty() { 0 } else { names.partition_point(|name| name.as_str() <= last) };
    let rest = names.get(start..).unwrap_or_default();
    let shown = rest.get(..REPOSITORIES).unwrap_or(rest);
    let mut reader = Reader::new(storage);
    let mut repositories = Vec::new();
    for name in shown {
        repositories.extend(reader.repository(name, None, TAGS).await?);
    }
    let next =
        shown.last().filter(|_| shown.len() < rest.len()).map(|name| format!("/?last={}", encode(name.as_str())));
    Ok(Some(Page { host: host(headers), only: None, repositories, next }))
}

async fn one(storage: &impl Storage, name: Name, query: &Query, headers: &HeaderMap) -> Result<Option<Page>> {
    let after = query.get("last").and_then(Tag::new);
    let Some(repository) = Reader::new(storage).repository(&name, after.as_ref(), TAGS_ALONE).await? else {
        return Ok(None);
    };
    let last = repository.last.as_ref().filter(|_| repository.more > 0);
    let next = last.map(|tag| format!("/repositories/{name}?last={tag}"));
    Ok(Some(Page { host: host(headers), only: Some(name), repositories: vec![repository], next }))
}

/// What the browser calls us is what a client on the same machine can call us. A name with anything odd in it is not
/// shown: it would be copied into a shell.
fn host(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    if !host.is_empty() && host.bytes().all(plain) { host.into() } else { "REGISTRY".into() }
}

/// Bytes as people read them.
fn human(bytes: u64) -> String {
    let (mut value, mut tenths, mut unit) = (bytes, 0, "B");
    for next in ["kB", "MB", "GB", "TB", "PB"] {
        if value < 1000 {
            break;
        }
        tenths = value / 100;
        value /= 1000;
        unit = next;
    }
    if unit == "B" || value >= 100 { format!("{value} {unit}") } else { format!("{}.{} {unit}", value, tenths % 10) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (12_340, "12.3 kB"),
            (123_456_789, "123 MB"),
            (u64::MAX, "18446 PB"),
        ] {
            assert_eq!(super::human(bytes), text);
        }
    }
}
