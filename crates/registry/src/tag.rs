//! Tags: listing them; and pages, which tags and repositories share.

use axum::http::{StatusCode, header};
use axum::response::Response;

use crate::error::{Code, Error, Result};
use crate::name::{Name, Tag};
use crate::route::{Query, encode};
use crate::server::{json, set};
use crate::storage::Storage;

/// `GET /v2/<name>/tags/list`
pub(crate) async fn list(storage: &impl Storage, name: &Name, query: &Query) -> Result<Response> {
    let Some(tags) = storage.tags(name).await? else {
        return Err(Error::new(Code::NameUnknown, format!("there is no repository {name}")));
    };
    let texts: Vec<&str> = tags.iter().map(Tag::as_str).collect();
    page(
        &texts,
        query,
        &format!("/v2/{name}/tags/list"),
        |tags| serde_json::json!({ "name": name.as_str(), "tags": tags }),
    )
}

/// Answers with what comes after `last`, `n` at most, and the address of the next page if there is one. `all` is sorted by
/// bytes.
pub(crate) fn page(
    all: &[&str],
    query: &Query,
    path: &str,
    body: impl Fn(&[&str]) -> serde_json::Value,
) -> Result<Response> {
    let limit = match query.get("n") {
        None => usize::MAX,
        Some(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse().unwrap_or(usize::MAX)
        }
        Some(text) => return Err(Error::new(Code::PageInvalid, format!("`n={text}` is not a number"))),
    };
    let last = query.get("last").unwrap_or_default();
    let start = if last.is_empty() { 0 } else { all.partition_point(|entry| *entry <= last) };
    let rest = all.get(start..).unwrap_or_default();
    let shown = rest.get(..limit).unwrap_or(rest);
    let mut response = json(StatusCode::OK, body(shown).to_string());
    if let Some(end) = shown.last().filter(|_| shown.len() < rest.len()) {
        set(&mut response, header::LINK, &format!("<{path}?n={limit}&last={}>; rel=\"next\"", encode(end)));
    }
    Ok(response)
}
