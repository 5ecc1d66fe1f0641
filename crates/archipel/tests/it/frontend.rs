//! Texts in a language that is not built in, read by a program from an image: the example of the gateway crate, whose language is
//! described there.

mod faults;
mod nested;

use std::path::{Path, PathBuf};
use std::process::Command;

use archipel_oci::Platform;
use archipel_testkit::{Archipel, Finished, ImageBuilder, OwnRegistry, Reply, Script, requires};
use serde_json::Value;

use crate::main_job::with_busybox;
use crate::util::{get, publish_alone, transcript};

/// A home in which docker.io has busybox, and the frontend as `lang`.
struct Stage {
    registry: OwnRegistry,
    archipel: Archipel,
}

/// The example, which is built with the tests of the whole workspace.
fn program() -> Vec<u8> {
    let here = std::env::current_exe().unwrap();
    let path = here.parent().unwrap().with_file_name("examples").join("frontend");
    let absent = |e| panic!("{} ({e}): build it with cargo build -p archipel-gateway --examples", path.display());
    std::fs::read(&path).unwrap_or_else(absent)
}

impl Stage {
    fn new() -> Self {
        Self::with(&["contexts", "inputs", "subrequests"].map(|what| format!("moby.buildkit.frontend.{what}")))
    }

    fn with(caps: &[String]) -> Self {
        let registry = OwnRegistry::start();
        let archipel = with_busybox(registry.address());
        let image = ImageBuilder::new(&Platform::host().to_string())
            .config(|config| {
                // The argument tells its process from those of other tests.
                config.config.entrypoint = Some(vec!["/frontend".into(), registry.address().into()]);
                config.config.labels.insert("moby.buildkit.frontend.caps".into(), caps.join(","));
            })
            .layer([("frontend", 0o755, &program()[..])])
            .build();
        publish_alone(&archipel, &registry, "library/lang:latest", &image);
        Self { registry, archipel }
    }

    /// Makes the text that of the context.
    fn text(&self, lines: &str) -> String {
        let text = format!("# syntax=lang\n{lines}");
        self.archipel.home.context("c", [("Dockerfile", text)]).display().to_string()
    }

    fn build(&self, lines: &str, flags: &[&str]) -> Finished {
        let context = self.text(lines);
        self.archipel.run([&["build", "--progress=plain"], flags, &[&context]].concat())
    }

    fn out(&self) -> PathBuf {
        self.archipel.home.path().join("out")
    }

    /// Builds into a folder.
    fn files(&self, lines: &str, flags: &[&str]) -> PathBuf {
        let _ = std::fs::remove_dir_all(self.out());
        let output = format!("--output={}", self.out().display());
        let _ = self.build(lines, &[&[&output[..]], flags].concat()).ok();
        self.out()
    }

    /// Builds, and says what is in a file.
    fn file(&self, lines: &str, path: &str, flags: &[&str]) -> String {
        std::fs::read_to_string(self.files(lines, flags).join(path)).unwrap()
    }

    /// Builds, and lists the result as tar does: mode, owner, path.
    fn listing(&self, lines: &str, flags: &[&str]) -> Vec<String> {
        let tar = self.archipel.home.path().join("out.tar");
        let output = format!("--output=type=tar,dest={}", tar.display());
        let _ = self.build(lines, &[&[&output[..]], flags].concat()).ok();
        let listed = Command::new("tar").arg("--numeric-owner").arg("-tvf").arg(&tar).output().unwrap();
        assert!(listed.status.success());
        let line = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            format!("{} {} {}", words[0], words[1], words[5..].join(" "))
        };
        String::from_utf8(listed.stdout).unwrap().lines().map(line).collect()
    }

    /// What a person sees, on whichever machine.
    fn transcript(&self, finished: &Finished) -> String {
        transcript(&self.archipel, finished).replace(&Platform::host().to_string(), "[HOST]")
    }

    fn context(&self, name: &str, files: &[(&str, &str)]) -> String {
        self.archipel.home.context(name, files.iter().copied()).display().to_string()
    }

    /// Whether the frontend's process is there.
    fn has_frontend(&self) -> bool {
        let line = format!("/frontend\0{}\0", self.registry.address());
        let is_it = |entry: std::fs::DirEntry| {
            std::fs::read(entry.path().join("cmdline")).is_ok_and(|found| found == line.as_bytes())
        };
        std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).any(is_it)
    }

    fn raw(&self, reference: &str) -> Value {
        serde_json::from_str(&self.archipel.ok(["inspect", "--raw", reference])).unwrap()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().to_string_lossy().into_owned();
    let mut found: Vec<_> = std::fs::read_dir(folder).unwrap().map(name).collect();
    found.sort_unstable();
    found
}

#[test]
fn needs_userns_files_are_written_linked_copied_owned_and_removed() {
    requires!(userns);
    let stage = Stage::new();
    stage.context("c", &[("src/a", "a"), ("src/sub/b", "b"), ("other", "o")]);
    let lines = "\
scratch
mkdir /etc
file /etc/passwd me:x:12:34::/:/bin/sh
mkdir /d/e
file /d/e/f one  two
link f /d/e/l
copy src /d/
file /d/gone x
rm /d/gone
give 7 640 4 /d/e/f /d/seven
give me 755 4 /d/e/f /d/mine
file /d/x1 x
file /d/x2 x
rm /d/x*
copy o* /d/e/
";
    assert_eq!(
        stage.listing(lines, &[]),
        [
            "drwxr-xr-x 0/0 d/",
            "-rw-r--r-- 0/0 d/a",
            "drwxr-xr-x 0/0 d/e/",
            "-rw-r--r-- 0/0 d/e/f",
            "lrwxrwxrwx 0/0 d/e/l -> f",
            "-rw-r--r-- 0/0 d/e/other",
            "-rwxr-xr-x 12/34 d/mine",
            "-rw-r----- 7/7 d/seven",
            "drwxr-xr-x 0/0 d/sub/",
            "-rw-r--r-- 0/0 d/sub/b",
            "drwxr-xr-x 0/0 etc/",
            "-rw-r--r-- 0/0 etc/passwd",
        ]
    );
    let found = stage.files(lines, &[]);
    assert_eq!(std::fs::read_to_string(found.join("d/mine")).unwrap(), "one  two\n");
    assert_eq!(std::fs::read_to_string(found.join("d/sub/b")).unwrap(), "b");
}

#[test]
fn needs_userns_processes_have_the_environment_secrets_agents_and_caches() {
    requires!(userns);
    let stage = Stage::new();
    let home = stage.archipel.home.path();
    std::fs::write(home.join("token"), "hush").unwrap();
    let agent = home.join("agent");
    let _listening = std::os::unix::net::UnixListener::bind(&agent).unwrap();
    let flags =
        [&format!("--secret=id=t,src={}", home.join("token").display()), &format!("--ssh=default={}", agent.display())];
    let flags = flags.map(String::as_str);
    let lines = "\
image busybox
env A b
shell echo $A $(id -u) $(pwd) > /seen
secret t cat /secret >> /seen; stat -c ' %a' /secret >> /seen
ssh test -S /agent && echo agent >> /seen
cache c echo first > /cache/mark
cache c cat /cache/mark >> /seen
run touch /run-ran
";
    let found = stage.files(lines, &flags);
    assert_eq!(std::fs::read_to_string(found.join("seen")).unwrap(), "b 0 /\nhush 400\nagent\nfirst\n");
    assert!(found.join("run-ran").exists() && !found.join("secret").exists());
    // Without them there is a reason.
    let told = stage.build("image busybox\nsecret t2 cat /secret\n", &[]).fails(1);
    assert!(told.contains("secret t2: not found; give it with --secret id=t2,src=FILE"), "{told}");
    let told = stage.build("image busybox\nssh true\n", &[]).fails(1);
    assert!(told.contains("unset ssh forward key default"), "{told}");
}

#[test]
fn needs_qemu_several_platforms_are_one_index_and_the_second_build_is_the_first() {
    requires!(userns, qemu);
    let stage = Stage::new();
    let lines = "image busybox\nfile /same x\nshell uname -m > /machine\nlabel k v\ncmd cat /machine\n";
    let name = format!("{}/app:1", stage.registry.address());
    let flags = ["--platform=linux/amd64,linux/arm64", "--push", "--tag", &name];
    let first = stage.build(lines, &flags);
    let log = first.stderr();
    assert_eq!(first.code(), 0, "{log}");
    let index = stage.raw(&name);
    let architectures: Vec<_> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["platform"]["architecture"].as_str().unwrap())
        .collect();
    assert_eq!(architectures, ["amd64", "arm64"]);
    for (platform, machine) in [("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")] {
        assert_eq!(stage.archipel.ok(["run", "--rm", "--platform", platform, &name]).trim(), machine);
    }
    let second = stage.build(lines, &flags);
    let log = second.stderr();
    assert_eq!(second.code(), 0, "{log}");
    assert!(log.contains("CACHED") && !log.contains("DONE shell") && !log.contains("DONE file"), "{log}");
    assert_eq!(stage.raw(&name), index);
    let third = stage.build(lines, &[&flags[..], &["--no-cache"]].concat());
    let log = third.stderr();
    assert!(third.code() == 0 && !log.contains("CACHED"), "{log}");
}

#[test]
fn needs_userns_mounts_that_are_written_become_results() {
    requires!(userns);
    let stage = Stage::new();
    let lines = "\
image busybox
out echo kept > /out/f; mkdir /out/d; echo lost > /lost
file /g g
result 0
take 2 /f /taken
take 1 /d /empty/
";
    let found = stage.files(lines, &[]);
    assert_eq!(std::fs::read_to_string(found.join("taken")).unwrap(), "kept\n");
    assert!(found.join("bin").exists() && found.join("empty").is_dir() && !found.join("lost").exists());
    let parts = "image busybox\nout echo kept > /out/f; mkdir /out/d; echo lost > /lost\nfile /g g\n";
    assert_eq!(names(&stage.files(parts, &[])), ["d", "f", "g"]);
    // The cache has both results, or neither.
    let log = stage.build(parts, &[]).stderr();
    assert!(log.contains("CACHED") && !log.contains("DONE out"), "{log}");
}

#[test]
fn needs_userns_layers_are_merged_and_differences_taken() {
    requires!(userns);
    let stage = Stage::new();
    // 7 is what 5 and 6 did to 4, and nothing else.
    let lines = "\
scratch
mkdir /d
file /d/a base
file /d/b base
file /keep k
rm /d/a
file /d/b changed
diff 4 6
scratch
mkdir /d
file /d/a other
file /x x
merge 11 7
";
    let found = stage.files(lines, &[]);
    assert_eq!((names(&found), names(&found.join("d"))), (vec!["d".to_owned(), "x".into()], vec!["b".to_owned()]));
    assert_eq!(std::fs::read_to_string(found.join("d/b")).unwrap(), "changed\n");
    // A process sees it so too, and makes a layer of its own.
    let seen = lines.replace("diff 4 6\nscratch", "diff 4 6\nimage busybox") + "shell ls /d /keep > /seen 2>&1; true\n";
    let text = stage.file(&seen, "seen", &[]);
    assert!(text.contains("/d:\nb\n") && text.contains("/keep: No such file"), "{text}");
    // A difference by itself shows nothing of what it removed, to whoever looks.
    let alone = lines.split("scratch\nmkdir /d\nfile /d/a other").next().unwrap();
    assert_eq!(names(&stage.files(alone, &[]).join("d")), ["b"]);
    let taken = format!("{alone}list /d /list\nimage busybox\ntake 7 / /t/\nshell ls /t/d > /seen\n");
    assert_eq!(stage.file(&taken, "seen", &[]), "b\n");
    let listed = alone.replace("diff 4 6\n", "diff 4 6\nlist /d /list\n");
    assert_eq!(stage.file(&listed, "list", &[]), "b\n");
    // Files are compared where neither was made from the other.
    let compared = "scratch\nfile /x x\nfile /same s\nscratch\nfile /y y\nfile /same s\ndiff 2 5\n";
    let one_time = ["--build-arg=SOURCE_DATE_EPOCH=1"];
    assert_eq!(names(&stage.files(compared, &one_time)), ["y"]);
    assert_eq!(names(&stage.files(&format!("{compared}merge 1 6\n"), &one_time)), ["y"]);
}

#[test]
fn needs_userns_a_config_and_a_history_are_the_images() {
    requires!(userns);
    let stage = Stage::new();
    let name = format!("{}/app:1", stage.registry.address());
    let lines = "scratch\nfile /a a\nhistory the first\nfile /b b\nenv A b\nlabel k v\ncmd x y\n";
    let _ = stage.build(lines, &["--push", "--tag", &name, "--provenance=false"]).ok();
    let manifest = stage.raw(&name);
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);
    let config = stage.archipel.ok(["docker", "buildx", "imagetools", "inspect", "--format", "{{json .Image}}", &name]);
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["config"], serde_json::json!({"Cmd": ["x", "y"], "Env": ["A=b"], "Labels": {"k": "v"}}));
    let told: Vec<_> =
        config["history"].as_array().unwrap().iter().map(|h| h["created_by"].as_str().unwrap()).collect();
    assert_eq!(told, ["the first", "file /b b"]);
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
}

#[test]
fn needs_userns_contexts_are_what_was_asked_for_of_them() {
    requires!(userns);
    let stage = Stage::new();
    stage.context("c", &[("a/1", "1"), ("a/2", "2"), ("b/1", "1"), (".dockerignore", "a")]);
    // The ignore file is the frontend's to read.
    assert_eq!(names(&stage.files("scratch\ncopy / /\n", &[])), [".dockerignore", "Dockerfile", "a", "b"]);
    assert_eq!(names(&stage.files("scratch\nignore a/1\nonly a\ncopy / /\n", &[])), ["a"]);
    assert_eq!(names(&stage.out().join("a")), ["2"]);

    let named = stage.context("n", &[("f", "named"), (".dockerignore", "f")]);
    let server = Script::new().on("GET", "/x/f", Reply::new(200).body("web")).start();
    let url = format!("http://{}/x/f", server.address());
    let layout = stage.archipel.home.path().join("oci");
    let _ = stage
        .build("scratch\nfile /g layout\n", &["--output", &format!("type=oci,tar=false,dest={}", layout.display())])
        .ok();
    let flags = [
        format!("local={named}"),
        format!("web={url}"),
        "image=docker-image://busybox".into(),
        format!("layout=oci-layout://{}", layout.display()),
    ]
    .map(|context| format!("--build-context={context}"));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let lines = "\
source local
source web
source image
source layout
scratch
take 0 / /
take 1 /f /web
take 2 /bin/busybox /b/
take 3 / /
";
    let found = stage.files(lines, &flags);
    assert_eq!(names(&found), [".dockerignore", "b", "f", "g", "web"]);
    assert_eq!(std::fs::read_to_string(found.join("f")).unwrap(), "named");
    assert_eq!(std::fs::read_to_string(found.join("web")).unwrap(), "web");
    drop(server.finish());
}

#[test]
fn needs_userns_a_frontend_reads_what_was_made_and_what_it_was_told() {
    requires!(userns);
    let stage = Stage::new();
    let lines = "\
scratch
mkdir /d
file /d/f four
read /d/f /read
list /d /list
stat /d/f /stat
env-opt target /target
env-opt build-arg:A /arg
env-opt cmdline /cmdline
env-opt label:l /label
env-opt filename /filename
";
    let found = stage.files(lines, &["--target=t", "--build-arg=A=b c", "--label=l=m"]);
    let read = |name: &str| std::fs::read_to_string(found.join(name)).unwrap();
    let told = ["read", "list", "stat", "target", "arg", "cmdline", "label", "filename"].map(read);
    assert_eq!(told, ["four\n", "f\n", "f 644 5\n", "t\n", "b c\n", "lang\n", "m\n", "Dockerfile\n"]);
    // What was read was not made again for the result, and is told of once.
    let log = stage.build("scratch\nfile /once 1\nread /once /again\n", &[]).stderr();
    assert_eq!(log.matches("] file /once 1").count() + log.matches(" file /once 1\n").count(), 1, "{log}");
}

#[test]
fn needs_userns_other_names_of_the_frontend_and_of_the_text_do() {
    requires!(userns);
    let stage = Stage::new();
    let dir = stage.context("plain", &[("build.txt", "scratch\nfile /f f\nenv-opt filename /name\n")]);
    let output = format!("--output={}", stage.out().display());
    let file = format!("--file={dir}/build.txt");
    let by_argument = ["build", &output, &file, "--build-arg=BUILDKIT_SYNTAX=lang fast", &dir];
    let _ = stage.archipel.ok(by_argument);
    assert_eq!(std::fs::read_to_string(stage.out().join("name")).unwrap(), "build.txt\n");
    std::fs::remove_dir_all(stage.out()).unwrap();
    let text = b"# syntax=lang\nscratch\ncopy build.txt /copied\n";
    let _ = stage.archipel.run_with(["build", &output, "--file=-", &dir], text).ok();
    assert_eq!(names(&stage.out()), ["copied"]);
}

#[test]
fn needs_userns_questions_that_are_no_build_are_answered() {
    requires!(userns);
    let stage = Stage::new();
    let dir = stage.text("scratch\nfile /f f\n");
    let call = |call: &str| stage.archipel.run(["build", call, &dir]);
    assert_eq!(call("--check").ok(), "3 lines\n");
    assert_eq!(call("--call=check,format=json").ok().trim(), "{\"lines\":3}");
    let told = call("--call=outline").fails(1);
    assert!(told.contains("the frontend lang:latest has no answer to frontend.outline"), "{told}");
    stage.text("fail\n");
    assert_eq!(call("--check").code(), 1);
    assert_eq!(call("--call=check,ignorestatus=true").code(), 0);
}

#[test]
fn needs_userns_a_plan_is_explained() {
    requires!(userns);
    let stage = Stage::new();
    stage.text(
        "image busybox\nsecret t cat /secret\ncopy Dockerfile /d/\nrm /d/*\nlink a /b\nout touch /out/f\n\
         scratch\nfile /x x\ntake 5 /f /g\ngive daemon 644 2 /d /d\nmerge 8 5\ndiff 0 5\nmerge 10 11\n",
    );
    let explained = stage.archipel.run(["build", "--explain", "--quiet", "c"]);
    insta::assert_snapshot!(stage.transcript(&explained), @r"
    $ archipel build --explain --quiet c
      1  secret t cat /secret
         for     [HOST]; native
         on      busybox@[DIGEST] for [HOST]
         key     the command; the variables PATH
         beside  the secret t
      2  copy Dockerfile /d/
         for     [HOST]; files only
         on      secret t cat /secret
         key     names, modes and content of /Dockerfile in named context 1
      3  rm /d/*
         for     [HOST]; files only
         on      copy Dockerfile /d/
         key     that /d/* is removed
      4  link a /b
         for     [HOST]; files only
         on      rm /d/*
         key     the link /b to a
      5  out touch /out/f
         for     [HOST]; native
         on      link a /b
         key     the command; the variables PATH; nothing, which it changes at /out
      6  out touch /out/f (mount 0)
         for     [HOST]; files only
         on      nothing
         key     what the process left there
      7  file /x x
         for     [HOST]; files only
         on      nothing
         key     the content of /x
      8  take 5 /f /g
         for     [HOST]; files only
         on      file /x x
         key     names, modes and content of /f in out touch /out/f (mount 0)
      9  merge 8 5
         for     [HOST]; files only
         on      take 5 /f /g
         key     the layer
     10  diff 0 5
         for     [HOST]; files only
         on      nothing
         key     busybox@[DIGEST] for [HOST] and out touch /out/f (mount 0)
     11  merge 10 11
         for     [HOST]; files only
         on      merge 8 5
         key     the layer
    11 steps: 2 native, 0 emulated, 9 of files only; 0 once for all platforms
    [exit 0]
    ");
}

#[test]
fn needs_userns_what_a_frontend_attests_and_notes_is_of_the_image() {
    requires!(userns);
    let stage = Stage::new();
    let name = format!("{}/app:1", stage.registry.address());
    let lines =
        "scratch\nfile /p {\"made\":\"here\"}\nattest https://example.com/made /p\nscratch\nfile /f f\nnote a.b c\n";
    let _ = stage.build(lines, &["--push", "--tag", &name, "--provenance=false"]).ok();
    let index = stage.raw(&name);
    let [image, attested] = &index["manifests"].as_array().unwrap()[..] else { panic!("{index}") };
    assert_eq!(attested["annotations"]["vnd.docker.reference.digest"], image["digest"]);
    let member = |found: &Value| stage.raw(&format!("{name}@{}", found["digest"].as_str().unwrap()));
    assert_eq!(member(image)["annotations"]["a.b"], "c");
    let attested = member(attested);
    let layer = &attested["layers"][0];
    assert_eq!(layer["annotations"]["in-toto.io/predicate-type"], "https://example.com/made");
    let path = format!("/v2/app/blobs/{}", layer["digest"].as_str().unwrap());
    let statement: Value = serde_json::from_str(&get(stage.registry.address(), &path)).unwrap();
    assert_eq!(statement["predicate"], serde_json::json!({ "made": "here" }));
    let about = image["digest"].as_str().unwrap().trim_start_matches("sha256:");
    assert_eq!(statement["subject"][0]["digest"]["sha256"], about);
}
