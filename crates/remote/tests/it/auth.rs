use archipel_oci::Digest;
use archipel_remote::{AuthFailure, Client, Config, Credentials, Error, ErrorKind, Pushed, Secret};
use bytes::Bytes;

use crate::server::{Server, Step, on};
use crate::{blob, client, client_as, index, options, reference};

/// A 401 that names the server itself for tokens.
fn unauthorized(method: &'static str, path: impl Into<String>, scope: &str) -> Step {
    on(method, path, 401)
        .header("WWW-Authenticate", format!("Bearer realm=\"http://{{host}}/token\",service=\"reg\",scope=\"{scope}\""))
        .body(r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#)
}

fn token(scope: &str, account: &str, token: &str) -> Step {
    let scope = scope.replace(':', "%3A").replace('/', "%2F").replace(',', "%2C");
    let account = if account.is_empty() { String::new() } else { format!("&account={account}") };
    on("GET", format!("/token?service=reg&scope={scope}{account}"), 200)
        .body(format!(r#"{{"token":"{token}","expires_in":300}}"#))
}

fn manifest(tag: &str) -> Step {
    on("GET", format!("/v2/a/manifests/{tag}"), 200).body(index().bytes())
}

#[tokio::test]
async fn a_token_is_fetched_once() {
    let server = Server::new(vec![
        unauthorized("GET", "/v2/a/manifests/1", "repository:a:pull"),
        token("repository:a:pull", "me", "T1"),
        manifest("1"),
        manifest("2"),
        // Another scope: the way is known, so there is no second 401.
        token("repository:a:pull,push", "me", "T2"),
        on("PUT", "/v2/a/manifests/3", 201),
        // What the new one covers, it serves.
        manifest("4"),
    ]);
    let client = client_as(&server.host, "me", "secret");
    client.manifest(&reference(&server.host, "a:1")).await.unwrap();
    client.manifest(&reference(&server.host, "a:2")).await.unwrap();
    client.push_manifest(&reference(&server.host, "a:3"), &index()).await.unwrap();
    client.manifest(&reference(&server.host, "a:4")).await.unwrap();
    let sent: Vec<_> = server.done().iter().map(|s| s.header("authorization").map(str::to_owned)).collect();
    let basic = Some("Basic bWU6c2VjcmV0".to_owned());
    let bearer = |t: &str| Some(format!("Bearer {t}"));
    assert_eq!(sent, [None, basic.clone(), bearer("T1"), bearer("T1"), basic, bearer("T2"), bearer("T2")]);
}

#[tokio::test]
async fn many_at_once_need_one_token() {
    let paths = ["1", "2", "3"].map(|t| format!("/v2/a/manifests/{t}"));
    let server = Server::new(vec![
        unauthorized("GET", &paths[0], "repository:a:pull"),
        token("repository:a:pull", "", "T1"),
        manifest("1"),
    ]);
    let client = client();
    client.manifest(&reference(&server.host, "a:1")).await.unwrap();
    server.expect(token("repository:b:pull", "", "T2"));
    for _ in 0..3 {
        server.expect(on("GET", "/v2/b/manifests/1", 200).body(index().bytes()));
    }
    let wanted = reference(&server.host, "b:1");
    let (a, b, c) = tokio::join!(client.manifest(&wanted), client.manifest(&wanted), client.manifest(&wanted));
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    server.done();
}

#[tokio::test]
async fn a_token_that_runs_out_in_the_middle_of_a_push_is_renewed() {
    let content = Bytes::from_static(b"layer");
    let digest = Digest::of(&content);
    let path = format!("/v2/a/blobs/{digest}");
    let put = format!("/upload/1?digest={}", digest.as_str().replace(':', "%3A"));
    let scope = "repository:a:pull,push";
    let server = Server::new(vec![
        unauthorized("HEAD", &path, scope),
        token(scope, "me", "OLD"),
        on("HEAD", &path, 404),
        on("POST", "/v2/a/blobs/uploads/", 202).header("Location", "/upload/1"),
        unauthorized("PUT", &put, scope),
        token(scope, "me", "NEW"),
        on("GET", "/upload/1", 204).header("Range", "0-0"),
        on("HEAD", &path, 404),
        on("POST", "/v2/a/blobs/uploads/", 202).header("Location", "/upload/1"),
        on("PUT", &put, 201),
    ]);
    let client = client_as(&server.host, "me", "secret");
    let pushed = client.push_blob(&reference(&server.host, "a"), &blob(&content), &content, &[]).await.unwrap();
    assert_eq!(pushed, Pushed::Uploaded { bytes: 5 });
    let seen = server.done();
    assert_eq!(seen[4].header("authorization"), Some("Bearer OLD"));
    assert_eq!((seen[9].header("authorization"), &seen[9].body[..]), (Some("Bearer NEW"), &b"layer"[..]));
}

fn failure(error: &Error) -> &AuthFailure {
    assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    match error {
        Error::Auth { failure, .. } => failure,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn wrong_missing_and_insufficient_credentials_are_told_apart() {
    let path = "/v2/a/manifests/1";
    let scope = "repository:a:pull";
    let server = Server::new(vec![
        unauthorized("GET", path, scope),
        on("GET", "/token?service=reg&scope=repository%3Aa%3Apull&account=me", 401),
        on("GET", path, 401).header("WWW-Authenticate", "Basic realm=\"x\""),
        on("GET", path, 401).header("WWW-Authenticate", "Basic realm=\"x\""),
        unauthorized("GET", path, scope),
        token(scope, "me", "T"),
        on("GET", path, 403).body(r#"{"errors":[{"code":"DENIED","message":"requested access is denied"}]}"#),
        unauthorized("GET", path, scope),
        token(scope, "", "T"),
        unauthorized("GET", path, scope),
        on("GET", path, 401).header("WWW-Authenticate", "Basic realm=\"x\""),
    ]);
    let wanted = reference(&server.host, "a:1");
    let as_me = || client_as(&server.host, "me", "secret");
    for _ in 0..2 {
        let error = as_me().manifest(&wanted).await.unwrap_err();
        assert_eq!(failure(&error), &AuthFailure::Wrong { user: "me".into() });
    }
    let error = as_me().manifest(&wanted).await.unwrap_err();
    assert!(
        matches!(failure(&error), AuthFailure::Denied { user, complaints } if user == "me" && complaints.len() == 1)
    );
    for _ in 0..2 {
        let error = client().manifest(&wanted).await.unwrap_err();
        assert!(matches!(failure(&error), AuthFailure::Missing { .. }), "{error}");
    }
    server.done();
}

#[tokio::test]
async fn a_login_is_checked() {
    let challenge = || on("GET", "/v2/", 401).header("WWW-Authenticate", "Basic realm=\"x\"");
    let server = Server::new(vec![
        challenge(),
        on("GET", "/v2/", 200),
        challenge(),
        challenge(),
        on("GET", "/v2/", 401).header("WWW-Authenticate", "Bearer realm=\"/token\",service=\"reg\""),
        on("GET", "/token?service=reg&account=me", 401),
    ]);
    client().check_login(&server.host, "me", &Secret::new("good")).await.unwrap();
    for _ in 0..2 {
        let error = client().check_login(&server.host, "me", &Secret::new("secret")).await.unwrap_err();
        assert_eq!(failure(&error), &AuthFailure::Wrong { user: "me".into() });
        assert!(error.to_string().contains("login as me"), "{error}");
    }
    server.done();
}

#[tokio::test]
async fn an_identity_token_is_posted() {
    let server = Server::new(vec![
        unauthorized("GET", "/v2/a/manifests/1", "repository:a:pull"),
        on("POST", "/token", 200).body(r#"{"access_token":"T","expires_in":300}"#),
        manifest("1"),
    ]);
    let file = format!(r#"{{"auths":{{"{}":{{"auth":"dTo=","identitytoken":"id/entity"}}}}}}"#, server.host);
    let credentials = Credentials::parse(&[("f".into(), file)]).unwrap();
    let client = Client::new(Config::default(), credentials, options());
    client.manifest(&reference(&server.host, "a:1")).await.unwrap();
    let seen = server.done();
    let form = String::from_utf8(seen[1].body.clone()).unwrap();
    assert!(form.contains("grant_type=refresh_token") && form.contains("refresh_token=id%2Fentity"), "{form}");
    assert!(form.contains("scope=repository%3Aa%3Apull") && form.contains("service=reg"), "{form}");
}

#[tokio::test]
async fn credentials_of_a_namespace_serve_all_of_an_upload() {
    let content = Bytes::from_static(b"layer");
    let digest = Digest::of(&content);
    let put = format!("/elsewhere/1?digest={}", digest.as_str().replace(':', "%3A"));
    let basic = || "Basic realm=\"x\"";
    let server = Server::new(vec![
        on("HEAD", format!("/v2/team/app/blobs/{digest}"), 401).header("WWW-Authenticate", basic()),
        on("HEAD", format!("/v2/team/app/blobs/{digest}"), 404),
        on("POST", "/v2/team/app/blobs/uploads/", 202).header("Location", "/elsewhere/1"),
        on("PUT", &put, 401).header("WWW-Authenticate", basic()),
        on("GET", "/elsewhere/1", 204).header("Range", "0-4"),
        on("PUT", &put, 201),
    ]);
    let file = format!(
        r#"{{"auths":{{"{0}":{{"username":"all","password":"x"}},"{0}/team":{{"username":"me","password":"kept"}}}}}}"#,
        server.host
    );
    let client = Client::new(Config::default(), Credentials::parse(&[("f".into(), file)]).unwrap(), options());
    let wanted = reference(&server.host, "team/app");
    // As a task of its own: what a scheduler does.
    let pushed = tokio::spawn(async move { client.push_blob(&wanted, &blob(&content), &content, &[]).await });
    pushed.await.unwrap().unwrap();
    let sent: Vec<_> = server.done().iter().filter_map(|s| s.header("authorization").map(str::to_owned)).collect();
    assert_eq!(sent, vec!["Basic bWU6a2VwdA=="; 5]);
}

#[tokio::test]
async fn a_helper_that_does_not_run_is_told_only_when_it_matters() {
    let path = "/v2/a/manifests/1";
    let server = Server::new(vec![
        unauthorized("GET", path, "repository:a:pull"),
        token("repository:a:pull", "", "T"),
        manifest("1"),
        on("GET", "/v2/a/manifests/2", 403),
    ]);
    let file = r#"{"credsStore":"archipel-no-such-helper"}"#.to_owned();
    let credentials = Credentials::parse(&[("f".into(), file)]).unwrap();
    let client = Client::new(Config::default(), credentials, options());
    client.manifest(&reference(&server.host, "a:1")).await.unwrap();
    let error = client.manifest(&reference(&server.host, "a:2")).await.unwrap_err();
    assert!(error.to_string().contains("docker-credential-archipel-no-such-helper"), "{error}");
    server.done();
}

#[tokio::test]
async fn credentials_do_not_follow_to_another_host() {
    let storage = Server::new(vec![on("GET", "/bucket/x?signature=y", 200).body("layer")]);
    let path = format!("/v2/a/blobs/{}", Digest::of(b"layer"));
    let server = Server::new(vec![
        on("GET", &path, 401).header("WWW-Authenticate", "Basic realm=\"x\""),
        on("GET", &path, 307).header("Location", format!("http://{}/bucket/x?signature=y", storage.host)),
    ]);
    let client = client_as(&server.host, "me", "secret");
    let mut stream = client.blob(&reference(&server.host, "a"), &blob(b"layer"), 0).await.unwrap();
    assert_eq!(stream.chunk().await.unwrap().unwrap(), "layer");
    assert!(stream.chunk().await.unwrap().is_none());
    assert!(server.done()[1].header("authorization").is_some());
    assert_eq!(storage.done()[0].header("authorization"), None);
}
