//! Tags, repositories, and what is no endpoint.

use serde_json::json;

use crate::http::Server;

#[test]
fn tags_in_pages() {
    let server = Server::start();
    server.get("/v2/a/tags/list").refused(404, "NAME_UNKNOWN");
    let manifest = server.push_image("a", "1", "");
    assert_eq!(server.get("/v2/a/tags/list").expect(200).json(), json!({ "name": "a", "tags": [] }));
    for tag in ["c", "a", "B", "d_1", "d-1"] {
        server.push_manifest("a", tag, &manifest).expect(201);
    }
    let list = |query: &str| {
        let answer = server.get(&format!("/v2/a/tags/list{query}")).expect(200);
        let link = answer.header("link").map(ToOwned::to_owned);
        (answer.json()["tags"].clone(), link)
    };
    assert_eq!(list(""), (json!(["B", "a", "c", "d-1", "d_1"]), None));
    let next = Some("</v2/a/tags/list?n=2&last=a>; rel=\"next\"".to_owned());
    assert_eq!(list("?n=2"), (json!(["B", "a"]), next));
    let next = Some("</v2/a/tags/list?n=2&last=d-1>; rel=\"next\"".to_owned());
    assert_eq!(list("?n=2&last=a"), (json!(["c", "d-1"]), next));
    assert_eq!(list("?n=2&last=d-1"), (json!(["d_1"]), None));
    assert_eq!(list("?n=5"), (json!(["B", "a", "c", "d-1", "d_1"]), None));
    assert_eq!(list("?last=b"), (json!(["c", "d-1", "d_1"]), None));
    assert_eq!(list("?n=0"), (json!([]), None));
    assert_eq!(list("?n=99999999999999999999").0.as_array().unwrap().len(), 5);
    for n in ["-1", "x", "", "1.5"] {
        server.get(&format!("/v2/a/tags/list?n={n}")).refused(400, "PAGINATION_NUMBER_INVALID");
    }
}

#[test]
fn repositories_in_pages() {
    let server = Server::start();
    for name in ["b", "a/deep/name", "a", "a-b"] {
        let manifest = server.push_image(name, "1", "");
        server.push_manifest(name, "t", &manifest).expect(201);
    }
    server.push_blob("only/blobs", b"no image yet");
    let all = server.get("/v2/_catalog").expect(200);
    assert_eq!(all.json(), json!({ "repositories": ["a", "a-b", "a/deep/name", "b"] }));
    let page = server.get("/v2/_catalog?n=1&last=a-b").expect(200);
    assert_eq!(page.json(), json!({ "repositories": ["a/deep/name"] }));
    assert_eq!(page.header("link"), Some("</v2/_catalog?n=1&last=a/deep/name>; rel=\"next\""));
}

#[test]
fn hostile_paths_and_methods() {
    let server = Server::start();
    assert_eq!(server.get("/v2/").expect(200).json(), json!({}));
    assert_eq!(server.head("/v2/").expect(200).header("docker-distribution-api-version"), Some("registry/2.0"));
    for path in [
        "/v2/../../etc/manifests/passwd",
        "/v2/%2e%2e/%2e%2e/etc/manifests/passwd",
        "/v2/..%2f..%2fetc/blobs/passwd",
        "/v2/a/../b/tags/list",
        "/v2//tags/list",
        "/v2/a//b/tags/list",
        "/v2/_blobs/tags/list",
        "/v2/A/tags/list",
        "/v2/a%00b/tags/list",
        "/v2/a/%ff/tags/list",
        "/v2/nothing",
        "/v3/",
    ] {
        for method in ["GET", "PUT", "DELETE", "POST", "PATCH"] {
            let status = server.send(method, path, &[], b"x").status;
            assert!(matches!(status, 400 | 404 | 405), "{method} {path}: {status}");
        }
    }
    let long = format!("/v2/{}/tags/list", "a/".repeat(200).trim_end_matches('/'));
    server.get(&long).refused(400, "NAME_INVALID");
    let answer = server.send("POST", "/v2/a/manifests/x", &[], b"").refused(405, "UNSUPPORTED");
    assert_eq!(answer.header("allow"), Some("GET, HEAD, PUT, DELETE"));
    let names: Vec<_> = std::fs::read_dir(server.root().join("repositories")).unwrap().collect();
    assert!(names.is_empty(), "{names:?}");
}
