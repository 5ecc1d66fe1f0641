//! The program called as docker: the same commands, docker's flags, and output that scripts for docker read.

use archipel_testkit::{Archipel, OwnRegistry, elf, requires};

use crate::util::{archipel, image, publish, publish_alone, transcript};

/// A link named docker, as a job's container has it.
fn link() -> std::path::PathBuf {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("as-docker");
    std::fs::create_dir_all(&folder).unwrap();
    let link = folder.join("docker");
    // It may be there from the last run.
    let _ = std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_archipel"), &link);
    link
}

#[test]
fn one_link_is_enough() {
    let docker = Archipel::new(link());
    insta::assert_snapshot!(transcript(&docker, &docker.run(["--version"])), @r"
    $ archipel --version
    Docker version 29.0.0, build archipel-0.1.0
    [exit 0]
    ");
    insta::assert_snapshot!(transcript(&docker, &docker.run(["version"])), @r"
    $ archipel version
    Client: archipel 0.1.0
     Version:           29.0.0
     API version:       1.52
     OS/Arch:           linux/amd64
     Context:           default

    Server: archipel 0.1.0 (no daemon: the same program)
     Engine:
      Version:          29.0.0
      API version:      1.52 (minimum version 1.52)
      OS/Arch:          linux/amd64
      Experimental:     false
    [exit 0]
    ");
    insta::assert_snapshot!(transcript(&docker, &docker.run(["buildx", "version"])), @r"
    $ archipel buildx version
    archipel/buildx v0.30.0 archipel-0.1.0
    [exit 0]
    ");
    insta::assert_snapshot!(transcript(&docker, &docker.run(["--help"])), @r"
    $ archipel --help
    Docker's commands, without docker: no daemon, no root

    Usage: docker [OPTIONS] <COMMAND>

    Commands:
      build      Build an image from a Dockerfile, for one platform or many at once
      bake       Build the targets of a bake file or a compose file
      run        Run a command in a new container
      pull       Fetch an image from its registry
      push       Send an image, with all its platforms, to its registry
      images     List the images that are here
      inspect    Show which platforms images have. One of the store is shown as it is there, any other
                 as its registry has it
      history    Show the steps that made an image, the last one first
      tag        Give an image another name
      rmi        Remove images by name or id. What no other image needs is given back by `archipel
                 prune`
      save       Write images of the store into one archive, for `load` and `docker load`
      load       Read the images of an archive that `save`, `docker save` or a build wrote
      login      Log in to a registry, and keep the credentials where docker keeps them
      logout     Forget the credentials for a registry
      info       Show the version, where things are kept, and what this machine can run
      version    Show the version
      buildx     Docker's builder
      manifest   Docker's way to put images for several platforms under one name
      image      The same commands under docker's longer names
      container  The same commands under docker's longer names
      system     The same commands under docker's longer names
      builder    The same commands under docker's longer names

    Options:
          --config <FOLDER>  Folder of docker's configuration: credentials, builders, manifest lists
      -v, --version          Show the version
          --help             Show help
    [exit 0]
    ");
}

#[test]
fn templates_answer_what_scripts_ask() {
    let archipel = archipel();
    for (args, shown) in [
        (&["version", "--format", "{{.Server.Version}} {{.Client.Version}}"][..], "29.0.0 29.0.0\n"),
        (&["version", "-f", "{{.Server.Os}}"], "linux\n"),
        (&["info", "--format", "{{.OSType}} {{.Images}} {{.ServerVersion}}"], "linux 0 29.0.0\n"),
        (&["info", "-f", "{{json .RegistryConfig.Mirrors}}"], "[]\n"),
    ] {
        let args = [&["docker"], args].concat();
        assert_eq!(archipel.ok(&args), shown, "{args:?}");
    }
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["docker", "info", "-f", "{{.Nope}}"])), @r"
    $ archipel docker info -f {{.Nope}}
    error: --format `{{.Nope}}`: there is no field `.Nope` in ServerVersion, Driver, OSType, Architecture, KernelVersion, OperatingSystem, Name, NCPU, MemTotal, DockerRootDir, Images, Containers, ContainersRunning, ContainersPaused, ContainersStopped, SecurityOptions, ExperimentalBuild, LiveRestoreEnabled, Debug, IndexServerAddress, RegistryConfig, Warnings, ClientInfo
    [exit 2]
    ");
}

#[test]
fn info_has_the_lines_that_scripts_look_for() {
    let archipel = archipel();
    archipel.home.mirror_docker_hub("127.0.0.1:5555");
    let shown = archipel.ok(["docker", "info"]);
    for line in [
        " Server Version: 29.0.0",
        " Storage Driver: ",
        " OSType: linux",
        " Architecture: ",
        " CPUs: ",
        "  127.0.0.1:5555",
    ] {
        assert!(shown.contains(line), "no `{line}` in\n{shown}");
    }
}

#[test]
fn what_is_not_there_is_an_error() {
    let archipel = archipel();
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["docker", "compose", "up"])), @r"
    $ archipel docker compose up
    error: no command `compose`: it is not supported yet; `run -v` takes folders of this machine
    [exit 2]
    ");
    for args in [
        &["doctor"][..],
        &["-H", "tcp://docker:2375", "info"],
        &["build", "--squash", "."],
        &["buildx", "create", "--driver", "kubernetes"],
        &["buildx", "create", "--driver-opt", "memory=1g"],
        &["buildx", "create", "--buildkitd-flags", "--oci-worker-net=x"],
        &["images", "--filter", "since=a"],
        &["buildx", "build", "--builder", "nope", "."],
    ] {
        let finished = archipel.run([&["docker"], args].concat());
        assert_eq!(finished.code(), 2, "{}", finished.transcript());
    }
    // Docker's own number where a container is meant.
    assert_eq!(archipel.run(["docker", "run", "--no-such-flag", "x"]).code(), 125);
}

#[test]
fn builders_are_names() {
    let archipel = archipel();
    let run = |args: &[&str]| transcript(&archipel, &archipel.run([&["docker", "buildx"], args].concat()));
    insta::assert_snapshot!(run(&["create", "--use"]), @r"
    $ archipel docker buildx create --use
    builder0
    [exit 0]
    ");
    insta::assert_snapshot!(run(&["create", "--name", "second", "--driver=docker-container", "--driver-opt", "network=host,image=moby/buildkit"]), @r"
    $ archipel docker buildx create --name second --driver=docker-container --driver-opt network=host,image=moby/buildkit
    second
    warning: builds run in this program and not in a container of moby/buildkit, which is not used
    [exit 0]
    ");
    insta::assert_snapshot!(run(&["create", "--name", "second"]), @r#"
    $ archipel docker buildx create --name second
    error: existing instance for "second": remove it first, or use it
    [exit 2]
    "#);
    // What this machine runs differs.
    let list = |text: &str| {
        text.lines()
            .map(|line| line.split("linux/").next().unwrap_or(line).trim_end().to_owned() + "\n")
            .collect::<String>()
    };
    insta::assert_snapshot!(list(&run(&["ls"])), @r"
    $ archipel docker buildx ls
    NAME/NODE       DRIVER/ENDPOINT    STATUS    BUILDKIT   PLATFORMS
    default         docker
     \_ default0     \_ archipel       running   v0.26.0
    builder0*       docker-container
     \_ builder00    \_ archipel       running   v0.26.0
    second          docker-container
     \_ second0      \_ archipel       running   v0.26.0
    [exit 0]
    ");
    insta::assert_snapshot!(run(&["use", "third"]), @r#"
    $ archipel docker buildx use third
    error: no builder "third" found; `docker buildx ls` shows them
    [exit 2]
    "#);
    assert_eq!(archipel.ok(["docker", "buildx", "use", "second"]), "");
    let shown = archipel.ok(["docker", "buildx", "inspect", "--bootstrap"]);
    assert!(shown.starts_with("Name:          second\nDriver:        docker-container\n"), "{shown}");
    assert!(shown.contains("\nPlatforms:        linux/"), "{shown}");
    insta::assert_snapshot!(run(&["rm", "second"]), @r"
    $ archipel docker buildx rm second
    second removed
    [exit 0]
    ");
    insta::assert_snapshot!(run(&["rm", "--all-inactive"]), @r"
    $ archipel docker buildx rm --all-inactive
    builder0 removed
    [exit 0]
    ");
    insta::assert_snapshot!(run(&["rm"]), @r"
    $ archipel docker buildx rm
    error: the default builder cannot be removed
    [exit 2]
    ");
    assert!(archipel.ok(["docker", "buildx", "ls"]).contains("default*"));
    assert_eq!(archipel.ok(["docker", "buildx", "ls", "--format", "{{.Name}} {{.Current}}"]), "default true\n");
}

#[test]
fn an_image_s_life_in_docker_s_words() {
    let registry = OwnRegistry::start();
    let archipel = archipel();
    let name = publish(&archipel, &registry, "app:1", &[image("linux/amd64", "a"), image("linux/arm64", "b")]);
    let run = |args: &[&str]| transcript(&archipel, &archipel.run([&["docker"], args].concat()));
    insta::assert_snapshot!(run(&["login", "-u", "ann", "-p", "secret", registry.address()]), @r"
    $ archipel docker login -u ann -p secret [REGISTRY]
    Login Succeeded
    warning: a password on the command line can be seen by other users of this machine: use --password-stdin
    [exit 0]
    ");
    insta::assert_snapshot!(run(&["pull", "--quiet", "--platform=linux/arm64", &name]), @r"
    $ archipel docker pull --quiet --platform=linux/arm64 [REGISTRY]/app:1
    [REGISTRY]/app:1
    [exit 0]
    ");
    let other = format!("{}/other:2", registry.address());
    insta::assert_snapshot!(run(&["tag", &name, &other]), @r"
    $ archipel docker tag [REGISTRY]/app:1 [REGISTRY]/other:2
    [exit 0]
    ");
    insta::assert_snapshot!(run(&["tag", "nope", &other]), @r"
    $ archipel docker tag nope [REGISTRY]/other:2
    error: no such image: nope
     |
     = help: `archipel images` shows what is here; `archipel pull` fetches an image
    [exit 1]
    ");
    insta::assert_snapshot!(run(&["inspect", &other]), @r#"
    $ archipel docker inspect [REGISTRY]/other:2
    [
        {
            "Id": "[DIGEST]",
            "RepoTags": [
                "[REGISTRY]/app:1",
                "[REGISTRY]/other:2"
            ],
            "RepoDigests": [
                "[REGISTRY]/app@[DIGEST]",
                "[REGISTRY]/other@[DIGEST]"
            ],
            "Comment": "",
            "Created": "[TIME]",
            "Config": {
                "Env": [
                    "PATH=/bin"
                ],
                "Cmd": [
                    "/bin/true"
                ],
                "Entrypoint": null,
                "Volumes": null,
                "Labels": null,
                "ExposedPorts": null,
                "OnBuild": null,
                "User": "",
                "WorkingDir": ""
            },
            "Architecture": "arm64",
            "Os": "linux",
            "Size": 102,
            "RootFS": {
                "Type": "layers",
                "Layers": [
                    "[DIGEST]"
                ]
            },
            "Metadata": {
                "LastTagTime": "[TIME]"
            },
            "Descriptor": {
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "digest": "[DIGEST]",
                "size": 491
            }
        }
    ]
    [exit 0]
    "#);
    let ask = |format: &str| archipel.ok(["docker", "image", "inspect", "--format", format, &name]);
    assert_eq!(ask("{{.Os}}/{{.Architecture}}"), "linux/arm64\n");
    assert_eq!(ask("{{range .Config.Env}}{{println .}}{{end}}{{json .Config.Cmd}}"), "PATH=/bin\n[\"/bin/true\"]\n");
    insta::assert_snapshot!(run(&["rmi", &name, "nope"]), @r"
    $ archipel docker rmi [REGISTRY]/app:1 nope
    Untagged: [REGISTRY]/app:1
    error: no such image: nope
     |
     = help: `archipel images` shows what is here; `archipel pull` fetches an image
    [exit 1]
    ");
    insta::assert_snapshot!(run(&["logout", registry.address()]), @r"
    $ archipel docker logout [REGISTRY]
    Removing login credentials for [REGISTRY]
    [exit 0]
    ");
    assert_eq!(archipel.ok(["docker", "images", "-q"]).lines().count(), 1);
}

#[test]
fn needs_userns_run_takes_docker_s_flags() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = archipel();
    let hello = elf::program("amd64", "hello\n", 3);
    let image = archipel_testkit::ImageBuilder::new("linux/amd64")
        .layer([("bin/", 0o755, &b""[..]), ("bin/hello", 0o755, &hello)])
        .build();
    let name = publish(&archipel, &registry, "hello:1", &[image]);
    let flags = ["docker", "run", "--rm=true", "-e", "A=1", "-w", "/", "-h", "host", "--entrypoint", "/bin/hello"];
    let ran = archipel.run([&flags[..], &[name.as_str(), "--rm=x"]].concat());
    assert_eq!((ran.code(), ran.stdout()), (3, "hello\n".into()), "{}", ran.transcript());
    let missing = archipel.run(["docker", "container", "run", "--rm", &name, "/no/such"]);
    assert_eq!(missing.code(), 127, "{}", missing.transcript());
}

#[test]
fn needs_userns_an_image_without_a_name_is_had_by_its_id() {
    requires!(userns);
    let archipel = archipel();
    let hello = elf::program("amd64", "hello\n", 0);
    archipel.home.context("c", [("Dockerfile", &b"FROM scratch\nCOPY hello /\nENTRYPOINT [\"/hello\"]\n"[..])]);
    let program = archipel.home.context("c", [("hello", &hello)]).join("hello");
    std::fs::set_permissions(program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let id = archipel.ok(["docker", "build", "-q", "--platform", "linux/amd64", "c"]);
    assert_eq!(archipel.ok(["docker", "run", "--rm", "--platform", "linux/amd64", id.trim()]), "hello\n");
    let listed = archipel.ok(["docker", "images", "--format", "{{.Repository}} {{.Tag}} {{.Platforms}}"]);
    assert_eq!(listed, "<none> <none> linux/amd64\n");
    assert_eq!(archipel.ok(["docker", "images", "-f", "dangling=true", "-q"]).lines().count(), 1);
    assert_eq!(archipel.ok(["docker", "images", "-f", "dangling=false", "-q"]), "");
    archipel.ok(["docker", "tag", id.trim(), "named"]);
    // Without a name it is kept until somebody cleans up, with one until it is removed.
    archipel.ok(["docker", "system", "prune", "-f"]);
    assert_eq!(archipel.ok(["docker", "images", "--format", "{{.Repository}}"]), "named\n");
    assert_eq!(archipel.ok(["docker", "inspect", "-f", "{{len .RepoTags}}", "named"]), "1\n");
}

#[test]
fn needs_qemu_a_platform_that_does_not_match_is_told_and_only_then() {
    requires!(userns, qemu);
    let registry = OwnRegistry::start();
    let archipel = archipel();
    let foreign = if archipel_oci::Platform::host().architecture == "arm64" { "amd64" } else { "arm64" };
    let hello = elf::program(foreign, "hello\n", 0);
    let platform = format!("linux/{foreign}");
    let files = [("bin/", 0o755, &b""[..]), ("bin/hello", 0o755, &hello)];
    let image = archipel_testkit::ImageBuilder::new(&platform).layer(files).build();
    let name = publish_alone(&archipel, &registry, "foreign:1", &image);
    archipel.ok(["docker", "pull", "-q", "--platform", &platform, &name]);
    let told = archipel.run(["docker", "run", "--rm", &name, "/bin/hello"]);
    assert_eq!((told.code(), told.stdout().as_str()), (0, "hello\n"), "{}", told.transcript());
    let warning = format!("The requested image's platform ({platform}) does not match the detected host platform");
    assert!(told.stderr().contains(&warning), "{}", told.transcript());
    let asked = archipel.run(["docker", "run", "--rm", "--platform", &platform, &name, "/bin/hello"]);
    assert_eq!((asked.stdout().as_str(), asked.stderr().as_str()), ("hello\n", ""), "{}", asked.transcript());
}

#[test]
fn needs_qemu_a_build_for_each_architecture_and_one_list() {
    requires!(userns, qemu);
    let registry = OwnRegistry::start();
    let archipel = archipel();
    let bases: Vec<_> = [("linux/amd64", "amd64"), ("linux/arm64", "arm64"), ("linux/arm/v7", "arm")]
        .map(|(platform, architecture)| {
            let shell = elf::program(architecture, &format!("made on {architecture}\n"), 0);
            let files = [("bin/", 0o755, &b""[..]), ("bin/sh", 0o755, &shell), ("bin/hello", 0o755, &shell)];
            archipel_testkit::ImageBuilder::new(platform).layer(files).build()
        })
        .into();
    publish(&archipel, &registry, "library/base:latest", &bases);
    archipel.home.mirror_docker_hub(registry.address());
    archipel.home.context("c", [("Dockerfile", "FROM base\nRUN anything\nCMD [\"/bin/hello\"]\n")]);
    // What the reference pipeline's job does, word for word, with docker found in PATH.
    let script = r#"set -eo pipefail
export PATH="$LINK:$PATH"
docker info > info
docker login -u $CI_REGISTRY_USER -p $CI_REGISTRY_PASSWORD $CI_REGISTRY
docker buildx ls > builders
docker buildx build --push --platform linux/amd64 --tag "${IMAGE_TAG_SLUG}-amd64" .
docker buildx build --push --platform linux/arm64 --tag "${IMAGE_TAG_SLUG}-arm64" .
docker buildx build --push --platform linux/arm/v7 --tag "${IMAGE_TAG_SLUG}-armv7" .
docker manifest create ${IMAGE_TAG_SLUG} "${IMAGE_TAG_SLUG}-amd64" "${IMAGE_TAG_SLUG}-arm64" "${IMAGE_TAG_SLUG}-armv7"
docker manifest push ${IMAGE_TAG_SLUG}
"#;
    let name = format!("{}/group/app:main", registry.address());
    let job = || {
        let mut bash = std::process::Command::new("bash");
        bash.args(["-c", script]).current_dir(archipel.home.work().join("c")).envs(archipel.home.env());
        bash.env("LINK", link().parent().unwrap())
            .env("DOCKER_CLI_EXPERIMENTAL", "enabled")
            .env("DOCKER_HOST", "tcp://docker:2375");
        bash.env("CI_REGISTRY", registry.address())
            .env("CI_REGISTRY_USER", "ann")
            .env("CI_REGISTRY_PASSWORD", "secret");
        let output = bash.env("IMAGE_TAG_SLUG", &name).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        assert!(!told.contains("secret"), "{told}");
        String::from_utf8_lossy(&output.stdout).lines().last().unwrap().to_owned()
    };
    let digest = job();
    assert!(digest.starts_with("sha256:"), "{digest}");
    let index: serde_json::Value = serde_json::from_str(&archipel.ok(["inspect", "--raw", &name])).unwrap();
    let children: Vec<_> = index["manifests"].as_array().unwrap().iter().map(|child| child["digest"].clone()).collect();
    for (child, suffix) in children.iter().zip(["amd64", "arm64", "armv7"]) {
        let sibling = archipel.ok([
            "docker",
            "buildx",
            "imagetools",
            "inspect",
            "--format",
            "{{json .Manifest.Digest}}",
            &format!("{name}-{suffix}"),
        ]);
        assert_eq!(sibling.trim(), child.to_string());
    }
    for (platform, architecture) in [("linux/arm64", "arm64"), ("linux/arm/v7", "arm")] {
        let ran = archipel.ok(["run", "--rm", "--platform", platform, &name]);
        assert_eq!(ran, format!("made on {architecture}\n"));
    }
    // And again: nothing is in the way, and the same comes of it.
    assert_eq!(job(), digest);
}
