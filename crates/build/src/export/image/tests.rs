use std::collections::BTreeMap;
use std::time::Duration;

use archipel_oci::{Document, Platform};
use archipel_remote::{Client, Config, Credentials, Options};

use super::*;
use crate::image::BaseLayer;
use crate::steps::Steps;
use crate::{How, Sink, SourceDateEpoch};

/// An engine over a store of its own.
fn engine() -> (tempfile::TempDir, Engine) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let client = Client::new(Config::default(), Credentials::default(), Options::default());
    (dir, Engine::new(store, client, Vec::new()))
}

fn request(annotations: &[(&str, &str)]) -> Request {
    let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Request { annotations, ..Request::empty() }
}

/// A step's snapshot that holds one file.
fn snapshot(engine: &Engine, name: &str) -> ResultLayer {
    let draft = engine.store.draft(None).unwrap();
    std::fs::write(draft.upper().join(name), name).unwrap();
    let id = SnapshotId::step(&Digest::of(name.as_bytes()));
    draft.commit(&id).unwrap();
    ResultLayer::Snapshot(id)
}

fn result(platform: &str, layers: Vec<ResultLayer>) -> PlatformResult {
    let platform: Platform = platform.parse().unwrap();
    PlatformResult {
        config: ImageConfig::empty(&platform),
        platform,
        layers,
        how: How::Assembled,
        cached: false,
        finished: Duration::ZERO,
        base: None,
        top: None,
        attestations: Vec::new(),
    }
}

async fn assemble(
    engine: &Engine,
    request: &Request,
    results: &[PlatformResult],
    options: &ImageOptions,
) -> Result<Image, Error> {
    let sink: Sink = Arc::new(|_| {});
    let work = Work::start(&sink, &Steps::default(), "exporting layers", Vec::new());
    engine.assemble(request, results, options, None, &work).await
}

fn manifest(image: &Image, n: usize) -> Manifest {
    let raw = image.parts.manifests().iter().find(|raw| *raw.digest() == image.members[n].manifest).unwrap();
    match raw.parse().unwrap() {
        Document::Manifest(manifest) => *manifest,
        Document::Index(_) => panic!("an index"),
    }
}

fn index(image: &Image) -> Index {
    match image.top.parse().unwrap() {
        Document::Index(index) => *index,
        Document::Manifest(_) => panic!("no index"),
    }
}

#[tokio::test]
async fn what_platforms_share_is_one_layer() {
    let (_dir, engine) = engine();
    let shared = snapshot(&engine, "shared");
    let results = [
        result("linux/amd64", vec![snapshot(&engine, "amd64"), shared.clone()]),
        result("linux/arm64", vec![snapshot(&engine, "arm64"), shared]),
    ];
    let image = assemble(&engine, &request(&[]), &results, &ImageOptions::default()).await.unwrap();
    let [amd64, arm64] = [0, 1].map(|n| manifest(&image, n));
    assert_eq!(amd64.layers[1], arm64.layers[1]);
    assert_ne!(amd64.layers[0], arm64.layers[0]);
    // Three layers and two configs, all of them in the store.
    assert_eq!(image.parts.blobs.len(), 5);
    for blob in image.parts.blobs.values() {
        let bytes = std::fs::read(blob.file.as_ref().unwrap()).unwrap();
        assert_eq!(Digest::of(&bytes), blob.descriptor.digest);
    }
    let platforms: Vec<String> =
        index(&image).manifests.iter().map(|child| child.platform.as_ref().unwrap().to_string()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    // A config names its layers by what is in them.
    let config = std::fs::read(engine.store.blobs().path(&image.members[0].config)).unwrap();
    let config = ImageConfig::parse(&config).unwrap();
    assert_eq!((config.rootfs.diff_ids.len(), config.architecture.as_str()), (2, "amd64"));
    assert!(config.rootfs.diff_ids.iter().all(|diff_id| !image.parts.blobs.contains_key(diff_id.digest())));
}

#[tokio::test]
async fn one_platform_has_no_index() {
    let (_dir, engine) = engine();
    let results = [result("linux/arm64", vec![snapshot(&engine, "a")])];
    let image = assemble(&engine, &request(&[]), &results, &ImageOptions::default()).await.unwrap();
    assert!(!image.top.is_index());
    assert_eq!(image.top.digest(), &image.members[0].manifest);
    let error = assemble(&engine, &request(&[("index:a", "b")]), &results, &ImageOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("no index"), "{error}");
}

#[tokio::test]
async fn one_platform_has_an_index_where_that_is_asked_for() {
    let (_dir, engine) = engine();
    let results = [result("linux/arm64", vec![snapshot(&engine, "a")])];
    let build_args = vec![("BUILDKIT_MULTI_PLATFORM".into(), "1".into())];
    let request = Request { build_args, ..request(&[("index:a", "b")]) };
    let image = assemble(&engine, &request, &results, &ImageOptions::default()).await.unwrap();
    let index = index(&image);
    assert_eq!(index.manifests[0].digest, image.members[0].manifest);
    assert_eq!((index.manifests.len(), index.annotations["a"].as_str()), (1, "b"));
    assert_eq!((&image.entry.digest, &image.entry.platform), (image.top.digest(), &None));
}

#[tokio::test]
async fn the_entry_that_leads_to_an_image_has_its_platform_and_time() {
    let (_dir, engine) = engine();
    let made = |platform: &str, created: &str| {
        let mut result = result(platform, vec![snapshot(&engine, &platform.replace('/', "-"))]);
        result.config.created = Some(created.into());
        result
    };
    let results = [made("linux/amd64", "2020-01-01T00:00:00.5Z"), made("linux/arm64", "2020-01-01T01:00:00+02:00")];
    let epoch = ImageOptions { source_date_epoch: Some(SourceDateEpoch(7)), ..ImageOptions::default() };
    for (results, options, platform, created) in [
        (&results[..], ImageOptions::default(), None, "2020-01-01T00:00:00Z"),
        (&results[1..], ImageOptions::default(), Some("linux/arm64"), "2019-12-31T23:00:00Z"),
        (&results[1..], epoch, Some("linux/arm64"), "1970-01-01T00:00:07Z"),
    ] {
        let entry = assemble(&engine, &request(&[]), results, &options).await.unwrap().entry;
        assert_eq!(entry.platform.map(|platform| platform.to_string()).as_deref(), platform);
        assert_eq!(entry.annotations[CREATED], created);
    }
}

#[tokio::test]
async fn a_bases_layers_keep_their_bytes_and_get_oci_s_names() {
    let (_dir, engine) = engine();
    let reference: Reference = "registry.example/base:1".parse().unwrap();
    let base = |media_type: &str| ResultLayer::Base {
        layer: Box::new(BaseLayer {
            descriptor: Descriptor::of(media_type, media_type.as_bytes()),
            diff_id: DiffId(Digest::of(media_type.as_bytes())),
        }),
        reference: reference.clone(),
    };
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let types = [
        media_type::DOCKER_LAYER_GZIP,
        media_type::DOCKER_LAYER,
        media_type::DOCKER_LAYER_ZSTD,
        foreign,
        media_type::OCI_LAYER_ZSTD,
    ];
    let results = [result("linux/amd64", types.map(base).to_vec())];
    let image = assemble(&engine, &request(&[]), &results, &ImageOptions::default()).await.unwrap();
    let layers = manifest(&image, 0).layers;
    let names: Vec<&str> = layers.iter().map(|layer| layer.media_type.as_str()).collect();
    let renamed = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    assert_eq!(
        names,
        [
            media_type::OCI_LAYER_GZIP,
            media_type::OCI_LAYER,
            media_type::OCI_LAYER_ZSTD,
            renamed,
            media_type::OCI_LAYER_ZSTD
        ]
    );
    for (layer, original) in layers.iter().zip(types) {
        assert_eq!(layer.digest, Digest::of(original.as_bytes()));
        // They are not here: who wants them asks the base's registry.
        let blob = &image.parts.blobs[&layer.digest];
        assert_eq!((&blob.file, &blob.origin), (&None, &Some(reference.clone())));
    }
}

#[tokio::test]
async fn annotations_land_where_they_should() {
    let (_dir, engine) = engine();
    let shared = snapshot(&engine, "a");
    let results = [result("linux/amd64", vec![shared.clone()]), result("linux/arm64", vec![shared])];
    let request = request(&[
        ("all", "1"),
        ("manifest[linux/arm64]:arm", "2"),
        ("index:top", "3"),
        ("manifest-descriptor:entry", "4"),
        ("index-descriptor:way", "5"),
    ]);
    let options = ImageOptions { annotations: vec![("annotation.out".into(), "6".into())], ..ImageOptions::default() };
    let image = assemble(&engine, &request, &results, &options).await.unwrap();
    let text = |notes: &BTreeMap<String, String>| {
        notes.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(text(&manifest(&image, 0).annotations), "all=1 out=6");
    assert_eq!(text(&manifest(&image, 1).annotations), "all=1 arm=2 out=6");
    let index = index(&image);
    assert_eq!(text(&index.annotations), "top=3");
    assert!(index.manifests.iter().all(|child| text(&child.annotations) == "entry=4"));
    assert_eq!(text(&image.entry.annotations), "way=5");
}

#[tokio::test]
async fn options_decide_the_bytes() {
    let (_dir, engine) = engine();
    let results = [result("linux/amd64", vec![snapshot(&engine, "a")])];
    for (compression, media_type) in [
        (Compression::Uncompressed, media_type::OCI_LAYER),
        (Compression::Gzip, media_type::OCI_LAYER_GZIP),
        (Compression::Zstd, media_type::OCI_LAYER_ZSTD),
    ] {
        let options = ImageOptions { compression: Some(compression), ..ImageOptions::default() };
        let image = assemble(&engine, &request(&[]), &results, &options).await.unwrap();
        assert_eq!(manifest(&image, 0).layers[0].media_type, media_type);
    }
    let options = ImageOptions { rewrite_timestamp: true, ..ImageOptions::default() };
    let request = request(&[]);
    let kept = assemble(&engine, &request, &results, &options).await.unwrap();
    let plain = assemble(&engine, &request, &results, &ImageOptions::default()).await.unwrap();
    assert_eq!(manifest(&kept, 0).layers, manifest(&plain, 0).layers);
    let options = ImageOptions { source_date_epoch: Some(SourceDateEpoch(0)), ..options };
    let clamped = assemble(&engine, &request, &results, &options).await.unwrap();
    assert_ne!(manifest(&clamped, 0).layers, manifest(&plain, 0).layers);
}
