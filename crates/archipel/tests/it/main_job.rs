//! The main job: one Dockerfile, three architectures, one index, published and run.

use std::path::Path;
use std::process::Command;

use archipel_testkit::{Archipel, DockerRegistry, OwnRegistry, bases, requires};
use serde_json::Value;

use crate::util::get;

const PLATFORMS: &str = "linux/amd64,linux/arm64,linux/arm/v7";

/// A home in which docker.io is a registry that holds busybox.
pub(crate) fn with_busybox(registry: &str) -> Archipel {
    let archipel = Archipel::new(env!("CARGO_BIN_EXE_archipel"));
    archipel.home.mirror_docker_hub(registry);
    let layout = format!("oci:{}", bases("busybox").display());
    archipel.ok(["copy", &layout, &format!("{registry}/library/busybox:latest")]);
    archipel
}

fn context(archipel: &Archipel) -> String {
    let dockerfile = "FROM busybox AS build\nARG TARGETARCH\nRUN uname -m > /machine && echo $TARGETARCH > /target\n\
                      FROM busybox\nCOPY --from=build /machine /target /\nCOPY static /static\nCMD [\"cat\", \"/machine\"]\n";
    let dir = archipel.home.context("app", [("Dockerfile", dockerfile), ("static", "the same everywhere\n")]);
    dir.display().to_string()
}

fn raw(archipel: &Archipel, reference: &str) -> Value {
    serde_json::from_str(&archipel.ok(["inspect", "--raw", reference])).unwrap()
}

fn platforms(index: &Value) -> Vec<String> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["platform"])
        .map(|p| {
            let variant = text(&p["variant"]);
            format!(
                "{}/{}{}{variant}",
                text(&p["os"]),
                text(&p["architecture"]),
                if variant.is_empty() { "" } else { "/" }
            )
        })
        .collect()
}

#[test]
fn needs_qemu_one_build_makes_one_index_that_runs_everywhere() {
    requires!(userns, qemu);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let dir = context(&archipel);
    let (latest, one) = (format!("{}/app:latest", registry.address()), format!("{}/app:1", registry.address()));
    let build = ["build", "--platform", PLATFORMS, "-t", &latest, "-t", &one, "--push", &dir];
    archipel.ok(build);

    let index = raw(&archipel, &latest);
    assert_eq!(platforms(&index), ["linux/amd64", "linux/arm64", "linux/arm/v7"]);
    assert_eq!(raw(&archipel, &one), index);
    for (platform, machine) in [("linux/amd64", "x86_64"), ("linux/arm64", "aarch64"), ("linux/arm/v7", "armv7l")] {
        let run = archipel.run(["run", "--rm", "--platform", platform, &latest]);
        assert_eq!(run.ok().trim(), machine);
    }

    // What does not depend on the platform is one blob for all.
    let layers = |n: usize| {
        let digest = index["manifests"][n]["digest"].as_str().unwrap();
        let manifest = raw(&archipel, &format!("{}/app@{digest}", registry.address()));
        manifest["layers"].as_array().unwrap().last().unwrap()["digest"].clone()
    };
    assert_eq!(layers(0), layers(1));
    assert_eq!(layers(0), layers(2));

    // The same again is the same image, and every step comes from the cache.
    let again = archipel.run([&build[..], &["--progress", "plain"]].concat());
    let log = again.stderr();
    assert_eq!(again.code(), 0, "{log}");
    assert!(log.contains("CACHED") && !log.contains("DONE RUN"), "{log}");
    assert_eq!(raw(&archipel, &latest), index);
}

#[test]
fn needs_qemu_what_we_push_peers_read_and_what_they_push_we_run() {
    requires!(userns, qemu, skopeo, podman, "docker-registry");
    let theirs = DockerRegistry::start();
    let ours = OwnRegistry::start();
    let archipel = with_busybox(theirs.address());
    let dir = context(&archipel);
    let there = format!("{}/app:latest", theirs.address());
    archipel.ok(["build", "--platform", PLATFORMS, "-t", &there, "--push", &dir]);

    let seen = tool("skopeo", &["inspect", "--raw", "--tls-verify=false", &format!("docker://{there}")]);
    assert_eq!(serde_json::from_str::<Value>(&seen).unwrap(), raw(&archipel, &there));

    // There and back through both registries and an unrelated client, byte for byte.
    let middle = format!("{}/copied/app:latest", ours.address());
    let back = format!("{}/back/app:latest", theirs.address());
    for (from, to) in [(&there, &middle), (&middle, &back)] {
        tool(
            "skopeo",
            &[
                "copy",
                "--all",
                "--src-tls-verify=false",
                "--dest-tls-verify=false",
                &format!("docker://{from}"),
                &format!("docker://{to}"),
            ],
        );
    }
    assert_eq!(raw(&archipel, &back), raw(&archipel, &there));
    assert_eq!(archipel.ok(["run", "--rm", "--platform", "linux/arm64", &middle]).trim(), "aarch64");

    let root = archipel.home.path().join("podman");
    let podman = |args: &[&str]| {
        let state =
            [format!("--root={}", root.join("root").display()), format!("--runroot={}", root.join("run").display())];
        let mut all: Vec<&str> = state.iter().map(String::as_str).collect();
        all.extend(["--storage-driver=vfs"]);
        all.extend(args);
        tool("podman", &all)
    };
    podman(&["pull", "--tls-verify=false", &middle]);
    let pushed = format!("{}/from-podman:latest", ours.address());
    podman(&["push", "--tls-verify=false", &middle, &pushed]);
    assert_eq!(archipel.ok(["run", "--rm", &pushed]).trim(), "x86_64");
}

#[test]
fn needs_userns_a_local_output_is_what_buildah_gives() {
    requires!(userns, buildah);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let dockerfile = format!(
        "FROM {}/library/busybox\nWORKDIR /srv/app\nCOPY --chown=1:2 . /data\nCOPY --chmod=0700 sub/run /bin/go\n\
         RUN mkdir -p /made && echo hi > /made/f && chmod 640 /made/f && chown 7:8 /made/f && ln -s f /made/l && ln /made/f /made/h\n\
         RUN rm -rf /home && rm /bin/xz\nUSER daemon\nRUN id > /tmp/id\n",
        registry.address()
    );
    let files = [("Dockerfile", dockerfile.as_str()), ("a.txt", "a"), ("sub/run", "#!/bin/sh\n"), ("sub/deep/x", "x")];
    let dir = archipel.home.context("tree", files).display().to_string();
    let ours = archipel.home.path().join("ours.tar");
    archipel.ok(["build", "-o", &format!("type=tar,dest={}", ours.display()), &dir]);

    let state = archipel.home.path().join("buildah");
    let options =
        [format!("--root={}", state.join("root").display()), format!("--runroot={}", state.join("run").display())];
    let image = "localhost/tree";
    let mut build: Vec<&str> = options.iter().map(String::as_str).collect();
    build.extend(["--storage-driver=vfs", "bud", "--isolation=chroot", "--tls-verify=false", "-t", image, &dir]);
    tool("buildah", &build);
    let mut from: Vec<&str> = options.iter().map(String::as_str).collect();
    from.extend(["--storage-driver=vfs", "from", image]);
    let container = tool("buildah", &from).trim().to_owned();
    let mut mount: Vec<&str> = options.iter().map(String::as_str).collect();
    mount.extend(["--storage-driver=vfs", "mount", &container]);
    let root = tool("buildah", &mount).trim().to_owned();
    let theirs = archipel.home.path().join("theirs.tar");
    tool("tar", &["-C", &root, "-cf", &theirs.display().to_string(), "."]);
    assert_eq!(listing(&ours), listing(&theirs));
}

/// Paths, kinds, modes, owners, sizes and link targets in an archive, without times.
fn listing(tar: &Path) -> Vec<String> {
    let text = tool("tar", &["--numeric-owner", "-tvf", &tar.display().to_string()]);
    // mode owner size date time path...
    let line = |l: &str| {
        let mut fields = l.split_whitespace();
        let (mode, owner, size) = (fields.next()?, fields.next()?, fields.next()?);
        let path = fields.skip(2).collect::<Vec<_>>().join(" ");
        let path = path.trim_start_matches("./").trim_end_matches('/').replace("link to ./", "link to ");
        // Builders leave mount points of their own behind, and which of two hard links comes first is the archiver's affair.
        let own = ["", "proc", "sys", "dev", "run", "run/secrets", "etc/hosts", "etc/resolv.conf", "etc/hostname"];
        let hard = path.contains(" link to ");
        (!own.contains(&path.as_str()) && !hard && !path.starts_with("made/f") && !path.starts_with("made/h"))
            .then(|| format!("{mode} {owner} {} {path}", if mode.starts_with('d') { "-" } else { size }))
    };
    let mut lines: Vec<String> = text.lines().filter_map(line).collect();
    lines.sort();
    lines
}

pub(crate) fn tool(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}\n{shown}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn needs_userns_files_go_to_folders_and_archives() {
    use std::os::unix::fs::MetadataExt;
    requires!(userns);
    let archipel = Archipel::new(env!("CARGO_BIN_EXE_archipel"));
    let dockerfile = "FROM scratch\nARG TARGETARCH\nCOPY --chown=7:8 $TARGETARCH /which\nCOPY --chmod=4711 run /run\nCOPY run /deep/\n";
    let files = [("Dockerfile", dockerfile), ("amd64", "a"), ("arm64", "b"), ("run", "x")];
    let dir = archipel.home.context("files", files).display().to_string();
    let out = archipel.home.work().join("out");
    std::fs::create_dir_all(out.join("linux_amd64")).unwrap();
    std::fs::write(out.join("linux_amd64/old"), "old").unwrap();
    archipel.ok(["build", "--platform", "linux/amd64,linux/arm64", "-o", "out", "-o", "type=tar,dest=out.tar", &dir]);
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    assert_eq!([read("linux_amd64/which"), read("linux_arm64/which"), read("linux_amd64/old")], ["a", "b", "old"]);
    // The files are the caller's, whoever owns them in the image.
    let mine = std::fs::metadata(&dir).unwrap();
    let run = std::fs::metadata(out.join("linux_arm64/run")).unwrap();
    let which = std::fs::metadata(out.join("linux_arm64/which")).unwrap();
    assert_eq!((run.mode() & 0o7777, run.uid(), which.uid()), (0o4711, mine.uid(), mine.uid()));
    let listed = tool("tar", &["--numeric-owner", "-tvf", &archipel.home.work().join("out.tar").display().to_string()]);
    let listed: Vec<String> = listed
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .map(|fields| format!("{} {} {}", fields[0], fields[1], fields[5]))
        .collect();
    let of = |platform: &str| {
        [
            "drwxr-xr-x 0/0 P/",
            "drwxr-xr-x 0/0 P/deep/",
            "-rw-r--r-- 0/0 P/deep/run",
            "-rws--x--x 0/0 P/run",
            "-rw-r--r-- 7/8 P/which",
        ]
        .map(|line| line.replace('P', platform))
    };
    assert_eq!(listed, [of("linux_amd64"), of("linux_arm64")].concat());
}

#[test]
fn needs_userns_a_push_by_digest_gives_no_tag_and_docker_s_types_are_all_docker_s() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let dir = archipel.home.context("app", [("Dockerfile", "FROM busybox\nRUN echo x > /x\n")]).display().to_string();
    let metadata = archipel.home.path().join("metadata.json").display().to_string();
    let output = format!("type=image,name={}/by/digest,push-by-digest=true,push=true", registry.address());
    archipel.ok(["build", "-o", &output, "--metadata-file", &metadata, &dir]);
    let metadata: Value = serde_json::from_slice(&std::fs::read(metadata).unwrap()).unwrap();
    let digest = metadata["containerimage.digest"].as_str().unwrap();
    let found = raw(&archipel, &format!("{}/by/digest@{digest}", registry.address()));
    assert!(found["layers"].as_array().unwrap().iter().all(|l| l["mediaType"].as_str().unwrap().contains("oci")));
    let error = archipel.run(["pull", &format!("{}/by/digest:latest", registry.address())]).fails(12);
    assert!(error.contains("not found"), "{error}");

    let name = format!("{}/docker/types:1", registry.address());
    archipel.ok(["build", "-t", &name, "-o", "type=registry,oci-mediatypes=false", &dir]);
    let found = raw(&archipel, &name);
    let types = [&found["config"]].into_iter().chain(found["layers"].as_array().unwrap()).chain([&found]);
    assert!(types.into_iter().all(|part| part["mediaType"].as_str().unwrap().contains("vnd.docker.")), "{found}");
}

#[test]
fn needs_qemu_provenance_is_a_member_of_the_index_that_no_reader_takes_for_an_image() {
    requires!(userns, qemu, skopeo);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let dir = context(&archipel);
    let name = format!("{}/attested/app:1", registry.address());
    let secret = "not-for-everybody";
    let build = ["build", "--platform", "linux/amd64,linux/arm64", "-t", &name, "--push", "--build-arg"];
    let argument = format!("TOKEN={secret}");
    let run = |mode: &str| {
        archipel.ok([&build[..], &[&argument, "--provenance", mode, &dir]].concat());
        raw(&archipel, &name)
    };
    let index = run("mode=min");
    assert_eq!(platforms(&index), ["linux/amd64", "linux/arm64", "unknown/unknown", "unknown/unknown"]);
    for n in 0..2 {
        let attestation = &index["manifests"][n + 2];
        assert_eq!(attestation["annotations"]["vnd.docker.reference.digest"], index["manifests"][n]["digest"]);
        let manifest = raw(&archipel, &format!("{name}@{}", attestation["digest"].as_str().unwrap()));
        assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.in-toto+json");
        // A registry can also be asked for what is attested of an image.
        let about = index["manifests"][n]["digest"].as_str().unwrap();
        assert_eq!(manifest["subject"]["digest"], about);
        let digest = attestation["digest"].as_str().unwrap();
        let found = get(registry.address(), &format!("/v2/attested/app/referrers/{about}"));
        assert!(found.contains(digest), "no {digest} in {found}");
    }
    // The same again is the same; what was given is published only where that is asked for.
    assert_eq!(run("mode=min"), index);
    assert_ne!(run("mode=max"), index);
    assert_eq!(archipel.ok(["run", "--rm", "--platform", "linux/arm64", &name]).trim(), "aarch64");
    tool("skopeo", &["inspect", "--tls-verify=false", &format!("docker://{name}")]);
    let shown = archipel.ok(["inspect", &name]);
    assert!(!shown.contains("unknown") && shown.contains("2 attestations"), "{shown}");
}

#[test]
fn needs_qemu_a_foreign_image_runs_with_a_warning_and_one_that_was_asked_for_without() {
    requires!(userns, qemu);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let dir = context(&archipel);
    let name = format!("{}/foreign:1", registry.address());
    archipel.ok(["build", "--platform", "linux/arm64,linux/arm/v7", "-t", &name, "--push", &dir]);
    let plain = archipel.run(["run", "--rm", &name]);
    assert_eq!(plain.code(), 0, "{}", plain.stderr());
    assert!(
        plain.stderr().contains("The requested image's platform (linux/arm64) does not match"),
        "{}",
        plain.stderr()
    );
    assert!(plain.ok().contains("aarch64"));
    let asked = archipel.run(["run", "--rm", "--platform", "linux/arm/v7", &name]);
    assert!(!asked.stderr().contains("does not match"), "{}", asked.stderr());
    assert!(asked.ok().contains("armv7l"));
}

#[test]
fn needs_userns_a_secret_that_nobody_gave_is_an_empty_variable() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let run = "RUN --mount=type=secret,id=x,env=X echo \"[${X-unset}]\" > /o";
    archipel.home.context("c", [("Dockerfile", format!("FROM busybox\n{run}\n"))]);
    let _ = archipel.ok(["build", "-o", "out", "c"]);
    assert_eq!(std::fs::read_to_string(archipel.home.work().join("out/o")).unwrap(), "[]\n");
}
