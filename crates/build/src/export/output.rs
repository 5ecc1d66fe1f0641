//! Brings the results of a build to where they should go.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use archipel_oci::{Digest, ImageConfig, Platform, Reference};
use archipel_store::SnapshotId;

use super::image::Image;
use super::{docker_archive, local, metadata, oci_layout, prune, rootfs, tar};
use crate::attestation::Attestation;
use crate::engine::{now, warn};
use crate::exec::blocking;
use crate::image::{BaseImage, BaseLayer};
use crate::progress::Work;
use crate::request::{ImageOptions, Output};
use crate::steps::Steps;
use crate::{Built, BuiltPlatform, Engine, Error, How, Request, Sink, SourceDateEpoch};

/// The repository under which the store keeps images without a name, by digest, so that they can be run and named by their
/// id. No registry can be called so.
pub const UNNAMED: &str = "unnamed.invalid/image";

/// What a build made for one platform.
#[derive(Clone, Debug)]
pub(crate) struct PlatformResult {
    pub(crate) platform: Platform,
    /// Complete but for the identities of the layers.
    pub(crate) config: ImageConfig,
    /// Lowest first.
    pub(crate) layers: Vec<ResultLayer>,
    pub(crate) how: How,
    pub(crate) cached: bool,
    /// Since the build's start.
    pub(crate) finished: Duration,
    pub(crate) base: Option<Arc<BaseImage>>,
    /// The files with all layers; the base's own where nothing lies on it.
    pub(crate) top: Option<SnapshotId>,
    pub(crate) attestations: Vec<Attestation>,
}

/// A layer of a result.
#[derive(Clone, Debug)]
pub(crate) enum ResultLayer {
    /// As it comes from a base image; its bytes may not be here.
    Base { layer: Box<BaseLayer>, reference: Reference },
    /// Made by a step.
    Snapshot(SnapshotId),
}

/// The images of one build: outputs that want the same form share one.
struct Images<'a> {
    engine: &'a Engine,
    request: &'a Request,
    results: &'a [PlatformResult],
    sink: &'a Sink,
    steps: &'a Steps,
    /// The build's.
    epoch: Option<SourceDateEpoch>,
    /// By the options, and the names that it is attested under.
    made: Vec<(ImageOptions, Option<Vec<Reference>>, Image)>,
}

/// Whether anything is to be attested.
fn attests(results: &[PlatformResult]) -> bool {
    results.iter().any(|result| !result.attestations.is_empty())
}

/// The file of an attestation that lies with those of other platforms: `provenance.linux_arm64.json`.
fn apart(file: &str, platform: &str) -> String {
    match file.rsplit_once('.') {
        Some((stem, extension)) => format!("{stem}.{platform}.{extension}"),
        None => format!("{file}.{platform}"),
    }
}

impl Images<'_> {
    /// `names` are those of the output. An archive for docker has no place for attestations.
    async fn get(&mut self, options: &ImageOptions, names: &[Reference], attested: bool) -> Result<Image, Error> {
        let epoch = options.source_date_epoch.or(self.epoch);
        let options = ImageOptions { source_date_epoch: epoch, ..options.clone() };
        let names = (attested && attests(self.results)).then(|| names.to_vec());
        if let Some((.., image)) = self.made.iter().find(|(o, n, _)| *o == options && *n == names) {
            return Ok(image.clone());
        }
        if options.rewrite_timestamp && epoch.is_none() {
            let message = "rewrite-timestamp is specified, but no source-date-epoch was found: no time is rewritten";
            warn(self.sink, message);
        }
        let work = self.work("exporting layers");
        let image = self.engine.assemble(self.request, self.results, &options, names.as_deref(), &work).await;
        let image = work.finish(image)?;
        self.made.push((options, names, image.clone()));
        Ok(image)
    }

    fn work(&self, name: impl Into<String>) -> Work {
        let platforms = self.results.iter().map(|result| result.platform.clone()).collect();
        Work::start(self.sink, self.steps, name, platforms)
    }
}

impl Engine {
    /// Brings results to where the request wants them.
    pub(crate) async fn export(
        &self,
        request: &Request,
        epoch: Option<SourceDateEpoch>,
        results: Vec<PlatformResult>,
        sink: &Sink,
        steps: &Steps,
    ) -> Result<Built, Error> {
        let mut images = Images { engine: self, request, results: &results, sink, steps, epoch, made: Vec::new() };
        let kept = [Output::kept()];
        let outputs = if request.outputs.is_empty() { &kept } else { request.outputs.as_slice() };
        let mut all_names = Vec::new();
        if attests(&results) && outputs.iter().any(|output| matches!(output, Output::Docker { .. })) {
            warn(sink, "an archive for docker has no place for attestations: it goes without");
        }
        if request.keeps_inline_cache() && !outputs.iter().any(is_image) {
            warn(sink, "an inline cache is a part of an image, and no output is one: it is kept nowhere");
        }
        for output in outputs {
            let names = match output {
                Output::Image { names, .. } | Output::Oci { names, .. } | Output::Docker { names, .. } => {
                    names.as_slice()
                }
                Output::Local { .. } | Output::Tar { .. } | Output::CacheOnly => &[],
            };
            let names = normal(request.tags.iter().chain(names))?;
            match output {
                Output::Image { push: true, by_digest: true, options, .. } => {
                    let image = images.get(options, &names, true).await?;
                    self.push_by_digest(&images, &image, &names).await?;
                }
                Output::Image { push, options, .. } => {
                    let image = images.get(options, &names, true).await?;
                    self.export_image(&images, &image, &names, *push).await?;
                }
                Output::Oci { dest, tar, options, .. } => {
                    let image = images.get(options, &names, true).await?;
                    self.export_layout(&images, &image, &names, dest.as_deref(), *tar).await?;
                }
                Output::Docker { dest, options, .. } => {
                    let image = images.get(options, &names, false).await?;
                    self.export_archive(&images, &image, &names, dest.as_deref()).await?;
                }
                Output::Local { dest, delete, split, epoch } => {
                    let folder = Some(Folder { delete: *delete });
                    self.export_files(&images, Some(dest), folder, *split, *epoch).await?;
                }
                Output::Tar { dest, split, epoch } => {
                    self.export_files(&images, dest.as_deref(), None, *split, *epoch).await?;
                }
                Output::CacheOnly => {}
            }
            if is_image(output) {
                all_names.extend(names.into_iter().filter(|name| !all_names.contains(name)).collect::<Vec<_>>());
            }
        }
        let image = images.made.first().map(|(.., image)| image);
        Ok(Built {
            digest: image.map(|image| image.top.digest().clone()),
            platforms: built(&results, image),
            metadata: metadata::metadata(image, &all_names),
        })
    }

    async fn export_image(
        &self,
        images: &Images<'_>,
        image: &Image,
        names: &[Reference],
        push: bool,
    ) -> Result<(), Error> {
        if push && names.is_empty() {
            return Err(Error::Request("an image without a name cannot be pushed: give it one with `-t`".into()));
        }
        let shown = names.iter().map(Reference::familiar).collect::<Vec<_>>().join(", ");
        if push {
            // Named first: what cannot be sent now is sent by `push` later, without building again.
            self.name_all(image, names).await?;
            let work = images.work(format!("pushing {shown}"));
            let pushed = self.publish(&image.parts, names, &work).await;
            work.finish(pushed)?;
        } else {
            // Whoever builds an image to keep it may run it where its bases cannot be had.
            let unnamed = [unnamed(image.top.digest())?];
            let (names, what) = match names.is_empty() {
                true => (&unnamed[..], "keeping the image".to_owned()),
                false => (names, format!("naming {shown}")),
            };
            let work = images.work(what);
            let whole = self.complete(image, &work).await;
            work.finish(whole)?;
            self.name_all(image, names).await?;
        }
        Ok(())
    }

    /// Sends an image to where other jobs find it by its digest: one of them makes the index of all, and names it.
    async fn push_by_digest(&self, images: &Images<'_>, image: &Image, names: &[Reference]) -> Result<(), Error> {
        if names.is_empty() {
            return Err(Error::Request("push-by-digest=true needs a repository to push to: name=REGISTRY/NAME".into()));
        }
        let digest = image.top.digest();
        let names: Vec<Reference> = names.iter().map(|name| name.with_digest(digest.clone())).collect();
        let shown = names.iter().map(Reference::familiar).collect::<Vec<_>>().join(", ");
        let work = images.work(format!("pushing {shown}"));
        let pushed = self.publish(&image.parts, &names, &work).await;
        work.finish(pushed)
    }

    async fn name_all(&self, image: &Image, names: &[Reference]) -> Result<(), Error> {
        for name in names {
            self.name(name, &image.top).await?;
            self.images.forget(name);
        }
        Ok(())
    }

    async fn export_layout(
        &self,
        images: &Images<'_>,
        image: &Image,
        names: &[Reference],
        dest: Option<&Path>,
        tar: bool,
    ) -> Result<(), Error> {
        let work = images.work("exporting to an OCI layout");
        let write = async {
            let parts = self.complete(image, &work).await?;
            let layout = oci_layout::OciLayout::new(image, parts, names, !tar, &self.client);
            let (dest, work) = (dest.map(Path::to_owned), work.clone());
            blocking(move || match (dest, tar) {
                (Some(folder), false) => layout.write_folder(&folder, &work),
                (None, false) => Err(Error::Request("an OCI layout that is a folder needs dest=FOLDER".into())),
                (dest, true) => layout.write_tar(dest.as_deref(), &[], &work),
            })
            .await
        };
        let written = write.await;
        work.finish(written)
    }

    async fn export_archive(
        &self,
        images: &Images<'_>,
        image: &Image,
        names: &[Reference],
        dest: Option<&Path>,
    ) -> Result<(), Error> {
        let work = images.work("exporting to a docker archive");
        let write = async {
            let manifest = docker_archive::manifest(image, names, images.request.multi_platform()?)?;
            let parts = self.complete(image, &work).await?;
            let layout = oci_layout::OciLayout::new(image, parts, names, false, &self.client);
            let (dest, work) = (dest.map(Path::to_owned), work.clone());
            blocking(move || layout.write_tar(dest.as_deref(), &[("manifest.json", manifest)], &work)).await
        };
        let written = write.await;
        work.finish(written)
    }

    /// The files of all platforms: in a folder, or in a tar.
    async fn export_files(
        &self,
        images: &Images<'_>,
        dest: Option<&Path>,
        folder: Option<Folder>,
        split: Option<bool>,
        epoch: Option<SourceDateEpoch>,
    ) -> Result<(), Error> {
        let several = images.request.multi_platform()?;
        let split = split.unwrap_or(several);
        // With BuildKit a tar has folders whenever there are several platforms, and only then.
        let placed = if folder.is_some() { split } else { several };
        let mut roots = Vec::new();
        for result in images.results {
            let base = match &result.base {
                Some(base) => self.unpack(base, images.sink, images.steps).await?,
                None => None,
            };
            let name = result.platform.file_name();
            let mut attestations = result.attestations.clone();
            if several && !split {
                attestations.iter_mut().for_each(|attestation| attestation.file = apart(&attestation.file, &name));
            }
            let (place, snapshot) = (placed.then_some(name), result.top.clone().or(base));
            roots.push(rootfs::Wanted { platform: result.platform.clone(), place, snapshot, attestations });
        }
        let work = images.work(if folder.is_some() { "exporting files" } else { "exporting to a tar" });
        let epoch = epoch.or(images.epoch).map(|epoch| epoch.0);
        let (store, dest, told) = (self.store.clone(), dest.map(Path::to_owned), work.clone());
        let sink = images.sink.clone();
        let written = blocking(move || {
            let roots = rootfs::open(&store, roots, epoch.unwrap_or_else(now))?;
            if roots.len() > 1 && !placed {
                rootfs::check_apart(&roots)?;
            }
            match (dest, folder) {
                (Some(dest), Some(Folder { delete })) => {
                    local::write(&dest, &roots, epoch, &told, &sink)?;
                    if delete { prune::prune(&dest, &roots) } else { Ok(()) }
                }
                (None, Some(_)) => Err(Error::Request("type=local needs dest=FOLDER".into())),
                (dest, None) => tar::write(dest.as_deref(), &roots, epoch, &told),
            }
        })
        .await;
        work.finish(written)
    }
}

/// How files are written into a folder.
#[derive(Clone, Copy, Debug)]
struct Folder {
    /// Whether they are all that is to be in it.
    delete: bool,
}

/// Whether what is written is an image, and not files alone.
fn is_image(output: &Output) -> bool {
    matches!(output, Output::Image { .. } | Output::Oci { .. } | Output::Docker { .. })
}

/// What the store calls an image that has no name.
pub(crate) fn unnamed(digest: &Digest) -> Result<Reference, Error> {
    let repository: Reference = UNNAMED.parse().map_err(|e| Error::Request(format!("{e}")))?;
    Ok(repository.with_digest(digest.clone()))
}

/// Names in full and each once. A tag cannot be given to what has a digest already.
fn normal<'a>(names: impl Iterator<Item = &'a Reference>) -> Result<Vec<Reference>, Error> {
    let mut all: Vec<Reference> = Vec::new();
    for name in names {
        if name.digest().is_some() {
            return Err(Error::Request(format!("{name} names a digest, which a result cannot be given")));
        }
        let name = name.with_tag(name.tag_or_latest()).map_err(|e| Error::Request(e.to_string()))?;
        if !all.contains(&name) {
            all.push(name);
        }
    }
    Ok(all)
}

fn built(results: &[PlatformResult], image: Option<&Image>) -> Vec<BuiltPlatform> {
    let row = |(n, result): (usize, &PlatformResult)| {
        let member = image.and_then(|image| image.members.get(n));
        BuiltPlatform {
            platform: result.platform.clone(),
            how: result.how,
            cached: result.cached,
            seconds: result.finished.as_secs_f64(),
            layers: result.layers.len(),
            size: member.map_or(0, |member| member.layers.iter().map(|layer| layer.size).sum()),
            digest: member.map(|member| member.manifest.clone()),
            config: member.map(|member| member.config.clone()),
        }
    };
    results.iter().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_full_and_once() {
        let names: Vec<Reference> = ["a", "a:latest", "a:1"].iter().map(|n| n.parse().unwrap()).collect();
        let shown: Vec<String> = normal(names.iter()).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["docker.io/library/a:latest", "docker.io/library/a:1"]);
        let digest = names[0].with_digest(archipel_oci::Digest::of(b""));
        assert!(normal([&digest].into_iter()).is_err());
    }
}
