//! `tests/data/CASE`: the files of a definition, `expected.json` as buildx prints it, and perhaps `variables`.

use std::collections::BTreeMap;
use std::path::Path;

use archipel_bake::File;

use super::{bake, hcl};

#[test]
fn what_buildx_prints_is_printed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut cases = 0;
    for case in std::fs::read_dir(folder).unwrap() {
        let case = case.unwrap().path();
        let mut names: Vec<String> =
            std::fs::read_dir(&case).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        // Compose files first, and what overrides last, as the names happen to say.
        names.sort();
        let read = |name: &str| std::fs::read_to_string(case.join(name)).unwrap_or_default();
        let is_part = |name: &&String| !matches!(name.as_str(), "expected.json" | "variables");
        let files: Vec<File> =
            names.iter().filter(is_part).map(|name| File { name: name.clone(), text: read(name) }).collect();
        let variables = read("variables");
        let variables: BTreeMap<&str, &str> = variables.lines().filter_map(|line| line.split_once('=')).collect();
        let variable = |name: &str| variables.get(name).map(|value| (*value).to_owned());
        let printed = bake(&files, &["default"], &[], &variable).map(|bake| bake.json());
        assert_eq!(printed.unwrap(), read("expected.json"), "{}", case.display());
        cases += 1;
    }
    assert!(cases > 10, "{cases}");
}

#[test]
fn the_command_line_has_the_last_word() {
    let text = r#"
        target "_common" { args = { A = "1" } }
        target "app" {
          inherits = ["_common"]
          output   = ["type=image,name=x"]
          tags     = ["a", "b"]
        }
        target "tool" {
          output = ["type=local,dest=out"]
        }
    "#;
    let set = [
        "*.args.A=2",
        "app.tags+=c",
        "app.platform=linux/arm64",
        "*.push=true",
        "t??l.cache-from=x,y",
        "app.args.HOME",
    ];
    let variable = |name: &str| (name == "HOME").then(|| "/me".to_owned());
    let baked = bake(&hcl(text), &["app", "t*"], &set, &variable).unwrap();
    let (app, tool) = (&baked.targets["app"], &baked.targets["tool"]);
    assert_eq!((app.args["A"].as_str(), app.args["HOME"].as_str()), ("2", "/me"));
    assert_eq!(app.tags.as_ref().unwrap(), &["a", "b", "c"]);
    assert_eq!(app.output.as_ref().unwrap()[0].csv(), "type=image,name=x,push=true");
    assert_eq!(tool.output.as_ref().unwrap().len(), 1);
    assert_eq!(tool.cache_from.as_ref().unwrap().len(), 2);
    assert_eq!(baked.groups["default"].targets, ["app", "tool"]);
}

#[test]
fn a_target_comes_after_its_contexts() {
    let text = r#"
        target "a" { contexts = { b = "target:b" } }
        target "b" { contexts = { c = "target:c" } }
        target "c" {}
    "#;
    let baked = bake(&hcl(text), &["a"], &[], &|_| None).unwrap();
    let order: Vec<&str> = baked.order().iter().map(|target| target.name.as_str()).collect();
    assert_eq!(order, ["c", "b", "a"]);
    assert!(baked.targets["b"].linked && !baked.targets["a"].linked);
}
