//! `archipel ci`: pipelines in containers of our own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use archipel_testkit::{Archipel, OwnRegistry, requires};

use crate::main_job::with_busybox;

/// A repository with one commit, in the home of a binary.
pub(crate) fn repository(archipel: &Archipel, pipeline: &str, files: &[(&str, &str)]) -> PathBuf {
    let all = files.iter().copied().chain([(".gitlab-ci.yml", pipeline)]);
    let dir = archipel.home.context("project", all);
    for arguments in [&["init", "-q", "-b", "Feature/One"][..], &["add", "."], &["commit", "-qm", "First"]] {
        let mut git = Command::new("git");
        git.current_dir(&dir).args(["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]);
        assert!(git.args(arguments).status().unwrap().success());
    }
    dir
}

const STAGES: &str = r#"
image: busybox
variables: {GREETING: "hello $CI_COMMIT_REF_SLUG"}
make:
  stage: build
  script:
    - echo "$GREETING" > out.txt
    - echo "VERSION=1.2" > build.env
    - cat uncommitted committed
    - echo "data ${XDG_DATA_HOME-unset}"
    - printf '\033own\n'
    - rm committed
  artifacts: {paths: [out.txt], reports: {dotenv: build.env}}
check:
  needs: [make]
  before_script: ["cat out.txt"]
  script:
    - test "$VERSION" = 1.2
    - test -e committed
    - printf 'sup3r'; sleep 0.1; printf 'secret\n'
    - |
      echo multi
      echo $TOKEN
  after_script: ["echo after $CI_JOB_STATUS"]
may-fail: {script: [exit 7], allow_failure: {exit_codes: [7]}}
never: {script: [echo never], rules: [{if: $CI_COMMIT_TAG}]}
press: {script: [echo pressed], when: manual}
last: {stage: .post, script: [echo never], when: on_failure}
"#;

#[test]
fn needs_userns_a_pipeline_runs_over_the_tree_as_it_is() {
    requires!(userns, git);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let dir = repository(&archipel, STAGES, &[("committed", "committed\n")]);
    fs::write(dir.join("uncommitted"), "uncommitted\n").unwrap();
    let secrets = archipel.home.path().join("secrets");
    fs::write(&secrets, "TOKEN=sup3rsecret\n").unwrap();
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
    let arguments = ["ci", "run", "--jobs", "1", "--masked-variable-file", &secrets.display().to_string()];
    let mut command = archipel.command(arguments);
    let output = command.current_dir(&dir).output().unwrap();
    let log = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{log}{}", String::from_utf8_lossy(&output.stderr));
    for line in [
        "make | $ echo \"$GREETING\" > out.txt",
        "make | uncommitted",
        "make | committed",
        "make | data unset",
        "make | Kept 1 artifacts.",
        "check | hello feature-one",
        "check | [MASKED]",
        "check | $ echo multi # collapsed multi-line command",
        "check | after success",
    ] {
        assert!(log.lines().any(|seen| seen == line), "no line {line:?} in\n{log}");
    }
    for part in
        ["may-fail   test    failed (allowed): exit code 7", "manual (--play runs it)", "skipped (nothing failed)"]
    {
        assert!(log.contains(part), "no {part:?} in\n{log}");
    }
    assert!(!log.contains("sup3rsecret") && !log.contains("never"), "{log}");
    // Nobody sees colours here but those that the script makes itself.
    assert_eq!(log.matches('\u{1b}').count(), 1, "{log}");
    assert!(log.contains("make | \u{1b}own"), "{log}");
    // The tree is as it was, and nothing of the jobs is left.
    assert!(dir.join("committed").exists() && !dir.join("out.txt").exists());
    assert_eq!(fs::read_dir(archipel.home.store().join("work")).unwrap().count(), 0);

    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = archipel.command(arguments).current_dir(&dir).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("others can read this file (mode 644)"));
}

#[test]
fn needs_userns_artifacts_go_when_no_job_may_want_them() {
    requires!(userns, git);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    // A running job has two folders in our store, one for its image and one for its files. It asks how many there are.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let count = format!("echo \"now $(wget -qO- http://{}/)\"", listener.local_addr().unwrap());
    let pipeline = format!(
        r#"
image: busybox
stages: [one, two, three]
.user: {{image: {{name: busybox, docker: {{user: "1"}}}}}}
make: {{extends: .user, stage: one, script: [mkdir -p out/empty, touch -d @1000000000 out/old], artifacts: {{paths: [out]}}}}
use:
  extends: .user
  stage: two
  script:
    - test -d out/empty
    - touch out/new
    - echo "time $(stat -c %Y out/old)"
    - {count}
after: {{stage: three, script: ['{count}'], dependencies: []}}
"#
    );
    let dir = repository(&archipel, &pipeline, &[]);
    let work = archipel.home.store().join("work");
    let told = std::thread::spawn(move || {
        for asked in listener.incoming().take(2) {
            let mut asked = asked.unwrap();
            let _ = asked.read(&mut [0; 4096]).unwrap();
            write!(asked, "HTTP/1.0 200 OK\r\n\r\n{}", fs::read_dir(&work).unwrap().count()).unwrap();
        }
    });
    let output = archipel.command(["ci", "run"]).current_dir(&dir).output().unwrap();
    let log = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{log}{}", String::from_utf8_lossy(&output.stderr));
    told.join().unwrap();
    for line in ["make | Kept 3 artifacts.", "use | time 1000000000", "use | now 3", "after | now 2"] {
        assert!(log.lines().any(|seen| seen == line), "no line {line:?} in\n{log}");
    }
}

#[test]
fn needs_userns_jobs_trust_registries_as_the_person_does() {
    requires!(userns, git);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let certificates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../remote/tests/it/data");
    let (home, private) = (archipel.home.path(), archipel.home.path().join("key.pem"));
    fs::copy(certificates.join("server.key"), &private).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o600)).unwrap();
    // Nobody listens there, which is found out after the certificates were read.
    archipel.home.write_config(&format!(
        "[registry.\"docker.io\"]\nmirrors = [\"{}\"]\n[registry.\"127.0.0.1:1\"]\nca = [\"{}\"]\n\
         keypair = [{{ key = \"{}\", cert = \"{}\" }}]\n[registry.\"127.0.0.1:2\"]\nca = [\"{}/none.pem\"]\n",
        registry.address(),
        certificates.join("ca.pem").display(),
        private.display(),
        certificates.join("server.pem").display(),
        home.display(),
    ));
    let pipeline = r#"
image: busybox
job:
  script:
    - docker pull 127.0.0.1:1/image || docker pull 127.0.0.1:2/image || true
    - for file in /run/archipel/registries/*; do grep -l 'PRIVATE KEY' $file && stat -c 'mode %a' $file; done || true
    - (echo changed >> /run/archipel/registries/1.pem) || echo refused
"#;
    let dir = repository(&archipel, pipeline, &[]);
    let output = archipel.command(["ci", "run"]).current_dir(&dir).output().unwrap();
    let log = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{log}{}", String::from_utf8_lossy(&output.stderr));
    let none = format!("certificate {}/none.pem", home.display());
    for part in ["connection to 127.0.0.1:1 refused", none.as_str(), "mode 600", "Read-only file system", "\nrefused"] {
        assert!(log.contains(part), "no {part:?} in\n{log}");
    }
}

#[test]
fn needs_userns_what_pipelines_keep_is_counted_and_given_back() {
    requires!(userns, git);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let pipeline = r#"
image: busybox
job:
  script:
    - docker login -u $CI_REGISTRY_USER -p $CI_REGISTRY_PASSWORD $CI_REGISTRY
    - docker build -t $CI_REGISTRY_IMAGE:1 --push .
    - mkdir cached && head -c 200000 /dev/urandom > cached/file
  cache: {key: k, paths: [cached]}
"#;
    let dir =
        repository(&archipel, pipeline, &[("Dockerfile", "FROM busybox\nRUN head -c 300000 /dev/urandom > /large\n")]);
    let output = archipel.command(["ci", "run"]).current_dir(&dir).output().unwrap();
    let log = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{log}{}", String::from_utf8_lossy(&output.stderr));
    let used = || -> serde_json::Value { serde_json::from_str(&archipel.ok(["du", "--format", "json"])).unwrap() };
    let of = |used: &serde_json::Value, what: &str| used["pipelines"][what].as_u64().unwrap();
    let before = used();
    assert!(of(&before, "registry") > 300_000 && of(&before, "caches") > 200_000, "{before}");
    assert!(of(&before, "stores") > 300_000, "{before}");
    let parts = ["blobs", "snapshots", "cache"].map(|part| before[part].as_u64().unwrap());
    let total =
        parts.iter().sum::<u64>() + ["registry", "caches", "stores"].map(|part| of(&before, part)).iter().sum::<u64>();
    assert_eq!(before["total"], total);

    archipel.ok(["prune"]);
    let pruned = used();
    let left = ["registry", "caches", "stores"].map(|part| of(&pruned, part));
    assert_eq!(left, [of(&before, "registry"), 0, 0]);
    archipel.ok(["prune", "--all"]);
    // Folders are left, and the names of repositories.
    assert!(of(&used(), "registry") < 300_000, "{}", used());
}

#[test]
fn needs_userns_a_service_has_its_port_for_itself() {
    requires!(userns, git);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let dockerfile = format!(
        "FROM busybox\nEXPOSE {port}\nRUN mkdir /web && echo served > /web/page\n\
         CMD [\"httpd\", \"-f\", \"-p\", \"{port}\", \"-h\", \"/web\"]\n"
    );
    let context = archipel.home.context("service", [("Dockerfile", dockerfile)]);
    archipel.ok(["build", "-t", "web", &context.display().to_string()]);
    let pipeline = format!(
        r#"
image: busybox
.job: {{script: [wget -qO- http://web:{port}/page], services: [web]}}
one: {{extends: .job}}
two: {{extends: .job}}
ended:
  services: [{{name: web, command: [sh, -c, 'echo last words; exit 3']}}]
  script: [echo reached]
elsewhere: {{script: [echo reached], services: [busybox, {{name: web, variables: {{HEALTHCHECK_TCP_PORT: "70000"}}}}]}}
only: {{script: [echo reached], services: [web], variables: {{HEALTHCHECK_TCP_PORT: "70001"}}}}
beside:
  services: [web, {{name: busybox, command: [sleep, "60"]}}]
  variables: {{HEALTHCHECK_TCP_PORT: "{port}"}}
  script: [wget -qO- http://web:{port}/page]
twice: {{script: [echo reached], services: [{{name: web, alias: here}}, {{name: web, alias: there}}]}}
"#
    );
    let dir = repository(&archipel, &pipeline, &[]);
    let run = || {
        let output = archipel.command(["ci", "run", "--jobs", "4"]).current_dir(&dir).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let log = run();
    for job in ["one", "two", "ended"] {
        let why = format!("the service web could not listen at port {port}, for something else on this machine does");
        assert!(
            log.lines().any(|line| line.starts_with(&format!("{job} | ERROR: Job failed")) && line.contains(&why)),
            "{log}"
        );
    }
    drop(listener);
    let log = run();
    for line in [
        "one | served",
        "two | served",
        "beside | served",
        "ended | WARNING: Service web has ended before the job: exit code 3. The last that it wrote:",
        "ended | last words",
        "ended | reached",
    ] {
        assert!(log.lines().any(|seen| seen == line), "no line {line:?} in\n{log}");
    }
    for (job, why) in [
        ("elsewhere", "HEALTHCHECK_TCP_PORT of the service web is `70000`; it should be the number of a port".into()),
        ("only", "HEALTHCHECK_TCP_PORT of the service web is `70001`; it should be the number of a port".into()),
        ("twice", format!("two services of the job cannot both listen at port {port}")),
        ("twice", "web (web, here) and web (web, there)".into()),
    ] {
        let failed = format!("{job} | ERROR: Job failed");
        assert!(log.lines().any(|line| line.starts_with(&failed) && line.contains(&why)), "no {why:?} in\n{log}");
    }
    assert!(!log.contains("twice | Starting service"), "{log}");
}

#[test]
fn needs_userns_docker_in_a_job_is_us() {
    requires!(userns, git);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    // An image with a `docker` of its own, which must not be what runs.
    let pipeline = r#"
image: example.org/ci/docker:1
services: [docker:dind]
variables: {IMAGE: "$CI_REGISTRY_IMAGE:$CI_COMMIT_REF_SLUG"}
build:
  before_script:
    - docker login -u $CI_REGISTRY_USER -p $CI_REGISTRY_PASSWORD $CI_REGISTRY
  script:
    - docker build -t $IMAGE --push .
    - docker run --rm $IMAGE
  cache: {key: k, paths: [cached]}
again:
  stage: deploy
  script: [docker build -t $IMAGE --push --progress plain .]
"#;
    let dir = repository(
        &archipel,
        pipeline,
        &[("Dockerfile", "FROM busybox\nRUN echo made > /made\nCMD [\"cat\", \"/made\"]\n")],
    );
    let run = || {
        let map = "example.org/ci/docker:1=busybox";
        let mut command = archipel.command(["ci", "run", "--registry", registry.address(), "--image-map", map]);
        command.args(["--variable", "CI_REGISTRY_USER=ann", "--variable", "CI_REGISTRY_PASSWORD=secret"]);
        let output = command.current_dir(&dir).output().unwrap();
        let log = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{log}{}", String::from_utf8_lossy(&output.stderr));
        log
    };
    let log = run();
    for part in [
        "Service docker:dind: archipel answers for it",
        "Taking busybox for example.org/ci/docker:1.",
        "Login Succeeded",
        "build | made",
    ] {
        assert!(log.contains(part), "no {part:?} in\n{log}");
    }
    // The store is the same for both jobs, and another one than ours.
    assert!(log.lines().any(|line| line.starts_with("again") && line.contains("CACHED")), "{log}");
    assert!(!archipel.ok(["images"]).contains("feature-one"));
    let image = format!("{}/local/project:feature-one", registry.address());
    assert_eq!(archipel.ok(["run", "--rm", &image]).trim(), "made");
}

#[test]
fn needs_userns_jobs_log_in_at_a_named_registry_as_the_person_does() {
    requires!(userns, git);
    let (hub, registry) = (OwnRegistry::start(), OwnRegistry::start_with_login("ann", "sup3rsecret"));
    let archipel = with_busybox(hub.address());
    let pipeline = r#"
login:
  image: busybox
  script:
    - echo "as ${CI_REGISTRY_USER-nobody} with ${CI_REGISTRY_PASSWORD-nothing}"
    - docker login -u "$CI_REGISTRY_USER" -p "$CI_REGISTRY_PASSWORD" "$CI_REGISTRY"
"#;
    let dir = repository(&archipel, pipeline, &[]);
    let ci = |verb: &str, given: &[&str]| {
        let mut command = archipel.command(["ci", verb]);
        let output = command.args(given).current_dir(&dir).output().unwrap();
        let log = String::from_utf8_lossy(&output.stdout).into_owned();
        (log, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let run = |given: &[&str]| ci("run", &[&["--registry", registry.address()], given].concat());
    let (log, told) = run(&[]);
    assert!(log.contains("as nobody with nothing\n"), "{log}{told}");
    let way = format!("no login for {0} is stored. `archipel login {0}` stores one", registry.address());
    assert!(
        told.contains("jobs have no CI_REGISTRY_USER and no CI_REGISTRY_PASSWORD") && told.contains(&way),
        "{told}"
    );

    let login = ["login", "-u", "ann", "--password-stdin", registry.address()];
    let _ = archipel.run_with(login, b"sup3rsecret").ok();
    let (log, told) = run(&[]);
    assert!(log.contains("as ann with [MASKED]\n") && log.contains("Login Succeeded"), "{log}{told}");
    assert!(!log.contains("sup3rsecret") && told.is_empty(), "{log}{told}");
    let (log, told) = ci("run", &["--variable", &format!("CI_REGISTRY={}", registry.address())]);
    assert!(log.contains("as ann with [MASKED]\n") && log.contains("Login Succeeded"), "{log}{told}");
    let (log, told) = ci("preview", &["--registry", registry.address()]);
    assert!(log.contains("_USER=ann\n") && log.contains("_PASSWORD=[MASKED]\n"), "{log}{told}");

    let given = ["--variable", "CI_REGISTRY_USER=bob", "--variable", "CI_REGISTRY_PASSWORD=another"];
    let (log, told) = run(&given);
    assert!(
        log.contains("as bob with another\n") && !log.contains("Login Succeeded") && told.is_empty(),
        "{log}{told}"
    );
    let (log, told) = run(&given[..2]);
    assert!(
        log.contains("as bob with nothing\n") && told.contains("jobs have no CI_REGISTRY_PASSWORD:"),
        "{log}{told}"
    );
}

#[test]
fn needs_userns_a_stopped_pipeline_leaves_nothing() {
    requires!(userns, git);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    // A number of its own, to be found among all processes.
    let seconds = 86_000 + std::process::id() % 1000;
    let pipeline = format!(
        "image: busybox\na: {{script: [echo begun; sleep {seconds} & sleep {seconds}], after_script: [echo no]}}\n"
    );
    let dir = repository(&archipel, &pipeline, &[]);
    let mut command = archipel.command(["ci", "run"]);
    let mut child = command.current_dir(&dir).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let sleeping = || {
        let output = Command::new("ps").args(["-eo", "args"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).matches(&format!("sleep {seconds}\n")).count()
    };
    let begun = Instant::now();
    while sleeping() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never began: {:?}", child.try_wait());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let log = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(130), "{log}");
    assert!(log.contains("pipeline stopped") && !log.contains("$ echo no"), "{log}");
    assert_eq!(sleeping(), 0);
    assert_eq!(fs::read_dir(archipel.home.store().join("work")).unwrap().count(), 0);
}

#[test]
fn needs_qemu_three_pipelines_for_docker_in_docker_run_as_they_are() {
    // They load something from github.com, and so from port 443 of whoever stands for it.
    requires!(userns, qemu, port443, git, openssl, python3, skopeo, podman);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/demo-pipeline.sh");
    let golang = archipel_testkit::bases("golang");
    let home = archipel_testkit::TempHome::new();
    let copied = home.path().join("bases");
    fs::create_dir(&copied).unwrap();
    for image in ["golang", "busybox"] {
        std::os::unix::fs::symlink(golang.with_file_name(image), copied.join(image)).unwrap();
    }
    let mut demo = Command::new("sh");
    demo.arg(script).arg(env!("CARGO_BIN_EXE_archipel")).arg(&copied).env("PEERS", "1");
    let output = demo.output().unwrap();
    let log = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{log}{}", String::from_utf8_lossy(&output.stderr));
    for part in ["podman: arm64", "Architecture: arm", "the token is not in a log"] {
        assert!(log.contains(part), "no {part:?} in\n{log}");
    }
}
