//! Downloads from scripted servers.

use std::time::Duration;

use archipel_testkit::script::{Reply, Script, ScriptServer};

use super::*;
use crate::{Config, Credentials, ErrorKind, Options, Retry};

fn client() -> Client {
    let retry = Retry { attempts: 3, first_wait: Duration::from_millis(1), longest_wait: Duration::from_millis(5) };
    Client::new(Config::default(), Credentials::default(), Options { retry, ..Options::default() })
}

fn request(server: &ScriptServer, path: &str) -> DownloadRequest {
    DownloadRequest { url: format!("http://{}{path}", server.address()), limit: 100, authorization: None, etag: None }
}

async fn read(request: &DownloadRequest) -> Result<Option<(Vec<u8>, DownloadStream)>, Error> {
    let Some(mut stream) = client().download(request).await? else { return Ok(None) };
    let mut bytes = Vec::new();
    while let Some(piece) = stream.chunk().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(Some((bytes, stream)))
}

#[tokio::test]
async fn a_file_and_what_the_server_says_of_it() {
    let time = "Sun, 13 Sep 2020 12:26:40 GMT";
    let server = Script::new()
        .on("GET", "/a?x=1", Reply::new(302).header("Location", "/b"))
        .on("GET", "/b", Reply::new(200).header("ETag", "\"1\"").header("Last-Modified", time).body("hello"))
        .start();
    let (bytes, stream) = read(&request(&server, "/a?x=1")).await.unwrap().unwrap();
    assert_eq!(bytes, b"hello");
    assert_eq!((stream.etag(), stream.last_modified(), stream.length()), (Some("\"1\""), Some(time), Some(5)));
    server.finish();
}

#[tokio::test]
async fn an_unchanged_file_does_not_come_again() {
    let server = Script::new()
        .on("GET", "/a", Reply::new(304))
        .on("GET", "/b", Reply::new(200).header("ETag", "W/\"1\"").body("hello"))
        .on("GET", "/c", Reply::new(200).header("ETag", "\"2\"").body("new"))
        .start();
    let asking = |path| DownloadRequest { etag: Some("\"1\"".into()), ..request(&server, path) };
    assert!(read(&asking("/a")).await.unwrap().is_none());
    assert!(read(&asking("/b")).await.unwrap().is_none());
    assert_eq!(read(&asking("/c")).await.unwrap().unwrap().0, b"new");
    let requests = server.finish();
    assert!(requests.iter().all(|r| r.header("if-none-match") == Some("\"1\"")));
}

#[tokio::test]
async fn a_break_is_mended_where_the_content_has_a_name() {
    let server = Script::new()
        .on("GET", "/a", Reply::new(200).header("ETag", "\"1\"").body("hello").cut_after(2))
        .on("GET", "/a", Reply::new(206).header("Content-Range", "bytes 2-4/5").body("llo"))
        .on("GET", "/b", Reply::new(200).body("hello").cut_after(2))
        .start();
    assert_eq!(read(&request(&server, "/a")).await.unwrap().unwrap().0, b"hello");
    assert_eq!(read(&request(&server, "/b")).await.unwrap_err().kind(), ErrorKind::Network);
    let requests = server.finish();
    assert_eq!((requests[1].header("range"), requests[1].header("if-range")), (Some("bytes=2-"), Some("\"1\"")));
}

#[tokio::test]
async fn credentials_stay_with_their_host_and_out_of_messages() {
    let other = Script::new().on("GET", "/b", Reply::new(403)).start();
    let location = format!("http://{}/b", other.address());
    let server = Script::new().on("GET", "/a?sig=hush", Reply::new(302).header("Location", &location)).start();
    let mut asking = request(&server, "/a?sig=hush");
    asking.url = asking.url.replace("http://", "http://user:hush@");
    asking.authorization = Some(Secret::new("Bearer hush"));
    let error = read(&asking).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    assert_eq!(server.finish()[0].header("authorization"), Some("Bearer hush"));
    assert_eq!(other.finish()[0].header("authorization"), None);
}

#[tokio::test]
async fn refusals() {
    let server = Script::new()
        .on("GET", "/gone", Reply::new(404))
        .on("GET", "/secret", Reply::new(401))
        .on("GET", "/busy", Reply::new(500))
        .on("GET", "/busy", Reply::new(503))
        .on("GET", "/busy", Reply::new(500))
        .on("GET", "/large", Reply::new(200).body(vec![0; 101]))
        .on("GET", "/endless", Reply::new(302).header("Location", "ftp://h/x"))
        .start();
    for (path, kind, text) in [
        ("/gone", ErrorKind::NotFound, "/gone: invalid response status 404 from"),
        ("/secret", ErrorKind::Auth, "HTTP_AUTH_TOKEN_127.0.0.1"),
        ("/busy", ErrorKind::Refused, "status 500"),
        ("/large", ErrorKind::Corrupt, "more than 100 bytes"),
        ("/endless", ErrorKind::Corrupt, "of the kind `ftp`"),
    ] {
        let error = read(&request(&server, path)).await.unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(text), "{error}");
    }
    server.finish();
    let nowhere = DownloadRequest { url: "file:///etc/passwd".into(), limit: 1, authorization: None, etag: None };
    assert!(read(&nowhere).await.unwrap_err().to_string().contains("`file`"));
}
