//! Referrers.

use archipel_oci::Digest;
use serde_json::json;

use crate::http::Server;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn about(subject: &Digest, more: &str) -> String {
    format!(
        r#","subject":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":1,"digest":"{subject}"}}{more}"#
    )
}

#[test]
fn what_is_about_a_manifest_is_found_and_forgotten() {
    let server = Server::start();
    let subject = Digest::of(b"nobody pushed this yet");
    let path = format!("/v2/a/referrers/{subject}");
    let empty = server.get(&path).expect(200);
    assert_eq!(empty.header("content-type"), Some(INDEX));
    assert_eq!(empty.json(), json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] }));

    let plain = server.push_image("a", "1", &about(&subject, ""));
    let signature = r#","artifactType":"application/x.signature","annotations":{"k":"v"}"#;
    let signed = server.push_image("a", "2", &about(&subject, signature));
    for manifest in [&plain, &signed] {
        let answer = server.push_manifest("a", Digest::of(manifest).as_str(), manifest).expect(201);
        assert_eq!(answer.header("oci-subject"), Some(subject.as_str()));
    }
    let list = |query: &str| server.get(&format!("{path}{query}")).expect(200);
    let all = list("");
    assert_eq!(all.header("oci-filters-applied"), None);
    assert_eq!(all.json()["manifests"].as_array().unwrap().len(), 2);
    let filtered = list("?artifactType=application/x.signature");
    assert_eq!(filtered.header("oci-filters-applied"), Some("artifactType"));
    assert_eq!(
        filtered.json()["manifests"],
        json!([{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": Digest::of(&signed).as_str(),
            "size": signed.len(),
            "annotations": { "k": "v" },
            "artifactType": "application/x.signature",
        }])
    );
    // Without a type of its own an image is what its config is.
    let config = list("?artifactType=application%2Fvnd.oci.image.config.v1%2Bjson");
    assert_eq!(config.json()["manifests"][0]["digest"], Digest::of(&plain).as_str());
    assert_eq!(list("?artifactType=").json(), all.json());
    assert_eq!(list("?artifactType=none").json()["manifests"], json!([]));

    server.delete(&format!("/v2/a/manifests/{}", Digest::of(&signed))).expect(202);
    assert_eq!(list("").json()["manifests"].as_array().unwrap().len(), 1);
    server.get("/v2/a/referrers/sha256:bad").refused(400, "DIGEST_INVALID");
}

#[test]
fn an_index_may_be_about_something_and_long_lists_come_in_pages() {
    let server = Server::start();
    let subject = Digest::of(b"subject");
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[]{}}}"#, about(&subject, ""));
    let answer = server.push_manifest("a", "index", index.as_bytes()).expect(201);
    assert_eq!(answer.header("oci-subject"), Some(subject.as_str()));
    for i in 0..3 {
        let note = format!(",\"annotations\":{{\"k\":\"{}\"}}", "v".repeat(2_000_000));
        let manifest = server.push_image("a", &i.to_string(), &about(&subject, &note));
        server.push_manifest("a", &format!("t{i}"), &manifest).expect(201);
    }
    let mut found = Vec::new();
    let mut next = Some(format!("/v2/a/referrers/{subject}"));
    let mut pages = 0;
    while let Some(path) = next {
        let answer = server.get(&path).expect(200);
        assert!(answer.body.len() < 5_000_000);
        let digests = answer.json();
        found.extend(digests["manifests"].as_array().unwrap().iter().map(|d| d["digest"].to_string()));
        next = answer.header("link").map(|link| link[1..link.find('>').unwrap()].to_owned());
        pages += 1;
    }
    found.sort();
    found.dedup();
    assert_eq!((found.len(), pages), (4, 2));
}
