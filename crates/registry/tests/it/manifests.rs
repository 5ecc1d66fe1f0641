//! Manifests: in, out, refused, deleted.

use archipel_oci::Digest;

use crate::http::{Server, image, index, sha512};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

#[test]
fn bytes_and_type_are_kept() {
    let server = Server::start();
    // Spaces and fields of one's own: the digest is over all of it.
    let manifest = server.push_image("a", "1", " ,\n \"org.example\" : { \"x\": [ 1.0, null ] } ");
    let digest = Digest::of(&manifest);
    let answer = server.push_manifest("a", "v1", &manifest).expect(201);
    assert_eq!(answer.header("location"), Some(format!("/v2/a/manifests/{digest}").as_str()));
    assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
    for target in ["v1", digest.as_str()] {
        let path = format!("/v2/a/manifests/{target}");
        let get = server.get(&path).expect(200);
        let head = server.head(&path).expect(200);
        assert_eq!(get.body, manifest);
        for answer in [&get, &head] {
            assert_eq!(answer.header("content-type"), Some(OCI));
            assert_eq!(answer.header("content-length"), Some(manifest.len().to_string().as_str()));
            assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
        }
    }
    let docker = String::from_utf8(server.push_image("a", "2", "")).unwrap().replace(OCI, DOCKER);
    let header = [("Content-Type", "application/vnd.docker.distribution.manifest.v2+json; charset=utf-8")];
    server.send("PUT", "/v2/a/manifests/v2", &header, docker.as_bytes()).expect(201);
    assert_eq!(server.get("/v2/a/manifests/v2").header("content-type"), Some(DOCKER));
}

#[test]
fn sha512_and_tags_as_parameters() {
    let server = Server::start();
    let manifest = server.push_image("a", "1", "");
    let digest = sha512(&manifest);
    let path = format!("/v2/a/manifests/{digest}?tag=one&tag=two");
    let answer = server.send("PUT", &path, &[], &manifest).expect(201);
    assert_eq!(answer.header("oci-tag"), Some("one"));
    for target in ["one", "two", digest.as_str()] {
        let answer = server.get(&format!("/v2/a/manifests/{target}")).expect(200);
        assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
        assert_eq!(answer.body, manifest);
    }
    server.send("PUT", &format!("/v2/a/manifests/{digest}?tag=-bad"), &[], &manifest).refused(400, "TAG_INVALID");
}

#[test]
fn what_refers_to_something_absent_is_refused() {
    let server = Server::start();
    let present = server.push_image("a", "1", "");
    let absent = image(b"no config", b"no layer", "");
    server.push_manifest("a", "x", &absent).refused(400, "MANIFEST_BLOB_UNKNOWN");
    server.push_manifest("a", "x", &index(&[&present])).refused(400, "MANIFEST_BLOB_UNKNOWN");
    server.push_manifest("a", "child", &present).expect(201);
    server.push_manifest("a", "x", &index(&[&present, &absent])).refused(400, "MANIFEST_BLOB_UNKNOWN");
    server.get("/v2/a/manifests/x").refused(404, "MANIFEST_UNKNOWN");
    server.push_manifest("a", "x", &index(&[&present])).expect(201);
    server.push_manifest("a", "empty", &index(&[])).expect(201);
    server.push_manifest("a", "nested", &index(&[&index(&[&present]), &index(&[])])).expect(201);
    // Another repository's blobs are not this one's.
    server.push_manifest("b", "x", &present).refused(400, "MANIFEST_BLOB_UNKNOWN");

    let foreign = br#"{"schemaVersion":2,"config":{"mediaType":"x/y","size":7,"digest":"CONFIG"},"layers":[{"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip","size":1,"digest":"LAYER","urls":["https://example.org/"]}]}"#;
    let config = server.push_blob("a", b"foreign");
    let foreign = String::from_utf8(foreign.to_vec()).unwrap();
    let foreign = foreign.replace("CONFIG", config.as_str()).replace("LAYER", Digest::of(b"elsewhere").as_str());
    server.push_manifest("a", "foreign", foreign.as_bytes()).expect(201);

    // A manifest with very many missing layers gets a short answer.
    let layer = format!(r#"{{"mediaType":"x/y","size":1,"digest":"{}"}}"#, Digest::of(b"elsewhere"));
    let many = foreign.replace("\"layers\":[", &format!("\"layers\":[{}", format!("{layer},").repeat(10_000)));
    let answer = server.push_manifest("a", "many", many.as_bytes()).refused(400, "MANIFEST_BLOB_UNKNOWN");
    assert!(answer.body.len() < 4000);
}

#[test]
fn what_is_no_manifest_is_refused() {
    let server = Server::start();
    let good = server.push_image("a", "1", "");
    let put = |target: &str, media_type: &str, body: &[u8]| {
        let headers = [("Content-Type", media_type)];
        server.send("PUT", &format!("/v2/a/manifests/{target}"), &headers, body)
    };
    for body in ["", "{}", "[]", "null", "<html>", r#"{"schemaVersion":1}"#, r#"{"schemaVersion":2,"layers":{}}"#] {
        put("x", OCI, body.as_bytes()).refused(400, "MANIFEST_INVALID");
    }
    put("x", DOCKER, &good).refused(400, "MANIFEST_INVALID");
    put("x", "application/vnd.docker.distribution.manifest.v1+prettyjws", &good).refused(400, "MANIFEST_INVALID");
    put("x", OCI, &"[".repeat(1 << 20).into_bytes()).refused(400, "MANIFEST_INVALID");
    put("sha256:baddigeststring", OCI, &good).refused(400, "DIGEST_INVALID");
    put(Digest::of(b"other").as_str(), OCI, &good).refused(400, "DIGEST_INVALID");
    put("-tag", OCI, &good).refused(400, "TAG_INVALID");
    put(&"t".repeat(129), OCI, &good).refused(400, "TAG_INVALID");
    server.get("/v2/a/manifests/sha256:baddigeststring").refused(400, "DIGEST_INVALID");
    server.get(&format!("/v2/a/manifests/{}", Digest::of(&good))).refused(404, "MANIFEST_UNKNOWN");
    server.get("/v2/none/manifests/latest").refused(404, "MANIFEST_UNKNOWN");
    put("x", "", &good).expect(201);
}

#[test]
fn four_megabytes_and_no_more() {
    let server = Server::start();
    let annotations: Vec<String> = (0..390).map(|i| format!("\"k{i}\":\"{}\"", "v".repeat(10_000))).collect();
    let large = server.push_image("a", "1", &format!(",\"annotations\":{{{}}}", annotations.join(",")));
    assert!(large.len() > 3_900_000);
    server.push_manifest("a", "large", &large).expect(201);
    assert!(server.get("/v2/a/manifests/large").expect(200).body == large);
    let padding = " ".repeat((4 << 20) - large.len());
    let mut limit = large;
    limit.extend(padding.bytes());
    server.push_manifest("a", "limit", &limit).expect(201);
    limit.push(b' ');
    server.push_manifest("a", "more", &limit).refused(413, "MANIFEST_INVALID");
}

#[test]
fn deleting_takes_effect_at_once() {
    let server = Server::start();
    let (one, two) = (server.push_image("a", "1", ""), server.push_image("a", "2", ""));
    for (tag, manifest) in [("one", &one), ("uno", &one), ("two", &two)] {
        server.push_manifest("a", tag, manifest).expect(201);
    }
    server.delete("/v2/a/manifests/uno").expect(202);
    server.get("/v2/a/manifests/uno").refused(404, "MANIFEST_UNKNOWN");
    server.delete("/v2/a/manifests/uno").refused(404, "MANIFEST_UNKNOWN");
    let path = format!("/v2/a/manifests/{}", Digest::of(&one));
    server.get(&path).expect(200);
    server.delete(&path).expect(202);
    server.get(&path).refused(404, "MANIFEST_UNKNOWN");
    server.head("/v2/a/manifests/one").expect(404);
    server.delete(&path).refused(404, "MANIFEST_UNKNOWN");
    assert_eq!(server.get("/v2/a/tags/list").json()["tags"], serde_json::json!(["two"]));
    // What is gone can come back.
    server.push_manifest("a", "one", &one).expect(201);
    assert_eq!(server.get("/v2/a/manifests/one").expect(200).body, one);
}
