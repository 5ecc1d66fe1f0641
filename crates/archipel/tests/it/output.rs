//! `--output`: what is written, under which names, and where in it the files of several platforms are.

use std::path::Path;

use archipel_testkit::{Archipel, Finished, requires};
use serde_json::Value;

use crate::main_job::tool;
use crate::util::archipel;

const BOTH: &str = "linux/amd64,linux/arm64";
const COPY: &str = "FROM scratch\nCOPY f /d/f\n";

/// Builds a context of a Dockerfile and one more file.
fn build(archipel: &Archipel, dockerfile: &str, flags: &[&str]) -> Finished {
    let context = archipel.home.context("c", [("Dockerfile", dockerfile), ("f", "f")]).display().to_string();
    archipel.run([&["build"], flags, &[&context]].concat())
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn needs_userns_platforms_in_one_folder_have_only_folders_in_common() {
    requires!(userns);
    let archipel = archipel();
    let flags = ["--platform", BOTH, "-o", "type=local,dest=out,platform-split=false"];
    let out = archipel.home.work().join("out");
    let refused = build(&archipel, COPY, &flags);
    let why = "cannot overwrite d/f from linux/amd64 with linux/arm64 when split option is disabled";
    assert!(refused.code() != 0 && refused.stderr().contains(why), "{}", refused.stderr());
    assert!(!out.exists());
    let _ = build(&archipel, "FROM scratch\nARG TARGETARCH\nCOPY f /d/$TARGETARCH\n", &flags).ok();
    assert!(out.join("d/amd64").is_file() && out.join("d/arm64").is_file());
}

#[test]
fn needs_userns_a_tar_has_folders_where_there_are_several_platforms() {
    requires!(userns);
    let archipel = archipel();
    let tar = archipel.home.work().join("out.tar").display().to_string();
    for (platforms, split, place) in [(BOTH, "false", "linux_arm64/d/f"), ("linux/arm64", "true", "d/f")] {
        let output = format!("type=tar,dest=out.tar,platform-split={split}");
        let _ = build(&archipel, COPY, &["--platform", platforms, "-o", &output]).ok();
        let listed = tool("tar", &["-tf", &tar]);
        assert!(listed.lines().any(|name| name == place), "{listed}");
    }
}

#[test]
fn needs_userns_one_platform_may_be_written_like_several() {
    requires!(userns);
    let archipel = archipel();
    let work = archipel.home.work();
    let asked = |value: &str, platforms: &str| {
        let argument = format!("BUILDKIT_MULTI_PLATFORM={value}");
        let outputs = ["-o", "out", "-o", "type=oci,dest=layout,tar=false"];
        build(&archipel, COPY, &[&["--build-arg", &argument, "--platform", platforms], &outputs[..]].concat())
    };
    let _ = asked("true", "linux/arm64").ok();
    assert!(work.join("out/linux_arm64/d/f").is_file());
    let index = json(&work.join("layout/index.json"));
    assert_eq!(index["manifests"][0]["mediaType"], archipel_oci::media_type::OCI_INDEX);
    for (value, why) in [
        ("maybe", "invalid boolean value for multi-platform: maybe"),
        ("0", "conflicting config: returning multiple target platforms is not allowed"),
    ] {
        let refused = asked(value, BOTH);
        assert!(refused.code() != 0 && refused.stderr().contains(why), "{}", refused.stderr());
    }
}

#[test]
fn needs_userns_an_output_names_the_image_beside_tag() {
    requires!(userns);
    let archipel = archipel();
    let work = archipel.home.work();
    let outputs =
        ["type=oci,dest=layout,tar=false,\"name=org/repo:1,repo\"", "type=docker,dest=out.tar,name=org/repo:1"];
    let _ = build(&archipel, COPY, &["-t", "tagged:2", "-o", outputs[0], "-o", outputs[1]]).ok();
    let index = json(&work.join("layout/index.json"));
    let names: Vec<&str> = index["manifests"].as_array().unwrap().iter().map(full_name).collect();
    assert_eq!(names, ["docker.io/library/tagged:2", "docker.io/org/repo:1", "docker.io/library/repo:latest"]);
    let manifest = tool("tar", &["-xOf", &work.join("out.tar").display().to_string(), "manifest.json"]);
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest[0]["RepoTags"], serde_json::json!(["tagged:2", "org/repo:1"]));
}

fn full_name(entry: &Value) -> &str {
    entry["annotations"]["io.containerd.image.name"].as_str().unwrap()
}

#[test]
fn needs_userns_what_leads_to_an_image_is_told_alike_and_the_same_again() {
    requires!(userns);
    let archipel = archipel();
    let work = archipel.home.work();
    let mut layouts = Vec::new();
    for _ in 0..2 {
        let output = ["-o", "type=oci,dest=out.tar", "-o", "type=oci,dest=layout,tar=false"];
        let told = ["--platform", "linux/arm64", "--metadata-file", "told"];
        let _ = build(&archipel, COPY, &[&output[..], &told].concat()).ok();
        let (mut index, told) = (json(&work.join("layout/index.json")), json(&work.join("told")));
        // In a folder, where others may come beside it, it has a name.
        let annotations = index["manifests"][0]["annotations"].as_object_mut().unwrap();
        assert_eq!(annotations.remove("org.opencontainers.image.ref.name").unwrap(), "latest");
        assert_eq!(index["manifests"][0], told["containerimage.descriptor"]);
        assert_eq!(index["manifests"][0]["platform"]["architecture"], "arm64");
        assert!(index["manifests"][0]["annotations"]["org.opencontainers.image.created"].is_string());
        layouts.push((index["manifests"][0].take(), std::fs::read(work.join("out.tar")).unwrap()));
    }
    assert!(layouts[0] == layouts[1]);
}

#[test]
fn needs_userns_an_inline_cache_that_no_output_holds_is_told() {
    requires!(userns);
    let archipel = archipel();
    for (output, lost) in [("type=local,dest=out", true), ("type=oci,dest=out.tar", false)] {
        let built = build(&archipel, COPY, &["--cache-to", "type=inline", "-o", output]);
        let told = built.stderr().contains("an inline cache is a part of an image, and no output is one");
        assert_eq!(told, lost, "{}", built.stderr());
        let _ = built.ok();
    }
}

#[test]
fn needs_userns_mode_delete_leaves_the_result_alone_in_its_folder() {
    requires!(userns);
    let archipel = archipel();
    let out = archipel.home.work().join("out");
    std::fs::create_dir_all(out.join("linux_arm64/d/old")).unwrap();
    for file in ["stale", "linux_arm64/d/f", "linux_arm64/d/old/deep"] {
        std::fs::write(out.join(file), "old").unwrap();
    }
    let names = |folder: &str| {
        let names = std::fs::read_dir(out.join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    };
    let to = |mode: &str, dest: &str| {
        build(&archipel, COPY, &["--platform", BOTH, "-o", &format!("type=local,dest={dest},mode={mode}")])
    };
    let _ = to("copy", "out").ok();
    assert_eq!(names(""), ["linux_amd64", "linux_arm64", "stale"]);
    let _ = to("delete", "out").ok();
    assert_eq!(
        (names(""), names("linux_arm64/d")),
        (vec!["linux_amd64".into(), "linux_arm64".into()], vec!["f".into()])
    );
    assert_eq!(std::fs::read(out.join("linux_arm64/d/f")).unwrap(), b"f");
    // The context is in it.
    let refused = to("delete", ".");
    assert!(refused.code() != 0 && refused.stderr().contains("a folder of their own"), "{}", refused.stderr());
}
