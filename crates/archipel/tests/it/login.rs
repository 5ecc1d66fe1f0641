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
    insta::assert_snapshot!(transcript(&archipel, &finished), @"");
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(kept["auths"][registry.address()]["auth"], "YW5uOnNlY3JldA==");
    assert_eq!(kept["auths"]["other.example"]["auth"], "YTpi");
    assert_eq!(kept["unknown"], 1);

    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["logout", registry.address()])), @"");
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["logout", registry.address()])), @"");
    let kept = fs::read_to_string(&file).unwrap();
    assert!(kept.contains("other.example") && !kept.contains("YW5u"), "{kept}");
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let archipel = archipel();
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["login", "registry.example"])), @"");
}

#[test]
fn a_registry_that_is_away_is_a_network_error() {
    let archipel = archipel();
    let finished = archipel.run_with(["login", "-u", "ann", "--password-stdin", "127.0.0.1:1"], b"secret");
    insta::assert_snapshot!(transcript(&archipel, &finished), @"");
    assert!(!archipel.home.path().join("docker/config.json").exists());
}
