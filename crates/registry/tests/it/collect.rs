//! Garbage, while others push.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use archipel_oci::Digest;
use archipel_registry::{Collected, FsStorage, Policy};

use crate::http::{Server, index};

fn collect(server: &Server, untagged: bool) -> Collected {
    // Old enough is whatever there was before this call.
    std::thread::sleep(Duration::from_millis(50));
    FsStorage::open(server.root()).unwrap().collect(&Policy { age: Duration::ZERO, untagged }).unwrap()
}

#[test]
fn only_what_nothing_leads_to_goes() {
    let server = Server::start();
    let children: Vec<Vec<u8>> = ["1", "2"].map(|seed| server.push_image("a", seed, "")).into();
    for child in &children {
        server.push_manifest("a", Digest::of(child).as_str(), child).expect(201);
    }
    server.push_manifest("a", "v1", &index(&[&children[0], &children[1]])).expect(201);
    let subject = format!(
        r#","subject":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":1,"digest":"{}"}}"#,
        Digest::of(&children[0])
    );
    let signature = server.push_image("a", "signature", &subject);
    server.push_manifest("a", Digest::of(&signature).as_str(), &signature).expect(201);
    let untagged = server.push_image("a", "untagged", "");
    server.push_manifest("a", Digest::of(&untagged).as_str(), &untagged).expect(201);
    let stray = server.push_blob("a", b"nobody's");

    assert_eq!(collect(&server, false), Collected { manifests: 0, links: 1, contents: 1, bytes: 8 });
    server.head(&format!("/v2/a/blobs/{stray}")).expect(404);
    let collected = collect(&server, true);
    assert_eq!((collected.manifests, collected.links, collected.contents), (1, 2, 3));
    server.get(&format!("/v2/a/manifests/{}", Digest::of(&untagged))).expect(404);
    for manifest in [&children[0], &children[1], &signature] {
        server.get(&format!("/v2/a/manifests/{}", Digest::of(manifest))).expect(200);
    }
    for seed in ["1", "2", "signature"] {
        server.get(&format!("/v2/a/blobs/{}", Digest::of(format!("layer {seed}").as_bytes()))).expect(200);
    }
    assert_eq!(collect(&server, true), Collected::default());

    server.delete("/v2/a/manifests/v1").expect(202);
    collect(&server, true);
    assert_eq!(std::fs::read_dir(server.root().join("blobs/sha256")).unwrap().count(), 0);
}

#[test]
fn shared_content_lives_while_one_repository_has_it() {
    let server = Server::start();
    for name in ["a", "b"] {
        let manifest = server.push_image(name, "1", "");
        server.push_manifest(name, "v1", &manifest).expect(201);
    }
    server.delete("/v2/a/manifests/v1").expect(202);
    assert_eq!(collect(&server, true).contents, 0);
    server.get(&format!("/v2/b/blobs/{}", Digest::of(b"layer 1"))).expect(200);
    server.get(&format!("/v2/a/blobs/{}", Digest::of(b"layer 1"))).expect(404);
}

#[test]
fn what_was_acknowledged_meanwhile_stays() {
    let server = Server::start();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| {
            let storage = FsStorage::open(server.root()).unwrap();
            // No age at all: a blob may go before its manifest comes. Then the manifest is refused, never accepted in vain.
            let policy = Policy { age: Duration::ZERO, untagged: true };
            while !done.load(Ordering::Relaxed) {
                storage.collect(&policy).unwrap();
            }
        });
        let push = |worker: u64| {
            let mut statuses = Vec::new();
            for round in 0..40 {
                let (name, tag, seed) = (format!("r{}", round % 2), format!("t{worker}"), (round % 3).to_string());
                let manifest = server.push_image(&name, &seed, "");
                // Until about the time when what was pushed is old enough to go.
                std::thread::sleep(Duration::from_millis(18 + (round * 7 + worker) % 9));
                let status = server.push_manifest(&name, &tag, &manifest).status;
                statuses.push(status);
                if status == 201 {
                    server.get(&format!("/v2/{name}/manifests/{tag}")).expect(200);
                    let layer = format!("layer {seed}");
                    let blob = server.get(&format!("/v2/{name}/blobs/{}", Digest::of(layer.as_bytes()))).expect(200);
                    assert_eq!(blob.body, layer.as_bytes());
                    server.delete(&format!("/v2/{name}/manifests/{tag}")).expect(202);
                }
            }
            statuses
        };
        let pushers: Vec<_> = (0..3).map(|worker| scope.spawn(move || push(worker))).collect();
        let results: Vec<_> = pushers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        collector.join().unwrap();
        let statuses: Vec<u16> = results.into_iter().flat_map(Result::unwrap).collect();
        assert!(statuses.iter().all(|status| matches!(status, 201 | 400)), "{statuses:?}");
    });
    // Every tag was deleted: in the end nothing is left.
    collect(&server, true);
    assert_eq!(std::fs::read_dir(server.root().join("blobs/sha256")).unwrap().count(), 0);
}
