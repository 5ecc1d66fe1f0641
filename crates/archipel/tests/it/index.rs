//! `index` and `imagetools`: images for several platforms under one name.

use archipel_testkit::{Archipel, ImageBuilder, OwnRegistry};
use serde_json::Value;

use crate::util::{archipel, image, publish, publish_alone, transcript};

fn raw(archipel: &Archipel, name: &str) -> Value {
    serde_json::from_str(&archipel.ok(["inspect", "--raw", name])).unwrap()
}

fn platforms(index: &Value) -> String {
    let name = |child: &Value| {
        let platform: archipel_oci::Platform = serde_json::from_value(child["platform"].clone()).unwrap();
        platform.to_string()
    };
    index["manifests"].as_array().unwrap().iter().map(name).collect::<Vec<_>>().join(" ")
}

#[test]
fn from_images_at_two_registries_to_one_name_and_back() {
    let (here, there) = (OwnRegistry::start(), OwnRegistry::start());
    let archipel = archipel();
    let amd64 = publish_alone(&archipel, &here, "app:amd64", &image("linux/amd64", "a"));
    let arm64 = publish_alone(&archipel, &there, "elsewhere/app:arm64", &image("linux/arm64", "b"));
    let target = format!("{}/app:1", here.address());
    let second = format!("{}/app:latest", here.address());
    let run = |args: &[&str]| transcript(&archipel, &archipel.run(args));

    insta::assert_snapshot!(run(&["index", "create", "--progress", "quiet", &target, &amd64, &arm64, "-t", &second]), @r"
    $ archipel index create --progress quiet [REGISTRY]/app:1 [REGISTRY]/app:amd64 [REGISTRY]/elsewhere/app:arm64 -t [REGISTRY]/app:latest
    [REGISTRY]/app:1@[DIGEST]
    [REGISTRY]/app:latest@[DIGEST]
    [exit 0]
    ");
    assert_eq!(platforms(&raw(&archipel, &target)), "linux/amd64 linux/arm64");
    assert_eq!(raw(&archipel, &target), raw(&archipel, &second));
    insta::assert_snapshot!(run(&["index", "inspect", &target]), @r"
    $ archipel index inspect [REGISTRY]/app:1
    Name:      [REGISTRY]/app:1
    MediaType: application/vnd.oci.image.index.v1+json
    Digest:    [DIGEST]

    Manifests:
      Name:      [REGISTRY]/app@[DIGEST]
      MediaType: application/vnd.oci.image.manifest.v1+json
      Platform:  linux/amd64

      Name:      [REGISTRY]/app@[DIGEST]
      MediaType: application/vnd.oci.image.manifest.v1+json
      Platform:  linux/arm64
    [exit 0]
    ");

    // A newer image takes the place of the one for its platform; another is added.
    let newer = publish_alone(&archipel, &there, "newer", &image("linux/amd64", "newer"));
    let arm = publish_alone(&archipel, &there, "arm", &image("linux/arm/v7", "c"));
    archipel.ok(["index", "add", "--progress", "quiet", &target, &newer, &arm, "--annotation", "note=x"]);
    let index = raw(&archipel, &target);
    assert_eq!(platforms(&index), "linux/arm64 linux/amd64 linux/arm/v7");
    assert_eq!(index["annotations"]["note"], "x");
    archipel.ok(["index", "remove", "--progress", "quiet", &target, "linux/arm64"]);
    assert_eq!(platforms(&raw(&archipel, &target)), "linux/amd64 linux/arm/v7");
    insta::assert_snapshot!(run(&["index", "remove", "--progress", "quiet", &target, "linux/s390x"]), @r"
    $ archipel index remove --progress quiet [REGISTRY]/app:1 linux/s390x
    error: [REGISTRY]/app:1 has no such member; it has linux/amd64, linux/arm/v7
    [exit 2]
    ");
    insta::assert_snapshot!(run(&["index", "create", "--progress", "quiet", &target, &format!("{}/nope:1", here.address())]), @r"
    $ archipel index create --progress quiet [REGISTRY]/app:1 [REGISTRY]/nope:1
    error: [REGISTRY]: [REGISTRY]/nope:1: not found at http://[REGISTRY]/v2/nope/manifests/1
    [exit 12]
    ");
    // All of it is at the target's registry.
    drop(there);
    archipel.ok(["pull", "--quiet", "--all-platforms", &target]);
}

#[test]
fn indexes_come_in_flat_with_their_attestations() {
    let registry = OwnRegistry::start();
    let archipel = archipel();
    let attestation = ImageBuilder::new("unknown/unknown").layer([("statement", 0o644, &b"{}"[..])]).build();
    let whole = publish(&archipel, &registry, "whole", &[image("linux/amd64", "a"), attestation]);
    let alone = publish_alone(&archipel, &registry, "alone", &image("linux/arm64", "b"));
    let target = format!("{}/app:1", registry.address());
    archipel.ok(["index", "create", "--progress", "quiet", &target, &whole, &alone]);
    assert_eq!(platforms(&raw(&archipel, &target)), "linux/amd64 unknown/unknown linux/arm64");
    // One index alone stays what it is, byte for byte.
    let copy = format!("{}/copy:1", registry.address());
    archipel.ok(["docker", "buildx", "imagetools", "create", "--progress", "quiet", "-t", &copy, &whole]);
    assert_eq!(archipel.ok(["inspect", "--raw", &copy]), archipel.ok(["inspect", "--raw", &whole]));
}

#[test]
fn imagetools_speaks_docker() {
    let registry = OwnRegistry::start();
    let archipel = archipel();
    let amd64 = publish_alone(&archipel, &registry, "app:amd64", &image("linux/amd64", "a"));
    let arm64 = publish_alone(&archipel, &registry, "app:arm64", &image("linux/arm64", "b"));
    let target = format!("{}/app:1", registry.address());
    let run =
        |args: &[&str]| transcript(&archipel, &archipel.run([&["docker", "buildx", "imagetools"], args].concat()));
    let shown = archipel.ok(["docker", "buildx", "imagetools", "create", "--dry-run", &amd64]);
    assert_eq!(platforms(&serde_json::from_str(&shown).unwrap()), "linux/amd64");
    insta::assert_snapshot!(run(&["create", "--progress", "quiet", "-t", &target, &amd64]), @r"
    $ archipel docker buildx imagetools create --progress quiet -t [REGISTRY]/app:1 [REGISTRY]/app:amd64
    [REGISTRY]/app:1@[DIGEST]
    [exit 0]
    ");
    insta::assert_snapshot!(run(&["create", "--progress=quiet", "--append", "-t", &target, &arm64]), @r"
    $ archipel docker buildx imagetools create --progress=quiet --append -t [REGISTRY]/app:1 [REGISTRY]/app:arm64
    [REGISTRY]/app:1@[DIGEST]
    [exit 0]
    ");
    insta::assert_snapshot!(run(&["inspect", &target]), @r"
    $ archipel docker buildx imagetools inspect [REGISTRY]/app:1
    Name:      [REGISTRY]/app:1
    MediaType: application/vnd.oci.image.index.v1+json
    Digest:    [DIGEST]

    Manifests:
      Name:      [REGISTRY]/app@[DIGEST]
      MediaType: application/vnd.oci.image.manifest.v1+json
      Platform:  linux/amd64

      Name:      [REGISTRY]/app@[DIGEST]
      MediaType: application/vnd.oci.image.manifest.v1+json
      Platform:  linux/arm64
    [exit 0]
    ");
    assert_eq!(
        run(&["inspect", "--format", "{{.Manifest.MediaType}}", &target]).lines().nth(1),
        Some("application/vnd.oci.image.index.v1+json")
    );
    let digest =
        archipel.ok(["docker", "buildx", "imagetools", "inspect", "--format", "{{json .Manifest.Digest}}", &target]);
    assert!(archipel.ok(["inspect", &target]).contains(digest.trim().trim_matches('"')));
    insta::assert_snapshot!(run(&["create", &amd64]), @r"
    $ archipel docker buildx imagetools create [REGISTRY]/app:amd64
    error: can't push without a name: give one with --tag
    [exit 2]
    ");
}
