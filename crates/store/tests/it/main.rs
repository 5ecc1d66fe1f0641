//! The store as its callers use it.

#![expect(clippy::unwrap_used, reason = "tests, whose helpers clippy does not take for tests")]

mod lay;
mod overlay;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use archipel_oci::{ChainId, Descriptor, DiffId, Digest, Reference, media_type};
use archipel_store::layer::{Header, Kind, Writer};
use archipel_store::{Compression, Error, LayerOptions, MountLock, SnapshotId, Store};

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (path, content) in files {
        let header = match path.strip_suffix('/') {
            Some(folder) => Header::new(Kind::Dir, folder),
            None => Header { size: content.len() as u64, ..Header::new(Kind::File, *path) },
        };
        writer.append(&header, content.as_bytes()).unwrap();
    }
    writer.finish().unwrap()
}

/// Puts a layer into the store.
fn base(store: &Store, files: &[(&str, &str)]) -> (Descriptor, DiffId, ChainId) {
    let bytes = tar(files);
    let diff_id = DiffId(store.blobs().put(&bytes).unwrap());
    let chain = ChainId::extend(None, &diff_id);
    (Descriptor::of(media_type::OCI_LAYER, &bytes), diff_id, chain)
}

fn plain() -> LayerOptions {
    LayerOptions { compression: Compression::None, epoch: None }
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn a_layer_comes_out_as_it_went_in() {
    let (_dir, store) = store();
    let (descriptor, diff_id, chain) = base(&store, &[("etc/", ""), ("etc/os", "x"), ("top", "y")]);
    let snapshot = store.unpack(&descriptor, &diff_id, None, &chain).unwrap();
    assert_eq!(fs::read_to_string(snapshot.path.join("etc/os")).unwrap(), "x");
    assert_eq!(store.layer(&snapshot.id, &plain()).unwrap().diff_id, diff_id);
    let options = LayerOptions { compression: Compression::Gzip { level: None }, epoch: None };
    let layer = store.layer(&snapshot.id, &options).unwrap();
    assert_eq!((&layer.diff_id, layer.descriptor.media_type.as_str()), (&diff_id, media_type::OCI_LAYER_GZIP));
    // Remembered, and made again where the blob is gone.
    store.blobs().remove(&layer.descriptor.digest).unwrap();
    assert_eq!(store.layer(&snapshot.id, &options).unwrap(), layer);
    assert!(store.blobs().contains(&layer.descriptor.digest));
    assert_eq!(entries(&store.root().join("work")), 0);
}

#[test]
fn a_wrong_layer_leaves_nothing() {
    let (_dir, store) = store();
    let (descriptor, _, chain) = base(&store, &[("f", "x")]);
    let other = DiffId(Digest::of(b"other"));
    assert!(matches!(store.unpack(&descriptor, &other, None, &chain), Err(Error::DiffId { .. })));
    assert!(store.blobs().contains(&descriptor.digest));
    assert_eq!((entries(&store.root().join("snapshots")), entries(&store.root().join("work"))), (0, 0));
    // A blob that is not what its name says must be fetched again.
    let path = store.blobs().path(&descriptor.digest);
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"short").unwrap();
    assert!(matches!(store.unpack(&descriptor, &other, None, &chain), Err(Error::Tar { .. })));
    assert!(!store.blobs().contains(&descriptor.digest));
}

#[test]
fn the_first_of_two_commits_stays() {
    let (_dir, store) = store();
    let id = SnapshotId::step(&Digest::of(b"step"));
    for content in ["first", "second"] {
        let draft = store.draft(None).unwrap();
        fs::write(draft.upper().join("f"), content).unwrap();
        let snapshot = draft.commit(&id).unwrap();
        assert_eq!(fs::read_to_string(snapshot.path.join("f")).unwrap(), "first");
    }
    let again: SnapshotId = serde_json::from_str(&serde_json::to_string(&id).unwrap()).unwrap();
    assert_eq!(again, id);
    assert!(serde_json::from_str::<SnapshotId>("\"../../etc\"").is_err());
    let missing = SnapshotId::step(&Digest::of(b"no"));
    assert!(matches!(store.draft(Some(&missing)), Err(Error::Missing(id)) if id == missing));
}

#[test]
fn what_the_dead_left_is_swept_and_the_living_keep_theirs() {
    let (dir, store) = store();
    let draft = store.draft(None).unwrap();
    let dead = dir.path().join("work/1-0");
    fs::create_dir_all(dead.join("work/work")).unwrap();
    fs::set_permissions(dead.join("work/work"), fs::Permissions::from_mode(0o000)).unwrap();
    let again = Store::open(dir.path()).unwrap();
    assert!(!dead.exists() && draft.upper().exists());
    assert!(matches!(again.alone(), Err(Error::InUse(_))));
}

#[test]
fn images_keep_what_they_need() {
    let (dir, store) = store();
    let name: Reference = "example.com/some/app:1".parse().unwrap();
    let (descriptor, diff_id, chain) = base(&store, &[("f", "x")]);
    store.unpack(&descriptor, &diff_id, None, &chain).unwrap();
    let config = serde_json::json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff_id]}});
    let config = serde_json::to_vec(&config).unwrap();
    store.blobs().put(&config).unwrap();
    let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": Descriptor::of(media_type::OCI_CONFIG, &config), "layers": [descriptor]});
    let manifest = serde_json::to_vec(&manifest).unwrap();
    store.blobs().put(&manifest).unwrap();
    let top = Descriptor::of(media_type::OCI_MANIFEST, &manifest);
    store.tag(&name, &top).unwrap();
    let stray = store.blobs().put(b"stray").unwrap();
    store.draft(None).unwrap().commit(&SnapshotId::step(&stray)).unwrap();
    store.cache_put(&stray, b"record").unwrap();
    assert_eq!(store.cache_get(&stray).unwrap().unwrap(), b"record");

    let other: Reference = "example.com/some/other:1".parse().unwrap();
    store.tag(&other, &top).unwrap();
    let unread = dir.path().join("images/draft.json");
    fs::write(&unread, "{").unwrap();

    assert!(store.alone().unwrap().prune(|image| image.reference == name).unwrap() > 0);
    assert_eq!((store.resolve_image(&other).unwrap(), unread.exists()), (None, false));
    assert_eq!(store.resolve_image(&name).unwrap(), Some(top.clone()));
    assert_eq!(store.images().unwrap()[0].reference, name);
    assert!(store.snapshot(&SnapshotId::chain(&chain)).unwrap().is_some());
    assert!(store.snapshot(&SnapshotId::step(&stray)).unwrap().is_none());
    assert_eq!((store.blobs().list().unwrap().len(), store.cache_get(&stray).unwrap()), (3, None));

    store.tag(&other, &top).unwrap();
    assert!(store.untag(&name).unwrap() && !store.untag(&name).unwrap());
    store.alone().unwrap().prune(|_| false).unwrap();
    assert!(store.blobs().list().unwrap().is_empty());
    assert_eq!(store.disk_usage().unwrap().images, 0);
}

#[test]
fn cache_mounts_last() {
    let (_dir, store) = store();
    let seed = tempfile::tempdir().unwrap();
    fs::write(seed.path().join("seed"), b"s").unwrap();
    let folder_of =
        |lock: &MountLock, fresh| store.cache_mount(lock, fresh, Some(seed.path()), (0, 0), 0o1777).unwrap();
    let get = |fresh| folder_of(&store.lock_mount("id", false).unwrap().unwrap(), fresh);
    let folder = get(false);
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o7777, 0o1777);
    fs::write(folder.join("mine"), b"m").unwrap();
    assert_eq!(get(false), folder);
    assert!(folder.join("mine").exists() && folder.join("seed").exists());
    get(true);
    assert!(!folder.join("mine").exists() && folder.join("seed").exists());
}

#[test]
fn cache_mounts_are_shared_or_not() {
    let (_dir, store) = store();
    let lock = |alone| store.lock_mount("id", alone).unwrap();
    let folder = |lock: &MountLock| store.cache_mount(lock, false, None, (0, 0), 0o755).unwrap();
    let (first, second) = (lock(false).unwrap(), lock(false).unwrap());
    assert_eq!(folder(&first), folder(&second));
    assert!(lock(true).is_none());
    // Who wants one of its own has another while this one is used, and this one afterwards.
    let private = store.private_mount("id").unwrap();
    assert_ne!(folder(&private), folder(&first));
    let place = folder(&first);
    drop((first, second));
    let alone = lock(true).unwrap();
    assert!(lock(false).is_none() && lock(true).is_none());
    drop(alone);
    let again = store.private_mount("id").unwrap();
    assert_eq!(folder(&again), place);
    assert_ne!(folder(&store.private_mount("id").unwrap()), folder(&private));
}
