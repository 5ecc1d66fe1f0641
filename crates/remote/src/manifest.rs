//! Manifests: resolving, reading, writing, deleting.

use archipel_oci::{Descriptor, Digest, Document, Hasher, MAX_MANIFEST_SIZE, RawManifest, Reference, media_type};
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::auth::Scope;
use crate::client::Tries;
use crate::endpoint::Endpoint;
use crate::request::{Call, MAX_ERROR_BODY, Reply};
use crate::{Client, Error};

const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

impl Client {
    /// What a reference points to now: by HEAD, or by GET where the answer to HEAD does not tell. Mirrors are asked first.
    pub async fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        let mut tries = Tries::new(&reference.familiar());
        for place in self.places(reference)? {
            let scope = Scope::pull(&place.repository(reference.repository()));
            match self.resolve_at(&place, reference, scope).await {
                Ok(descriptor) => return Ok(descriptor),
                Err(error) => tries.add(error),
            }
        }
        Err(tries.into_error())
    }

    /// The manifest or index itself, by digest or tag. Mirrors are asked first.
    pub async fn manifest(&self, reference: &Reference) -> Result<RawManifest, Error> {
        let mut tries = Tries::new(&reference.familiar());
        for place in self.places(reference)? {
            let scope = Scope::pull(&place.repository(reference.repository()));
            match self.manifest_at(&place, reference, scope).await {
                Ok(manifest) => return Ok(manifest),
                Err(error) => tries.add(error),
            }
        }
        Err(tries.into_error())
    }

    /// Whether the registry itself has it. This is what a push asks, so a mirror's answer would not do, and the token is one
    /// that the push goes on with.
    pub async fn manifest_exists(&self, reference: &Reference) -> Result<Option<Descriptor>, Error> {
        let origin = self.origin(reference.registry())?;
        match self.resolve_at(&origin, reference, Scope::push(reference.repository())).await {
            Ok(descriptor) => Ok(Some(descriptor)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts a manifest or index under the reference's tag; under its digest alone where the reference has no tag but a digest.
    pub async fn push_manifest(&self, reference: &Reference, manifest: &RawManifest) -> Result<(), Error> {
        let origin = self.origin(reference.registry())?;
        let subject = reference.familiar();
        let digest = manifest.digest();
        let target = match (reference.tag(), reference.digest()) {
            (None, Some(_)) => digest.as_str(),
            _ => reference.tag_or_latest(),
        };
        let url = origin.url(reference.repository(), &format!("manifests/{target}"));
        let mut call = Call::new(&origin, Method::PUT, url, Scope::push(reference.repository()), &subject);
        if let Some(named) =
            reference.digest().filter(|named| named.algorithm() == digest.algorithm() && *named != digest)
        {
            return Err(mismatch(&call, named.as_str(), digest.as_str()));
        }
        // A manifest's type is one of a few known words.
        if let Ok(value) = HeaderValue::from_str(manifest.media_type()) {
            call.headers.insert(CONTENT_TYPE, value);
        }
        call.body = manifest.bytes().to_vec().into();
        let reply = self.send(&call, MAX_ERROR_BODY).await?;
        if let Some(stored) = header_digest(&reply.headers)
            && stored.algorithm() == digest.algorithm()
            && stored != *digest
        {
            return Err(mismatch(&call, digest.as_str(), stored.as_str()));
        }
        if !reply.headers.contains_key(OCI_SUBJECT)
            && let Some((about, artifact_type, annotations)) = about(manifest)
        {
            let mut entry = manifest.descriptor();
            entry.artifact_type = artifact_type;
            entry.annotations = annotations;
            self.list_referrer(reference, &about, entry).await?;
        }
        Ok(())
    }

    /// Deletes the manifest that the reference names by digest, or its tag.
    pub async fn delete_manifest(&self, reference: &Reference) -> Result<(), Error> {
        let origin = self.origin(reference.registry())?;
        let url = origin.url(reference.repository(), &format!("manifests/{}", reference.target()));
        let subject = reference.familiar();
        let call = Call::new(&origin, Method::DELETE, url, Scope::delete(reference.repository()), &subject);
        self.send(&call, MAX_ERROR_BODY).await.map(|_| ())
    }

    async fn resolve_at(&self, place: &Endpoint, reference: &Reference, scope: Scope) -> Result<Descriptor, Error> {
        let subject = reference.familiar();
        let call = read_call(Method::HEAD, place, reference, scope.clone(), &subject);
        match self.send(&call, 0).await {
            Ok(reply) => {
                if let Some(found) = described(&reply) {
                    return match reference.digest() {
                        Some(wanted) if *wanted != found.digest => {
                            Err(mismatch(&call, wanted.as_str(), found.digest.as_str()))
                        }
                        _ => Ok(found),
                    };
                }
            }
            // Some registries have no HEAD for manifests.
            Err(Error::Refused { status: 400 | 405 | 406 | 501, .. }) => {}
            Err(error) => return Err(error),
        }
        let manifest = self.manifest_at(place, reference, scope).await?;
        Ok(Descriptor { digest: reference.digest().unwrap_or(manifest.digest()).clone(), ..manifest.descriptor() })
    }

    pub(crate) async fn manifest_at(
        &self,
        place: &Endpoint,
        reference: &Reference,
        scope: Scope,
    ) -> Result<RawManifest, Error> {
        let subject = reference.familiar();
        let call = read_call(Method::GET, place, reference, scope, &subject);
        let reply = self.send(&call, MAX_MANIFEST_SIZE).await?;
        // By digest, the reference says what must come. By tag, the registry does, and then at least it must agree with itself.
        let expected = reference.digest().cloned().or_else(|| header_digest(&reply.headers));
        if let Some(expected) = expected {
            let mut hasher = Hasher::new(expected.algorithm());
            hasher.update(&reply.bytes);
            let found = hasher.finish();
            if found != expected {
                return Err(mismatch(&call, expected.as_str(), found.as_str()));
            }
        }
        let declared = content_type(&reply.headers);
        if declared.as_deref().is_some_and(|t| t.starts_with("application/vnd.docker.distribution.manifest.v1+")) {
            return Err(call.protocol(
                "the image is of Docker's schema 1, which has been withdrawn since 2019; pull and push it with an old docker",
            ));
        }
        RawManifest::new(reply.bytes, declared.as_deref()).map_err(|e| call.protocol(e.to_string()))
    }
}

fn read_call<'a>(
    method: Method,
    place: &'a Endpoint,
    reference: &Reference,
    scope: Scope,
    subject: &'a str,
) -> Call<'a> {
    let url = place.url(reference.repository(), &format!("manifests/{}", reference.target()));
    let mut call = Call::new(place, method, url, scope, subject);
    for accepted in media_type::MANIFEST_ACCEPT {
        call.headers.append(ACCEPT, HeaderValue::from_static(accepted));
    }
    call
}

fn mismatch(call: &Call<'_>, expected: &str, found: &str) -> Error {
    Error::Mismatch {
        registry: call.endpoint.name.clone(),
        subject: call.subject.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn header_digest(headers: &HeaderMap) -> Option<Digest> {
    text(headers, DOCKER_CONTENT_DIGEST)?.parse().ok()
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    text(headers, CONTENT_TYPE).map(|t| t.split(';').next().unwrap_or(t).trim().to_owned())
}

/// The descriptor that an answer to HEAD gives, if it gives all of it.
fn described(reply: &Reply) -> Option<Descriptor> {
    let kind = content_type(&reply.headers)?;
    let size: u64 = text(&reply.headers, CONTENT_LENGTH)?.parse().ok()?;
    let digest = header_digest(&reply.headers)?;
    let known = media_type::is_index(&kind) || media_type::is_manifest(&kind);
    (known && size > 0 && size <= MAX_MANIFEST_SIZE as u64).then(|| Descriptor::new(kind, digest, size))
}

type About = (Digest, Option<String>, std::collections::BTreeMap<String, String>);

/// The subject of a manifest, with what a list of referrers says of the manifest.
fn about(manifest: &RawManifest) -> Option<About> {
    match manifest.parse().ok()? {
        Document::Index(index) => Some((index.subject?.digest, None, index.annotations)),
        Document::Manifest(manifest) => {
            // Without a type of its own an artifact has its config's.
            let kind = manifest.artifact_type.unwrap_or(manifest.config.media_type);
            Some((manifest.subject?.digest, Some(kind), manifest.annotations))
        }
    }
}
