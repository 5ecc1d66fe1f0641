//! Provenance: what an image was made from and how, in SLSA's words, about each platform (slsa.dev/provenance; BuildKit's
//! `--provenance`). It says nothing that changes when the same is built again (no times, no invocation): so the same sources are
//! the same index, attested or not.

use std::collections::{BTreeMap, BTreeSet};

use archipel_dockerfile::{is_proxy, redacted};
use archipel_oci::{Digest, Platform, Reference};
use serde_json::{Value, json};

use crate::attestation::Attestation;
use crate::exec::Executor;
use crate::frontend::Frontend;
use crate::plan::{Item, Op, Root, Source};
use crate::request::{Context, Dockerfile};
use crate::source::address;
use crate::{Error, Request};

/// What our predicates describe.
const BUILD_TYPE: &str = "urn:archipel:dockerfile:v1";

/// What BuildKit calls the reader of Dockerfiles, and the one that runs other readers.
const FRONTEND: &str = "dockerfile.v0";
const GATEWAY: &str = "gateway.v0";
const DOCKERFILE: &str = "Dockerfile";

/// `--provenance`, `--attest type=provenance`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// `mode=max`: also what the build was given: arguments, labels, names of secrets. Values of arguments are published so.
    pub max: bool,
    /// `version=v0.2`, for readers of the time before SLSA 1.0.
    pub old: bool,
    /// `builder-id=`.
    pub builder: String,
}

/// Something that an image was made from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Material {
    uri: String,
    /// The algorithm's name and the digest.
    digest: (String, String),
}

impl Material {
    fn new(uri: String, digest: &Digest) -> Self {
        Self { uri, digest: (digest.algorithm().name().into(), digest.hex().into()) }
    }

    fn json(&self) -> Value {
        let (algorithm, hex) = &self.digest;
        json!({ "uri": self.uri, "digest": { algorithm: hex } })
    }
}

impl Provenance {
    fn predicate_type(&self) -> &'static str {
        if self.old { "https://slsa.dev/provenance/v0.2" } else { "https://slsa.dev/provenance/v1" }
    }

    /// What is stated of a build's result for one platform.
    pub(crate) fn attestation(
        &self,
        request: &Request,
        frontend: Option<&Frontend>,
        materials: &BTreeSet<Material>,
    ) -> Attestation {
        Attestation {
            file: "provenance.json".into(),
            predicate_type: self.predicate_type().into(),
            predicate: self.predicate(request, frontend, materials),
            subjects: Vec::new(),
        }
    }

    /// What is stated of a build's result for one platform, with the fields that BuildKit has for it.
    fn predicate(&self, request: &Request, frontend: Option<&Frontend>, materials: &BTreeSet<Material>) -> Value {
        let materials: Vec<Value> = materials.iter().map(Material::json).collect();
        let host = Platform::host().to_string();
        let builder = json!({ "id": self.builder });
        let asked = self.request(request, frontend);
        // Whether all is here that was asked for; what lay in a folder has no address.
        let (whole, sourced) = (self.tells_all(request), !is_local(&request.context));
        if self.old {
            let (uri, path) = source(request);
            return json!({
                "builder": builder,
                "buildType": BUILD_TYPE,
                "invocation": {
                    "configSource": filled([("uri", uri), ("entryPoint", Some(path))]),
                    "parameters": asked,
                    "environment": { "platform": host },
                },
                "materials": materials,
                "metadata": {
                    "completeness": { "parameters": whole, "environment": true, "materials": sourced },
                    "reproducible": false,
                    "https://mobyproject.org/buildkit@v1#metadata": {},
                },
            });
        }
        let (uri, path) = source(request);
        json!({
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "configSource": filled([("uri", uri), ("path", Some(path))]),
                    "request": asked,
                },
                "internalParameters": { "builderPlatform": host },
                "resolvedDependencies": materials,
            },
            "runDetails": {
                "builder": builder,
                "metadata": {
                    "buildkit_metadata": {},
                    "buildkit_completeness": { "request": whole, "resolvedDependencies": sourced },
                },
            },
        })
    }

    fn tells_all(&self, request: &Request) -> bool {
        let given = request.build_args.len() + request.labels.len();
        let told = if self.max { values(request).count() } else { 0 };
        told == given
    }

    fn request(&self, request: &Request, frontend: Option<&Frontend>) -> Value {
        let mut args: BTreeMap<String, String> = BTreeMap::new();
        args.extend(request.target.iter().map(|target| ("target".to_owned(), target.clone())));
        if request.no_cache || !request.no_cache_filter.is_empty() {
            args.insert("no-cache".into(), request.no_cache_filter.join(","));
        }
        let mut asked = json!({ "frontend": if frontend.is_some() { GATEWAY } else { FRONTEND } });
        if let Some(frontend) = frontend {
            args.insert("source".into(), frontend.image.to_string());
            args.insert("cmdline".into(), frontend.command_line.clone());
        }
        if self.max {
            args.extend(values(request).map(|(kind, name, value)| (format!("{kind}:{name}"), redacted(value))));
            let ids = |ids: &mut dyn Iterator<Item = &String>| ids.map(|id| json!({ "id": id })).collect::<Vec<_>>();
            let secrets = ids(&mut request.secrets.iter().map(|secret| &secret.id));
            let agents = ids(&mut request.ssh.iter().map(|(id, _)| id));
            for (key, list) in [("secrets", secrets), ("ssh", agents)] {
                if !list.is_empty() {
                    asked[key] = json!(list);
                }
            }
        }
        if !args.is_empty() {
            asked["args"] = json!(args);
        }
        if is_local(&request.context) {
            asked["locals"] = json!([{ "name": "context" }, { "name": "dockerfile" }]);
        }
        asked
    }
}

/// Arguments and labels, but not how this machine reaches the network: that is nothing that an image is made from, and may hold
/// a login.
fn values(request: &Request) -> impl Iterator<Item = (&'static str, &String, &String)> {
    let args = request.build_args.iter().filter(|(name, _)| !is_proxy(name));
    let args = args.map(|(name, value)| ("build-arg", name, value));
    args.chain(request.labels.iter().map(|(name, value)| ("label", name, value)))
}

/// Whether a context is of this machine alone.
fn is_local(context: &Context) -> bool {
    matches!(context, Context::Local(_) | Context::Stdin(_) | Context::OciLayout { .. })
}

/// Where the Dockerfile is: the address of the context, if it has one, and the path.
fn source(request: &Request) -> (Option<String>, String) {
    let uri = match &request.context {
        Context::Git(url) => Some(redacted(url)),
        Context::Http(url) => Some(address(url)),
        _ => None,
    };
    let path = match &request.dockerfile {
        Dockerfile::Path(path) if !is_local(&request.context) => path.display().to_string(),
        Dockerfile::Path(path) => {
            path.file_name().map_or_else(|| DOCKERFILE.into(), |name| name.to_string_lossy().into())
        }
        _ => DOCKERFILE.to_owned(),
    };
    (uri, path)
}

/// An object of the fields that have a value.
fn filled<const N: usize>(fields: [(&str, Option<String>); N]) -> Value {
    fields
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), json!(value?))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// An image's manifest as what a statement is about, by the names that it gets.
pub(crate) fn image_subjects(names: &[Reference], platform: &Platform, manifest: &Digest) -> Vec<Value> {
    let subjects: Vec<Value> = names.iter().map(|name| subject(&package(name, platform), manifest)).collect();
    if subjects.is_empty() { vec![subject("image", manifest)] } else { subjects }
}

/// One thing that a statement is about.
pub(crate) fn subject(name: &str, digest: &Digest) -> Value {
    json!({ "name": name, "digest": { digest.algorithm().name(): digest.hex() } })
}

/// A package URL (purl specification, type `docker`).
fn package(name: &Reference, platform: &Platform) -> String {
    let platform = platform.to_string().replace('/', "%2F");
    format!("pkg:docker/{}@{}?platform={platform}", name.familiar_name(), name.tag_or_latest())
}

impl Executor {
    /// What the files of a root were made from: images, files of the web, commits. What lay in contexts has no address.
    pub(crate) async fn materials(&self, root: &Root) -> Result<BTreeSet<Material>, Error> {
        let mut found = BTreeSet::new();
        let image = |root: &Root, found: &mut BTreeSet<Material>| {
            if let Root::Image(image) = root {
                found.insert(Material::new(package(&image.reference, &image.platform), &image.top));
            }
        };
        image(root, &mut found);
        if let Some(frontend) = &self.frontend {
            let program = self.engine.base_image(&frontend.image, &Platform::host(), false).await?;
            image(&Root::Image(program), &mut found);
        }
        for n in self.plan.below(root) {
            let node = &self.plan.nodes[n];
            image(&node.root, &mut found);
            for source in node.op.sources() {
                if let Source::Root(root) = source {
                    image(&root, &mut found);
                }
            }
            let Op::Copy(copy) = &node.op else { continue };
            for item in &copy.items {
                match item {
                    Item::Http { url, .. } => {
                        let file = self.engine.http_file(url, copy.checksum.as_deref(), &self.request).await?;
                        found.insert(Material::new(address(url), &file.digest));
                    }
                    Item::Git(git) => {
                        let commit = self.engine.git_commit(git, copy.checksum.as_deref(), &self.request).await?;
                        let digest = ("sha1".to_owned(), commit.commit().to_owned());
                        found.insert(Material { uri: address(&git.remote), digest });
                    }
                    Item::Path(_) | Item::Inline { .. } => {}
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages() {
        let platform = Platform::new("linux", "arm", Some("v7"));
        for (name, url) in [
            ("busybox", "pkg:docker/busybox@latest?platform=linux%2Farm%2Fv7"),
            ("h.example:5000/a/b:1", "pkg:docker/h.example:5000/a/b@1?platform=linux%2Farm%2Fv7"),
        ] {
            assert_eq!(package(&name.parse().unwrap(), &platform), url);
        }
    }

    #[test]
    fn logins_are_not_published() {
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let build_args =
            [("HTTP_PROXY", "me:pw@proxy:3128"), ("all_proxy", "http://me:p/w@proxy"), ("REPO", "https://me:pw@h/a")];
        let request = Request { build_args: build_args.map(pair).to_vec(), ..Request::empty() };
        let predicate = Provenance { max: true, ..Provenance::default() }.predicate(&request, None, &BTreeSet::new());
        let told = &predicate["buildDefinition"]["externalParameters"]["request"]["args"];
        assert_eq!(*told, json!({ "build-arg:REPO": "https://xxxxx:xxxxx@h/a" }));
    }

    #[test]
    fn the_least_holds_no_values() {
        let request = Request {
            context: Context::Local("/somewhere".into()),
            target: Some("final".into()),
            build_args: vec![("A".into(), "1".into())],
            labels: vec![("l".into(), "2".into())],
            ..Request::empty()
        };
        let predicate = Provenance::default().predicate(&request, None, &BTreeSet::new());
        let expected = json!({
            "configSource": { "path": "Dockerfile" },
            "request": {
                "frontend": "dockerfile.v0",
                "args": { "target": "final" },
                "locals": [{ "name": "context" }, { "name": "dockerfile" }],
            },
        });
        assert_eq!(predicate["buildDefinition"]["externalParameters"], expected);
        assert_eq!(predicate["buildDefinition"]["internalParameters"]["builderPlatform"], Platform::host().to_string());
        let complete = json!({ "request": false, "resolvedDependencies": false });
        assert_eq!(predicate["runDetails"]["metadata"]["buildkit_completeness"], complete);
        let old =
            Provenance { old: true, max: true, ..Provenance::default() }.predicate(&request, None, &BTreeSet::new());
        assert_eq!(old["invocation"]["configSource"], json!({ "entryPoint": "Dockerfile" }));
        assert_eq!(old["invocation"]["parameters"]["args"]["label:l"], "2");
    }
}
