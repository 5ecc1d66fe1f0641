//! Help, and command lines that are wrong.

use crate::util::{archipel, transcript};

fn run(args: &[&str]) -> String {
    let archipel = archipel();
    let finished = archipel.run(args);
    transcript(&archipel, &finished)
}

#[test]
fn help() {
    insta::assert_snapshot!(run(&["--help"]), @r"
    $ archipel --help
    Container images for many architectures: build, publish, serve and run them, without a daemon or
    root

    Usage: archipel <COMMAND>

    Commands:
      build     Build an image from a Dockerfile, for one platform or many at once
      bake      Build the targets of a bake file or a compose file
      run       Run a command in a new container
      pull      Fetch an image from its registry
      push      Send an image, with all its platforms, to its registry
      copy      Copy an image with all its platforms from one place to another, bytes unchanged
      images    List the images that are here
      inspect   Show which platforms images have. One of the store is shown as it is there, any other as
                its registry has it
      history   Show the steps that made an image, the last one first
      tag       Give an image another name
      rmi       Remove images by name or id. What no other image needs is given back by `archipel prune`
      save      Write images of the store into one archive, for `load` and `docker load`
      load      Read the images of an archive that `save`, `docker save` or a build wrote
      index     Put images for several platforms under one name, at a registry
      login     Log in to a registry, and keep the credentials where docker keeps them
      logout    Forget the credentials for a registry
      registry  Serve images to other machines
      ci        Run the pipeline of a .gitlab-ci.yml
      du        Show what the store takes on disk
      prune     Remove the build cache, images without a name, and what no image needs
      info      Show the version, where things are kept, and what this machine can run
      doctor    Try what this machine gives, and say how to mend what is missing
      version   Show the version

    Options:
      -V, --version  Print version
      -h, --help     Show help

    As `archipel docker ...`, or through a link named docker, it takes docker's commands.
    [exit 0]
    ");
}

#[test]
fn help_of_build() {
    insta::assert_snapshot!(run(&["build", "--help"]), @r"
    $ archipel build --help
    Build an image from a Dockerfile, for one platform or many at once

    Usage: archipel build [OPTIONS] <CONTEXT>

    Arguments:
      <CONTEXT>  The folder to copy files from; `-` for a tar or a Dockerfile on standard input; or a
                 URL

    Options:
      -t, --tag <NAME[:TAG]>
              Name of the result, again for each further name
      -f, --file <FILE>
              The Dockerfile; `-` for standard input [default: CONTEXT/Dockerfile]
          --platform <PLATFORM,..>
              Platforms to build for, such as linux/amd64,linux/arm64 [default: this machine's]
          --build-arg <KEY[=VALUE]>
              Value of an ARG; a key alone takes its value from the environment
          --target <STAGE>
              The stage to build [default: the last]
          --push
              Push the result to the registries of its names
          --load
              Keep the result in the store, as happens anyway without --push and --output
      -o, --output <OUTPUT>
              What to do with the result: a folder, `-`, or
              type=local|tar|oci|docker|image|registry|cacheonly[,dest=..]
          --no-cache
              Run every step again
          --no-cache-filter <STAGE,..>
              Run the steps of these stages again
          --pull
              Ask registries for newer base images
          --label <KEY=VALUE>
              Label of the image
          --annotation <KEY=VALUE>
              Annotation of the manifest, or with a prefix such as `index:` of something else
          --secret <SECRET>
              Secret for RUN --mount=type=secret: id=NAME,src=FILE or id=NAME,env=VARIABLE
          --ssh <ID[=PATH]>
              Agent or keys for RUN --mount=type=ssh: default, ID=SOCKET or ID=KEYFILE
          --build-context <NAME=CONTEXT>
              Another tree or image for COPY --from and FROM
          --network <MODE>
              Network of RUN steps [possible values: default, host, none]
          --add-host <NAME:ADDRESS>
              Entry of /etc/hosts during RUN
          --shm-size <BYTES>
              Size of /dev/shm during RUN
          --ulimit <NAME=SOFT[:HARD]>
              Resource limit of RUN steps
          --allow <ENTITLEMENT>
              What RUN steps may ask for beyond the usual
          --progress <FORM>
              How to show what happens [default: auto] [possible values: auto, plain, tty, json, quiet]
      -q, --quiet
              Show nothing but errors, and print the image's id
          --metadata-file <FILE>
              Write what was built to this file, as JSON
          --iidfile <FILE>
              Write the image's id to this file
          --jobs <N>
              How many steps run at once [default: one per processor]
          --call <build|check|outline|targets[,format=json]>
              Do not build: check the Dockerfile, or list its stages or arguments
          --explain[=<text|json>]
              Do not build: print the steps, where and how each would run, and what its cache key
              depends on [possible values: text, json]
          --check
              Short for --call=check
          --provenance <WISH>
              Attest how the image was made: true, false, or mode=min|max,version=v1|v0.2,builder-id=ID
          --sbom <WISH>
              List what is in the image (SBOM): true, false, or generator=IMAGE
          --attest <TYPE>
              The same as --provenance and --sbom: type=provenance,mode=.. or type=sbom,generator=..
          --cache-from <CACHE>
              Cache to look for steps in: an image or cache REGISTRY/NAME:TAG, or type=local,src=FOLDER
          --cache-to <CACHE>
              Cache to write steps to: type=registry,ref=..[,mode=max],
              type=local,dest=FOLDER[,mode=max], or type=inline
      -h, --help
              Show help
    [exit 0]
    ");
}

#[test]
fn nothing_is_ignored() {
    insta::assert_snapshot!(run(&["build", "--no-such-flag", "."]), @r"
    $ archipel build --no-such-flag .
    error: unexpected argument '--no-such-flag' found

      tip: a similar argument exists: '--no-cache-filter'

    Usage: archipel build --no-cache-filter <STAGE,..> <CONTEXT>

    For more information, try '--help'.
    [exit 2]
    ");
    insta::assert_snapshot!(run(&["build", "--cache-to=type=s3", "."]), @r"
    $ archipel build --cache-to=type=s3 .
    error: invalid value 'type=s3' for '--cache-to <CACHE>': type=s3 is not supported yet: registry, local or inline

    For more information, try '--help'.
    [exit 2]
    ");
    insta::assert_snapshot!(run(&["build", "--platform=linux/", "."]), @r"
    $ archipel build --platform=linux/ .
    error: invalid value 'linux/' for '--platform <PLATFORM,..>': `linux/` is not a platform: a part of it is empty or has a character that no platform has; write it as `linux/arm64` or `linux/arm/v7`

    For more information, try '--help'.
    [exit 2]
    ");
    insta::assert_snapshot!(run(&["build", "-o", "type=oci,dest=x,unpack=true", "."]), @r"
    $ archipel build -o type=oci,dest=x,unpack=true .
    error: --output type=oci,dest=x,unpack=true: type=oci does not know `unpack=`, or it is not supported yet
    [exit 2]
    ");
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
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["pull", "busybox"])), @r#"
    $ archipel pull busybox
    error: unknown field `mirors`, expected one of `mirrors`, `location`, `http`, `insecure`, `ca`, `keypair`
     --> [HOME]/config.toml:2:1
      |
    2 | mirors = ["[REGISTRY]"]
      | ^^^^^^
    [exit 2]
    "#);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let archipel = archipel();
    let mut child = archipel.command(["version"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
