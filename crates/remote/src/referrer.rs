//! Referrers: what is said about a manifest by other manifests (signatures, attestations, bills of materials).

use archipel_oci::{Descriptor, Digest, Document, Index, MAX_MANIFEST_SIZE, RawManifest, Reference};
use reqwest::Method;
use reqwest::header::{ACCEPT, HeaderValue};

use crate::auth::Scope;
use crate::request::Call;
use crate::tag::next_page;
use crate::{Client, Error};

/// Pages of one list; each has up to 4 MiB.
const MAX_PAGES: usize = 100;

impl Client {
    /// What refers to the manifest that the reference names by digest, of one type of artifact or of all. A registry
    /// without the referrers API is asked for the tag that stands in for it.
    pub async fn referrers(&self, reference: &Reference, artifact_type: Option<&str>) -> Result<Index, Error> {
        let origin = self.origin(reference.registry())?;
        let digest = match reference.digest() {
            Some(digest) => digest.clone(),
            None => self.resolve(reference).await?.digest,
        };
        let subject = format!("referrers of {}@{digest}", reference.name());
        let mut url = origin.url(reference.repository(), &format!("referrers/{digest}"));
        if let Some(artifact_type) = artifact_type {
            url.query_pairs_mut().append_pair("artifactType", artifact_type);
        }
        let mut call = Call::new(&origin, Method::GET, url, Scope::pull(reference.repository()), &subject);
        call.headers.insert(ACCEPT, HeaderValue::from_static(archipel_oci::media_type::OCI_INDEX));
        let mut index = Index::new(Vec::new());
        for _ in 0..MAX_PAGES {
            let reply = match self.send(&call, MAX_MANIFEST_SIZE).await {
                Ok(reply) => reply,
                Err(error) if matches!(error.status(), Some(400 | 404 | 405 | 501)) && index.manifests.is_empty() => {
                    index.manifests = self.listed_referrers(reference, &digest).await?;
                    break;
                }
                Err(error) => return Err(error),
            };
            let page: Index = serde_json::from_slice(&reply.bytes)
                .map_err(|e| call.protocol(format!("the list that the registry sends is not valid: {e}")))?;
            index.manifests.extend(page.manifests);
            match next_page(&reply.headers, &reply.url).filter(|next| origin.owns(next) && *next != call.url) {
                Some(next) => call.url = next,
                None => break,
            }
        }
        // Registries may leave the filter to us.
        index.manifests.retain(|m| artifact_type.is_none_or(|wanted| m.artifact_type.as_deref() == Some(wanted)));
        Ok(index)
    }

    /// Adds a manifest to the tag that stands in for the referrers API, at a registry that does not say that it did so
    /// itself (OCI distribution specification, "Pushing Manifests with Subject").
    pub(crate) async fn list_referrer(
        &self,
        reference: &Reference,
        about: &Digest,
        entry: Descriptor,
    ) -> Result<(), Error> {
        let mut listed = self.listed_referrers(reference, about).await?;
        if listed.iter().any(|known| known.digest == entry.digest) {
            return Ok(());
        }
        listed.push(entry);
        let tagged = stand_in(reference, about);
        let index = RawManifest::from_index(&Index::new(listed));
        // An index without a subject, so this ends here.
        Box::pin(self.push_manifest(&tagged, &index)).await
    }

    async fn listed_referrers(&self, reference: &Reference, about: &Digest) -> Result<Vec<Descriptor>, Error> {
        let origin = self.origin(reference.registry())?;
        let tagged = stand_in(reference, about);
        match self.manifest_at(&origin, &tagged, Scope::pull(reference.repository())).await {
            Ok(manifest) => Ok(match manifest.parse() {
                Ok(Document::Index(index)) => index.manifests,
                _ => Vec::new(),
            }),
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// `sha256-<hex>`, cut to what a tag may have.
fn stand_in(reference: &Reference, about: &Digest) -> Reference {
    let name = about.as_str().replace(':', "-");
    // The longest, of sha512, has 135 characters, all of them valid in a tag.
    reference.with_tag(name.get(..128).unwrap_or(&name)).unwrap_or_else(|_| reference.clone())
}
