//! Help, and command lines that are wrong.

use crate::util::{archipel, transcript};

fn run(args: &[&str]) -> String {
    let archipel = archipel();
    let finished = archipel.run(args);
    transcript(&archipel, &finished)
}

#[test]
fn help() {
    insta::assert_snapshot!(run(&["--help"]), @"");
}

#[test]
fn help_of_build() {
    insta::assert_snapshot!(run(&["build", "--help"]), @"");
}

#[test]
fn nothing_is_ignored() {
    insta::assert_snapshot!(run(&["build", "--no-such-flag", "."]), @"");
    insta::assert_snapshot!(run(&["build", "--provenance=true", "."]), @"");
    insta::assert_snapshot!(run(&["build", "--cache-to=type=inline", "."]), @"");
    insta::assert_snapshot!(run(&["build", "--platform=linux/", "."]), @"");
    insta::assert_snapshot!(run(&["build", "-o", "type=oci,dest=x,unpack=true", "."]), @"");
}

#[test]
fn contradictions_are_told_before_anything_is_done() {
    for (args, word) in [
        (&["build", "--push", "."][..], "--tag"),
        (&["build", "-f", "-", "-"], "at once"),
        (&["build", "no/such/folder"], "no/such/folder"),
        (&["build", "--secret", "id=a,src=/no/such/file", "."], "/no/such/file"),
        (&["build", "--build-context", "a", "."], "NAME="),
        (&["build", "-t", "UPPER", "."], "upper-case"),
        (&["login", "--password-stdin", "127.0.0.1:9"], "--username"),
        (&["build"], "CONTEXT"),
        (&[], "Usage"),
    ] {
        let finished = archipel().run(args);
        assert_eq!(finished.code(), 2, "{}", finished.transcript());
        assert!(finished.stderr().contains(word), "{}", finished.transcript());
    }
}

#[test]
fn docker_s_ways_to_say_no_attestations_are_taken() {
    // The folder is not there, so the build ends before it begins; but not with a word about these.
    for flag in ["--provenance=false", "--sbom=false", "--attest=type=provenance,disabled=true"] {
        let finished = archipel().run(["build", flag, "no/such/folder"]);
        assert!(finished.stderr().contains("no/such/folder"), "{}", finished.transcript());
    }
}

#[test]
fn configuration_that_is_wrong_is_shown() {
    let archipel = archipel();
    archipel.home.write_config("[registry.\"docker.io\"]\nmirors = [\"127.0.0.1:1\"]\n");
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["pull", "busybox"])), @"");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let archipel = archipel();
    let mut child = archipel.command(["version"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
