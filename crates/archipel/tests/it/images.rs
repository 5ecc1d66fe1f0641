//! What is in the store: listed, named, removed.

use archipel_testkit::{OwnRegistry, requires};

use crate::util::{archipel, image, publish, transcript};

#[test]
fn names_platforms_and_sizes() {
    let registry = OwnRegistry::start();
    let archipel = archipel();
    let run = |args: &[&str]| transcript(&archipel, &archipel.run(args)).replace(registry.address(), "[REGISTRY]");
    insta::assert_snapshot!(run(&["images"]), @r"
    $ archipel images
    REPOSITORY   TAG   IMAGE ID   PLATFORMS   SIZE
    [exit 0]
    ");
    let name = publish(&archipel, &registry, "app:1", &[image("linux/amd64", "a"), image("linux/arm64", "a")]);
    archipel.ok(["pull", "--quiet", "--all-platforms", &name]);
    let one = publish(&archipel, &registry, "one", &[image("linux/arm/v7", "c"), image("linux/amd64", "d")]);
    archipel.ok(["pull", "--quiet", "--platform", "linux/arm/v7", &one]);
    archipel.ok(["tag", &name, "short"]);
    // A port is not always as long.
    let columns = |text: String| {
        let row = |line: &str| line.split_whitespace().collect::<Vec<_>>().join("  ") + "\n";
        text.lines().map(row).collect::<String>()
    };
    insta::assert_snapshot!(columns(run(&["images"])), @r"
    $  archipel  images
    REPOSITORY  TAG  IMAGE  ID  PLATFORMS  SIZE
    [REGISTRY]/app  1  a2172b0a2422  linux/amd64,linux/arm64  646  B
    [REGISTRY]/one  latest  cf4a0b498e2b  linux/arm/v7  387  B
    short  latest  a2172b0a2422  linux/amd64,linux/arm64  646  B
    [exit  0]
    ");
    insta::assert_snapshot!(columns(run(&["images", "short"])), @r"
    $  archipel  images  short
    REPOSITORY  TAG  IMAGE  ID  PLATFORMS  SIZE
    short  latest  a2172b0a2422  linux/amd64,linux/arm64  646  B
    [exit  0]
    ");
    insta::assert_snapshot!(run(&["images", "--format", "{{.Repository}}:{{.Tag}} {{.Platforms}}"]), @r"
    $ archipel images --format {{.Repository}}:{{.Tag}} {{.Platforms}}
    [REGISTRY]/app:1 linux/amd64,linux/arm64
    [REGISTRY]/one:latest linux/arm/v7
    short:latest linux/amd64,linux/arm64
    [exit 0]
    ");
    for (filter, count) in
        [("reference=short", 1), ("reference=sh*:latest", 1), ("reference=*", 1), ("reference=*/app", 1)]
    {
        assert_eq!(
            archipel.ok(["images", "--filter", filter, "--format", "{{.ID}}"]).lines().count(),
            count,
            "{filter}"
        );
    }
    let listed: Vec<serde_json::Value> =
        archipel.ok(["images", "--format", "json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(listed.len(), 3);
    assert_eq!((&listed[2]["Repository"], &listed[2]["Tag"]), (&"short".into(), &"latest".into()));
    let whole = archipel.ok(["images", "--quiet", "--no-trunc", "short"]);
    assert_eq!(whole.trim(), listed[2]["Digest"]);

    // By id: both names go, and only with a word.
    let id = archipel.ok(["images", "-q", "short"]);
    insta::assert_snapshot!(run(&["rmi", id.trim()]), @r"
    $ archipel rmi a2172b0a2422
    error: `a2172b0a2422` has several names ([REGISTRY]/app:1, short:latest): give one of them, or --force
    [exit 2]
    ");
    insta::assert_snapshot!(run(&["rmi", "--force", id.trim(), "nope"]), @r"
    $ archipel rmi --force a2172b0a2422 nope
    Untagged: [REGISTRY]/app:1
    Untagged: short:latest
    [exit 0]
    ");
    insta::assert_snapshot!(run(&["rmi", "nope"]), @r"
    $ archipel rmi nope
    error: no such image: nope
     |
     = help: `archipel images` shows what is here; `archipel pull` fetches an image
    [exit 1]
    ");
    assert_eq!(archipel.ok(["images", "-q"]).lines().count(), 1);
}

#[test]
fn needs_userns_what_is_not_needed_is_given_back() {
    archipel_testkit::requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = archipel();
    let name = publish(&archipel, &registry, "app:1", &[image("linux/amd64", "a")]);
    archipel.ok(["pull", "--quiet", "--platform", "linux/amd64", &name]);
    let used = || -> serde_json::Value { serde_json::from_str(&archipel.ok(["du", "--format", "json"])).unwrap() };
    let before = used();
    assert!(before["blobs"].as_u64() > Some(0) && before["images"] == 1, "{before}");
    archipel.ok(["prune"]);
    assert_eq!(used()["blobs"], before["blobs"]);
    archipel.ok(["rmi", &name]);
    assert!(archipel.ok(["docker", "system", "prune", "-af"]).starts_with("Total reclaimed space: "));
    assert_eq!(used()["blobs"], 0);
    let shown = archipel.ok(["du"]);
    assert!(shown.starts_with("WHAT ") && shown.ends_with("\n0 names of images\n"), "{shown}");
}

#[test]
fn needs_userns_nothing_is_removed_from_a_store_that_others_have_open() {
    requires!(userns);
    let archipel = archipel();
    let context = archipel.home.context("unnamed", [("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
    archipel.ok(["build", &context.display().to_string()]);
    let open = archipel_store::Store::open(&archipel.home.store()).unwrap();
    let told = archipel.run(["prune"]).fails(1);
    assert!(told.contains("in use"), "{told}");
    assert_eq!(archipel.ok(["images", "-q"]).lines().count(), 1);
    drop(open);
    archipel.ok(["prune"]);
    assert_eq!(archipel.ok(["images", "-q"]), "");
}

#[test]
fn needs_userns_the_steps_of_an_image_read_well() {
    requires!(userns);
    let archipel = archipel();
    let dockerfile =
        "FROM scratch\nENV A=b\nCOPY Dockerfile /a/rather/long/path/so/that/it/is/cut\nCMD [\"x\", \"y\"]\n";
    let dir = archipel.home.context("c", [("Dockerfile", dockerfile)]).display().to_string();
    archipel.ok(["build", "-q", "-t", "h.example/a:1", &dir]);
    let run = |args: &[&str]| transcript(&archipel, &archipel.run(args));
    insta::assert_snapshot!(run(&["history", "--format", "{{.CreatedBy}} | {{.Comment}}", "h.example/a:1"]), @r#"
    $ archipel history --format {{.CreatedBy}} | {{.Comment}} h.example/a:1
    CMD ["x" "y"] | buildkit.dockerfile.v0
    COPY Dockerfile /a/rather/long/path/so/that/… | buildkit.dockerfile.v0
    ENV A=b | buildkit.dockerfile.v0
    [exit 0]
    "#);
    let whole = archipel.ok(["history", "--no-trunc", "--format", "json", "h.example/a:1"]);
    assert!(whole.contains("COPY Dockerfile /a/rather/long/path/so/that/it/is/cut # buildkit"), "{whole}");
    let table = archipel.ok(["history", "h.example/a:1"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[0].starts_with("IMAGE") && lines[1].contains(" ago ") && lines[2].starts_with("<missing>"),
        "{table}"
    );
}
