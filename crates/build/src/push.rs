//! To registries: blobs first, then manifests from the bottom up, names last. A reader sees the old image or the new one.

use std::collections::{BTreeMap, BTreeSet};

use archipel_oci::{Descriptor, Digest, Document, Platform, RawManifest, Reference};
use archipel_remote::Pushed;
use futures_util::future::try_join_all;
use tokio::task::JoinSet;

use crate::image::parse;
use crate::parts::{Blob, Parts, Sending};
use crate::progress::{Share, Work};
use crate::steps::Steps;
use crate::{Engine, Error, Sink};

/// Blobs on their way at once. Each may be read from the registry that it goes to, and the client gives a host six places
/// for blobs: with more than three, all six could be taken by uploads that wait for what they should send.
const AT_ONCE: usize = 3;

impl Engine {
    /// Pushes an image from the store to the registry that its name says: all its platforms, and whatever else its index
    /// has. Returns what the name stands for now.
    pub async fn push(&self, reference: &Reference, sink: &Sink) -> Result<Descriptor, Error> {
        let Some(top) = self.local_top(reference).await? else {
            return Err(Error::Request(format!(
                "{} is not in the store; build it with `-t`, or pull it",
                reference.familiar()
            )));
        };
        let parts = self.stored_parts(reference, top.clone()).await?;
        let work = Work::start(sink, &Steps::default(), format!("pushing {}", reference.familiar()), Vec::new());
        let pushed = self.publish(&parts, std::slice::from_ref(reference), &work).await;
        work.finish(pushed)?;
        Ok(top.descriptor())
    }

    /// Sends an image under several names. Nothing of it has a name before all of it is everywhere.
    pub(crate) async fn publish(&self, parts: &Parts, names: &[Reference], work: &Work) -> Result<(), Error> {
        let Some(top) = parts.top() else { return Ok(()) };
        let current = try_join_all(names.iter().map(|name| self.is_current(parts, top, name))).await?;
        let mut stale: Vec<&Reference> = Vec::new();
        for (name, _) in names.iter().zip(current).filter(|(_, current)| !current) {
            if !stale.contains(&name) {
                stale.push(name);
            }
        }
        let mut repositories: Vec<&Reference> = Vec::new();
        for name in &stale {
            if repositories.iter().any(|r| r.name() == name.name()) {
                continue;
            }
            // What went to one repository of a registry can be mounted into the next.
            let near = repositories.iter().filter(|r| r.registry() == name.registry());
            let near = near.map(|r| r.repository().to_owned()).collect();
            self.send(parts, name, near, work).await?;
            repositories.push(name);
        }
        for name in stale {
            self.client.push_manifest(name, top).await?;
            self.images.forget(name);
        }
        Ok(())
    }

    /// Whether a name stands for the image already, and its registry has all of it.
    async fn is_current(&self, parts: &Parts, top: &RawManifest, name: &Reference) -> Result<bool, Error> {
        match self.client.manifest_exists(name).await? {
            Some(found) if found.digest == *top.digest() => {
                let children = parts.manifests().iter().filter(|m| m.digest() != top.digest());
                Ok(self.which_exist(children, name).await?.iter().all(|there| *there))
            }
            _ => Ok(false),
        }
    }

    async fn which_exist<'a>(
        &self,
        manifests: impl Iterator<Item = &'a RawManifest>,
        repository: &Reference,
    ) -> Result<Vec<bool>, Error> {
        let ask = async |raw: &RawManifest| {
            let found = self.client.manifest_exists(&repository.with_digest(raw.digest().clone())).await?;
            Ok::<_, Error>(found.is_some())
        };
        try_join_all(manifests.map(ask)).await
    }

    /// Sends everything but the names to one repository. `near` are repositories of the same registry that have it too.
    async fn send(&self, parts: &Parts, to: &Reference, near: Vec<String>, work: &Work) -> Result<(), Error> {
        let there = self.which_exist(parts.manifests().iter(), to).await?;
        let missing: Vec<&RawManifest> =
            parts.manifests().iter().zip(there).filter(|(_, there)| !there).map(|(m, _)| m).collect();
        let mut wanted: BTreeMap<&Digest, &Blob> = BTreeMap::new();
        for raw in &missing {
            wanted.extend(parts.blobs_of(raw)?.into_iter().map(|blob| (&blob.descriptor.digest, blob)));
        }
        work.expect(wanted.values().map(|blob| blob.descriptor.size).sum());
        let mut sending = JoinSet::new();
        for blob in wanted.into_values() {
            if sending.len() >= AT_ONCE {
                joined(sending.join_next().await)?;
            }
            let (engine, to, near) = (self.clone(), to.clone(), near.clone());
            let (blob, share) = (blob.clone(), Share::of(work));
            sending.spawn(async move { engine.send_blob(blob, &to, near, share).await });
        }
        while !sending.is_empty() {
            joined(sending.join_next().await)?;
        }
        for raw in missing {
            if Some(raw.digest()) != parts.top().map(RawManifest::digest) {
                self.client.push_manifest(&to.with_digest(raw.digest().clone()), raw).await?;
            }
        }
        Ok(())
    }

    async fn send_blob(&self, blob: Blob, to: &Reference, mut mounts: Vec<String>, share: Share) -> Result<(), Error> {
        let origin = blob.origin.iter().filter(|origin| origin.registry() == to.registry());
        mounts.extend(origin.map(|origin| origin.repository().to_owned()));
        let descriptor = blob.descriptor.clone();
        let source = Sending { client: self.client.clone(), blob, share };
        let pushed = self.client.push_blob(to, &descriptor, &source, &mounts).await?;
        if matches!(pushed, Pushed::Existed | Pushed::Mounted) {
            source.share.at(descriptor.size);
        }
        Ok(())
    }

    /// An image of the store in its parts. An index may be here in part only, as after a pull for one platform: then what is
    /// missing must be in the target repository.
    pub(crate) async fn stored_parts(&self, target: &Reference, top: RawManifest) -> Result<Parts, Error> {
        let mut absent: BTreeSet<Platform> = BTreeSet::new();
        if let Document::Index(index) = parse(target, &top)? {
            for child in index.manifests {
                if !self.can_publish(target, &child).await? {
                    absent.insert(child.platform.clone().unwrap_or_else(Platform::host));
                }
            }
        } else if !self.can_publish(target, &top.descriptor()).await? {
            absent.insert(Platform::host());
        }
        if !absent.is_empty() {
            let names: Vec<String> = absent.iter().map(ToString::to_string).collect();
            return Err(Error::Request(format!(
                "{} is here only in part: {} is missing, and {} does not have it either; pull all platforms first",
                target.familiar(),
                names.join(", "),
                target.name()
            )));
        }
        let get = async |child: &Descriptor| self.local_manifest(child).await;
        let place = |descriptor: Descriptor| self.stored_blob(descriptor, Some(target));
        Parts::gather(top, get, place).await
    }

    /// Where a blob is: in the store, or else at its origin.
    pub(crate) fn stored_blob(&self, descriptor: Descriptor, origin: Option<&Reference>) -> Blob {
        let blobs = self.store.blobs();
        let file = blobs.contains(&descriptor.digest).then(|| blobs.path(&descriptor.digest));
        Blob { descriptor, file, origin: origin.cloned() }
    }

    /// Whether a child of an index can be published: all of it is here, or already there.
    async fn can_publish(&self, target: &Reference, child: &Descriptor) -> Result<bool, Error> {
        let there = async || {
            let found = self.client.manifest_exists(&target.with_digest(child.digest.clone())).await?;
            Ok::<_, Error>(found.is_some())
        };
        let Some(raw) = self.local_manifest(child).await? else { return there().await };
        let Document::Manifest(manifest) = parse(target, &raw)? else { return Ok(true) };
        let mut whole = true;
        for descriptor in crate::parts::blobs_of(&manifest) {
            whole =
                whole && (self.has(descriptor).await? || self.client.blob_exists(target, &descriptor.digest).await?);
        }
        if whole { Ok(true) } else { there().await }
    }
}

/// The result of the task that ended; a panic in it goes on here.
fn joined(ended: Option<Result<Result<(), Error>, tokio::task::JoinError>>) -> Result<(), Error> {
    match ended {
        Some(Ok(result)) => result,
        Some(Err(e)) => std::panic::resume_unwind(e.into_panic()),
        None => Ok(()),
    }
}
