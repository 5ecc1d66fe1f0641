use std::sync::Arc;

use archipel_oci::{DiffId, Manifest};
use archipel_remote::{Config, Credentials, Options};

use super::*;
use crate::steps::Steps;

fn client() -> Client {
    Client::new(Config::default(), Credentials::default(), Options::default())
}

fn work() -> Work {
    Work::start(&(Arc::new(|_| {}) as crate::Sink), &Steps::default(), "copying", Vec::new())
}

/// An image of one layer, whose blobs lie in `folder`.
fn image(folder: &Path, content: &[u8]) -> Parts {
    let mut parts = Parts::new();
    let mut blob = |kind: &str, bytes: &[u8]| {
        let descriptor = Descriptor::of(kind, bytes);
        let file = folder.join(descriptor.digest.hex());
        fs::write(&file, bytes).unwrap();
        let place = Blob { descriptor: descriptor.clone(), file: Some(file), origin: None };
        parts.blobs.insert(descriptor.digest.clone(), place);
        descriptor
    };
    let layer = blob(media_type::OCI_LAYER, content);
    let mut config = archipel_oci::ImageConfig::default();
    config.rootfs.diff_ids.push(DiffId(layer.digest.clone()));
    let config = blob(media_type::OCI_CONFIG, &config.to_bytes());
    parts.add_manifest(RawManifest::from_manifest(&Manifest::new(config, vec![layer])));
    parts
}

fn put(layout: &Path, parts: &Parts, name: &str) -> Result<(), Error> {
    let names = [Name::of(&name.parse().unwrap())];
    write_folder(layout, parts, entries(parts.top().unwrap(), &names), &client(), &work())
}

#[test]
fn several_images_in_one_layout() {
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    let (one, two) = (image(dir.path(), b"one"), image(dir.path(), b"two"));
    put(&layout, &one, "org/repo:1").unwrap();
    put(&layout, &two, "org/repo:2").unwrap();
    let read = Layout::open(&layout).unwrap();
    assert_eq!(read.find(Some("1")).unwrap().digest, *one.top().unwrap().digest());
    assert_eq!(read.find(Some("docker.io/org/repo:2")).unwrap().digest, *two.top().unwrap().digest());
    let error = read.find(None).unwrap_err().to_string();
    assert!(error.contains("several images") && error.contains("docker.io/org/repo:1"), "{error}");
    assert!(read.find(Some("3")).unwrap_err().to_string().contains("no image `3`"));
    // A name moves.
    put(&layout, &two, "org/repo:1").unwrap();
    let read = Layout::open(&layout).unwrap();
    assert_eq!(read.find(None).unwrap().digest, *two.top().unwrap().digest());
    assert_eq!(read.manifest(&read.find(None).unwrap()).unwrap(), *two.top().unwrap());
}

#[test]
fn damaged_content_is_not_copied() {
    let dir = tempfile::tempdir().unwrap();
    let parts = image(dir.path(), b"layer");
    let layout = dir.path().join("layout");
    for wrong in [&b"lay"[..], b"layers", b"lAyer"] {
        fs::write(dir.path().join(Digest::of(b"layer").hex()), wrong).unwrap();
        let error = put(&layout, &parts, "x:1").unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
        assert!(!layout.join("index.json").exists());
    }
}

#[test]
fn what_is_no_layout() {
    let dir = tempfile::tempdir().unwrap();
    let error = Layout::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("not an OCI layout: oci-layout"), "{error}");
    fs::write(dir.path().join("oci-layout"), br#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    assert!(Layout::open(dir.path()).unwrap_err().to_string().contains("`2.0.0`"));
    fs::write(dir.path().join("oci-layout"), MARKER).unwrap();
    fs::write(dir.path().join("index.json"), b"[]").unwrap();
    assert!(Layout::open(dir.path()).unwrap_err().to_string().contains("index.json"));
}
