//! Who may name whom. The drawing of ARCHITECTURE.md, as a test: a crate names only crates of lower rows, and an external
//! crate that belongs to one job is named only where that job is done.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// Lowest first. `oci` is a row of its own: the nouns that everybody shares.
const ROWS: &[&[&str]] = &[
    &["archipel-oci"],
    &["archipel-cas", "archipel-sandbox"],
    &["archipel-dockerfile", "archipel-store", "archipel-remote", "archipel-registry", "archipel-gateway"],
    &["archipel-bake", "archipel-build"],
    &["archipel-ci"],
    &["archipel"],
];

/// For development only: named by nobody's build, and free to name anybody.
const TOOLS: &[&str] = &["archipel-testkit", "xtask"];

/// Where an external crate may be named. What is not listed is free.
const FENCES: &[(&str, &[&str])] = &[
    ("annotate-snippets", &["archipel"]),
    ("anyhow", &["archipel"]),
    ("axum", &["archipel-registry"]),
    ("clap", &["archipel"]),
    ("etcetera", &["archipel"]),
    ("h2", &["archipel-gateway"]),
    ("hcl-edit", &["archipel-bake"]),
    ("indicatif", &["archipel"]),
    ("prost", &["archipel-gateway"]),
    ("reqwest", &["archipel-remote"]),
    ("rustls", &["archipel-remote"]),
    ("rustls-native-certs", &["archipel-remote"]),
    ("saphyr-parser", &["archipel-bake", "archipel-build", "archipel-ci"]),
    ("seccompiler", &["archipel-sandbox"]),
    (
        "tokio",
        &["archipel-remote", "archipel-registry", "archipel-gateway", "archipel-build", "archipel-ci", "archipel"],
    ),
    ("toml", &["archipel-remote", "archipel"]),
];

/// Every crate of the workspace with what it is built from, its tests left out.
fn crates() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(super::root())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {text}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let list = |value: &Value| value.as_array().unwrap().clone();
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let dependencies = list(&package["dependencies"]);
            (name(package), dependencies.iter().filter(|d| d["kind"] != "dev").map(name).collect())
        })
        .collect()
}

fn row(name: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&name))
}

#[test]
fn a_crate_names_only_lower_ones() {
    let crates = crates();
    for (name, dependencies) in &crates {
        if TOOLS.contains(&name.as_str()) {
            continue;
        }
        let own = row(name).unwrap_or_else(|| panic!("{name} is not in the drawing"));
        for dependency in dependencies.iter().filter(|d| crates.contains_key(*d)) {
            let other = row(dependency).unwrap_or_else(|| panic!("{name} is built from the tool {dependency}"));
            assert!(other < own, "{name} names {dependency}, which is not below it");
        }
    }
    for name in ROWS.iter().copied().flatten() {
        assert!(crates.contains_key(*name), "{name} is drawn but does not exist");
    }
}

#[test]
fn external_crates_stay_behind_their_fences() {
    for (name, dependencies) in crates() {
        if TOOLS.contains(&name.as_str()) {
            continue;
        }
        for (fenced, owners) in FENCES {
            let named = dependencies.iter().any(|dependency| dependency == fenced);
            assert!(!named || owners.contains(&name.as_str()), "{name} names {fenced}, which is for {owners:?} only");
        }
    }
}
