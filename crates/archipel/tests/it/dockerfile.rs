//! What is wrong in a Dockerfile is shown where it is.

use archipel_testkit::{Reply, Script, requires};

use crate::util::{archipel, transcript};

#[test]
fn needs_userns_every_error_is_shown_with_its_place() {
    let archipel = archipel();
    archipel.home.context("c", [("Dockerfile", "FROM scratch\nCOPPY a b\nRUN --mout=type=bind true\nEXPOSE x/y/z\n")]);
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["build", "c"])), @r"
    $ archipel build c
    error[unknown-instruction]: unknown instruction: COPPY (did you mean COPY?)
     --> Dockerfile:2:1
      |
    2 | COPPY a b
      | ^^^^^

    error[unknown-flag]: unknown flag: --mout (did you mean mount?)
     --> Dockerfile:3:5
      |
    3 | RUN --mout=type=bind true
      |     ^^^^^^^^^^^^^^^^

    error: Dockerfile has 2 errors: dockerfile parse error on line 2: unknown instruction: COPPY (did you mean COPY?)
    [exit 1]
    ");
}

#[test]
fn a_login_in_an_address_is_not_shown_with_an_error() {
    let archipel = archipel();
    let text = "FROM scratch\nADD --checksun=1 https://mé:hunter2@h.example/f /f\n";
    archipel.home.context("c", [("Dockerfile", text)]);
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["build", "--check", "c"])), @r"
    $ archipel build --check c
    error[unknown-flag]: unknown flag: --checksun (did you mean checksum?)
     --> Dockerfile:2:5
      |
    2 | ADD --checksun=1 https://xxx:xxxxxxx@h.example/f /f
      |     ^^^^^^^^^^^^

    error: Dockerfile has 1 error: dockerfile parse error on line 2: unknown flag: --checksun (did you mean checksum?)
    [exit 1]
    ");
    archipel.home.context("c", [("Dockerfile", "ARG U=https://me:hunter2@h/f\nFROM scratch AS B\nADD $U /f\nARG U\n")]);
    for call in ["check", "outline", "outline,format=json"] {
        let finished = archipel.run(["build", &format!("--call={call}"), "c"]);
        let told = finished.stdout();
        assert!(told.contains("https://") && told.contains("@h/f") && !told.contains("hunter2"), "{told}");
    }
}

#[test]
fn needs_userns_a_login_in_an_address_stays_out_of_the_log_and_the_image() {
    requires!(userns);
    let server = Script::new().on("GET", "/f", Reply::new(200).body("content\n")).start();
    let archipel = archipel();
    let url = format!("http://me:hunter2@{}/f", server.address());
    let dir =
        archipel.home.context("login", [("Dockerfile", format!("FROM scratch\nARG U\nADD $U /f\nADD {url} /g\n"))]);
    let out = archipel.home.path().join("login.tar");
    let output = format!("type=oci,dest={}", out.display());
    let argument = format!("U={url}");
    let finished = archipel.run([
        "build",
        "--progress=plain",
        "--build-arg",
        &argument,
        "--provenance=mode=max",
        "--output",
        &output,
        &dir.display().to_string(),
    ]);
    assert_eq!(finished.code(), 0, "{}", finished.stderr());
    assert!(finished.stderr().contains("ADD http://xxxxx:xxxxx@"), "{}", finished.stderr());
    assert!(!finished.stderr().contains("hunter2"), "{}", finished.stderr());
    // Layers are compressed and hold what the server sent; configs and attestations are plain.
    let bytes = std::fs::read(out).unwrap();
    let holds = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds("ADD http://xxxxx:xxxxx@") && !holds("hunter2"));
    assert!(server.finish().iter().all(|request| request.header("authorization").is_some()));
}

#[test]
fn needs_userns_a_dockerfile_from_a_web_server() {
    requires!(userns);
    let text = "FROM scratch\nCOPY here /there\n";
    let server = Script::new()
        .on("GET", "/Dockerfile", Reply::new(200).body(text))
        .on("GET", "/Dockerfile", Reply::new(200).body(text))
        .on("GET", "/none", Reply::new(404))
        .start();
    let archipel = archipel();
    let context = archipel.home.context("c", [("here", "content\n")]);
    let build = |file: &str, call: &str| {
        let url = format!("http://{}/{file}", server.address());
        archipel.run(["build", call, "-f", &url, &context.display().to_string()])
    };
    assert_eq!(build("Dockerfile", "--output=type=cacheonly").code(), 0);
    let found = build("Dockerfile", "--call=targets");
    assert!(found.stdout().contains("default"), "{}", found.stdout());
    let none = build("none", "--output=type=cacheonly");
    assert_eq!(none.code(), 12, "{}", none.stderr());
    assert!(none.stderr().contains("/none"), "{}", none.stderr());
    server.finish();
}
