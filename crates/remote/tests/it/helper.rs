//! Credential helpers. A helper is found on `PATH`, so the test runs itself with another one.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use archipel_remote::{Client, Config, Credentials, CredentialsError, Secret};

use crate::server::{Server, on};
use crate::{index, options, reference};

/// Keeps one answer in a file beside itself, and says what every helper says when it has none.
const HELPER: &str = r#"#!/bin/sh
case $1 in
store) cat > "$0.kept"; sed -i 's/hunter2/kept/' "$0.kept" ;;
erase) rm "$0.kept" ;;
get) cat > "$0.asked"; [ -f "$0.kept" ] && cat "$0.kept" || { echo credentials not found in native keychain; exit 1; } ;;
esac
"#;

#[test]
fn helpers_are_asked_told_and_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let helper = folder.path().join("docker-credential-fake");
    std::fs::write(&helper, HELPER).unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let itself = std::env::current_exe().unwrap();
    let ran = Command::new(itself)
        .args(["--exact", "helper::with_the_helper_on_path"])
        .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn with_the_helper_on_path() {
    if !Path::new("docker-credential-fake").exists() {
        // Not run by the test above, which prepares a folder for it.
        return;
    }
    let path = Path::new("config.json");
    let server = Server::new(vec![
        on("GET", "/v2/a/manifests/1", 401).header("WWW-Authenticate", "Basic realm=\"x\""),
        on("GET", "/v2/a/manifests/1", 200).body(index().bytes()),
    ]);
    let text = format!(r#"{{"credHelpers":{{"{}":"fake","r.example":"fake"}},"other":1}}"#, server.host);
    std::fs::write(path, &text).unwrap();

    Credentials::store(path, &server.host, "me", &Secret::new("hunter2")).await.unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), text, "the helper keeps it, not the file");
    let credentials = Credentials::parse(&[("config.json".into(), text.clone())]).unwrap();
    let client = Client::new(Config::default(), credentials, options());
    client.manifest(&reference(&server.host, "a:1")).await.unwrap();
    assert_eq!(server.done()[1].header("authorization"), Some("Basic bWU6a2VwdA=="));

    assert!(!Credentials::erase(path, &server.host).await.unwrap());
    // Fails as a program fails, and tells it without the secret.
    let error = Credentials::erase(path, "r.example").await.unwrap_err();
    assert!(matches!(&error, CredentialsError::Helper { name, .. } if name == "fake"), "{error}");

    let nobody = Server::new(vec![on("GET", "/v2/a/manifests/1", 401).header("WWW-Authenticate", "Basic")]);
    let text = text.replace(&server.host, &nobody.host);
    let credentials = Credentials::parse(&[("config.json".into(), text)]).unwrap();
    let client = Client::new(Config::default(), credentials, options());
    let error = client.manifest(&reference(&nobody.host, "a:1")).await.unwrap_err();
    assert!(error.to_string().contains("none are known"), "{error}");
    assert_eq!(std::fs::read_to_string("docker-credential-fake.asked").unwrap(), nobody.host);
}
