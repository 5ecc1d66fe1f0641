//! What goes wrong: cut connections, restarts, everybody at once.

use std::io::Write as _;
use std::net::Shutdown;
use std::time::{Duration, SystemTime};

use archipel_oci::Digest;

use crate::http::{Answer, Server, index};

/// Asks until an upload has this many bytes; how soon a server notices that a client has gone is not ours to say.
fn wait_for_size(server: &Server, location: &str, size: usize) {
    let wanted = format!("0-{}", size - 1);
    for _ in 0..200 {
        if server.get(location).expect(204).header("range") == Some(&wanted) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{location} never had {size} bytes");
}

#[test]
fn a_cut_upload_goes_on_where_it_was() {
    let server = Server::start();
    let bytes: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_le_bytes).collect();
    let digest = Digest::of(&bytes);
    let location = server.start_upload("a");
    let mut stream = server.begin("PATCH", &location, &[], Some(bytes.len()));
    stream.write_all(&bytes[..1_234_567]).unwrap();
    stream.shutdown(Shutdown::Both).unwrap();
    wait_for_size(&server, &location, 1_234_567);

    // The server may die as well: what it had is still there.
    let server = server.restart();
    wait_for_size(&server, &location, 1_234_567);
    let mut stream = server.begin("PUT", &format!("{location}?digest={digest}"), &[], Some(bytes.len() - 1_234_567));
    stream.write_all(&bytes[1_234_567..3_000_000]).unwrap();
    drop(stream);
    wait_for_size(&server, &location, 3_000_000);
    server.head(&format!("/v2/a/blobs/{digest}")).expect(404);
    let range = format!("3000000-{}", bytes.len() - 1);
    let path = format!("{location}?digest={digest}");
    server.send("PUT", &path, &[("Content-Range", &range)], &bytes[3_000_000..]).expect(201);
    assert!(server.get(&format!("/v2/a/blobs/{digest}")).expect(200).body == bytes);
}

#[test]
fn a_chunked_body_that_breaks_its_word_is_taken_back() {
    let server = Server::start();
    let location = server.start_upload("a");
    let mut stream = server.begin("PATCH", &location, &[("Content-Range", "0-3")], None);
    stream.write_all(b"6\r\nabcdef\r\n0\r\n\r\n").unwrap();
    Answer::read(stream, false).refused(400, "SIZE_INVALID");
    let mut stream = server.begin("PATCH", &location, &[("Content-Range", "0-3")], None);
    stream.write_all(b"2\r\nab\r\n0\r\n\r\n").unwrap();
    Answer::read(stream, false).refused(400, "SIZE_INVALID");
    let mut stream = server.begin("PATCH", &location, &[("Content-Range", "0-3")], None);
    stream.write_all(b"4\r\nabcd\r\n0\r\n\r\n").unwrap();
    assert_eq!(Answer::read(stream, false).expect(202).header("range"), Some("0-3"));
    server.send("PUT", &format!("{location}?digest={}", Digest::of(b"abcd")), &[], b"").expect(201);
}

#[test]
fn everything_is_there_after_a_restart() {
    let server = Server::start();
    let children: Vec<Vec<u8>> = ["1", "2"].map(|seed| server.push_image("team/app", seed, "")).into();
    for child in &children {
        server.push_manifest("team/app", Digest::of(child).as_str(), child).expect(201);
    }
    let list = index(&[&children[0], &children[1]]);
    server.push_manifest("team/app", "v1", &list).expect(201);
    let server = server.restart();
    assert_eq!(server.get("/v2/team/app/manifests/v1").expect(200).body, list);
    assert_eq!(
        server.get(&format!("/v2/team/app/manifests/{}", Digest::of(&children[1]))).expect(200).body,
        children[1]
    );
    assert_eq!(server.get(&format!("/v2/team/app/blobs/{}", Digest::of(b"layer 1"))).expect(200).body, b"layer 1");
    assert_eq!(server.get("/v2/_catalog").json()["repositories"], serde_json::json!(["team/app"]));
}

#[test]
fn old_uploads_are_swept_and_young_ones_are_not() {
    let server = Server::start();
    let (old, young) = (server.start_upload("a"), server.start_upload("a"));
    let id = old.rsplit('/').next().unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(3 * 24 * 3600);
    for entry in std::fs::read_dir(server.root().join("uploads")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_str().unwrap().starts_with(id) {
            std::fs::File::open(entry.path()).unwrap().set_modified(long_ago).unwrap();
        }
    }
    let server = server.restart();
    server.get(&old).refused(404, "BLOB_UPLOAD_UNKNOWN");
    server.get(&young).expect(204);
}

#[test]
fn everybody_pushes_the_same_at_once() {
    let server = Server::start();
    let bytes: Vec<u8> = b"the same ".iter().copied().cycle().take(300_000).collect();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let (server, bytes) = (&server, &bytes);
            scope.spawn(move || {
                for round in 0..5 {
                    let name = format!("r{}", (worker + round) % 3);
                    let digest = server.push_blob(&name, bytes);
                    let manifest = server.push_image(&name, &worker.to_string(), "");
                    server.push_manifest(&name, "latest", &manifest).expect(201);
                    server.get(&format!("/v2/{name}/manifests/latest")).expect(200);
                    assert!(server.get(&format!("/v2/{name}/blobs/{digest}")).expect(200).body == *bytes);
                }
            });
        }
    });
    assert_eq!(std::fs::read_dir(server.root().join("uploads")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(server.root().join("tmp")).unwrap().count(), 0);
}

#[test]
fn two_requests_on_one_upload_take_turns() {
    let server = Server::start();
    let location = server.start_upload("a");
    let mut first = server.begin("PATCH", &location, &[("Content-Range", "0-3")], Some(4));
    first.write_all(b"ab").unwrap();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| server.send("PATCH", &location, &[("Content-Range", "0-3")], b"ABCD"));
        std::thread::sleep(Duration::from_millis(50));
        first.write_all(b"cd").unwrap();
        let first = Answer::read(first, false);
        // Whoever came first, one piece is in and the other was told that it is not the next.
        let mut statuses = [first.status, second.join().unwrap().status];
        statuses.sort_unstable();
        assert_eq!(statuses, [202, 416]);
    });
    assert_eq!(server.get(&location).expect(204).header("range"), Some("0-3"));
}
