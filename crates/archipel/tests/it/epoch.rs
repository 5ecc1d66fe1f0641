//! `SOURCE_DATE_EPOCH`: where a build's one time comes from, and what gets it.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use archipel_testkit::{Archipel, Finished, Reply, Script, requires};

use crate::util::archipel;

const DATE: &str = "Sun, 13 Sep 2020 12:26:40 GMT";
const SECONDS: i64 = 1_600_000_000;

/// Builds into a folder, and returns that.
fn build(archipel: &Archipel, dockerfile: &str, flags: &[&str]) -> (PathBuf, Finished) {
    let context = archipel.home.context("epoch", [("Dockerfile", dockerfile), ("f", "f")]).display().to_string();
    let out = archipel.home.path().join("out");
    let output = format!("type=local,dest={}", out.display());
    let finished = archipel.run([&["build", "--output", &output], flags, &[&context]].concat());
    (out, finished)
}

#[test]
fn needs_userns_a_stage_that_is_one_address_says_the_time() {
    requires!(userns);
    let reply = || Reply::new(200).header("Last-Modified", DATE).body("x");
    let server = Script::new().on("GET", "/a/x", reply()).on("GET", "/named", reply()).start();
    let url = format!("http://{}", server.address());
    let archipel = archipel();
    let dockerfile = format!(
        "FROM scratch AS src\nARG DIR=a\nADD {url}/$DIR/x /\nFROM scratch\nCOPY f /f\nFROM scratch AS other\nCOPY f /f\n"
    );
    let (out, finished) = build(&archipel, &dockerfile, &["--build-arg", "SOURCE_DATE_EPOCH=SRC"]);
    let _ = finished.ok();
    assert_eq!(out.join("f").metadata().unwrap().mtime(), SECONDS);
    let named = ["--build-arg", "SOURCE_DATE_EPOCH=n", "--build-context", &format!("n={url}/named")];
    let (out, finished) = build(&archipel, &dockerfile, &named);
    let _ = finished.ok();
    assert_eq!(out.join("f").metadata().unwrap().mtime(), SECONDS);

    for (value, message) in [
        ("other", "SOURCE_DATE_EPOCH stage does not meet source-only requirements: unsupported copy instruction"),
        ("not-a-timestamp", "invalid SOURCE_DATE_EPOCH: not-a-timestamp"),
        ("999999999999999", "a year with four digits"),
    ] {
        let (_, finished) = build(&archipel, &dockerfile, &["--build-arg", &format!("SOURCE_DATE_EPOCH={value}")]);
        assert_ne!(finished.code(), 0);
        assert!(finished.stderr().contains(message), "{}", finished.stderr());
    }
    drop(server.finish());
}

#[test]
fn needs_userns_an_output_has_a_time_of_its_own() {
    requires!(userns);
    let archipel = archipel();
    let context = archipel.home.context("own", [("Dockerfile", "FROM scratch\nCOPY f /f\n"), ("f", "f")]);
    let out = archipel.home.path().join("files");
    let outputs = [
        "type=image,name=localhost/own:1,source-date-epoch=7,rewrite-timestamp=true".into(),
        format!("type=local,dest={},source-date-epoch=8", out.display()),
    ];
    let finished = archipel.run([
        "build",
        "--output",
        &outputs[0],
        "--output",
        &outputs[1],
        "--build-arg",
        "SOURCE_DATE_EPOCH=9",
        &context.display().to_string(),
    ]);
    let _ = finished.ok();
    assert_eq!(out.join("f").metadata().unwrap().mtime(), 8);
    let image = archipel.ok(["inspect", "--format", "{{.Created}}", "localhost/own:1"]);
    assert_eq!(image.trim(), "1970-01-01T00:00:07Z");
}

#[test]
fn needs_userns_files_are_attested_by_a_file_beside_them() {
    requires!(userns);
    let archipel = archipel();
    let dockerfile = "FROM scratch\nCOPY f /f\nCOPY f /provenance.json\n";
    let statement =
        |path: PathBuf| -> serde_json::Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let (out, finished) = build(&archipel, dockerfile, &["--provenance", "mode=max"]);
    let _ = finished.ok();
    let said = statement(out.join("provenance.json"));
    assert_eq!(said["predicateType"], "https://slsa.dev/provenance/v1");
    let digest = archipel_oci::Digest::of(b"f");
    assert_eq!(said["subject"][0], serde_json::json!({ "name": "f", "digest": { "sha256": digest.hex() } }));

    let dockerfile = "FROM scratch\nARG TARGETARCH\nCOPY f /$TARGETARCH\n";
    let context = archipel.home.context("platforms", [("Dockerfile", dockerfile), ("f", "f")]).display().to_string();
    let platforms = ["build", "--platform", "linux/amd64,linux/arm64", "--provenance", "mode=min", "--output"];
    let run = |output: String| archipel.run([&platforms[..], &[&output, &context]].concat()).ok();
    let _ = run(format!("type=local,dest={}", out.join("split").display()));
    let _ = run(format!("type=local,dest={},platform-split=false", out.join("one").display()));
    for platform in ["linux_amd64", "linux_arm64"] {
        let _ = statement(out.join("split").join(platform).join("provenance.json"));
        let _ = statement(out.join("one").join(format!("provenance.{platform}.json")));
    }
}
