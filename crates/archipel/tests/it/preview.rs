//! `archipel ci lint`, `list` and `preview`: what is said of a pipeline without running it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use archipel_testkit::{Archipel, requires};

use crate::pipeline::repository;

#[test]
fn what_is_wrong_is_shown_where_it_is() {
    requires!(git);
    let archipel = Archipel::new(env!("CARGO_BIN_EXE_archipel"));
    let dir = repository(&archipel, "build:\n  stage: biuld\n  scirpt: make\n  trigger: other\n", &[]);
    let output = archipel.command(["ci", "lint"]).current_dir(&dir).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stderr), @r"
    error: there is no stage `biuld`
     --> .gitlab-ci.yml:2:10
      |
    2 |   stage: biuld
      |          ^^^^^
      |
      = help: did you mean `build`?

    error: `scirpt` is not a key of a job
     --> .gitlab-ci.yml:3:3
      |
    3 |   scirpt: make
      |   ^^^^^^
      |
      = help: did you mean `script`?

    error: `a job:trigger` is not supported yet
     --> .gitlab-ci.yml:4:3
      |
    4 |   trigger: other
      |   ^^^^^^^
    ");
    let output = archipel.command(["ci", "list", "--file", "other.yml"]).current_dir(&dir).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("other.yml is not there"));
}

#[test]
fn a_preview_shows_no_secrets() {
    requires!(git);
    let archipel = Archipel::new(env!("CARGO_BIN_EXE_archipel"));
    let pipeline = "variables: {A: \"<$TOKEN>\"}\nbuild: {image: busybox, script: [make], needs: []}\n";
    let dir = repository(&archipel, pipeline, &[]);
    let secrets = archipel.home.path().join("secrets");
    fs::write(&secrets, "TOKEN=sup3rsecret\n").unwrap();
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
    let arguments = ["ci", "preview", "--masked-variable-file", &secrets.display().to_string()];
    let output = archipel.command(arguments).current_dir(&dir).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("  A=<[MASKED]>\n") && text.contains("  $ make\n") && !text.contains("sup3r"), "{text}");
    assert_eq!(
        archipel.command(["ci", "list"]).current_dir(&dir).output().unwrap().stdout,
        b"JOB     STAGE   WHEN         AFTER\nbuild   test    on success   nothing\n"
    );
}

#[test]
fn what_is_listed_is_what_a_run_would_have() {
    requires!(git);
    let archipel = Archipel::new(env!("CARGO_BIN_EXE_archipel"));
    let pipeline = r#"
.job: {image: "$CI_REGISTRY_IMAGE:1", script: [make]}
any: {extends: .job, rules: [{if: $CI_REGISTRY}]}
login: {extends: .job, rules: [{if: $CI_REGISTRY_USER && $CI_REGISTRY_PASSWORD}]}
named: {extends: .job, rules: [{if: '$CI_REGISTRY == "r.example:5000"'}]}
"#;
    let dir = repository(&archipel, pipeline, &[]);
    let shown = |arguments: &[&str]| {
        let output = archipel.command(["ci"].iter().chain(arguments)).current_dir(&dir).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let listed = |arguments: &[&str]| {
        let list = shown(&[&["list"], arguments].concat());
        list.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(listed(&[]), "any login");
    assert_eq!(listed(&["--registry", "r.example:5000"]), "any named");
    assert_eq!(listed(&["--variable", "CI_REGISTRY=r.example:5000"]), "any named");
    let preview = shown(&["preview"]);
    assert!(preview.contains("  CI_REGISTRY_PASSWORD=[MASKED]\n"), "{preview}");
    let preview = shown(&["preview", "--registry", "r.example:5000"]);
    assert!(preview.contains("image r.example:5000/local/project:1)\n"), "{preview}");
}
