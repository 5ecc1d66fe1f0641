//! What `--call` answers, and what a build says of its Dockerfile.

use archipel_testkit::{OwnRegistry, requires};

use crate::util::{archipel, image, publish, transcript};

#[test]
fn findings_with_their_places() {
    let archipel = archipel();
    let text = "# check=skip=MaintainerDeprecatd\nFROM scratch AS Base\nRUN a\nCMD b";
    archipel.home.context("c", [("Dockerfile", text)]);
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["build", "--check", "c"])), @r"
    $ archipel build --check c
    Check complete, 2 warnings have been found!

    WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/
    Stage name 'Base' should be lowercase
    Dockerfile:2
    --------------------
       1 |     # check=skip=MaintainerDeprecatd
       2 | >>> FROM scratch AS Base
       3 |     RUN a
       4 |     CMD b
    --------------------

    WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/
    JSON arguments recommended for CMD to prevent unintended behavior related to OS signals
    Dockerfile:4
    --------------------
       2 |     FROM scratch AS Base
       3 |     RUN a
       4 | >>> CMD b
    --------------------

    warning[unknown-check]: there is no check MaintainerDeprecatd (did you mean MaintainerDeprecated?)
     --> Dockerfile:1:9
      |
    1 | # check=skip=MaintainerDeprecatd
      |         ^^^^^^^^^^^^^^^^^^^^^^^^
    [exit 1]
    ");
}

#[test]
fn a_base_image_that_is_nowhere_is_an_error() {
    let registry = OwnRegistry::start();
    let archipel = archipel();
    let base = publish(&archipel, &registry, "base:1", &[image("linux/amd64", "a")]);
    let text = format!("FROM {base}2 AS a\nENV a b\nFROM {base} as b\nENV a b\n");
    archipel.home.context("c", [("Dockerfile", text)]);
    let check = |target: &[&str]| -> serde_json::Value {
        let arguments = ["build", "--call=check,format=json", "--platform=linux/amd64", "c"];
        serde_json::from_str(&archipel.run(arguments.iter().chain(target)).stdout()).unwrap()
    };
    let json = check(&[]);
    let told = json["buildError"]["message"].as_str().unwrap();
    assert!(told.starts_with(&format!("{base}2: failed to resolve source metadata for {base}2")), "{told}");
    assert_eq!(json["buildError"]["location"]["ranges"][0]["start"]["line"], 1);
    // Nothing in stages is looked at then.
    assert_eq!(json["warnings"].as_array().unwrap().len(), 1);
    assert_eq!(json["warnings"][0]["ruleName"], "FromAsCasing");
    // What the target does not need may be nowhere.
    let json = check(&["--target=b"]);
    assert!(json["buildError"].is_null());
    assert_eq!(json["warnings"].as_array().unwrap().len(), 2);
    // Nor may what only files are taken from.
    for line in [format!("COPY --from={base}3 /a /b"), format!("RUN --mount=from={base}3,target=/m true")] {
        archipel.home.context("c", [("Dockerfile", format!("FROM {base}\nENV a=b\n{line}\n"))]);
        let json = check(&[]);
        let told = json["buildError"]["message"].as_str().unwrap_or_default();
        assert!(told.starts_with(&format!("{base}3: failed to resolve source metadata for {base}3")), "{line}: {told}");
        assert_eq!(json["buildError"]["location"]["ranges"][0]["start"]["line"], 3);
    }
}

#[test]
fn a_base_image_defines_variables() {
    let registry = OwnRegistry::start();
    let archipel = archipel();
    let base = publish(&archipel, &registry, "base:1", &[image("linux/amd64", "a")]);
    archipel.home.context("c", [("Dockerfile", format!("FROM {base}\nENV PATH=$PATH:$PAHT\n"))]);
    let check = |format: &str| archipel.run(["build", &format!("--call=check{format}"), "--platform=linux/amd64", "c"]);
    let found = check("");
    assert_eq!(found.code(), 1);
    let text = found.stdout();
    assert!(text.contains("\nUsage of undefined variable '$PAHT' (did you mean $PATH?)\n"), "{text}");
    assert_eq!(check(",ignorestatus=true").code(), 0);
    let json: serde_json::Value = serde_json::from_str(&check(",format=json").stdout()).unwrap();
    assert_eq!(json["warnings"].as_array().unwrap().len(), 1);
    assert_eq!(json["warnings"][0]["ruleName"], "UndefinedVar");
    assert_eq!(json["warnings"][0]["location"]["ranges"][0]["start"]["line"], 2);
    assert_eq!(json["sources"][0]["filename"], "Dockerfile");

    // Without it nobody knows.
    archipel.home.context("d", [("Dockerfile", "FROM 127.0.0.1:1/gone\nENV PATH=$PATH:$PAHT\n")]);
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["build", "--check", "d"])), @r"
    $ archipel build --check d
    Check complete, no warnings found.
    [exit 0]
    ");
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let archipel = archipel();
    archipel.home.context("c", [("Dockerfile", "FROM scratch AS Base\nMAINTAINER me\nBADCMD")]);
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["build", "--check", "c"])), @r"
    $ archipel build --check c
    Check complete, 2 warnings have been found!

    WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/
    Stage name 'Base' should be lowercase
    Dockerfile:1
    --------------------
       1 | >>> FROM scratch AS Base
       2 |     MAINTAINER me
       3 |     BADCMD
    --------------------

    WARNING: MaintainerDeprecated - https://docs.docker.com/go/dockerfile/rule/maintainer-deprecated/
    Maintainer instruction is deprecated in favor of using label
    Dockerfile:2
    --------------------
       1 |     FROM scratch AS Base
       2 | >>> MAINTAINER me
       3 |     BADCMD
    --------------------
    error[unknown-instruction]: unknown instruction: BADCMD
     --> Dockerfile:3:1
      |
    3 | BADCMD
      | ^^^^^^
      |
      = help: if it belongs to the line before, that line must end in a continuation character

    error: Dockerfile has 1 error: dockerfile parse error on line 3: unknown instruction: BADCMD
    [exit 1]
    ");
    let finished = archipel.run(["build", "--call=check,format=json", "c"]);
    let json: serde_json::Value = serde_json::from_str(&finished.stdout()).unwrap();
    assert_eq!(json["warnings"].as_array().unwrap().len(), 2);
    assert_eq!(json["buildError"]["message"], "dockerfile parse error on line 3: unknown instruction: BADCMD");
    assert_eq!(json["buildError"]["location"]["ranges"][0]["start"]["line"], 3);
    // What is wrong in the text as a whole comes first, and is of no instruction.
    archipel.home.context("c", [("Dockerfile", "FROM scratch\nBADCMD\nENV a\n")]);
    let finished = archipel.run(["build", "--call=check,format=json", "c"]);
    let json: serde_json::Value = serde_json::from_str(&finished.stdout()).unwrap();
    assert_eq!(json["buildError"]["message"], "ENV must have two arguments");
}

#[test]
fn needs_userns_every_from_must_be_right() {
    let archipel = archipel();
    for (from, error) in [
        ("$nothing", "base name ($nothing) should not be blank"),
        ("--platform=linux/ scratch", "failed to parse platform linux/: \"\" is an invalid component of \"linux/\""),
        ("${a?b}", "failed to process \"${a?b}\": a: b"),
    ] {
        archipel.home.context("c", [("Dockerfile", format!("FROM {from} AS unused\nFROM scratch\nLABEL a=b\n"))]);
        let told = archipel.run(["build", "c"]).fails(1);
        assert!(told.contains(error), "{told}");
    }
}

#[test]
fn needs_userns_a_build_that_does_not_begin_tells_of_what_was_found_before() {
    let archipel = archipel();
    let casing = "StageNameCasing: Stage name 'Base' should be lowercase (line 1)";
    for (text, target, warnings, error) in [
        (
            "FROM scratch AS Base\nMAINTAINER me\nBADCMD\n",
            None,
            &[casing, "MaintainerDeprecated: "][..],
            "error: Dockerfile has 1 error: dockerfile parse error on line 3: unknown instruction: BADCMD",
        ),
        ("FROM scratch AS Base\n", Some("--target=nothing"), &[casing], "target stage \"nothing\" could not be found"),
        ("FROM scratch AS Base\nFROM 127.0.0.1:1/gone\n", None, &[casing], "127.0.0.1:1"),
        (
            "FROM --platform=$BULIDPLATFORM scratch\n",
            None,
            &[
                "UndefinedArgInFrom: FROM argument 'BULIDPLATFORM' is not declared (did you mean BUILDPLATFORM?) (line 1)",
            ],
            "empty platform value from expression $BULIDPLATFORM (did you mean BUILDPLATFORM?)",
        ),
        ("ARG a=${b?none}\nFROM scratch AS Base\n", None, &["StageNameCasing: "], "b: none"),
    ] {
        archipel.home.context("c", [("Dockerfile", text)]);
        let finished = archipel.run(["build", "--progress=plain", "c"].into_iter().chain(target));
        assert_ne!(finished.code(), 0, "{text}");
        let told = finished.stderr();
        for warning in warnings {
            // As it is found, and in the list.
            assert_eq!(told.matches(warning).count(), 2, "{warning}: {told}");
        }
        assert!(told.contains(error), "{error}: {told}");
    }
}

#[test]
fn targets_and_outlines() {
    let archipel = archipel();
    let text = "\
# version is the one to build
ARG version=1
# build compiles
FROM scratch AS build
ARG version
RUN --mount=type=secret,id=token,required make
FROM scratch
COPY --from=build /a /a
# tests runs the tests
FROM build AS tests
ARG filter
";
    archipel.home.context("c", [("Dockerfile", text)]);
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["build", "--call=targets", "c"])), @r"
    $ archipel build --call=targets c
    TARGET          DESCRIPTION
    build           compiles

    tests (default) runs the tests
    [exit 0]
    ");
    let outline = archipel.run(["build", "--call=outline", "--build-arg=version=2", "c"]);
    insta::assert_snapshot!(transcript(&archipel, &outline), @r"
    $ archipel build --call=outline --build-arg=version=2 c
    TARGET:      tests
    DESCRIPTION: runs the tests

    BUILD ARG   VALUE   DESCRIPTION
    version     2
    filter

    SECRET   REQUIRED
    token    true

    [exit 0]
    ");
    let json = |call: &str| -> serde_json::Value {
        serde_json::from_str(&archipel.ok(["build", &format!("--call={call},format=json"), "c"])).unwrap()
    };
    assert_eq!(json("targets")["targets"][2]["default"], true);
    assert_eq!(json("outline")["secrets"][0]["required"], true);
    archipel.home.context("c", [("Dockerfile", "FROM scratch as a\nFROM scratch AS b\nUSER $abcd\n")]);
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["build", "--call=outline", "c"])), @r"
    $ archipel build --call=outline c
    TARGET: b


     2 warnings found (use --check to expand):
     - FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)
     - UndefinedVar: Usage of undefined variable '$abcd' (line 3)
    [exit 0]
    ");
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["build", "--call=what", "c"])), @r"
    $ archipel build --call=what c
    error: --call=what: it is build, check, outline or targets
    [exit 2]
    ");
}

#[test]
fn needs_userns_a_build_tells_of_them_and_may_fail_for_them() {
    requires!(userns);
    let archipel = archipel();
    let build = |text: &str| {
        archipel.home.context("c", [("Dockerfile", text)]);
        archipel.run(["build", "--progress=plain", "--output=type=cacheonly", "c"])
    };
    let finished = build("FROM scratch AS Other\nENV a b\nFROM scratch AS Base\nENV a=b\n");
    assert_eq!(finished.code(), 0, "{}", finished.stderr());
    let told = "2 warnings found (use --check to expand):\n - StageNameCasing: Stage name 'Other' should be lowercase (line 1)\n";
    assert!(finished.stderr().contains(told), "{}", finished.stderr());
    // The stage that is not needed is not looked into.
    assert!(!finished.stderr().contains("LegacyKeyValueFormat"), "{}", finished.stderr());
    let finished = build("# check=error=true\nFROM scratch AS Base\n");
    assert_eq!(finished.code(), 1);
    assert!(finished.stderr().contains("lint violation found for rules: StageNameCasing"), "{}", finished.stderr());
}

#[test]
fn a_text_is_a_dockerfile_if_that_is_said() {
    let archipel = archipel();
    let dockerfile = "--build-arg=BUILDKIT_SYNTAX=docker/dockerfile:1.7-labs";
    archipel.home.context("c", [("Dockerfile", "# syntax=example.com/nix:1\nFROM scratch\n")]);
    assert_eq!(archipel.run(["build", "--call=targets", dockerfile, "c"]).code(), 0);
    let other = archipel.run(["build", "--check", "--build-arg=BUILDKIT_SYNTAX=UPPER", "c"]).fails(2);
    assert!(other.contains("build argument BUILDKIT_SYNTAX: the frontend UPPER is no image"), "{other}");
    archipel.home.context("c", [("Dockerfile", "# syntax=UPPER\nFROM scratch\n")]);
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["build", "--check", "c"])), @r"
    $ archipel build --check c
    error[frontend-image]: the frontend UPPER is no image: image name `UPPER` has upper-case letters: names are lower case, only tags may have them
     --> Dockerfile:1:10
      |
    1 | # syntax=UPPER
      |          ^^^^^
      |
      = help: write it as an image is named: # syntax=registry.example/name:tag

    error: Dockerfile has 1 error
    [exit 1]
    ");
}
