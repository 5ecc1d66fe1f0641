//! `docker manifest`.

use archipel_testkit::{Archipel, OwnRegistry};
use serde_json::Value;

use crate::util::{archipel, image, publish, publish_alone, transcript};

fn run(archipel: &Archipel, args: &[&str]) -> String {
    transcript(archipel, &archipel.run([&["docker", "manifest"], args].concat()))
}

fn raw(archipel: &Archipel, name: &str) -> Value {
    serde_json::from_str(&archipel.ok(["inspect", "--raw", name])).unwrap()
}

fn digests(index: &Value) -> Vec<String> {
    let digest = |child: &Value| child["digest"].as_str().unwrap().to_owned();
    index["manifests"].as_array().unwrap().iter().map(digest).collect()
}

#[test]
fn images_of_one_build_each_become_a_list() {
    let registry = OwnRegistry::start();
    let archipel = archipel();
    let images = [image("linux/amd64", "a"), image("linux/arm64", "b"), image("linux/arm/v7", "c")];
    let list = format!("{}/app:latest", registry.address());
    let mut sources = vec![];
    for (image, suffix) in images.iter().zip(["amd64", "arm64", "armv7"]) {
        sources.push(publish_alone(&archipel, &registry, &format!("app:latest-{suffix}"), image));
    }
    let all: Vec<&str> = ["create", &list].into_iter().chain(sources.iter().map(String::as_str)).collect();
    insta::assert_snapshot!(run(&archipel, &all), @r"
    $ archipel docker manifest create [REGISTRY]/app:latest [REGISTRY]/app:latest-amd64 [REGISTRY]/app:latest-arm64 [REGISTRY]/app:latest-armv7
    Created manifest list [REGISTRY]/app:latest
    [exit 0]
    ");
    insta::assert_snapshot!(run(&archipel, &all), @r"
    $ archipel docker manifest create [REGISTRY]/app:latest [REGISTRY]/app:latest-amd64 [REGISTRY]/app:latest-arm64 [REGISTRY]/app:latest-armv7
    error: refusing to amend an existing manifest list with no --amend flag: [REGISTRY]/app:latest was made here and not pushed yet
    [exit 2]
    ");
    insta::assert_snapshot!(run(&archipel, &["inspect", &list]), @r#"
    $ archipel docker manifest inspect [REGISTRY]/app:latest
    {
    	"schemaVersion": 2,
    	"mediaType": "application/vnd.oci.image.index.v1+json",
    	"manifests": [
    		{
    			"mediaType": "application/vnd.oci.image.manifest.v1+json",
    			"digest": "[DIGEST]",
    			"size": 401,
    			"platform": {
    				"architecture": "amd64",
    				"os": "linux"
    			}
    		},
    		{
    			"mediaType": "application/vnd.oci.image.manifest.v1+json",
    			"digest": "[DIGEST]",
    			"size": 401,
    			"platform": {
    				"architecture": "arm64",
    				"os": "linux"
    			}
    		},
    		{
    			"mediaType": "application/vnd.oci.image.manifest.v1+json",
    			"digest": "[DIGEST]",
    			"size": 401,
    			"platform": {
    				"architecture": "arm",
    				"os": "linux",
    				"variant": "v7"
    			}
    		}
    	]
    }
    [exit 0]
    "#);
    insta::assert_snapshot!(run(&archipel, &["push", &list]), @r"
    $ archipel docker manifest push [REGISTRY]/app:latest
    [DIGEST]
    [exit 0]
    ");
    let expected: Vec<String> = images.iter().map(|image| image.manifest.digest().to_string()).collect();
    assert_eq!(digests(&raw(&archipel, &list)), expected);
    // The same script again: what was pushed is in nobody's way.
    assert_eq!(archipel.run([&["docker", "manifest"], &all[..]].concat()).code(), 0);
    insta::assert_snapshot!(run(&archipel, &["push", "--purge", &list]), @r"
    $ archipel docker manifest push --purge [REGISTRY]/app:latest
    [DIGEST]
    [exit 0]
    ");
    insta::assert_snapshot!(run(&archipel, &["push", &list]), @r"
    $ archipel docker manifest push [REGISTRY]/app:latest
    error: no such manifest list here: [REGISTRY]/app:latest; `docker manifest create` makes one
    [exit 2]
    ");
    insta::assert_snapshot!(run(&archipel, &["rm", &list]), @r"
    $ archipel docker manifest rm [REGISTRY]/app:latest
    error: no such manifest list here
    [exit 2]
    ");
    // It is at the registry all the same.
    assert_eq!(archipel.ok(["docker", "manifest", "inspect", &list]).matches("\"digest\"").count(), 3);
}

#[test]
fn a_source_that_moved_is_told_and_the_list_has_what_was_seen() {
    let registry = OwnRegistry::start();
    let archipel = archipel();
    let list = format!("{}/app:1", registry.address());
    let old = image("linux/amd64", "old");
    let source = publish_alone(&archipel, &registry, "app:1-amd64", &old);
    archipel.ok(["docker", "manifest", "create", &list, &source]);
    let new = image("linux/amd64", "new");
    publish_alone(&archipel, &registry, "app:1-amd64", &new);
    insta::assert_snapshot!(run(&archipel, &["push", &list]), @r"
    $ archipel docker manifest push [REGISTRY]/app:1
    [DIGEST]
    warning: [REGISTRY]/app:1-amd64 was [DIGEST] when it was put in the list, and is [DIGEST] now; the list has what it was: `docker manifest create --amend` takes what it is
    [exit 0]
    ");
    assert_eq!(digests(&raw(&archipel, &list)), [old.manifest.digest().to_string()]);
    archipel.ok(["docker", "manifest", "create", "--amend", &list, &source]);
    let pushed = archipel.run(["docker", "manifest", "push", &list]);
    assert_eq!(pushed.stderr(), "");
    assert_eq!(digests(&raw(&archipel, &list)), [new.manifest.digest().to_string()]);
}

#[test]
fn members_are_annotated_and_indexes_come_in_flat() {
    let registry = OwnRegistry::start();
    let archipel = archipel();
    let list = format!("{}/app:1", registry.address());
    let arm = image("linux/arm64", "a");
    let whole = publish(&archipel, &registry, "whole", &[arm.clone(), image("linux/amd64", "b")]);
    let alone = publish_alone(&archipel, &registry, "alone:1", &image("linux/arm", "c"));
    archipel.ok(["docker", "manifest", "create", &list, &whole, &alone]);
    insta::assert_snapshot!(run(&archipel, &["annotate", &list, &alone, "--arch", "arm", "--variant", "v6", "--os", "linux"]), @r"
    $ archipel docker manifest annotate [REGISTRY]/app:1 [REGISTRY]/alone:1 --arch arm --variant v6 --os linux
    [exit 0]
    ");
    insta::assert_snapshot!(run(&archipel, &["annotate", &list, &whole, "--arch", "arm"]), @r"
    $ archipel docker manifest annotate [REGISTRY]/app:1 [REGISTRY]/whole --arch arm
    error: [REGISTRY]/whole:latest is an index: name the member by its digest
    [exit 2]
    ");
    let member = format!("{}/whole@{}", registry.address(), arm.manifest.digest());
    insta::assert_snapshot!(run(&archipel, &["annotate", &list, &member, "--variant=v9"]), @r"
    $ archipel docker manifest annotate [REGISTRY]/app:1 [REGISTRY]/whole@[DIGEST] --variant=v9
    [exit 0]
    ");
    insta::assert_snapshot!(run(&archipel, &["annotate", &list, &list, "--arch", "arm"]), @r"
    $ archipel docker manifest annotate [REGISTRY]/app:1 [REGISTRY]/app:1 --arch arm
    error: [REGISTRY]/app:1 is not in the manifest list [REGISTRY]/app:1
    [exit 2]
    ");
    archipel.ok(["docker", "manifest", "push", &list]);
    let index = raw(&archipel, &list);
    let variants: Vec<&Value> =
        index["manifests"].as_array().unwrap().iter().map(|m| &m["platform"]["variant"]).collect();
    assert_eq!(variants, [&Value::from("v9"), &Value::Null, &Value::from("v6")]);
}

#[test]
fn inspect_looks_here_and_there() {
    let registry = OwnRegistry::start();
    let archipel = archipel();
    let one = image("linux/amd64", "a");
    let name = publish_alone(&archipel, &registry, "app:1", &one);
    let shown: Value = serde_json::from_str(&archipel.ok(["docker", "manifest", "inspect", &name])).unwrap();
    assert_eq!(shown["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
    let shown: Value = serde_json::from_str(&archipel.ok(["docker", "manifest", "inspect", "-v", &name])).unwrap();
    assert_eq!(shown["Descriptor"]["platform"]["architecture"], "amd64");
    assert_eq!(shown["OCIManifest"]["layers"].as_array().map(Vec::len), Some(1));
    insta::assert_snapshot!(run(&archipel, &["inspect", &format!("{}/nope:1", registry.address())]), @r"
    $ archipel docker manifest inspect [REGISTRY]/nope:1
    error: [REGISTRY]: [REGISTRY]/nope:1: not found at http://[REGISTRY]/v2/nope/manifests/1
    [exit 12]
    ");
}
