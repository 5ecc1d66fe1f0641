//! `--sbom`: a generator's lists beside what a build makes.

use archipel_testkit::{Archipel, OwnRegistry, requires};
use serde_json::Value;

use crate::main_job::with_busybox;

/// A generator by BuildKit's protocol.
const GENERATOR: &str = r#"FROM busybox
COPY <<-"EOF" /scan.sh
	write() { echo "{\"predicateType\": \"$TYPE\", \"predicate\": $2}" > $BUILDKIT_SCAN_DESTINATION/$1.spdx.json; }
	write sbom "{\"files\": \"$(ls $BUILDKIT_SCAN_SOURCE | xargs)\", \"level\": \"$BUILDKIT_SCAN_Level\"}"
	for extra in ${BUILDKIT_SCAN_SOURCE_EXTRAS:+$BUILDKIT_SCAN_SOURCE_EXTRAS/*}; do
		write $(basename $extra) "{\"files\": \"$(ls $extra | xargs)\"}"
	done
	touch /tmp/it-can-write-here
	! touch $BUILDKIT_SCAN_SOURCE/but-not-here
EOF
ENV TYPE=https://spdx.dev/Document
CMD ["sh", "/scan.sh"]
"#;

/// The stage `unused` must not be built for it to be looked at.
const DOCKERFILE: &str = "ARG BUILDKIT_SBOM_SCAN_CONTEXT=true\nARG BUILDKIT_SBOM_SCAN_STAGE=tools,unused\n\
    FROM scratch AS tools\nCOPY f /tool\nFROM scratch AS unused\nRUN no\nFROM scratch\nCOPY --from=tools /tool /app\n";

fn files(archipel: &Archipel, list: &str) -> Value {
    let path = archipel.home.path().join("out").join(list);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str::<Value>(&text).unwrap()["predicate"].clone()
}

#[test]
fn needs_userns_a_generator_lists_what_is_in_the_result_and_in_what_it_is_made_of() {
    requires!(userns);
    let registry = OwnRegistry::start();
    let archipel = with_busybox(registry.address());
    let generator = format!("{}/generator:1", registry.address());
    let make = |dockerfile: &str| {
        let dir = archipel.home.context("generator", [("Dockerfile", dockerfile)]);
        archipel.ok(["build", "-t", &generator, "--push", &dir.display().to_string()]);
    };
    make(GENERATOR);
    let dir = archipel.home.context("c", [("Dockerfile", DOCKERFILE), ("f", "x")]);
    let (dir, wish) = (dir.display().to_string(), format!("--sbom=generator={generator},Level=3"));

    let out = format!("--output={}", archipel.home.path().join("out").display());
    archipel.ok(["build", &wish, &out, &dir]);
    assert_eq!(files(&archipel, "sbom.spdx.json"), serde_json::json!({ "files": "app", "level": "3" }));
    assert_eq!(files(&archipel, "sbom-tools.spdx.json")["files"], "tool");
    assert_eq!(files(&archipel, "sbom-context.spdx.json")["files"], "Dockerfile f");
    assert!(!archipel.home.path().join("out/sbom-unused.spdx.json").exists());

    let name = format!("{}/app:1", registry.address());
    let push = ["build", &wish, "--provenance=true", "-t", &name, "--push", &dir];
    archipel.ok(push);
    let raw = |reference: &str| serde_json::from_str::<Value>(&archipel.ok(["inspect", "--raw", reference])).unwrap();
    let index = raw(&name);
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    let attested = raw(&format!("{name}@{}", index["manifests"][1]["digest"].as_str().unwrap()));
    let kind = |layer: &Value| layer["annotations"]["in-toto.io/predicate-type"].as_str().unwrap().to_owned();
    let kinds: Vec<String> = attested["layers"].as_array().unwrap().iter().map(kind).collect();
    let spdx = "https://spdx.dev/Document";
    assert_eq!(kinds, [spdx, spdx, spdx, "https://slsa.dev/provenance/v1"]);
    let format = "{{.SBOM.SPDX.files}} {{len .SBOM.AdditionalSPDXs}} {{.Image.os}} {{len .Provenance.SLSA}}";
    let shown = archipel.ok(["docker", "buildx", "imagetools", "inspect", "--format", format, &name]);
    assert_eq!(shown, "app 2 linux 2\n");
    archipel.ok(push);
    assert_eq!(raw(&name), index, "what did not change is not looked at again");

    make(&GENERATOR.replace("https://spdx.dev/Document", "https://cyclonedx.org/bom"));
    let refused = archipel.run(["build", &wish, "--pull", &out, &dir]);
    assert_eq!(refused.code(), 2, "{}", refused.stderr());
    assert!(
        refused.stderr().contains("sbom-context.spdx.json: it is of type https://cyclonedx.org/bom"),
        "{}",
        refused.stderr()
    );
}
