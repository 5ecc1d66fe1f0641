//! Brings blobs here, and unpacks base images.

use archipel_oci::{ChainId, Descriptor, Reference};
use archipel_store::SnapshotId;
use tokio::task::JoinSet;

use crate::exec::blocking;
use crate::image::{BaseImage, Job};
use crate::progress::Work;
use crate::spool::Spool;
use crate::steps::Steps;
use crate::{Engine, Error, Sink};

impl Engine {
    /// Makes sure that the store has a blob. Two that want the same wait for one another. `progress` is told of each piece.
    pub(crate) async fn fetch(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Error> {
        if self.has(descriptor).await? {
            progress(descriptor.size);
            return Ok(());
        }
        let _alone = self.images.lock(Job::Fetch(descriptor.digest.clone())).await;
        if self.has(descriptor).await? {
            progress(descriptor.size);
            return Ok(());
        }
        let mut stream = self.client.blob(reference, descriptor, 0).await?;
        let spool = Spool::new(&self.store, descriptor.digest.algorithm());
        while let Some(piece) = stream.chunk().await? {
            progress(piece.len() as u64);
            if !spool.write(piece).await {
                break;
            }
        }
        let ingest = spool.finish().await?;
        let digest = descriptor.digest.clone();
        blocking(move || ingest.commit(Some(&digest))).await?;
        Ok(())
    }

    /// Whether the store has a blob whole.
    pub(crate) async fn has(&self, descriptor: &Descriptor) -> Result<bool, Error> {
        let (store, digest) = (self.store.clone(), descriptor.digest.clone());
        Ok(blocking(move || store.blobs().size(&digest)).await? == Some(descriptor.size))
    }

    /// The snapshot of an image's files; `None` for an image without layers. Layers that are not unpacked yet are fetched,
    /// several at once, and unpacked in their order while those above are still on their way.
    pub(crate) async fn unpack(
        &self,
        image: &BaseImage,
        sink: &Sink,
        steps: &Steps,
    ) -> Result<Option<SnapshotId>, Error> {
        let Some(top) = image.chain() else { return Ok(None) };
        let id = SnapshotId::chain(&top);
        if self.unpacked(&top).await? {
            return Ok(Some(id));
        }
        let _alone = self.images.lock(Job::Unpack(top.clone())).await;
        let chains = image.chains();
        let mut first = image.layers.len();
        while let Some(chain) = first.checked_sub(1).and_then(|n| chains.get(n)) {
            if self.unpacked(chain).await? {
                break;
            }
            first -= 1;
        }
        if first == image.layers.len() {
            return Ok(Some(id));
        }
        let mut verb = "unpacking";
        for layer in &image.layers[first..] {
            if !self.has(&layer.descriptor).await? {
                verb = "pulling";
            }
        }
        let name = format!("{verb} {} for {}", image.reference.familiar(), image.platform);
        let work = Work::start(sink, steps, name, vec![image.platform.clone()]);
        let done = self.unpack_from(image, first, &chains, &work).await;
        work.finish(done)?;
        Ok(Some(id))
    }

    async fn unpacked(&self, chain: &ChainId) -> Result<bool, Error> {
        let (store, id) = (self.store.clone(), SnapshotId::chain(chain));
        Ok(blocking(move || store.snapshot(&id)).await?.is_some())
    }

    async fn unpack_from(&self, image: &BaseImage, first: usize, chains: &[ChainId], work: &Work) -> Result<(), Error> {
        let mut fetching = JoinSet::new();
        for (n, layer) in image.layers.iter().enumerate().skip(first) {
            work.expect(layer.descriptor.size);
            let (engine, work) = (self.clone(), work.clone());
            let (reference, descriptor) = (image.reference.clone(), layer.descriptor.clone());
            fetching.spawn(
                async move { engine.fetch(&reference, &descriptor, &|bytes| work.add(bytes)).await.map(|()| n) },
            );
        }
        let mut here = vec![false; image.layers.len()];
        for (n, layer) in image.layers.iter().enumerate().skip(first) {
            while !here[n] {
                match fetching.join_next().await {
                    Some(Ok(fetched)) => here[fetched?] = true,
                    Some(Err(e)) => std::panic::resume_unwind(e.into_panic()),
                    None => break,
                }
            }
            let (store, layer) = (self.store.clone(), layer.clone());
            let parent = n.checked_sub(1).and_then(|below| chains.get(below)).map(SnapshotId::chain);
            let chain = chains[n].clone();
            blocking(move || store.unpack(&layer.descriptor, &layer.diff_id, parent.as_ref(), &chain)).await?;
        }
        Ok(())
    }
}
