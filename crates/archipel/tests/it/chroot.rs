//! Builds in a container that gives neither namespaces nor mounts, as CI systems have them: a container of our own is one, with
//! Docker's capabilities and filter of system calls.

use std::process::Command;

use archipel_testkit::{Archipel, OwnRegistry, requires};

use crate::main_job::with_busybox;
use crate::util::get;

/// A shell command in such a container: the binary is there, the home's `work` is `/work`, and a store on the machine's disk `/store`.
fn contained(archipel: &Archipel, script: &str) -> Command {
    let home = archipel.home.path().display();
    std::fs::create_dir_all(archipel.home.path().join("store")).unwrap();
    let volumes = [
        format!("{}:/usr/bin/archipel:ro", env!("CARGO_BIN_EXE_archipel")),
        format!("{home}/config.toml:/config.toml:ro"),
        format!("{home}/work:/work"),
        format!("{home}/store:/store"),
    ];
    let mut args = vec!["run", "--rm", "-e", "ARCHIPEL_CONFIG=/config.toml", "-w", "/work"];
    args.extend(volumes.iter().flat_map(|volume| ["-v", volume]));
    args.extend(["busybox", "sh", "-c", script]);
    archipel.command(args)
}

/// Runs it to its end; it must succeed. What it printed, and complained of after that.
#[track_caller]
fn ok(archipel: &Archipel, script: &str) -> String {
    let output = contained(archipel, script).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{text}");
    text
}

const DOCKERFILE: &str = r#"
FROM busybox AS work
RUN echo hello > /etc/greeting && rm /etc/passwd && rm -rf /home && mkdir -p /a/b && mkfifo /a/fifo
RUN --mount=type=cache,target=/c --mount=type=secret,id=s --mount=type=bind,target=/context \
    cat /run/secrets/s /context/app/note > /c/both && cp /c/both /a/ && ln -s both /a/link
RUN --mount=type=cache,target=/c,readonly --mount=type=tmpfs,target=/tmp/deep/er <<END
  set -e
  test ! -e /etc/passwd
  grep -q secret /c/both
  touch /tmp/deep/er/x
  echo more >> /etc/greeting
  chmod 4755 /a/both
  ln /a/both /a/name
  chown -R 5:6 /a
END
RUN --mount=type=bind,source=app,target=/app,rw rm /app/note && touch /app/new && cat /etc/hosts > /dev/null
COPY --chown=7 app /app
WORKDIR /made/here
USER 8:9
RUN id > /tmp/id && test "$(cat /etc/greeting | wc -l)" = 2
FROM scratch
COPY --from=work / /
CMD ["cat", "/etc/greeting", "/tmp/id"]
"#;

#[test]
fn needs_userns_the_same_image_with_mounts_and_without() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    archipel.home.context("c", [("Dockerfile", DOCKERFILE), ("app/note", "a note\n"), ("secret", "a secret\n")]);
    let build = |name: &str| {
        format!(
            "build --progress plain --build-arg SOURCE_DATE_EPOCH=1700000000 --secret id=s,src=c/secret --platform linux/amd64 \
             --output type=image,name={}/{name},push=true,rewrite-timestamp=true c",
            registry.address()
        )
    };
    ok(&archipel, &format!("archipel {}", build("without")));
    archipel.ok(build("with").split_whitespace());
    let digest = |name: &str| {
        let answer = get(registry.address(), &format!("/v2/{name}/manifests/latest"));
        answer.lines().find(|line| line.starts_with("docker-content-digest: sha256:")).expect("a digest").to_owned()
    };
    assert_eq!(digest("without"), digest("with"));
    let image = format!("{}/without", registry.address());
    assert_eq!(archipel.ok(["run", "--rm", &image]), "hello\nmore\nuid=8 gid=9 groups=9\n");
    // Neither mount points nor what was in them.
    let listed = archipel.ok(["run", "--rm", &image, "find", "/", "-xdev"]);
    for gone in ["/run/secrets", "/context", "/c", "/tmp/deep", "/app/new", "/home", "/etc/passwd"] {
        assert!(!listed.lines().any(|line| line == gone), "{gone} in {listed}");
    }
}

#[test]
fn needs_userns_one_store_for_both() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let dockerfile = "FROM busybox\nRUN rm -rf /home /etc/passwd\nRUN echo 2 > /two\n";
    archipel.home.context("c", [("Dockerfile", dockerfile)]);
    let build = "build --progress plain --platform linux/amd64 -t both c";
    let store = archipel.home.path().join("store");
    ok(&archipel, &format!("export ARCHIPEL_STORE=/store && archipel {build}"));
    let outside = |args: &str| {
        let output = archipel.command(args.split_whitespace()).env("ARCHIPEL_STORE", &store).output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{text}");
        text
    };
    let again = outside(build);
    assert_eq!(again.matches("CACHED").count(), 2, "{again}");
    assert_eq!(outside("run --rm both ls /two /").lines().filter(|line| *line == "home").count(), 0);
    // The other way round: what an overlay made, without one.
    archipel.home.context("d", [("Dockerfile", "FROM both\nRUN rm /two\nRUN echo 3 > /three\n")]);
    outside("build --progress plain --platform linux/amd64 -t more d");
    archipel.home.context("e", [("Dockerfile", "FROM more\nRUN test ! -e /two && test ! -e /home && cat /three\n")]);
    let inside =
        ok(&archipel, "export ARCHIPEL_STORE=/store && archipel build --progress plain --platform linux/amd64 e");
    assert!(inside.lines().any(|line| line.ends_with(" 3")), "{inside}");
}

#[test]
fn needs_userns_nothing_of_a_step_survives() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let daemons = "FROM busybox\nRUN (setsid sleep 7001 &) ; sleep 7002 & echo begun\n";
    archipel.home.context("c", [("Dockerfile", daemons)]);
    let waits = "FROM busybox\nRUN --mount=type=secret,id=s (setsid sleep 7003 &); echo waiting; sleep 7004\n";
    archipel.home.context("d", [("Dockerfile", waits), ("secret", "a secret\n")]);
    let script = "archipel build --progress plain c || exit 1
        ps | grep '[s]leep 700' && exit 2
        archipel build --progress plain --secret id=s,src=d/secret d > /log 2>&1 & build=$!
        until grep -q '[0-9] waiting' /log; do sleep 0.1; done
        kill -TERM $build; wait $build; echo ended with $?
        ps | grep '[s]leep 700' && exit 3
        ls -A /root/.local/share/archipel/work; echo nothing is left";
    let told = ok(&archipel, script);
    assert!(told.contains("ended with 130\nnothing is left\n"), "{told}");
}

#[test]
fn needs_userns_a_step_of_root_sees_itself_in_proc() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let dockerfile = "FROM busybox\nRUN readlink /proc/self/exe && head -n1 /proc/self/status && echo to stderr > /dev/stderr && \
                      echo piped | cat /dev/stdin && test -e /proc/self/mounts && ! cat /proc/1/environ\n\
                      USER 5\nRUN ! cat /proc/self/status\n";
    archipel.home.context("c", [("Dockerfile", dockerfile)]);
    let told = ok(&archipel, "archipel build --progress plain c");
    for line in ["/bin/busybox", "head", "to stderr", "piped"] {
        assert!(told.lines().any(|told| told.trim_end().ends_with(line)), "{line} in {told}");
    }
}

#[test]
fn needs_userns_what_such_a_container_does_not_give() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let told = ok(&archipel, "archipel doctor");
    for word in ["run as this container's root in a chroot", "/proc: not mounted", "This machine can build and run"] {
        assert!(told.contains(word), "{told}");
    }
    archipel.home.context("c", [("Dockerfile", "FROM busybox\nRUN --network=none true\n")]);
    let told = ok(&archipel, "! archipel build --progress plain c 2>&1");
    assert!(told.contains("this container gives no process a network of its own"), "{told}");
    let told = ok(&archipel, "mkdir /v; archipel run --rm -v /v:/v busybox true; test $? = 125");
    assert!(told.contains("end it in `:ro`"), "{told}");
    // Who is not root has nothing to stand on, and is told what would be.
    let told =
        ok(&archipel, "echo u:x:5:5::/tmp:/bin/sh >> /etc/passwd; su u -c 'HOME=/tmp archipel build c'; test $? = 13");
    assert!(told.contains("this machine gives no user namespaces"), "{told}");
}
