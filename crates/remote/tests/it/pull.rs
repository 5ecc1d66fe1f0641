use archipel_oci::{Digest, media_type};
use archipel_remote::{Client, Error, ErrorKind};

use crate::server::{Server, Step, on};
use crate::{blob, client, configured, index, reference};

fn serves_index(path: &str) -> Step {
    on("GET", path, 200).header("Content-Type", media_type::OCI_INDEX).body(index().bytes())
}

async fn read(client: &Client, host: &str, content: &[u8], offset: u64) -> Result<Vec<u8>, Error> {
    let mut stream = client.blob(&reference(host, "a"), &blob(content), offset).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn blob_path(content: &[u8]) -> String {
    format!("/v2/a/blobs/{}", Digest::of(content))
}

#[tokio::test]
async fn resolves_by_head_and_by_get_where_head_says_too_little() {
    let digest = index().digest().to_string();
    let full = on("HEAD", "/v2/a/manifests/1", 200)
        .header("Content-Type", media_type::OCI_INDEX)
        .header("Content-Length", index().bytes().len().to_string())
        .header("Docker-Content-Digest", &digest);
    let server = Server::new(vec![
        full,
        on("HEAD", "/v2/a/manifests/2", 200),
        serves_index("/v2/a/manifests/2"),
        on("HEAD", "/v2/a/manifests/3", 405),
        serves_index("/v2/a/manifests/3"),
        on("HEAD", "/v2/a/manifests/4", 404),
    ]);
    let client = client();
    for tag in ["a:1", "a:2", "a:3"] {
        let found = client.resolve(&reference(&server.host, tag)).await.unwrap();
        assert_eq!(found, index().descriptor());
    }
    assert_eq!(client.manifest_exists(&reference(&server.host, "a:4")).await.unwrap(), None);
    let seen = server.done();
    assert!(seen[0].header("accept").unwrap().contains("oci.image"), "{seen:?}");
}

#[tokio::test]
async fn a_manifest_must_be_what_its_digest_says() {
    let wanted = Digest::of(b"something else");
    let path = format!("/v2/a/manifests/{wanted}");
    let server = Server::new(vec![
        serves_index(&path),
        serves_index("/v2/a/manifests/lies").header("Docker-Content-Digest", wanted.to_string()),
        on("HEAD", &path, 200)
            .header("Content-Type", media_type::OCI_INDEX)
            .header("Content-Length", "10")
            .header("Docker-Content-Digest", index().digest().to_string()),
    ]);
    let by_digest = reference(&server.host, &format!("a@{wanted}"));
    for result in [
        client().manifest(&by_digest).await.map(|_| ()),
        client().manifest(&reference(&server.host, "a:lies")).await.map(|_| ()),
        client().resolve(&by_digest).await.map(|_| ()),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(&error, Error::Mismatch { expected, .. } if *expected == wanted.to_string()), "{error}");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
    server.done();
}

#[tokio::test]
async fn what_is_too_large_or_no_manifest_is_refused() {
    let server = Server::new(vec![
        on("GET", "/v2/a/manifests/big", 200).body(vec![b' '; 4 * 1024 * 1024 + 1]),
        on("GET", "/v2/a/manifests/html", 200).header("Content-Type", "text/html").body("<html>"),
        on("GET", "/v2/a/manifests/old", 200)
            .header("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")
            .body("{}"),
    ]);
    for (tag, message) in [("big", "more than 4194304 bytes"), ("html", "not valid"), ("old", "schema 1")] {
        let error = client().manifest(&reference(&server.host, &format!("a:{tag}"))).await.unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }) && error.to_string().contains(message), "{error}");
    }
    server.done();
}

#[tokio::test]
async fn mirrors_come_first_and_an_error_tells_all() {
    let (first, second, origin) = (Server::new(vec![]), Server::new(vec![]), Server::new(vec![]));
    let config =
        format!("[registry.\"{}\"]\nmirrors = [\"{}\", \"{}/hub/cache\"]\n", origin.host, first.host, second.host);
    let client = configured(&config);
    let ns = format!("?ns={}", origin.host.replace(':', "%3A"));
    let of = |server: &Server, tag: &str| reference(&server.host, &format!("lib/a:{tag}"));

    first.expect(on("GET", format!("/v2/lib/a/manifests/1{ns}"), 404));
    second.expect(serves_index(&format!("/v2/hub/cache/lib/a/manifests/1{ns}")));
    assert_eq!(client.manifest(&of(&origin, "1")).await.unwrap(), index());

    first.expect(on("GET", format!("/v2/lib/a/manifests/2{ns}"), 404));
    second.expect(on("GET", format!("/v2/hub/cache/lib/a/manifests/2{ns}"), 403));
    origin.expect(serves_index("/v2/lib/a/manifests/2"));
    assert_eq!(client.manifest(&of(&origin, "2")).await.unwrap(), index());

    first.expect(on("GET", format!("/v2/lib/a/manifests/3{ns}"), 404));
    second.expect(on("GET", format!("/v2/hub/cache/lib/a/manifests/3{ns}"), 403).body("no"));
    origin.expect(on("GET", "/v2/lib/a/manifests/3", 404));
    let error = client.manifest(&of(&origin, "3")).await.unwrap_err();
    let Error::Unserved { subject, tried } = &error else { panic!("{error}") };
    assert_eq!((subject.as_str(), tried.len(), error.kind()), (&*of(&origin, "3").familiar(), 3, ErrorKind::NotFound));
    assert!(!error.is_not_found(), "a place that refuses may have it");
    let text = error.to_string();
    for part in [
        format!("tried {} (mirror of {})", first.host, origin.host),
        format!("tried {}/hub/cache (mirror of", second.host),
        format!("tried {}: ", origin.host),
        "not found".into(),
        "asks for credentials".into(),
    ] {
        assert!(text.contains(&part), "{part} in {text}");
    }

    // A push must not take a mirror's word.
    origin.expect(on("HEAD", "/v2/lib/a/manifests/4", 404));
    assert_eq!(client.manifest_exists(&of(&origin, "4")).await.unwrap(), None);
    let _ = (first.done(), second.done(), origin.done());
}

#[tokio::test]
async fn a_download_is_resumed_where_it_broke() {
    let content: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
    let path = blob_path(&content);
    let server = Server::new(vec![
        on("GET", &path, 200).body(content.clone()).cut(40_000),
        // Does not know ranges: sends all of it again, and breaks again.
        on("GET", &path, 200).body(content.clone()).cut(70_000),
        on("GET", &path, 206).header("Content-Range", "bytes 70000-99999/100000").body(&content[70_000..]),
    ]);
    assert_eq!(read(&client(), &server.host, &content, 0).await.unwrap(), content);
    let ranges: Vec<_> = server.done().iter().map(|s| s.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, [None, Some("bytes=40000-".into()), Some("bytes=70000-".into())]);
}

#[tokio::test]
async fn a_download_begins_in_the_middle() {
    let content = b"0123456789";
    let server = Server::new(vec![
        on("GET", blob_path(content), 206).header("Content-Range", "bytes 4-9/10").body("456789"),
        on("GET", blob_path(content), 206).header("Content-Range", "bytes 3-9/10").body("3456789"),
    ]);
    assert_eq!(read(&client(), &server.host, content, 4).await.unwrap(), b"456789");
    let error = read(&client(), &server.host, content, 4).await.unwrap_err();
    assert!(error.to_string().contains("another range"), "{error}");
    assert_eq!(read(&client(), &server.host, content, 10).await.unwrap(), b"");
    server.done();
}

#[tokio::test]
async fn a_download_that_breaks_for_good_ends() {
    let content = vec![7; 1000];
    let path = blob_path(&content);
    let half = || on("GET", &path, 206).header("Content-Range", "bytes 500-999/1000").body(&content[500..]).cut(0);
    let server = Server::new(vec![on("GET", &path, 200).body(content.clone()).cut(500), half(), half()]);
    let error = read(&client(), &server.host, &content, 0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network, "{error}");
    server.done();
}

#[tokio::test]
async fn a_blob_must_be_what_its_descriptor_says() {
    let content = b"0123456789";
    let path = blob_path(content);
    let server = Server::new(vec![
        on("GET", &path, 200).body("9876543210"),
        on("GET", &path, 200).body("0123456789ten more"),
        on("GET", &path, 200)
            .header("Transfer-Encoding", "chunked")
            .header("content-length", "")
            .body("c\r\n0123456789AB\r\n0\r\n\r\n"),
    ]);
    let error = read(&client(), &server.host, content, 0).await.unwrap_err();
    assert!(
        matches!(&error, Error::Mismatch { expected, .. } if *expected == Digest::of(content).to_string()),
        "{error}"
    );
    let error = read(&client(), &server.host, content, 0).await.unwrap_err();
    assert!(matches!(&error, Error::Mismatch { expected, .. } if expected == "10 bytes"), "{error}");
}

#[tokio::test]
async fn a_mirror_that_sends_nonsense_is_passed_over() {
    let content = b"0123456789";
    let mirror = Server::new(vec![]);
    let origin = Server::new(vec![on("GET", blob_path(content), 200).body(content)]);
    let ns = format!("?ns={}", origin.host.replace(':', "%3A"));
    mirror.expect(on("GET", blob_path(content) + &ns, 200).body("a login page, perhaps"));
    let client = configured(&format!("[registry.\"{}\"]\nmirrors = [\"{}\"]\n", origin.host, mirror.host));
    assert_eq!(read(&client, &origin.host, content, 0).await.unwrap(), content);
    let _ = (mirror.done(), origin.done());
}

#[tokio::test]
async fn lists_have_pages() {
    let server = Server::new(vec![
        on("GET", "/v2/a/tags/list", 200)
            .header("Link", "</v2/a/tags/list?last=2&n=2>; rel=\"next\"")
            .body(r#"{"name":"a","tags":["1","2"]}"#),
        on("GET", "/v2/a/tags/list?last=2&n=2", 200).body(r#"{"name":"a","tags":["3","\u001b[31mno tag"]}"#),
        on("GET", "/v2/b/tags/list", 200).body(r#"{"name":"b","tags":null}"#),
        on("GET", "/v2/_catalog", 200).body(r#"{"repositories":["a","b/c"]}"#),
        on("GET", "/v2/c/tags/list", 200)
            .header("Link", "<http://{host}/v2/c/tags/list>; rel=\"next\"")
            .body(r#"{"tags":["1"]}"#),
    ]);
    let client = client();
    assert_eq!(client.tags(&reference(&server.host, "a")).await.unwrap(), ["1", "2", "3"]);
    assert_eq!(client.tags(&reference(&server.host, "b")).await.unwrap(), Vec::<String>::new());
    assert_eq!(client.catalog(&server.host).await.unwrap(), ["a", "b/c"]);
    let error = client.tags(&reference(&server.host, "c")).await.unwrap_err();
    assert!(error.to_string().contains("no end"), "{error}");
    server.done();
}

#[tokio::test]
async fn referrers_by_api_and_by_tag() {
    let about = Digest::of(b"subject");
    let list = |kind: &str| {
        let digest = Digest::of(kind.as_bytes());
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[
                {{"mediaType":"{}","digest":"{digest}","size":2,"artifactType":"{kind}"}},
                {{"mediaType":"{}","digest":"{digest}","size":2,"artifactType":"other"}}]}}"#,
            media_type::OCI_INDEX,
            media_type::OCI_MANIFEST,
            media_type::OCI_MANIFEST
        )
    };
    let server = Server::new(vec![
        on("GET", format!("/v2/a/referrers/{about}?artifactType=sbom"), 200).body(list("sbom")),
        on("GET", format!("/v2/a/referrers/{about}"), 404),
        on("GET", format!("/v2/a/manifests/sha256-{}", about.hex()), 200).body(list("sig")),
        on("GET", format!("/v2/a/referrers/{about}"), 404),
        on("GET", format!("/v2/a/manifests/sha256-{}", about.hex()), 404),
    ]);
    let reference = reference(&server.host, &format!("a@{about}"));
    assert_eq!(client().referrers(&reference, Some("sbom")).await.unwrap().manifests.len(), 1);
    assert_eq!(client().referrers(&reference, None).await.unwrap().manifests.len(), 2);
    assert_eq!(client().referrers(&reference, None).await.unwrap().manifests.len(), 0);
    server.done();
}
