//! From a registry into the store, by name.

use std::collections::BTreeSet;

use archipel_oci::{Descriptor, Digest, Document, Index, Platform, RawManifest, Reference, attested, is_attestation};
use futures_util::future::try_join_all;
use tokio::task::JoinSet;

use crate::exec::blocking;
use crate::image::{choose, parse};
use crate::parts::blobs_of;
use crate::progress::Work;
use crate::steps::Steps;
use crate::{Engine, Error, Sink};

/// Which platforms of an image are pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pull {
    /// All that it has, attestations included.
    All,
    /// These. An image that is not in an index is pulled whatever it is for.
    Only(Vec<Platform>),
}

/// What a pull brought.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// What the name stands for: the digest of the index, or of the only manifest.
    pub digest: Digest,
    /// What the store has of it now, in the index's order.
    pub platforms: Vec<Platform>,
    /// Whether the store had had it all, under this name.
    pub unchanged: bool,
}

impl Engine {
    /// Pulls an image: the registry is asked what the name stands for now, and what is missing is fetched.
    pub async fn pull(&self, reference: &Reference, which: &Pull, sink: &Sink) -> Result<Pulled, Error> {
        self.pull_among(reference, which, sink, &Steps::default()).await
    }

    /// The same, as one of several steps.
    pub(crate) async fn pull_among(
        &self,
        reference: &Reference,
        which: &Pull,
        sink: &Sink,
        steps: &Steps,
    ) -> Result<Pulled, Error> {
        let work = Work::start(sink, steps, format!("pulling {}", reference.familiar()), Vec::new());
        let pulled = self.pull_with(reference, which, &work).await;
        work.finish(pulled)
    }

    async fn pull_with(&self, reference: &Reference, which: &Pull, work: &Work) -> Result<Pulled, Error> {
        let before = self.local_top(reference).await?;
        self.images.forget(reference);
        let top = self.remote_top(reference).await?;
        let mut blobs: Vec<Descriptor> = Vec::new();
        let mut platforms = Vec::new();
        let children = match parse(reference, &top)? {
            Document::Manifest(_) => {
                // Its config says what it is for, and shows that it is an image.
                platforms.push(self.variant(reference, &top, &Platform::host()).await?.platform);
                vec![top.clone()]
            }
            Document::Index(index) => {
                let wanted = wanted(reference, &index, which)?;
                platforms.extend(wanted.iter().filter(|d| !is_attestation(d)).filter_map(|d| d.platform.clone()));
                try_join_all(wanted.into_iter().map(|child| self.manifest(reference, child))).await?
            }
        };
        for raw in &children {
            let Document::Manifest(manifest) = parse(reference, raw)? else { continue };
            for descriptor in blobs_of(&manifest) {
                if !blobs.iter().any(|b| b.digest == descriptor.digest) {
                    blobs.push(descriptor.clone());
                }
            }
        }
        let fetched = self.fetch_all(reference, blobs, work).await?;
        let unchanged = before.as_ref().map(RawManifest::digest) == Some(top.digest()) && fetched == 0;
        self.name(reference, &top).await?;
        Ok(Pulled { digest: top.digest().clone(), platforms, unchanged })
    }

    /// Fetches blobs, several at once, and says how many were not here.
    async fn fetch_all(&self, reference: &Reference, blobs: Vec<Descriptor>, work: &Work) -> Result<usize, Error> {
        let mut fetching = JoinSet::new();
        let mut count = 0;
        for descriptor in blobs {
            if self.has(&descriptor).await? {
                continue;
            }
            count += 1;
            work.expect(descriptor.size);
            let (engine, reference, work) = (self.clone(), reference.clone(), work.clone());
            fetching.spawn(async move { engine.fetch(&reference, &descriptor, &|bytes| work.add(bytes)).await });
        }
        while let Some(ended) = fetching.join_next().await {
            ended.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))?;
        }
        Ok(count)
    }

    /// Gives something that the store has a name.
    pub(crate) async fn name(&self, reference: &Reference, top: &RawManifest) -> Result<(), Error> {
        let (store, reference, descriptor) = (self.store.clone(), reference.clone(), top.descriptor());
        Ok(blocking(move || store.tag(&reference, &descriptor)).await?)
    }
}

/// The children of an index that are to be pulled, in its order, with the attestations of those that are.
fn wanted<'a>(reference: &Reference, index: &'a Index, which: &Pull) -> Result<Vec<&'a Descriptor>, Error> {
    let Pull::Only(platforms) = which else { return Ok(index.manifests.iter().collect()) };
    let mut chosen = BTreeSet::new();
    for platform in platforms {
        chosen.insert(choose(reference, index, platform)?.digest.as_str());
    }
    let wanted = |d: &&Descriptor| match is_attestation(d) {
        true => attested(d).is_some_and(|digest| chosen.contains(digest)),
        false => chosen.contains(d.digest.as_str()),
    };
    Ok(index.manifests.iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use archipel_oci::media_type;

    #[test]
    fn an_image_comes_with_its_attestations() {
        let child = |name: &str, platform: &str| {
            let mut d = Descriptor::of(media_type::OCI_MANIFEST, name.as_bytes());
            d.platform = Some(platform.parse().unwrap());
            d
        };
        let about = |d: &Descriptor| {
            let mut a = child(&format!("about {}", d.digest), "unknown/unknown");
            a.annotations.insert("vnd.docker.reference.type".into(), "attestation-manifest".into());
            a.annotations.insert("vnd.docker.reference.digest".into(), d.digest.to_string());
            a
        };
        let (amd64, arm64) = (child("a", "linux/amd64"), child("b", "linux/arm64"));
        let index = Index::new(vec![amd64.clone(), arm64.clone(), about(&amd64), about(&arm64)]);
        let reference: Reference = "example.com/x:1".parse().unwrap();
        let only = Pull::Only(vec!["linux/arm64".parse().unwrap()]);
        assert_eq!(wanted(&reference, &index, &only).unwrap(), [&arm64, &about(&arm64)]);
        assert_eq!(wanted(&reference, &index, &Pull::All).unwrap().len(), 4);
        let none = Pull::Only(vec!["linux/s390x".parse().unwrap()]);
        assert!(matches!(wanted(&reference, &index, &none), Err(Error::NoPlatform(_))));
    }
}
