//! The catalog: which repositories there are.

use axum::response::Response;

use crate::error::Result;
use crate::name::Name;
use crate::route::Query;
use crate::storage::Storage;
use crate::tag::page;

/// `GET /v2/_catalog`
pub(crate) async fn list(storage: &impl Storage, query: &Query) -> Result<Response> {
    let names = storage.repositories().await?;
    let texts: Vec<&str> = names.iter().map(Name::as_str).collect();
    page(&texts, query, "/v2/_catalog", |names| serde_json::json!({ "repositories": names }))
}
