//! The web page, as text.

use archipel_oci::Digest;

use crate::http::Server;

fn child(manifest: &[u8], platform: &str, annotations: &str) -> String {
    let (size, digest) = (manifest.len(), Digest::of(manifest));
    let (os, architecture) = platform.split_once('/').unwrap();
    format!(
        r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":{size},"digest":"{digest}","platform":{{"os":"{os}","architecture":"{architecture}"}}{annotations}}}"#
    )
}

fn index(children: &[String]) -> Vec<u8> {
    let children = children.join(",");
    format!(r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{children}]}}"#)
        .into_bytes()
}

fn count(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

fn text(server: &Server, path: &str) -> String {
    let answer = server.get(path).expect(200);
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'; style-src 'self'"));
    String::from_utf8(answer.body).unwrap()
}

#[test]
fn an_index_is_one_row_with_its_platforms() {
    let server = Server::start();
    assert!(text(&server, "/").contains("Nothing here yet"));
    let (amd64, arm64) = (server.push_image("team/app", "amd64", ""), server.push_image("team/app", "arm64", ""));
    let attestation = server.push_image("team/app", "attestation", "");
    for (tag, manifest) in [("v1-amd64", &amd64), ("v1-arm64", &arm64), ("x", &attestation)] {
        server.push_manifest("team/app", tag, manifest).expect(201);
    }
    server.delete("/v2/team/app/manifests/x").expect(202);
    let about = format!(
        r#","annotations":{{"vnd.docker.reference.type":"attestation-manifest","vnd.docker.reference.digest":"{}"}}"#,
        Digest::of(&arm64)
    );
    let list = index(&[
        child(&amd64, "linux/amd64", ""),
        child(&arm64, "linux/arm64", ""),
        child(&attestation, "unknown/unknown", &about),
    ]);
    for tag in ["v1", "latest"] {
        server.push_manifest("team/app", tag, &list).expect(201);
    }
    let page = text(&server, "/");
    assert_eq!(count(&page, "<tr class=\"image\">"), 1, "{page}");
    assert_eq!(count(&page, "class=\"platform\">linux/amd64<"), 1);
    assert_eq!(count(&page, "class=\"platform\">linux/arm64<"), 1);
    assert_eq!(count(&page, "class=\"attestation\""), 1);
    assert!(!page.contains("unknown"));
    let host = server.address;
    for command in [
        format!("docker pull {host}/team/app:latest"),
        format!("docker pull {host}/team/app:v1"),
        format!("docker pull {host}/team/app:v1-arm64"),
        format!("docker pull {host}/team/app@{}", Digest::of(&list)),
        format!("docker pull --platform linux/arm64 {host}/team/app:latest"),
    ] {
        assert_eq!(count(&page, &format!(">{command}<")), 1, "{command}\n{page}");
    }
    assert!(text(&server, "/repositories/team/app").contains("<h1>team/app</h1>"));
    server.get("/style.css").expect(200);
    for path in ["/repositories/none", "/repositories/../x", "/favicon.ico", "/repositories/"] {
        server.get(path).expect(404);
    }
    server.send("POST", "/", &[], b"").expect(405);

    // A child that was deleted is shown as what it is; the row stays.
    server.delete(&format!("/v2/team/app/manifests/{}", Digest::of(&arm64))).expect(202);
    let page = text(&server, "/");
    assert_eq!(count(&page, "<tr class=\"image\">"), 1);
    assert_eq!(count(&page, "not in this registry"), 1);
    assert_eq!(count(&page, "class=\"platform\">linux/arm64<"), 1);
}

#[test]
fn a_single_image_shows_the_platform_of_its_config_and_an_artifact_its_type() {
    let server = Server::start();
    let config = br#"{"architecture":"arm","variant":"v7","os":"linux"}"#;
    server.push_blob("a", config);
    server.push_blob("a", b"layer");
    let manifest = crate::http::image(config, b"layer", "");
    server.push_manifest("a", "arm", &manifest).expect(201);
    let artifact = server.push_image("a", "1", r#","artifactType":"application/x.chart""#);
    let artifact = String::from_utf8(artifact).unwrap().replace("oci.image.config.v1", "oci.empty.v1");
    server.push_manifest("a", "chart", artifact.as_bytes()).expect(201);
    server.push_manifest("a", "empty", &index(&[])).expect(201);
    let page = text(&server, "/");
    assert_eq!(count(&page, "<tr class=\"image\">"), 3);
    assert_eq!(count(&page, "class=\"platform\">linux/arm/v7<"), 1);
    assert_eq!(count(&page, "class=\"artifact\">application/x.chart<"), 1);
    assert_eq!(count(&page, "an empty index"), 1);
}

#[test]
fn what_attackers_write_is_text() {
    let server = Server::start();
    let manifest = server.push_image("a", "1", "");
    server.push_manifest("a", "child", &manifest).expect(201);
    let evil = r"linux/<script>alert(1)</script>;$(reboot)\u202e";
    server.push_manifest("a", "evil", &index(&[child(&manifest, evil, "")])).expect(201);
    // An index that lists itself many times over cannot be made, but one that lists much can.
    let many: Vec<String> = (0..500).map(|i| child(&manifest, &format!("linux/a{i}"), "")).collect();
    server.push_manifest("a", "many", &index(&many)).expect(201);
    let page = text(&server, "/");
    assert!(!page.contains("<script") && page.contains("&#60;script&#62;"), "{page}");
    assert!(!page.contains("--platform linux/&"));
    assert!(!page.contains('\u{202e}'));
    for host in ["x\"><script>", "a b", "$(reboot)"] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let mut stream = std::net::TcpStream::connect(server.address).unwrap();
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let answer = crate::http::Answer::read(stream, false);
        let page = String::from_utf8_lossy(&answer.body);
        assert!(answer.status == 400 || page.contains("docker pull REGISTRY/a"), "{host}: {page}");
        assert!(!page.contains("<script") && !page.contains("reboot)/"));
    }
}

#[test]
fn long_lists_come_in_pages() {
    let server = Server::start();
    for i in 0..27 {
        let name = format!("r{i:02}");
        let manifest = server.push_image(&name, "1", "");
        server.push_manifest(&name, "t", &manifest).expect(201);
    }
    let first = text(&server, "/");
    assert_eq!(count(&first, "<section"), 25);
    assert!(first.contains("href=\"/?last=r24\""));
    assert_eq!(count(&text(&server, "/?last=r24"), "<section"), 2);
    for i in 0..120 {
        let note = format!(r#","annotations":{{"number":"{i}"}}"#);
        let manifest = crate::http::image(br#"{"seed":"1"}"#, b"layer 1", &note);
        server.push_manifest("r00", &format!("t{i:03}"), &manifest).expect(201);
    }
    assert!(text(&server, "/").contains("and 101 more tags"));
    let page = text(&server, "/repositories/r00");
    assert_eq!(count(&page, "<tr class=\"image\">"), 100);
    assert!(page.contains("href=\"/repositories/r00?last=t098\""), "{page}");
    assert_eq!(count(&text(&server, "/repositories/r00?last=t098"), "<tr class=\"image\">"), 21);
}
