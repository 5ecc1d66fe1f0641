//! `login` and `logout`.

use std::fs;

use archipel_testkit::OwnRegistry;

use crate::util::{archipel, transcript};

#[test]
fn credentials_are_checked_kept_and_forgotten() {
    let registry = OwnRegistry::start();
    let archipel = archipel();
    let file = archipel.home.path().join("docker/config.json");
    fs::write(&file, r#"{"auths":{"other.example":{"auth":"YTpi"}},"unknown":1}"#).unwrap();

    let finished = archipel.run_with(["login", "-u", "ann", "--password-stdin", registry.address()], b"secret\n");
    insta::assert_snapshot!(transcript(&archipel, &finished), @r"
    $ archipel login -u ann --password-stdin [REGISTRY]
    Login Succeeded
    [exit 0]
    ");
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(kept["auths"][registry.address()]["auth"], "YW5uOnNlY3JldA==");
    assert_eq!(kept["auths"]["other.example"]["auth"], "YTpi");
    assert_eq!(kept["unknown"], 1);

    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["logout", registry.address()])), @r"
    $ archipel logout [REGISTRY]
    Removing login credentials for [REGISTRY]
    [exit 0]
    ");
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["logout", registry.address()])), @r"
    $ archipel logout [REGISTRY]
    Not logged in to [REGISTRY]
    [exit 0]
    ");
    let kept = fs::read_to_string(&file).unwrap();
    assert!(kept.contains("other.example") && !kept.contains("YW5u"), "{kept}");
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let archipel = archipel();
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["login", "registry.example"])), @r"
    $ archipel login registry.example
    error: there is no terminal to ask at: give --username and --password-stdin
    [exit 2]
    ");
}

#[test]
fn a_registry_that_is_away_is_a_network_error() {
    let archipel = archipel();
    let finished = archipel.run_with(["login", "-u", "ann", "--password-stdin", "127.0.0.1:1"], b"secret");
    insta::assert_snapshot!(transcript(&archipel, &finished), @r"
    $ archipel login -u ann --password-stdin [REGISTRY]
    error: [REGISTRY]: login as ann: connection to [REGISTRY] refused: nothing listens there
    [exit 11]
    ");
    assert!(!archipel.home.path().join("docker/config.json").exists());
}
