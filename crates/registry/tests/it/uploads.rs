//! Blobs: every way in, and out again.

use archipel_oci::Digest;

use crate::http::{Server, sha512};

fn check(server: &Server, name: &str, digest: &Digest, bytes: &[u8]) {
    let path = format!("/v2/{name}/blobs/{digest}");
    let head = server.head(&path).expect(200);
    let get = server.get(&path).expect(200);
    assert_eq!(get.body, bytes);
    for answer in [&head, &get] {
        assert_eq!(answer.header("content-length"), Some(bytes.len().to_string().as_str()));
        assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
        assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
}

#[test]
fn every_way_in_with_either_hash() {
    let server = Server::start();
    for (i, make) in [|b: &[u8]| Digest::of(b), sha512].into_iter().enumerate() {
        let name = format!("ways/{i}");
        for (way, size) in [("post", 0), ("post", 700_000), ("put", 700_000), ("stream", 700_000), ("chunks", 700_001)]
        {
            let bytes: Vec<u8> = format!("{way} {size} ").bytes().cycle().take(size).collect();
            let digest = make(&bytes);
            let answer = if way == "post" {
                server.send("POST", &format!("/v2/{name}/blobs/uploads/?digest={digest}"), &[], &bytes)
            } else {
                let location = server.start_upload(&name);
                let rest: &[u8] = match way {
                    "put" => &bytes,
                    "stream" => {
                        let answer = server.send("PATCH", &location, &[], &bytes).expect(202);
                        assert_eq!(answer.header("range"), Some("0-699999"));
                        b""
                    }
                    _ => {
                        for (start, end) in [(0, 300_000), (300_000, 600_000)] {
                            let range = format!("{start}-{}", end - 1);
                            let piece = &bytes[start..end];
                            let answer =
                                server.send("PATCH", &location, &[("Content-Range", &range)], piece).expect(202);
                            assert_eq!(answer.header("range"), Some(format!("0-{}", end - 1).as_str()));
                            assert_eq!(answer.header("location"), Some(location.as_str()));
                        }
                        &bytes[600_000..]
                    }
                };
                server.send("PUT", &format!("{location}?digest={digest}"), &[], rest)
            };
            let answer = answer.expect(201);
            assert_eq!(answer.header("location"), Some(format!("/v2/{name}/blobs/{digest}").as_str()));
            assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
            check(&server, &name, &digest, &bytes);
        }
    }
}

#[test]
fn a_piece_that_is_not_the_next_one_changes_nothing() {
    let server = Server::start();
    let bytes = b"0123456789";
    let digest = Digest::of(bytes);
    let location = server.start_upload("a");
    let closing = format!("{location}?digest={digest}");
    server.send("PATCH", &location, &[("Content-Range", "0-3")], &bytes[..4]).expect(202);
    for (method, address, range) in [("PATCH", &location, "7-9"), ("PATCH", &location, "0-3"), ("PUT", &closing, "7-9")]
    {
        let answer = server.send(method, address, &[("Content-Range", range)], b"abc").refused(416, "RANGE_INVALID");
        assert_eq!(answer.header("range"), Some("0-3"));
        let status = server.get(&location).expect(204);
        assert_eq!(status.header("range"), Some("0-3"));
        assert_eq!(status.header("location"), Some(location.as_str()));
    }
    server.send("PATCH", &location, &[("Content-Range", "4-9")], b"abc").refused(400, "SIZE_INVALID");
    server.send("PUT", &closing, &[("Content-Range", "4-9")], &bytes[4..]).expect(201);
    check(&server, "a", &digest, bytes);
    server.get(&location).refused(404, "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn wrong_digests_are_refused_on_every_way() {
    let server = Server::start();
    let wrong = Digest::of(b"other");
    for digest in [wrong.as_str(), "sha256:baddigeststring", "md5:d41d8cd98f00b204e9800998ecf8427e", "", "../../x"] {
        let post = format!("/v2/a/blobs/uploads/?digest={digest}");
        server.send("POST", &post, &[], b"content").refused(400, "DIGEST_INVALID");
        let location = server.start_upload("a");
        server.send("PUT", &format!("{location}?digest={digest}"), &[], b"content").refused(400, "DIGEST_INVALID");
    }
    let location = server.start_upload("a");
    server.send("PUT", &location, &[], b"content").refused(400, "DIGEST_INVALID");
    server.head(&format!("/v2/a/blobs/{wrong}")).expect(404);
    server.head(&format!("/v2/a/blobs/{}", Digest::of(b"content"))).expect(404);
    // A client that is still sending gets to see why it was refused.
    let large = vec![0; 8 << 20];
    let nowhere = "/v2/a/blobs/uploads/00000000-0000-4000-8000-000000000000";
    server.send("PATCH", nowhere, &[], &large).refused(404, "BLOB_UPLOAD_UNKNOWN");
    server.send("PUT", "/v2/a/manifests/x", &[], &large).refused(413, "MANIFEST_INVALID");
    server.get("/v2/a/blobs/sha256:bad").refused(400, "DIGEST_INVALID");
    let path = format!("{}/blobs/sha256", server.root().display());
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 0);
}

#[test]
fn an_upload_belongs_to_its_repository_and_can_be_cancelled() {
    let server = Server::start();
    let location = server.start_upload("mine");
    let id = location.rsplit('/').next().unwrap();
    server.get(&format!("/v2/other/blobs/uploads/{id}")).refused(404, "BLOB_UPLOAD_UNKNOWN");
    server.send("PATCH", &format!("/v2/other/blobs/uploads/{id}"), &[], b"x").refused(404, "BLOB_UPLOAD_UNKNOWN");
    server.delete(&location).expect(204);
    server.get(&location).refused(404, "BLOB_UPLOAD_UNKNOWN");
    for id in ["..%2f..%2flock", "x", "00000000-0000-4000-8000-000000000000"] {
        assert_eq!(server.get(&format!("/v2/mine/blobs/uploads/{id}")).status / 100, 4);
    }
    assert_eq!(std::fs::read_dir(server.root().join("uploads")).unwrap().count(), 0);
}

#[test]
fn parts_of_a_blob() {
    let server = Server::start();
    let bytes: Vec<u8> = (0..2048u32).flat_map(u32::to_le_bytes).collect();
    let digest = server.push_blob("a", &bytes);
    let path = format!("/v2/a/blobs/{digest}");
    for (range, wanted) in
        [("bytes=0-0", 0..1), ("bytes=5-1004", 5..1005), ("bytes=8000-", 8000..8192), ("bytes=-4", 8188..8192)]
    {
        let answer = server.send("GET", &path, &[("Range", range)], b"").expect(206);
        assert_eq!(answer.body, bytes[wanted.clone()]);
        let expected = format!("bytes {}-{}/8192", wanted.start, wanted.end - 1);
        assert_eq!(answer.header("content-range"), Some(expected.as_str()));
    }
    for range in ["bytes=500-0", "bytes=8192-", "bytes=9000-10000", "bytes=-0"] {
        let answer = server.send("GET", &path, &[("Range", range)], b"").refused(416, "RANGE_INVALID");
        assert_eq!(answer.header("content-range"), Some("bytes */8192"));
    }
    let tag = format!("\"{digest}\"");
    server.send("GET", &path, &[("If-None-Match", &tag)], b"").expect(304);
    server.send("GET", &path, &[("Range", "bytes=0-0"), ("If-Range", &tag)], b"").expect(206);
    server.send("GET", &path, &[("Range", "bytes=0-0"), ("If-Range", "\"x\"")], b"").expect(200);
    assert_eq!(
        server.send("HEAD", &path, &[("Range", "bytes=0-0")], b"").expect(200).header("content-length"),
        Some("8192")
    );
}

#[test]
fn mounts_take_what_is_there_and_start_an_upload_otherwise() {
    let server = Server::start();
    let digest = server.push_blob("from", b"content");
    let post = |to: &str, query: String| server.send("POST", &format!("/v2/{to}/blobs/uploads/?{query}"), &[], b"");
    let answer = post("to", format!("mount={digest}&from=from")).expect(201);
    assert_eq!(answer.header("location"), Some(format!("/v2/to/blobs/{digest}").as_str()));
    check(&server, "to", &digest, b"content");
    post("anonymous", format!("mount={digest}")).expect(201);
    check(&server, "anonymous", &digest, b"content");
    let absent = Digest::of(b"absent");
    for query in [
        format!("mount={absent}&from=from"),
        format!("mount={absent}"),
        format!("mount={digest}&from=nowhere"),
        format!("mount={digest}&from=../x"),
    ] {
        assert!(post("later", query).expect(202).header("location").is_some());
    }
    post("later", "mount=nonsense&from=from".into()).refused(400, "DIGEST_INVALID");

    server.delete(&format!("/v2/from/blobs/{digest}")).expect(202);
    server.head(&format!("/v2/from/blobs/{digest}")).expect(404);
    server.delete(&format!("/v2/from/blobs/{digest}")).refused(404, "BLOB_UNKNOWN");
    check(&server, "to", &digest, b"content");
    post("later", format!("mount={digest}&from=from")).expect(202);
}
