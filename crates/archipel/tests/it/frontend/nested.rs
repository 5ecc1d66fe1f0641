//! Frontends that ask for others: another image, or the language that is built in.

use archipel_testkit::requires;

use super::{Stage, names};

#[test]
fn needs_userns_a_frontend_has_another_read_the_text() {
    requires!(userns);
    let stage = Stage::new();
    stage.context("c", &[("f", "of the context")]);
    let dockerfile = "dockerfile\nFROM busybox AS a\nRUN echo run > /x\nFROM scratch\nCOPY --from=a /x /\nCOPY f /\n";
    let found = stage.files(dockerfile, &[]);
    assert_eq!(std::fs::read_to_string(found.join("x")).unwrap(), "run\n");
    assert_eq!(std::fs::read_to_string(found.join("f")).unwrap(), "of the context");
    assert_eq!(names(&stage.files("frontend lang\nscratch\nfile /y y\n", &[])), ["y"]);
    let told = stage.build("frontend lang\nscratch\nfail inside\n", &[]).fails(1);
    assert!(told.contains("inside"), "{told}");
    let told = stage.build("dockerfile\nFROM scratch\nCOPPY f /\n", &[]).fails(1);
    assert!(told.contains("unknown instruction: COPPY (did you mean COPY?)"), "{told}");
}

#[test]
fn needs_userns_a_frontend_is_named_by_its_source_and_a_named_context_stands_for_it() {
    requires!(userns);
    let stage = Stage::new();
    // `cmdline` still says `lang`.
    let dockerfile = "frontend docker/dockerfile\nFROM busybox\nFROM scratch\nCOPY --from=0 /bin/busybox /b\n";
    assert_eq!(names(&stage.files(dockerfile, &[])), ["b"]);
    let lines = "scratch\nfile /f f\nenv-opt source /source\n";
    let instead = "--build-context=nowhere=docker-image://lang";
    let source = stage.file(lines, "source", &["--build-arg=BUILDKIT_SYNTAX=nowhere", instead]);
    assert_eq!(source, "docker.io/library/nowhere:latest\n");
    assert_eq!(stage.file(&format!("frontend nowhere\n{lines}"), "source", &[instead]), "nowhere\n");
    let folder = format!("--build-context=nowhere={}", stage.context("n", &[("f", "")]));
    let told = stage.build("frontend nowhere\nscratch\n", &[&folder]).fails(1);
    assert!(
        told.contains("the named context nowhere:latest stands for the image of a frontend, and is none"),
        "{told}"
    );
}

#[test]
fn needs_userns_options_of_the_built_in_language_are_followed_or_refused() {
    requires!(userns);
    let stage = Stage::new();
    let named = format!("--build-context=n={}", stage.context("n", &[("f", "named")]));
    let flags = [&named[..], "--build-context=b=docker-image://busybox", "--add-host=elsewhere:192.0.2.7"];
    let lines = "dockerfile hostname=box\nFROM b\nCOPY --from=n f /f\nRUN hostname > /name && grep -w elsewhere /etc/hosts > /hosts\n";
    let found = stage.files(lines, &flags);
    let read = |name: &str| std::fs::read_to_string(found.join(name)).unwrap();
    assert_eq!(["f", "name"].map(read), ["named", "box\n"]);
    assert!(read("hosts").starts_with("192.0.2.7"));
    let told = stage.build("dockerfile memory=1\nFROM scratch\n", &[]).fails(1);
    let refused = "the frontend lang:latest gives the language of Dockerfiles the option memory: it is not supported";
    assert!(told.contains(refused), "{told}");
    // A question is not answered by a build.
    stage.text("dockerfile\nFROM scratch\n");
    let told = stage.archipel.run(["build", "--call=outline", "c"]).fails(1);
    assert!(told.contains("frontend.outline is not answered to frontends yet"), "{told}");
}
