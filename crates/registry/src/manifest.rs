//! Manifests: taking them in, serving them as they came, deleting them.

use std::collections::BTreeMap;

use archipel_oci::{Descriptor, Digest, Hasher, Index, MAX_MANIFEST_SIZE, Manifest, media_type};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::blob::is_cached;
use crate::error::{Code, Error, Result};
use crate::name::{Name, Tag, Target, TargetError};
use crate::route::Query;
use crate::server::{CONTENT_DIGEST, empty, set};
use crate::storage::{NewManifest, Storage, StoredManifest};
use crate::upload::{next, refuse};

/// How many missing digests an error names: enough to see what is wrong.
const NAMED: usize = 10;

/// `?tag=` may be given several times; the specification asks for ten at least.
const MAX_TAGS: usize = 100;

fn unknown(name: &Name, target: &Target) -> Error {
    Error::new(Code::ManifestUnknown, format!("{name} has no manifest {target}"))
}

fn invalid(detail: impl Into<String>) -> Error {
    Error::new(Code::ManifestInvalid, detail)
}

fn target(text: &str) -> Result<Target> {
    Target::new(text).map_err(|error| {
        let code = match error {
            TargetError::Digest(_) => Code::DigestInvalid,
            TargetError::Tag(_) => Code::TagInvalid,
        };
        Error::new(code, error.to_string())
    })
}

/// `GET` and `HEAD /v2/<name>/manifests/<tag or digest>`. `Accept` is not looked at: there is one form of a manifest, its
/// digest is over that, and a client that cannot read it says so better than a 404 would.
pub(crate) async fn get(storage: &impl Storage, name: &Name, text: &str, headers: &HeaderMap) -> Result<Response> {
    let target = target(text)?;
    let manifest = storage.manifest(name, &target).await?.ok_or_else(|| unknown(name, &target))?;
    let mut response = if is_cached(headers, &manifest.digest) {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        Response::new(Body::from(manifest.bytes))
    };
    set(&mut response, header::CONTENT_TYPE, &manifest.media_type);
    set(&mut response, header::ETAG, &format!("\"{}\"", manifest.digest));
    set(&mut response, CONTENT_DIGEST, manifest.digest.as_str());
    Ok(response)
}

/// `PUT /v2/<name>/manifests/<tag or digest>`
pub(crate) async fn put(
    storage: &impl Storage,
    name: &Name,
    text: &str,
    query: &Query,
    request: Request,
) -> Result<Response> {
    let (target, tags) = match target(text).and_then(|target| Ok((tags(&target, query)?, target))) {
        Ok((tags, target)) => (target, tags),
        Err(error) => return refuse(request, error).await,
    };
    let declared = declared_type(request.headers())?;
    let bytes = read(request).await?;
    let (media_type, links) = examine(declared.as_deref(), &bytes)?;
    let algorithm = match &target {
        Target::Digest(digest) => digest.algorithm(),
        Target::Tag(_) => archipel_oci::Algorithm::Sha256,
    };
    let mut hasher = Hasher::new(algorithm);
    hasher.update(&bytes);
    let digest = hasher.finish();
    if let Target::Digest(expected) = &target
        && *expected != digest
    {
        let detail = format!("the manifest that came has digest {digest}, not {expected}");
        return Err(Error::new(Code::DigestInvalid, detail));
    }
    let new = NewManifest {
        manifest: StoredManifest { digest: digest.clone(), media_type, bytes },
        needs: links.required,
        subject: links.subject.clone(),
        tags: tags.clone(),
    };
    let missing = storage.put_manifest(name, new).await?;
    if !missing.is_empty() {
        let named: Vec<&str> = missing.iter().take(NAMED).map(Digest::as_str).collect();
        let more = missing.len() - named.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let detail = format!("{name} lacks {}{more}: push or mount what a manifest refers to first", named.join(", "));
        return Err(Error::new(Code::ManifestBlobUnknown, detail));
    }
    let mut response = empty(StatusCode::CREATED);
    set(&mut response, header::LOCATION, &format!("/v2/{name}/manifests/{digest}"));
    set(&mut response, CONTENT_DIGEST, digest.as_str());
    if let Some(subject) = links.subject {
        set(&mut response, HeaderName::from_static("oci-subject"), subject.as_str());
    }
    if matches!(target, Target::Digest(_)) {
        for tag in &tags {
            if let Ok(value) = HeaderValue::from_str(tag.as_str()) {
                response.headers_mut().append(HeaderName::from_static("oci-tag"), value);
            }
        }
    }
    Ok(response)
}

/// `DELETE /v2/<name>/manifests/<tag or digest>`
pub(crate) async fn delete(storage: &impl Storage, name: &Name, text: &str) -> Result<Response> {
    let target = target(text)?;
    let was_there = match &target {
        Target::Tag(tag) => storage.delete_tag(name, tag).await?,
        Target::Digest(digest) => match storage.manifest(name, &target).await? {
            Some(manifest) => {
                let subject = Links::read(&manifest.media_type, &manifest.bytes).and_then(|links| links.subject);
                storage.delete_manifest(name, digest, subject.as_ref()).await?
            }
            None => false,
        },
    };
    if was_there { Ok(empty(StatusCode::ACCEPTED)) } else { Err(unknown(name, &target)) }
}

/// The tags that a push sets: the one in its path, or those of its `tag` parameters.
fn tags(target: &Target, query: &Query) -> Result<Vec<Tag>> {
    if let Target::Tag(tag) = target {
        return Ok(vec![tag.clone()]);
    }
    let wrong = |text: &str| Error::new(Code::TagInvalid, format!("`{text}` is not a tag"));
    let tags: Vec<Tag> =
        query.all("tag").map(|text| Tag::new(text).ok_or_else(|| wrong(text))).collect::<Result<_>>()?;
    if tags.len() > MAX_TAGS {
        return Err(Error::new(Code::TagInvalid, format!("{} tags at once are more than {MAX_TAGS}", tags.len())));
    }
    Ok(tags)
}

/// The type in the request's header, without parameters.
fn declared_type(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(None) };
    let text = value.to_str().map_err(|_| invalid("the Content-Type is not ASCII"))?;
    let text = text.split(';').next().unwrap_or_default().trim();
    Ok((!text.is_empty()).then(|| text.to_ascii_lowercase()))
}

async fn read(request: Request) -> Result<Bytes> {
    let too_large =
        || Error::new(Code::ManifestTooLarge, format!("a manifest has {MAX_MANIFEST_SIZE} bytes (4 MiB) at most"));
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_MANIFEST_SIZE as u64) {
        return refuse(request, too_large()).await.map(|_| Bytes::new());
    }
    let (parts, body) = request.into_parts();
    let mut stream = body.into_data_stream();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = next(&mut stream).await? {
        if bytes.len() + chunk.len() > MAX_MANIFEST_SIZE {
            let rest = Request::from_parts(parts, Body::from_stream(stream));
            return refuse(rest, too_large()).await.map(|_| Bytes::new());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// What a manifest says about others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    /// What must be here with it: config, layers, children.
    pub(crate) required: Vec<Digest>,
    /// What may lie elsewhere: layers that their owner does not let others distribute.
    pub(crate) optional: Vec<Digest>,
    /// What it is about.
    pub(crate) subject: Option<Digest>,
    /// What kind of thing it is, for those who look for referrers.
    pub(crate) artifact_type: Option<String>,
    annotations: BTreeMap<String, String>,
}

impl Links {
    /// Reads a manifest that was stored.
    pub(crate) fn read(media_type: &str, bytes: &[u8]) -> Option<Self> {
        Self::parse(media_type, bytes).ok()
    }

    fn parse(media_type: &str, bytes: &[u8]) -> std::result::Result<Self, serde_json::Error> {
        let named = |text: Option<String>| text.filter(|text| !text.is_empty());
        if media_type::is_index(media_type) {
            let index: Index = serde_json::from_slice(bytes)?;
            return Ok(Self {
                required: index.manifests.into_iter().map(|child| child.digest).collect(),
                optional: Vec::new(),
                subject: index.subject.map(|subject| subject.digest),
                artifact_type: named(index.artifact_type),
                annotations: index.annotations,
            });
        }
        let manifest: Manifest = serde_json::from_slice(bytes)?;
        let elsewhere = |layer: &Descriptor| media_type::is_foreign_layer(&layer.media_type) || !layer.urls.is_empty();
        let (optional, mut required): (Vec<_>, Vec<_>) = manifest.layers.into_iter().partition(elsewhere);
        required.insert(0, manifest.config.clone());
        let digests = |descriptors: Vec<Descriptor>| descriptors.into_iter().map(|d| d.digest).collect();
        Ok(Self {
            required: digests(required),
            optional: digests(optional),
            subject: manifest.subject.map(|subject| subject.digest),
            artifact_type: named(manifest.artifact_type).or(named(Some(manifest.config.media_type))),
            annotations: manifest.annotations,
        })
    }

    /// Every digest that it names, for those who look for what is still in use.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Digest> {
        self.required.iter().chain(&self.optional)
    }

    /// The manifest as a list of referrers shows it.
    pub(crate) fn describe(self, manifest: &StoredManifest) -> Descriptor {
        Descriptor {
            artifact_type: self.artifact_type,
            annotations: self.annotations,
            ..Descriptor::new(manifest.media_type.clone(), manifest.digest.clone(), manifest.bytes.len() as u64)
        }
    }
}

/// The fields that tell one kind of manifest from another.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    schema_version: u32,
    media_type: Option<String>,
    manifests: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
}

/// Checks what was pushed and finds its type: the header's, which must agree with the document's own; without a header
/// that says anything, the document's; without either, what its fields show.
fn examine(declared: Option<&str>, bytes: &[u8]) -> Result<(String, Links)> {
    let json = |e: serde_json::Error| invalid(format!("the manifest is not valid: {e}"));
    let declared = declared.filter(|t| !matches!(*t, "application/json" | "application/octet-stream" | "text/plain"));
    if let Some(declared) = declared {
        check_type(declared)?;
    }
    let probe: Probe = serde_json::from_slice(bytes).map_err(json)?;
    if probe.schema_version != 2 {
        return Err(invalid(format!("schemaVersion is {}, only 2 is known", probe.schema_version)));
    }
    // A document that two readers may take for different things is how one gets past a scanner and another is run
    // (CVE-2021-41190).
    if probe.manifests.is_some() && (probe.layers.is_some() || probe.config.is_some()) {
        return Err(invalid("a manifest with `manifests` and `layers` or `config` could be read in two ways"));
    }
    let media_type = match (declared, probe.media_type.as_deref().filter(|t| !t.is_empty())) {
        (Some(declared), Some(own)) if declared != own => {
            return Err(invalid(format!("the Content-Type is {declared}, the manifest's mediaType {own}")));
        }
        (Some(known), _) => known,
        (None, Some(own)) => check_type(own)?,
        (None, None) if probe.manifests.is_some() => media_type::OCI_INDEX,
        (None, None) => media_type::OCI_MANIFEST,
    };
    let links = Links::parse(media_type, bytes).map_err(json)?;
    Ok((media_type.to_owned(), links))
}

fn check_type(media_type: &str) -> Result<&str> {
    if media_type::is_index(media_type) || media_type::is_manifest(media_type) {
        return Ok(media_type);
    }
    let known = media_type::MANIFEST_ACCEPT.join(", ");
    Err(invalid(format!("`{media_type}` is not a type of manifest that is kept here: {known}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#""config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,
        "digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}"#;

    fn type_of(declared: Option<&str>, fields: &str) -> Option<String> {
        let text = format!(r#"{{"schemaVersion":2{fields}}}"#);
        examine(declared, text.as_bytes()).ok().map(|(media_type, _)| media_type)
    }

    #[test]
    fn the_type_is_found_or_refused() {
        let manifest = format!(",{CONFIG},\"layers\":[]");
        let oci = Some(media_type::OCI_MANIFEST.to_owned());
        let docker = Some(media_type::DOCKER_MANIFEST.to_owned());
        assert_eq!(type_of(None, &manifest), oci);
        assert_eq!(type_of(Some("application/json"), &manifest), oci);
        assert_eq!(type_of(Some(media_type::DOCKER_MANIFEST), &manifest), docker);
        assert_eq!(type_of(None, ",\"manifests\":[]").as_deref(), Some(media_type::OCI_INDEX));
        let own = format!("{manifest},\"mediaType\":\"{}\"", media_type::DOCKER_MANIFEST);
        assert_eq!(type_of(None, &own), docker);
        assert_eq!(type_of(Some(media_type::OCI_MANIFEST), &own), None);
        assert_eq!(type_of(Some("application/vnd.docker.distribution.manifest.v1+prettyjws"), &manifest), None);
        assert_eq!(type_of(None, ""), None);
        assert_eq!(type_of(None, &format!(",\"manifests\":[],{CONFIG}")), None);
        assert!(examine(None, b"{\"schemaVersion\":1}").is_err());
        assert!(examine(None, "[".repeat(4 << 20).as_bytes()).is_err());
        assert!(examine(None, b"\xff\xfe").is_err());
    }

    #[test]
    fn foreign_layers_are_not_required() {
        let digest = Digest::of(b"x");
        let layers = format!(
            r#","layers":[{{"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar","size":1,"digest":"{digest}"}}]"#
        );
        let text = format!(r#"{{"schemaVersion":2,{CONFIG}{layers}}}"#);
        let (_, links) = examine(None, text.as_bytes()).unwrap();
        assert_eq!((links.required.len(), links.optional), (1, vec![digest]));
    }
}
