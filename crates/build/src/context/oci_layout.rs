//! An image in an OCI layout of this machine. What a build needs of it is taken into the store, where it is found from then
//! on like any image that was pulled.

use std::path::Path;
use std::sync::Arc;

use archipel_oci::{Document, Platform, RawManifest, Reference, media_type};
use archipel_store::Store;

use crate::exec::blocking;
use crate::image::{BaseImage, choose, parse};
use crate::layout::Layout;
use crate::parts::blobs_of;
use crate::{Engine, Error};

/// The image of a layout for a platform. `name` is that of the context, for messages.
pub(crate) async fn layout_image(
    name: &str,
    path: &Path,
    target: Option<&str>,
    platform: &Platform,
    engine: &Engine,
) -> Result<Arc<BaseImage>, Error> {
    let reference = reference(name)?;
    let (store, path) = (engine.store.clone(), path.to_owned());
    let (target, named, wanted) = (target.map(str::to_owned), reference.clone(), platform.clone());
    let taken = blocking(move || {
        let layout = Layout::open(&path)?;
        let top = find(&layout, target.as_deref())?;
        take(&layout, &top, &named, &wanted, &store)?;
        Ok::<_, Error>(top)
    });
    let top = taken.await.map_err(|e| match e {
        Error::Request(reason) => Error::Request(format!("build context `{name}`: {reason}")),
        other => other,
    })?;
    engine.variant(&reference, &top, platform).await.map(Arc::new)
}

/// A name under which no registry can be asked.
fn reference(name: &str) -> Result<Reference, Error> {
    let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    let plain: String = name.to_ascii_lowercase().chars().map(plain).collect();
    let plain = plain.trim_matches('-').split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    format!("oci-layout.invalid/{}", if plain.is_empty() { "image" } else { &plain })
        .parse()
        .map_err(|e| Error::Request(format!("build context `{name}`: {e}")))
}

/// Without a name it is the only image that there is, or else the latest.
fn find(layout: &Layout, target: Option<&str>) -> Result<RawManifest, Error> {
    let found = match (layout.find(target), target) {
        (Err(several), None) => layout.find(Some("latest")).map_err(|_| several),
        (found, _) => found,
    };
    layout.manifest(&found?)
}

fn take(
    layout: &Layout,
    top: &RawManifest,
    reference: &Reference,
    platform: &Platform,
    store: &Store,
) -> Result<(), Error> {
    let put = |raw: &RawManifest| store.blobs().put(raw.bytes()).map(drop).map_err(archipel_store::Error::from);
    put(top)?;
    let manifest = match parse(reference, top)? {
        Document::Manifest(manifest) => *manifest,
        Document::Index(index) => {
            let child = layout.manifest(choose(reference, &index, platform)?)?;
            put(&child)?;
            match parse(reference, &child)? {
                Document::Manifest(manifest) => *manifest,
                Document::Index(_) => return Err(Error::Request("it has an index within an index".into())),
            }
        }
    };
    // Of something that is no image nothing is taken; why it is none is said later.
    if !manifest.layers.iter().all(|layer| media_type::is_layer(&layer.media_type)) {
        return Ok(());
    }
    blobs_of(&manifest).try_for_each(|blob| layout.bring(blob, store))
}
