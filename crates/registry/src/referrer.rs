//! Referrers: the manifests that are about a manifest (signatures, attestations, bills of materials).

use archipel_oci::{Digest, Index, media_type};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::Response;

use crate::blob::digest;
use crate::error::{Code, Error, Result};
use crate::manifest::Links;
use crate::name::{Name, Target};
use crate::route::{Query, encode};
use crate::server::{json, set};
use crate::storage::Storage;

/// An answer is an index, and clients read no index larger than this.
const PAGE: usize = 4 << 20;

/// `GET /v2/<name>/referrers/<digest>`. A subject nobody has heard of has no referrers; that is not an error.
pub(crate) async fn list(storage: &impl Storage, name: &Name, text: &str, query: &Query) -> Result<Response> {
    let subject = digest(text)?;
    let filter = query.get("artifactType").filter(|filter| !filter.is_empty());
    let last = match query.get("last") {
        Some(last) => Some(digest(last)?),
        None => None,
    };
    let mut index = Index::new(Vec::new());
    let mut next: Option<Digest> = None;
    let mut size = 0;
    for digest in storage.referrers(name, &subject).await? {
        if last.as_ref().is_some_and(|last| digest <= *last) {
            continue;
        }
        let Some(manifest) = storage.manifest(name, &Target::Digest(digest)).await? else { continue };
        let Some(links) = Links::read(&manifest.media_type, &manifest.bytes) else { continue };
        if filter.is_some_and(|filter| links.artifact_type.as_deref() != Some(filter)) {
            continue;
        }
        let descriptor = links.describe(&manifest);
        size += serde_json::to_string(&descriptor).map_or(0, |text| text.len() + 1);
        if size > PAGE && !index.manifests.is_empty() {
            next = index.manifests.last().map(|d| d.digest.clone());
            break;
        }
        index.manifests.push(descriptor);
    }
    let body = serde_json::to_string(&index)
        .map_err(|e| Error::new(Code::Unknown, format!("the referrers cannot be written: {e}")))?;
    let mut response = json(StatusCode::OK, body);
    set(&mut response, header::CONTENT_TYPE, media_type::OCI_INDEX);
    if filter.is_some() {
        set(&mut response, HeaderName::from_static("oci-filters-applied"), "artifactType");
    }
    if let Some(next) = next {
        let filter = filter.map(|f| format!("artifactType={}&", encode(f))).unwrap_or_default();
        let link = format!("</v2/{name}/referrers/{subject}?{filter}last={next}>; rel=\"next\"");
        set(&mut response, header::LINK, &link);
    }
    Ok(response)
}
