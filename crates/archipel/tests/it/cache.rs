//! What a step's cache key knows of, and who may use a cache at the same time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use archipel_testkit::{Archipel, OwnRegistry, requires};

use crate::main_job::with_busybox;

/// Builds a Dockerfile, and says what is in a file of its result.
fn built(archipel: &Archipel, dockerfile: &str, flags: &[&str], file: &str) -> String {
    let context = archipel.home.context("cache", [("Dockerfile", dockerfile)]).display().to_string();
    let out = archipel.home.path().join("out");
    let output = format!("type=local,dest={}", out.display());
    let _ = std::fs::remove_dir_all(&out);
    let _ = archipel.run([&["build", "--output", &output], flags, &[&context]].concat()).ok();
    std::fs::read_to_string(out.join(file)).unwrap()
}

#[test]
fn needs_userns_what_is_said_of_all_processes_is_in_their_keys() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let dockerfile = "FROM busybox\nRUN (cat /etc/hosts; ulimit -n; df -k /dev/shm) > /seen\n";
    let first = built(&archipel, dockerfile, &["--add-host", "somewhere:192.0.2.1"], "seen");
    let second = built(&archipel, dockerfile, &["--add-host", "somewhere:192.0.2.2"], "seen");
    assert!(first.contains("192.0.2.1") && second.contains("192.0.2.2"), "{first}\n{second}");
    let third = built(&archipel, dockerfile, &["--ulimit", "nofile=77:77"], "seen");
    assert!(third.lines().any(|line| line == "77"), "{third}");
    let fourth = built(&archipel, dockerfile, &["--shm-size", "3m"], "seen");
    assert!(fourth.contains(" 3072 "), "{fourth}");
}

#[test]
fn needs_userns_the_seed_and_the_owner_of_a_cache_are_in_the_key() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let with = |seed: &str, mode: &str| {
        let dockerfile = format!(
            "FROM busybox AS seed\nRUN mkdir -m {mode} /s && echo {seed} > /s/f\nFROM busybox\n\
             RUN --mount=type=cache,id=s,from=seed,source=/s,target=/c (cat /c/f; stat -c %a /c) > /seen\n"
        );
        built(&archipel, &dockerfile, &[], "seen")
    };
    assert_eq!(with("a", "755"), "a\n755\n");
    assert_eq!(with("b", "711"), "b\n711\n");
    let with = |options: &str| {
        let dockerfile =
            format!("FROM busybox\nRUN --mount=type=cache,id=o,target=/c{options} stat -c %a,%u /c > /seen\n");
        built(&archipel, &dockerfile, &[], "seen")
    };
    assert_eq!(with(""), "755,0\n");
    assert_eq!(with(",uid=7,mode=700"), "700,7\n");
}

#[test]
fn needs_userns_an_attribute_is_part_of_what_is_copied() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let context = archipel.home.context(
        "attributes",
        [("Dockerfile", "FROM busybox AS a\nCOPY f /f\nFROM scratch\nCOPY --from=a /f /g\n"), ("f", "the same")],
    );
    let attribute = |value: &[u8]| {
        let file = std::fs::File::open(context.join("f")).unwrap();
        rustix::fs::fsetxattr(&file, "user.k", value, rustix::fs::XattrFlags::empty()).unwrap();
        let out = archipel.home.path().join("attributes.out");
        let output = format!("type=local,dest={}", out.display());
        let _ = std::fs::remove_dir_all(&out);
        let _ = archipel.ok(["build", "--output", &output, &context.display().to_string()]);
        let mut value = [0; 16];
        let length = rustix::fs::lgetxattr(out.join("g"), "user.k", &mut value).unwrap();
        value[..length].to_vec()
    };
    assert_eq!(attribute(b"one"), b"one");
    assert_eq!(attribute(b"two"), b"two");
}

#[test]
fn needs_userns_steps_that_want_caches_alone_wait_and_all_end() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    // Both caches in both orders, and one of them twice in one step. Each step would see the other's mark.
    let alone = "test ! -e /x/busy && touch /x/busy /y/busy && sleep 0.3 && rm /x/busy /y/busy && touch /done";
    let mount = |id: &str, at: &str| format!("--mount=type=cache,id={id},target={at},sharing=locked");
    let (x, y, again) = (mount("x", "/x"), mount("y", "/y"), mount("x", "/z"));
    let dockerfile = format!(
        "FROM busybox AS a\nRUN {x} {y} {alone} && echo a\nFROM busybox AS b\nRUN {y} {x} {again} {alone} && echo b\n\
         FROM scratch\nCOPY --from=a /done /a\nCOPY --from=b /done /b\n"
    );
    assert_eq!(built(&archipel, &dockerfile, &[], "b"), "");
    // Two processes too.
    let context = archipel.home.path().join("work/cache").display().to_string();
    let one = |tag: &'static str| {
        let (archipel, context) = (&archipel, &context);
        move || archipel.run(["build", "--no-cache", "-t", tag, context]).ok()
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(one("localhost/one:1"));
        let _ = one("localhost/two:1")();
        let _ = other.join().unwrap();
    });
}

#[test]
fn needs_userns_a_long_chain_of_stages_is_a_build_like_others() {
    requires!(userns);
    let archipel = Archipel::new(env!("CARGO_BIN_EXE_archipel"));
    let mut dockerfile = String::from("FROM scratch AS s0\nCOPY Dockerfile /first\n");
    for n in 1..3000 {
        let _ = writeln!(dockerfile, "FROM s{} AS s{n}", n - 1);
    }
    assert_eq!(built(&archipel, &dockerfile, &[], "first"), dockerfile);
}

/// Whatever a cache elsewhere says, its files become that step's and no other's.
#[test]
fn needs_userns_a_cache_elsewhere_cannot_say_where_its_files_go() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let (maker, user) = (with_busybox(registry.address()), with_busybox(registry.address()));
    let dockerfile = "FROM busybox\nRUN echo made > /made\n";
    let folder = maker.home.path().join("elsewhere");
    let to = format!("type=local,dest={},mode=max", folder.display());
    let _ = built(&maker, dockerfile, &["--cache-to", &to], "made");
    let planted = "c0ffee".repeat(10);
    let changed = rewrite(&folder, |config| {
        config["record"]["snapshot"] = format!("step-{planted}").into();
    });
    assert!(changed > 0);
    let from = format!("type=local,src={}", folder.display());
    let context = user.home.context("cache", [("Dockerfile", dockerfile)]).display().to_string();
    let log = user.run(["build", "--progress", "plain", "--cache-from", &from, &context]);
    assert_eq!(log.code(), 0, "{}", log.stderr());
    assert!(log.stderr().contains("CACHED"), "{}", log.stderr());
    let snapshots = user.home.store().join("snapshots");
    let names: Vec<_> = std::fs::read_dir(snapshots).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains(&planted)), "{names:?}");
}

/// Changes the configs of a layout's images, and what points to them. Returns how many.
fn rewrite(layout: &Path, change: impl Fn(&mut serde_json::Value)) -> usize {
    let blob = |digest: &str| layout.join("blobs").join(digest.replace(':', "/"));
    let read = |path: &Path| -> serde_json::Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let put = |value: &serde_json::Value| {
        let bytes = serde_json::to_vec(value).unwrap();
        let digest = archipel_oci::Digest::of(&bytes).to_string();
        std::fs::write(blob(&digest), &bytes).unwrap();
        BTreeMap::from([("digest", serde_json::json!(digest)), ("size", serde_json::json!(bytes.len()))])
    };
    let mut index = read(&layout.join("index.json"));
    let mut changed = 0;
    for entry in index["manifests"].as_array_mut().unwrap() {
        let mut manifest = read(&blob(entry["digest"].as_str().unwrap()));
        let mut config = read(&blob(manifest["config"]["digest"].as_str().unwrap()));
        change(&mut config);
        for (name, value) in put(&config) {
            manifest["config"][name] = value;
        }
        for (name, value) in put(&manifest) {
            entry[name] = value;
        }
        changed += 1;
    }
    std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
    changed
}

#[test]
fn needs_userns_an_image_is_a_cache_of_its_own_steps() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let (maker, user) = (with_busybox(registry.address()), with_busybox(registry.address()));
    let dockerfile = "FROM busybox\nRUN head -c 16 /dev/urandom | base64 > /unique\nWORKDIR /w\nCOPY Dockerfile .\n";
    let image = format!("{}/app:cache", registry.address());
    for (flags, has_it) in [
        (vec![], false),
        (vec!["--cache-to", "type=inline"], true),
        (vec!["--no-cache", "--build-arg", "BUILDKIT_INLINE_CACHE=1"], true),
    ] {
        let push = format!("type=registry,name={image}");
        let made = built(&maker, dockerfile, &[&["--output", &push], &flags[..]].concat(), "unique");
        let _ = user.ok(["prune", "--all"]);
        let from = ["--cache-from", &image];
        assert_eq!(built(&user, dockerfile, &from, "unique") == made, has_it, "{flags:?}");
    }
    // What is built on it does not say of the lower layers what only their own image may.
    let dockerfile = format!("FROM {image}\nCOPY Dockerfile /other\n");
    let context = user.home.context("child", [("Dockerfile", dockerfile)]).display().to_string();
    let _ = user.ok(["build", "-t", "localhost/child:1", &context]);
    assert!(!user.ok(["inspect", "--raw", "localhost/child:1"]).contains("archipel.cache"));
}

/// What a cache elsewhere has lost or got wrong is done here, and told once.
#[test]
fn needs_userns_a_damaged_cache_is_no_reason_to_fail() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let (maker, user) = (with_busybox(registry.address()), with_busybox(registry.address()));
    let dockerfile = "FROM busybox\nRUN echo 1 > /one\nRUN echo 2 > /two\n";
    let folder = maker.home.path().join("damaged");
    let to = format!("type=local,dest={},mode=max", folder.display());
    let _ = built(&maker, dockerfile, &["--cache-to", &to], "two");
    let wrong = format!("sha256:{}", "0".repeat(64));
    assert!(rewrite(&folder, |config| config["diff_id"] = wrong.clone().into()) > 1);
    let from = format!("type=local,src={}", folder.display());
    let away = "127.0.0.1:1/nowhere:1";
    let context = user.home.context("cache", [("Dockerfile", dockerfile)]).display().to_string();
    let log = user.run(["build", "--progress", "plain", "--cache-from", &from, "--cache-from", away, &context]);
    assert_eq!(log.code(), 0, "{}", log.stderr());
    for cache in [folder.display().to_string(), away.to_owned()] {
        let told = log.stderr().matches(&format!("WARNING: the cache {cache} cannot be read")).count();
        assert_eq!(told, 1, "{}", log.stderr());
    }
}

#[test]
fn needs_userns_mounts_lie_in_each_other_and_files_may_be_written_to() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let dockerfile = "FROM busybox AS s\nRUN mkdir -p /a/d && echo outer > /a/f && echo inner > /b && mkdir /e && echo e > /e/e\n\
         FROM busybox\n\
         RUN --mount=from=s,source=/e,target=/t/d --mount=from=s,source=/a,target=/t \
             --mount=from=s,source=/b,target=/b,rw (cat /t/f /t/d/e; echo more >> /b; cat /b) > /seen\n\
         RUN --mount=from=s,source=/b,target=/b cat /b >> /seen\n";
    assert_eq!(built(&archipel, dockerfile, &[], "seen"), "outer\ne\ninner\nmore\ninner\n");
}

#[test]
fn needs_userns_a_command_that_is_not_there_fails_like_any_other() {
    requires!(userns);
    let archipel = Archipel::new(env!("CARGO_BIN_EXE_archipel"));
    let context = archipel.home.context("c", [("Dockerfile", "FROM scratch\nRUN what https://me:secret@h.example/\n")]);
    let error = archipel.run(["build", &context.display().to_string()]).fails(1);
    let words = "process \"/bin/sh -c what https://xxxxx:xxxxx@h.example/\" did not complete successfully";
    assert!(error.contains(words) && error.contains("Dockerfile:2:1"), "{error}");
}
