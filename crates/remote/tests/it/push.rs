use std::io::{self, Read};
use std::sync::Mutex;

use archipel_oci::{Descriptor, Digest, Manifest, RawManifest, media_type};
use archipel_remote::{BlobSource, Client, Error, ErrorKind, Options, Pushed};
use bytes::Bytes;

use crate::server::{Server, Step, on};
use crate::{blob, client, index, options, reference};

const CONTENT: &[u8] = b"the content of a layer";

fn head(status: u16) -> Step {
    on("HEAD", format!("/v2/a/blobs/{}", Digest::of(CONTENT)), status)
}

fn opens() -> Step {
    on("POST", "/v2/a/blobs/uploads/", 202).header("Location", "/upload/1?state=x")
}

fn put(path: &str) -> String {
    format!("{path}digest={}", Digest::of(CONTENT).as_str().replace(':', "%3A"))
}

async fn push(client: &Client, host: &str, from: &[&str]) -> Result<Pushed, Error> {
    let from: Vec<_> = from.iter().map(|&f| f.to_owned()).collect();
    client.push_blob(&reference(host, "a"), &blob(CONTENT), &Bytes::from_static(CONTENT), &from).await
}

const SENT: Pushed = Pushed::Uploaded { bytes: CONTENT.len() as u64 };

#[tokio::test]
async fn what_is_there_is_not_sent() {
    let server = Server::new(vec![head(200)]);
    assert_eq!(push(&client(), &server.host, &["b"]).await.unwrap(), Pushed::Existed);
    server.done();
}

#[tokio::test]
async fn something_of_another_size_is_not_it() {
    let server =
        Server::new(vec![head(200).header("Content-Length", "9"), opens(), on("PUT", put("/upload/1?state=x&"), 201)]);
    assert_eq!(push(&client(), &server.host, &[]).await.unwrap(), SENT);
    server.done();
}

#[tokio::test]
async fn one_request_sends_it() {
    // The address is of another scheme and host than the one that was spoken to: absolute ones are used as they are.
    let server = Server::new(vec![
        head(404),
        on("POST", "/v2/a/blobs/uploads/", 202).header("Location", "http://{host}/upload/1?state=x"),
        on("PUT", put("/upload/1?state=x&"), 201),
    ]);
    assert_eq!(push(&client(), &server.host, &[]).await.unwrap(), SENT);
    let seen = server.done();
    assert_eq!((seen[2].body.as_slice(), seen[2].header("content-length")), (CONTENT, Some("22")));
    assert_eq!(seen[2].header("transfer-encoding"), None);
}

#[tokio::test]
async fn mounts_and_what_comes_of_them() {
    let mount = |from: &str| {
        format!("/v2/a/blobs/uploads/?mount={}&from={from}", Digest::of(CONTENT).as_str().replace(':', "%3A"))
    };
    let server = Server::new(vec![
        head(404),
        on("POST", mount("denied"), 403),
        on("POST", mount("no"), 202).header("Location", "/upload/1"),
        on("POST", mount("yes"), 201),
    ]);
    assert_eq!(push(&client(), &server.host, &["a", "denied", "no", "yes"]).await.unwrap(), Pushed::Mounted);
    server.done();
    let server = Server::new(vec![
        head(404),
        on("POST", mount("no"), 202).header("Location", "/upload/1"),
        on("POST", mount("nor"), 202).header("Location", "/upload/2"),
        on("DELETE", "/upload/1", 204),
        on("PUT", put("/upload/2?"), 201),
    ]);
    assert_eq!(push(&client(), &server.host, &["no", "nor"]).await.unwrap(), SENT);
    server.done();
}

/// Keeps what it was told.
struct Watched(Mutex<Vec<u64>>);

impl BlobSource for Watched {
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        Bytes::from_static(CONTENT).open(offset)
    }
    fn progress(&self, sent: u64) {
        self.0.lock().unwrap().push(sent);
    }
}

#[tokio::test]
async fn an_upload_is_resumed_where_it_broke() {
    let server = Server::new(vec![
        head(404),
        opens(),
        on("PUT", put("/upload/1?state=x&"), 0).hang_up(10),
        on("GET", "/upload/1?state=x", 204).header("Range", "0-9").header("Location", "/upload/1?state=y"),
        on("PATCH", "/upload/1?state=y", 202).header("Range", "0-21").header("Location", "/upload/1?state=z"),
        on("PUT", put("/upload/1?state=z&"), 201),
    ]);
    let source = Watched(Mutex::default());
    let pushed = client().push_blob(&reference(&server.host, "a"), &blob(CONTENT), &source, &[]).await;
    assert_eq!(pushed.unwrap(), SENT);
    let seen = server.done();
    assert_eq!((seen[4].body.as_slice(), seen[4].header("content-range")), (&CONTENT[10..], Some("10-21")));
    assert_eq!(*source.0.lock().unwrap(), [0, 22, 10, 22, 22]);
}

#[tokio::test]
async fn an_upload_whose_session_is_lost_starts_again() {
    let server = Server::new(vec![
        head(404),
        opens(),
        on("PUT", put("/upload/1?state=x&"), 500),
        on("GET", "/upload/1?state=x", 404),
        head(404),
        on("POST", "/v2/a/blobs/uploads/", 202).header("Location", "/upload/2"),
        on("PUT", put("/upload/2?"), 0).hang_up(22),
        on("GET", "/upload/2", 404),
        // The end had arrived; only the answer was lost.
        head(200),
    ]);
    assert_eq!(push(&client(), &server.host, &[]).await.unwrap(), SENT);
    server.done();
}

#[tokio::test]
async fn a_registry_that_dies_ends_it() {
    let server = Server::new(vec![
        head(404),
        opens(),
        on("PUT", put("/upload/1?state=x&"), 0).hang_up(5),
        on("GET", "/upload/1?state=x", 0).hang_up(0),
        on("GET", "/upload/1?state=x", 0).hang_up(0),
        on("GET", "/upload/1?state=x", 0).hang_up(0),
        head(404).hang_up(0),
        head(404).hang_up(0),
        head(404).hang_up(0),
    ]);
    let error = push(&client(), &server.host, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
    assert!(error.to_string().contains(&server.host) && error.to_string().contains("blob sha256:"), "{error}");
    server.done();
}

#[tokio::test]
async fn too_large_for_one_request_is_sent_in_pieces() {
    let content = Bytes::from(vec![1; 600 * 1024]);
    let digest = Digest::of(&content);
    let end = format!("digest={}", digest.as_str().replace(':', "%3A"));
    let server = Server::new(vec![
        on("HEAD", format!("/v2/a/blobs/{digest}"), 404),
        opens(),
        on("PUT", format!("/upload/1?state=x&{end}"), 413).early(),
        on("GET", "/upload/1?state=x", 204).header("Range", "0-0"),
        on("HEAD", format!("/v2/a/blobs/{digest}"), 404),
        opens(),
        on("PATCH", "/upload/1?state=x", 202).header("Range", "0-262143").header("Location", "/upload/1?state=y"),
        on("PATCH", "/upload/1?state=y", 202).header("Range", "0-524287"),
        on("PATCH", "/upload/1?state=y", 202),
        on("PUT", format!("/upload/1?state=y&{end}"), 201),
    ]);
    let pushed = client().push_blob(&reference(&server.host, "a"), &blob(&content), &content, &[]).await.unwrap();
    assert_eq!(pushed, Pushed::Uploaded { bytes: content.len() as u64 });
    let seen = server.done();
    let sizes: Vec<_> = seen[6..].iter().map(|s| s.body.len()).collect();
    assert_eq!(sizes, [256 * 1024, 256 * 1024, 88 * 1024, 0]);
    assert_eq!(seen[8].header("content-range"), Some("524288-614399"));
}

#[tokio::test]
async fn pieces_when_told() {
    let server = Server::new(vec![
        head(404),
        opens(),
        on("PATCH", "/upload/1?state=x", 202).header("Location", "/upload/2"),
        on("PATCH", "/upload/2", 416),
        on("GET", "/upload/2", 204).header("Range", "0-19"),
        on("PATCH", "/upload/2", 202),
        on("PUT", put("/upload/2?"), 201),
    ]);
    let client = Client::new(Default::default(), Default::default(), Options { chunk_size: Some(20), ..options() });
    assert_eq!(push(&client, &server.host, &[]).await.unwrap(), SENT);
    let seen = server.done();
    assert_eq!((&seen[5].body[..], seen[5].header("content-range")), (&CONTENT[20..], Some("20-21")));
}

#[tokio::test]
async fn pieces_are_as_large_as_the_registry_wants_and_must_be_kept() {
    let forgets = || on("PATCH", "/upload/1?state=x", 202).header("Range", "0-9");
    let asked = || on("GET", "/upload/1?state=x", 204).header("Range", "0-9");
    let server = Server::new(vec![
        head(404),
        opens().header("OCI-Chunk-Min-Length", "15"),
        forgets(),
        forgets(),
        asked(),
        forgets(),
        asked(),
        forgets(),
    ]);
    let client = Client::new(Default::default(), Default::default(), Options { chunk_size: Some(5), ..options() });
    let error = push(&client, &server.host, &[]).await.unwrap_err();
    assert!(error.to_string().contains("does not keep them"), "{error}");
    let seen = server.done();
    assert_eq!((seen[2].header("content-range"), seen[3].header("content-range")), (Some("0-14"), Some("10-21")));
}

#[tokio::test]
async fn the_registrys_words_are_kept() {
    let server = Server::new(vec![
        head(404),
        opens(),
        on("PUT", put("/upload/1?state=x&"), 400)
            .body(r#"{"errors":[{"code":"DIGEST_INVALID","message":"provided \u001b[31mdigest","detail":{}}]}"#),
        head(404),
        on("POST", "/v2/a/blobs/uploads/", 400).body(vec![b'x'; 100_000]),
    ]);
    let error = push(&client(), &server.host, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().ends_with("status 400: DIGEST_INVALID: provided  [31mdigest"), "{error}");
    let error = push(&client(), &server.host, &[]).await.unwrap_err();
    assert!(error.to_string().len() < 1000, "an error's body is not read without end");
    server.done();
}

#[tokio::test]
async fn a_source_that_is_too_short_is_our_fault() {
    let server = Server::new(vec![head(404), opens(), on("PUT", put("/upload/1?state=x&"), 0).hang_up(22)]);
    let short = |_: u64| -> io::Result<Box<dyn Read + Send>> { Ok(Box::new(&b"short"[..])) };
    let result = client().push_blob(&reference(&server.host, "a"), &blob(CONTENT), &short, &[]).await;
    let error = result.unwrap_err();
    assert!(matches!(&error, Error::Source { source, .. } if source.to_string().contains("fewer than 22")), "{error}");
    assert_eq!(error.kind(), ErrorKind::Local);
}

#[tokio::test]
async fn a_manifest_goes_under_its_tag_or_digest() {
    let digest = index().digest().to_string();
    let server = Server::new(vec![
        on("PUT", "/v2/a/manifests/1", 201).header("Docker-Content-Digest", &digest),
        on("PUT", format!("/v2/a/manifests/{digest}"), 201),
        on("PUT", "/v2/a/manifests/2", 201).header("Docker-Content-Digest", Digest::of(b"other").to_string()),
        on("DELETE", format!("/v2/a/manifests/{digest}"), 202),
    ]);
    let client = client();
    client.push_manifest(&reference(&server.host, "a:1"), &index()).await.unwrap();
    let by_digest = reference(&server.host, &format!("a@{digest}"));
    client.push_manifest(&by_digest, &index()).await.unwrap();
    let error = client.push_manifest(&reference(&server.host, "a:2"), &index()).await.unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    let wrong = reference(&server.host, &format!("a@{}", Digest::of(b"other")));
    assert!(matches!(client.push_manifest(&wrong, &index()).await.unwrap_err(), Error::Mismatch { .. }));
    client.delete_manifest(&by_digest).await.unwrap();
    let seen = server.done();
    assert_eq!(seen[0].header("content-type"), Some(media_type::OCI_INDEX));
    assert_eq!(seen[0].body, index().bytes());
}

#[tokio::test]
async fn a_registry_without_referrers_gets_them_as_a_tag() {
    let about = Digest::of(b"subject");
    let mut manifest = Manifest::new(Descriptor::of(media_type::OCI_EMPTY, b"{}"), Vec::new());
    manifest.artifact_type = Some("sbom".into());
    manifest.subject = Some(Descriptor::new(media_type::OCI_MANIFEST, about.clone(), 7));
    let manifest = RawManifest::from_manifest(&manifest);
    let tag = format!("/v2/a/manifests/sha256-{}", about.hex());
    let server = Server::new(vec![
        on("PUT", "/v2/a/manifests/1", 201).header("OCI-Subject", about.to_string()),
        on("PUT", "/v2/a/manifests/1", 201),
        on("GET", &tag, 404),
        on("PUT", &tag, 201),
    ]);
    let client = client();
    for _ in 0..2 {
        client.push_manifest(&reference(&server.host, "a:1"), &manifest).await.unwrap();
    }
    let listed = String::from_utf8(server.done()[3].body.clone()).unwrap();
    assert!(listed.contains(manifest.digest().as_str()) && listed.contains("\"sbom\""), "{listed}");
}
