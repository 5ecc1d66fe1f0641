//! An image of the store as `docker inspect` shows it.

use archipel_oci::{Descriptor, Document, ImageConfig, Index, Manifest, Platform, is_attestation};
use archipel_store::{Image, Store};
use serde_json::{Map, Value, json};

use super::shared;
use crate::errors::Error;

/// An image for one platform: the one that was asked for, else the machine's, else the first.
pub(super) fn of_platform(
    store: &Store,
    text: &str,
    platform: Option<&Platform>,
) -> Result<(Image, Manifest, ImageConfig), Error> {
    let found = shared::stored_images(store, text)?;
    let Some(first) = found.into_iter().next() else { return Err(Error::NoImage(text.to_owned())) };
    match variant(store, &first.descriptor, platform)? {
        Some((manifest, config)) => Ok((first, manifest, config)),
        None => Err(Error::Usage(match platform {
            Some(platform) => format!("{} is not here for {platform}", shared::familiar(&first)),
            None => format!("{} is here only in part: pull it again", shared::familiar(&first)),
        })),
    }
}

/// The object of an image, for the platform as in [`of_platform`].
pub(super) fn image(store: &Store, text: &str, platform: Option<&Platform>) -> Result<Value, Error> {
    let (first, manifest, config) = of_platform(store, text, platform)?;
    let top = &first.descriptor;
    let mut names = with_id(store, top)?;
    names.retain(|name| !shared::is_unnamed(name));
    let tags: Vec<String> =
        names.iter().filter(|i| i.reference.tag().is_some()).map(|i| i.reference.familiar()).collect();
    let mut digests: Vec<String> = vec![];
    for name in &names {
        let by_digest = name.reference.with_digest(top.digest.clone()).familiar();
        if !digests.contains(&by_digest) {
            digests.push(by_digest);
        }
    }
    let size: u64 = manifest.layers.iter().map(|layer| layer.size).sum();
    let named = jiff::Timestamp::from_second(first.created).map_or_else(|_| String::new(), |time| time.to_string());
    let mut object = json!({
        "Id": top.digest,
        "RepoTags": tags,
        "RepoDigests": digests,
        "Comment": config.history.last().and_then(|step| step.comment.clone()).unwrap_or_default(),
        "Created": config.created.clone().unwrap_or_default(),
        "Config": container(&config),
        "Architecture": config.architecture,
        "Os": config.os,
        "Size": size,
        "RootFS": { "Type": "layers", "Layers": config.rootfs.diff_ids },
        "Metadata": { "LastTagTime": named },
        "Descriptor": top,
    });
    if let Some(variant) = &config.variant {
        object["Variant"] = json!(variant);
    }
    if let Some(author) = &config.author {
        object["Author"] = json!(author);
    }
    Ok(object)
}

/// Docker shows these fields although they are empty, and templates count on it.
fn container(config: &ImageConfig) -> Value {
    let mut shown: Map<String, Value> = match json!(config.config) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for field in ["Env", "Cmd", "Entrypoint", "Volumes", "Labels", "ExposedPorts", "OnBuild"] {
        shown.entry(field).or_insert(Value::Null);
    }
    for field in ["User", "WorkingDir"] {
        shown.entry(field).or_insert("".into());
    }
    Value::Object(shown)
}

fn with_id(store: &Store, top: &Descriptor) -> Result<Vec<Image>, Error> {
    let mut all = store.images()?;
    all.retain(|image| image.descriptor.digest == top.digest);
    Ok(all)
}

/// The manifest and config for a platform.
fn variant(
    store: &Store,
    top: &Descriptor,
    platform: Option<&Platform>,
) -> Result<Option<(Manifest, ImageConfig)>, Error> {
    let Some(raw) = shared::stored_manifest(store, top)? else { return Ok(None) };
    match parse(&raw)? {
        Document::Manifest(manifest) => {
            let config = config(store, &manifest)?;
            let runs =
                |config: &ImageConfig| platform.is_none_or(|wanted| wanted.distance(&config.platform()).is_some());
            Ok(config.filter(runs).map(|config| (*manifest, config)))
        }
        Document::Index(index) => {
            for child in in_order(&index, platform) {
                let Some(raw) = shared::stored_manifest(store, child)? else { continue };
                if let Document::Manifest(manifest) = parse(&raw)?
                    && let Some(config) = config(store, &manifest)?
                {
                    return Ok(Some((*manifest, config)));
                }
            }
            Ok(None)
        }
    }
}

/// The best first. Where no platform is asked for, any is better than none.
fn in_order<'a>(index: &'a Index, platform: Option<&Platform>) -> Vec<&'a Descriptor> {
    let host = Platform::host();
    let wanted = platform.unwrap_or(&host);
    let distance = |child: &&Descriptor| child.platform.as_ref().and_then(|have| wanted.distance(have));
    let mut children: Vec<&Descriptor> = index.manifests.iter().filter(|child| !is_attestation(child)).collect();
    if platform.is_some() {
        children.retain(|child| distance(child).is_some());
    }
    children.sort_by_key(|child| distance(child).unwrap_or(u32::MAX));
    children
}

fn config(store: &Store, manifest: &Manifest) -> Result<Option<ImageConfig>, Error> {
    Ok(shared::stored_blob(store, &manifest.config.digest)?.and_then(|bytes| ImageConfig::parse(&bytes).ok()))
}

fn parse(raw: &archipel_oci::RawManifest) -> Result<Document, Error> {
    raw.parse().map_err(|e| Error::Io { what: raw.digest().to_string(), source: std::io::Error::other(e) })
}
