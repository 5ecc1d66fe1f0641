use std::net::TcpListener;

use archipel_remote::{Error, ErrorKind, Fault};

use crate::server::{Server, on};
use crate::{client, index, reference};

fn fault(error: &Error) -> &Fault {
    assert_eq!(error.kind(), ErrorKind::Network);
    match error {
        Error::Network { fault, .. } => fault,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_is_busy_is_asked_again() {
    let path = "/v2/a/manifests/1";
    let server = Server::new(vec![
        on("GET", path, 429).header("Retry-After", "1"),
        on("GET", path, 503),
        on("GET", path, 200).body(index().bytes()),
        on("GET", path, 429).body(r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]}"#),
        on("GET", path, 502),
        on("GET", path, 429).body(r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]}"#),
        on("GET", path, 418),
    ]);
    let wanted = reference(&server.host, "a:1");
    client().manifest(&wanted).await.unwrap();
    let error = client().manifest(&wanted).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("status 429: TOOMANYREQUESTS: pull rate limit"), "{error}");
    // Other refusals are final.
    assert!(matches!(client().manifest(&wanted).await.unwrap_err(), Error::Refused { status: 418, .. }));
    server.done();
}

#[tokio::test]
async fn what_breaks_off_is_asked_again() {
    let path = "/v2/a/manifests/1";
    let whole = || on("GET", path, 200).body(index().bytes());
    let server = Server::new(vec![
        on("GET", path, 0).hang_up(0),
        whole().cut(10),
        whole(),
        whole().cut(10),
        whole().cut(10),
        whole().cut(10),
    ]);
    let wanted = reference(&server.host, "a:1");
    client().manifest(&wanted).await.unwrap();
    let error = client().manifest(&wanted).await.unwrap_err();
    assert!(matches!(fault(&error), Fault::Broken { .. }), "{error}");
    assert!(error.to_string().contains(&wanted.familiar()), "{error}");
    server.done();
}

#[tokio::test]
async fn nobody_and_nowhere_are_told_apart() {
    // A port that was free a moment ago.
    let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let error = client().manifest(&reference(&host, "a:1")).await.unwrap_err();
    assert_eq!(fault(&error), &Fault::ConnectionRefused { host: host.clone() });
    assert!(error.to_string().contains("refused: nothing listens there"), "{error}");
}

#[tokio::test]
async fn a_registry_that_wants_tls_is_named() {
    let said = "Client sent an HTTP request to an HTTPS server.\n";
    let server = Server::new(vec![on("GET", "/v2/a/manifests/1", 400).body(said)]);
    let error = client().manifest(&reference(&server.host, "a:1")).await.unwrap_err();
    assert!(matches!(fault(&error), Fault::Tls { .. }), "{error}");
    assert!(error.to_string().contains("`http = false`"), "{error}");
}

#[tokio::test]
async fn redirects_have_an_end() {
    let server = Server::new((0..6).map(|_| on("GET", "/v2/a/manifests/1", 302).header("Location", "1")).collect());
    let error = client().manifest(&reference(&server.host, "a:1")).await.unwrap_err();
    assert!(error.to_string().contains("redirects without end"), "{error}");
    server.done();
}
