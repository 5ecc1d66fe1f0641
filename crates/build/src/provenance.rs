//! Provenance: what an image was made from and how, in SLSA's words, about each platform (slsa.dev/provenance; BuildKit's
//! `--provenance`). It says nothing that changes when the same is built again (no times, no invocation): so the same sources are
//! the same index, attested or not.

use std::collections::{BTreeMap, BTreeSet};

use archipel_dockerfile::{is_proxy, redacted};
use archipel_oci::{Digest, Platform, Reference};
use serde_json::{Value, json};

use crate::attestation::Attestation;
use crate::exec::Executor;
use crate::plan::{Item, Op, Root, Source};
use crate::{Error, Request};

/// What our predicates describe.
const BUILD_TYPE: &str = "urn:archipel:dockerfile:v1";

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
    pub(crate) fn attestation(&self, request: &Request, materials: &BTreeSet<Material>) -> Attestation {
        Attestation {
            file: "provenance.json".into(),
            predicate_type: self.predicate_type().into(),
            predicate: self.predicate(request, materials),
            subjects: Vec::new(),
        }
    }

    fn predicate(&self, request: &Request, materials: &BTreeSet<Material>) -> Value {
        let materials: Vec<Value> = materials.iter().map(Material::json).collect();
        let parameters = self.parameters(request);
        let builder = json!({ "id": self.builder });
        let host = json!({ "platform": Platform::host().to_string() });
        if self.old {
            return json!({
                "builder": builder,
                "buildType": BUILD_TYPE,
                "invocation": { "parameters": parameters, "environment": host },
                "materials": materials,
                "metadata": { "completeness": { "parameters": self.max, "environment": false, "materials": false } },
            });
        }
        json!({
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": parameters,
                "internalParameters": host,
                "resolvedDependencies": materials,
            },
            "runDetails": { "builder": builder, "metadata": {} },
        })
    }

    fn parameters(&self, request: &Request) -> Value {
        let mut parameters = json!({ "frontend": "dockerfile", "target": request.target });
        if self.max {
            // How this machine reaches the network is nothing that an image is made from, and may hold a login.
            let pairs = |pairs: &[(String, String)]| {
                let told = pairs.iter().filter(|(name, _)| !is_proxy(name));
                told.map(|(name, value)| (name.clone(), redacted(value))).collect::<BTreeMap<_, _>>()
            };
            parameters["buildArgs"] = json!(pairs(&request.build_args));
            parameters["labels"] = json!(pairs(&request.labels));
            parameters["secrets"] = json!(request.secrets.iter().map(|secret| &secret.id).collect::<Vec<_>>());
            parameters["ssh"] = json!(request.ssh.iter().map(|(id, _)| id).collect::<Vec<_>>());
        }
        parameters
    }
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
        for n in self.plan.below(root) {
            let node = &self.plan.nodes[n];
            image(&node.root, &mut found);
            for source in node.op.sources() {
                if let Source::Root(root) = source {
                    image(root, &mut found);
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

/// An address without a login, and without a query, which may hold a signature.
fn address(url: &str) -> String {
    redacted(url.split(['?', '#']).next().unwrap_or(url))
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
        let predicate = Provenance { max: true, ..Provenance::default() }.predicate(&request, &BTreeSet::new());
        let told = &predicate["buildDefinition"]["externalParameters"]["buildArgs"];
        assert_eq!(*told, json!({ "REPO": "https://xxxxx:xxxxx@h/a" }));
    }
}
