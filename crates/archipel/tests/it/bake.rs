//! `bake`: from files to images. What the files mean is tested in the library, against what buildx prints.

use archipel_testkit::requires;

use crate::util::{archipel, transcript};

#[test]
fn definitions_are_listed_and_printed() {
    let archipel = archipel();
    let work = archipel.home.work();
    std::fs::write(
        work.join("docker-bake.hcl"),
        "variable \"TAG\" {\n  default = \"1\"\n  description = \"of the image\"\n}\n\
         group \"all\" { targets = [\"app\"] }\n\
         target \"_base\" { args = { A = \"${TAG}\" } }\n\
         target \"app\" {\n  inherits = [\"_base\"]\n  tags = [\"u/app:${TAG}\"]\n}\n",
    )
    .unwrap();
    let run = |args: &[&str]| transcript(&archipel, &archipel.run(args));
    insta::assert_snapshot!(run(&["bake", "--list", "targets"]), @r"
    $ archipel bake --list targets
    TARGET   DESCRIPTION
    all      app
    app
    [exit 0]
    ");
    insta::assert_snapshot!(run(&["docker", "buildx", "bake", "--list=variables"]), @r"
    $ archipel docker buildx bake --list=variables
    VARIABLE   TYPE   VALUE   DESCRIPTION
    TAG               1       of the image
    [exit 0]
    ");
    insta::assert_snapshot!(run(&["bake", "--print", "--var", "TAG=2", "all"]), @r#"
    $ archipel bake --print --var TAG=2 all
    {
      "group": {
        "all": {
          "targets": [
            "app"
          ]
        },
        "default": {
          "targets": [
            "all"
          ]
        }
      },
      "target": {
        "app": {
          "context": ".",
          "dockerfile": "Dockerfile",
          "args": {
            "A": "2"
          },
          "tags": [
            "u/app:2"
          ]
        }
      }
    }
    [exit 0]
    "#);
    insta::assert_snapshot!(run(&["bake", "--print", "ap"]), @r"
    $ archipel bake --print ap
    error: there is no target `ap`
     |
     = help: did you mean `app`?
    [exit 1]
    ");
    insta::assert_snapshot!(run(&["bake", "https://git.example/r.git"]), @r"
    $ archipel bake https://git.example/r.git
    error: https://git.example/r.git: definitions from elsewhere are not supported yet: clone it, and call this there
    [exit 2]
    ");
}

#[test]
fn mistakes_are_shown_with_their_place() {
    let archipel = archipel();
    std::fs::write(archipel.home.work().join("docker-bake.hcl"), "target \"default\" {\n  tagz = [\"a\"]\n}\n")
        .unwrap();
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["bake", "--print"])), @r#"
    $ archipel bake --print
    error: a target has no attribute `tagz`
     --> docker-bake.hcl:2:3
      |
    2 |   tagz = ["a"]
      |   ^^^^
      |
      = help: did you mean `tags`?
    [exit 1]
    "#);
}

#[test]
fn needs_userns_targets_take_results_of_targets() {
    requires!(userns);
    let archipel = archipel();
    let work = archipel.home.work();
    std::fs::create_dir_all(work.join("src")).unwrap();
    std::fs::write(work.join("src/f"), "f").unwrap();
    std::fs::write(work.join("Dockerfile"), "FROM scratch\nCOPY --from=base /g /h\nARG A\nLABEL a=$A\n").unwrap();
    std::fs::write(
        work.join("docker-bake.hcl"),
        "target \"base\" {\n  context = \"src\"\n  dockerfile-inline = \"FROM scratch\\nCOPY f /g\\n\"\n}\n\
         target \"app\" {\n  contexts = { base = \"target:base\" }\n  args = { A = \"x\" }\n  output = [\"type=local,dest=out\"]\n}\n\
         target \"kept\" {\n  inherits = [\"app\"]\n  tags = [\"u/kept:1\"]\n  output = []\n  platforms = [\"linux/amd64\", \"linux/arm64\"]\n}\n",
    )
    .unwrap();
    // `base` is asked for itself too: for this machine, though another target takes it for two.
    let _ = archipel.ok(["bake", "base", "app", "kept", "--metadata-file", "m.json"]);
    assert_eq!(std::fs::read_to_string(work.join("out/h")).unwrap(), "f");
    let metadata: serde_json::Value = serde_json::from_slice(&std::fs::read(work.join("m.json")).unwrap()).unwrap();
    assert!(metadata["kept"]["containerimage.digest"].is_string(), "{metadata:#}");
    let listed = archipel.ok(["images"]);
    assert!(listed.contains("u/kept"), "{listed}");
}

#[test]
fn what_files_ask_for_is_given_by_the_command_line() {
    let archipel = archipel();
    std::fs::write(
        archipel.home.work().join("docker-bake.hcl"),
        "target \"default\" {\n  dockerfile-inline = \"FROM scratch\"\n  context = \"/etc\"\n  network = \"host\"\n}\n",
    )
    .unwrap();
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["bake"])), @r"
    $ archipel bake
    error: the definition asks for more than is given; if that is meant, add --allow=fs.read=/etc --allow=network.host
    [exit 2]
    ");
}

#[test]
fn needs_userns_dockerfiles_of_targets_are_checked() {
    requires!(userns);
    let archipel = archipel();
    std::fs::write(
        archipel.home.work().join("docker-bake.hcl"),
        "target \"default\" {\n  description = \"a thing\"\n  dockerfile-inline = \"from scratch\\nCOPY a /b\\n\"\n}\n",
    )
    .unwrap();
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["bake", "--check"])), @r"
    $ archipel bake --check
    default
    a thing

    Check complete, 1 warning has been found!

    WARNING: ConsistentInstructionCasing - https://docs.docker.com/go/dockerfile/rule/consistent-instruction-casing/
    Command 'from' should match the case of the command majority (uppercase)
    Dockerfile:1
    --------------------
       1 | >>> from scratch
       2 |     COPY a /b
       3 |     
    --------------------
    [exit 1]
    ");
}
