//! What several commands need: the store, the client and the engine, made from the environment.

use std::future::Future;
use std::path::{Path, PathBuf};

use archipel_build::{Engine, Sink, UNNAMED};
use archipel_oci::{DOCKER_HUB, Descriptor, Digest, Document, RawManifest, Reference, ReferenceError};
use archipel_remote::{Client, Options};
use archipel_sandbox::probe::Probe;
use archipel_store::{Image, Store};

use crate::environment::Environment;
use crate::errors::Error;
use crate::render::{Progress, View};
use crate::runtime;

/// `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// The store.
pub(super) fn store(environment: &Environment) -> Result<Store, Error> {
    Ok(Store::open(&environment.store_dir()?)?)
}

/// A manifest that the store has.
pub(super) fn stored_manifest(store: &Store, descriptor: &Descriptor) -> Result<Option<RawManifest>, Error> {
    let Some(bytes) = stored_blob(store, &descriptor.digest)? else { return Ok(None) };
    let told = || Error::io(descriptor.digest.to_string());
    RawManifest::new(bytes, Some(&descriptor.media_type)).map(Some).map_err(|e| told()(std::io::Error::other(e)))
}

/// A blob that the store has: a manifest or a config, for nobody wants a layer in memory.
pub(super) fn stored_blob(store: &Store, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
    match store.blobs().contains(digest) {
        true => Ok(Some(store.blobs().read(digest).map_err(archipel_store::Error::from)?)),
        false => Ok(None),
    }
}

/// The images of the store that a person means: those of a name, else all names of the image with this id. An id may be cut
/// short, as `images` shows it.
pub(super) fn stored_images(store: &Store, text: &str) -> Result<Vec<Image>, Error> {
    let all = store.images()?;
    // An id may be no name (it has upper-case letters, or none at all), and a name no id.
    if let Ok(reference) = text.parse::<Reference>()
        && let Some(image) = all.iter().find(|image| image.reference.to_string() == reference.to_string())
    {
        return Ok(vec![image.clone()]);
    }
    let id = text.strip_prefix("sha256:").unwrap_or(text);
    let is_id = id.len() >= 4 && id.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
    let mut found = vec![];
    for image in all.into_iter().filter(|_| is_id) {
        let begins = |digest: &Digest| digest.hex().starts_with(id);
        // Of an image for one platform docker's id is the config's digest, and ours what the name stands for.
        if begins(&image.descriptor.digest) || config_of(store, &image)?.is_some_and(|digest| begins(&digest)) {
            found.push(image);
        }
    }
    let first = found.first().map(|image| image.descriptor.digest.clone());
    if found.iter().any(|image| Some(&image.descriptor.digest) != first.as_ref()) {
        return Err(Error::Usage(format!("`{text}` is the beginning of several images' ids: give more of it")));
    }
    if found.is_empty() {
        return Err(Error::NoImage(text.to_owned()));
    }
    found.sort_by_key(|image| image.reference.to_string());
    Ok(found)
}

fn config_of(store: &Store, image: &Image) -> Result<Option<Digest>, Error> {
    let Some(raw) = stored_manifest(store, &image.descriptor)? else { return Ok(None) };
    Ok(match raw.parse() {
        Ok(Document::Manifest(manifest)) => Some(manifest.config.digest.clone()),
        _ => None,
    })
}

/// Whether an image is kept without a name.
pub(super) fn is_unnamed(image: &Image) -> bool {
    image.reference.name() == UNNAMED
}

/// What people call an image: its name, or its id where it has none.
pub(super) fn familiar(image: &Image) -> String {
    if is_unnamed(image) { image.descriptor.digest.to_string() } else { image.reference.familiar() }
}

/// The image that a person means: one of the store by name or id, else one of a registry by name.
pub(super) fn reference(store: &Store, text: &str) -> Result<Reference, Error> {
    match stored_images(store, text) {
        Ok(found) if !found.is_empty() => Ok(found[0].reference.clone()),
        Ok(_) | Err(Error::NoImage(_)) => text.parse().map_err(|e: ReferenceError| Error::Usage(e.to_string())),
        Err(error) => Err(error),
    }
}

/// The registry client.
pub(super) fn client(environment: &Environment) -> Result<Client, Error> {
    Ok(Client::new(environment.registries()?, environment.credentials()?, Options::default()))
}

/// The same, without a look at the certificates of some registries.
pub(super) fn client_to(environment: &Environment, insecure: &[String]) -> Result<Client, Error> {
    let mut config = environment.registries()?;
    for registry in insecure {
        config.registry.entry(registry.clone()).or_default().insecure = true;
    }
    Ok(Client::new(config, environment.credentials()?, Options::default()))
}

/// A name that something is to be given: with its tag, and without a digest.
pub(super) fn tagged(name: &Reference) -> Result<Reference, Error> {
    match name.digest() {
        Some(_) => Err(Error::Usage(format!("{name} names a digest, which nothing can be given: give it a tag"))),
        None => name.with_tag(name.tag_or_latest()).map_err(|e| Error::Usage(e.to_string())),
    }
}

/// What this machine gives. It is tried in a user namespace, so this must come before any thread.
pub(super) fn probe(environment: &Environment) -> Result<Probe, Error> {
    let entered = archipel_sandbox::userns::enter();
    let scratch = environment.store_dir()?;
    std::fs::create_dir_all(&scratch).map_err(Error::io(scratch.display().to_string()))?;
    Ok(Probe::run(&entered, &[], &scratch))
}

/// A value for programs, as text.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

/// The engine.
pub(super) fn engine(environment: &Environment) -> Result<Engine, Error> {
    Ok(Engine::new(store(environment)?, client(environment)?, vec![]))
}

/// Runs something on the engine. Ctrl-C and SIGTERM make it throw away what is half done and return.
pub(super) fn on_engine<T, F>(environment: &Environment, work: impl FnOnce(Engine) -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, archipel_build::Error>>,
{
    let engine = engine(environment)?;
    let work = work(engine.clone());
    runtime::block_on_telling(async move { Ok(work.await?) }, move || engine.cancel())
}

/// The same, with what happens shown while it does.
pub(super) fn on_engine_shown<T, F>(
    environment: &Environment,
    progress: Progress,
    work: impl FnOnce(Engine, Sink) -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, archipel_build::Error>>,
{
    on_engine_with(environment, client(environment)?, progress, work)
}

/// The same, with a client of the caller's.
pub(super) fn on_engine_with<T, F>(
    environment: &Environment,
    client: Client,
    progress: Progress,
    work: impl FnOnce(Engine, Sink) -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, archipel_build::Error>>,
{
    let view = View::new(environment.progress(progress)?, 0, environment);
    let engine = Engine::new(store(environment)?, client, vec![]);
    let work = work(engine.clone(), view.sink());
    let result = runtime::block_on_telling(async move { Ok(work.await?) }, move || engine.cancel());
    view.finish(None);
    result
}

/// A registry as `login` takes it: a name, or the address that docker shows.
pub(super) fn registry_name(text: Option<&str>) -> Result<String, Error> {
    let Some(text) = text else { return Ok(DOCKER_HUB.to_owned()) };
    let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    let host = bare.split('/').next().unwrap_or_default();
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@') {
        return Err(Error::Usage(format!("`{text}` is not a registry: write HOST or HOST:PORT")));
    }
    Ok(match host {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => DOCKER_HUB.to_owned(),
        host => host.to_ascii_lowercase(),
    })
}

/// Writes a small file of ours, whole or not at all, making its folder.
pub(super) fn write_state(path: &Path, value: &impl serde::Serialize) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io(folder.display().to_string()))?;
    }
    write_whole(path, json(value).as_bytes())
}

/// Writes a file that another program waits for: whole or not at all.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let told = || path.display().to_string();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(Error::io(told()))?;
    std::io::Write::write_all(&mut file, bytes).map_err(Error::io(told()))?;
    file.persist(path).map_err(|e| Error::io(told())(e.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_by_name_and_address() {
        assert_eq!(registry_name(None).unwrap(), "docker.io");
        assert_eq!(registry_name(Some("https://index.docker.io/v1/")).unwrap(), "docker.io");
        assert_eq!(registry_name(Some("http://127.0.0.1:5000/")).unwrap(), "127.0.0.1:5000");
        assert_eq!(registry_name(Some("registry.example/group")).unwrap(), "registry.example");
        assert!(registry_name(Some("")).is_err() && registry_name(Some("user@host")).is_err());
    }
}
