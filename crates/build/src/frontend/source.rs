//! Sources of a definition: images, folders, repositories, files of the web; and what they stand for.

use std::sync::Arc;

use archipel_dockerfile::{AddSource, Chmod, GitSource, boolean, redacted};
use archipel_gateway::pb;
use archipel_oci::{Platform, Reference};

use super::graph::{Made, assembled};
use super::nested::KNOWN;
use super::session::{Session, State};
use crate::context;
use crate::image::BaseImage;
use crate::plan::{CopyOp, Item, Op, Root, Source};
use crate::progress::Work;
use crate::{Error, Place};

/// The type of image references that are names of OCI layouts (`sourceresolver.ResolverTypeOCILayout`).
const OCI_LAYOUT: i32 = 1;

pub(super) fn platform_from(platform: &pb::Platform) -> Platform {
    let mut found = Platform::new(&platform.os, &platform.architecture, Some(&platform.variant));
    found.os_version = Some(platform.os_version.clone()).filter(|version| !version.is_empty());
    found
}

pub(super) fn platform_to(platform: &Platform) -> pb::Platform {
    pb::Platform {
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        variant: platform.variant.clone().unwrap_or_default(),
        os_version: platform.os_version.clone().unwrap_or_default(),
        os_features: Vec::new(),
    }
}

fn wanted(platform: Option<&pb::Platform>) -> Platform {
    platform.map_or_else(Platform::host, platform_from)
}

/// An attribute of a source that is a truth value.
fn flag(op: &pb::SourceOp, name: &str) -> bool {
    op.attrs.get(name).and_then(|value| boolean(value)) == Some(true)
}

impl Session {
    /// What a source is in the plan.
    pub(super) async fn source_op(
        &self,
        state: &mut State,
        made: &Made<'_>,
        op: &pb::SourceOp,
    ) -> Result<Source, Error> {
        let (scheme, rest) = op.identifier.split_once("://").unwrap_or((op.identifier.as_str(), ""));
        match scheme {
            "docker-image" => {
                let mode = op.attrs.get("image.resolvemode").map(String::as_str).unwrap_or_default();
                let image = self.image(rest, &made.platform, mode).await?;
                Ok(Source::Root(Root::Image(image)))
            }
            "oci-layout" => {
                let store = op.attrs.get("oci.store").map(String::as_str).unwrap_or_default();
                Ok(Source::Root(Root::Image(self.layout(store, &made.platform).await?)))
            }
            KNOWN => self.source(state, rest),
            "local" => self.local(state, rest, op).map(Source::Context),
            "git" => {
                let item = Item::Git(Box::new(git(rest, op)?));
                Ok(Source::Root(self.fetched(state, made, item, None, None, op.attrs.get("git.checksum"))))
            }
            "http" | "https" => self.http(state, made, op).map(Source::Root),
            other => Err(Error::Request(format!("the source {other}:// is not supported"))),
        }
    }

    fn http(&self, state: &mut State, made: &Made<'_>, op: &pb::SourceOp) -> Result<Root, Error> {
        let unknown = |name: &&String| {
            let known = ["http.checksum", "http.filename", "http.perm", "http.uid", "http.gid"];
            !known.contains(&name.as_str())
        };
        if let Some(name) = op.attrs.keys().find(unknown) {
            return Err(Error::Request(format!("{name} of a file of the web is not supported")));
        }
        let url = op.identifier.clone();
        let file_name = match (op.attrs.get("http.filename"), AddSource::parse(&url)) {
            (Some(name), _) => name.clone(),
            (None, Ok(AddSource::Http { file_name, .. })) => file_name,
            (None, _) => "download".into(),
        };
        let number = |name: &str| op.attrs.get(name).and_then(|text| text.parse::<u32>().ok());
        let perm =
            op.attrs.get("http.perm").and_then(|text| u32::from_str_radix(text.trim_start_matches("0o"), 8).ok());
        let owner = match (number("http.uid"), number("http.gid")) {
            (None, None) => None,
            (uid, gid) => Some(format!("{}:{}", uid.unwrap_or(0), gid.unwrap_or(0))),
        };
        let item = Item::Http { url, file_name };
        Ok(self.fetched(state, made, item, perm.map(Chmod::octal), owner, op.attrs.get("http.checksum")))
    }

    /// A node that puts something from elsewhere into nothing.
    fn fetched(
        &self,
        state: &mut State,
        made: &Made<'_>,
        item: Item,
        chmod: Option<Chmod>,
        chown: Option<String>,
        checksum: Option<&String>,
    ) -> Root {
        let nothing = Source::Root(Root::Scratch);
        let copy = CopyOp { chown, chmod, checksum: checksum.cloned(), ..CopyOp::of(nothing, item) };
        Root::Node(state.intern(assembled(made, Root::Scratch, Op::Copy(Box::new(copy)))))
    }

    /// The image of a frontend's program. A named context may stand for it as for any other image.
    pub(super) async fn program(&self, image: &Reference) -> Result<Arc<BaseImage>, Error> {
        let platform = Platform::host();
        let context = self.options.context_named(&image.to_string());
        match context.map(|value| value.split_once("://").unwrap_or((value, ""))) {
            None => self.engine.base_image(image, &platform, self.around.request.pull).await,
            Some(("docker-image", name)) => self.image(name, &platform, "").await,
            Some(("oci-layout", layout)) => self.layout(layout.split('@').next().unwrap_or(layout), &platform).await,
            Some(_) => Err(Error::Request(format!(
                "the named context {} stands for the image of a frontend, and is none",
                image.familiar()
            ))),
        }
    }

    /// An image by name.
    pub(super) async fn image(&self, name: &str, platform: &Platform, mode: &str) -> Result<Arc<BaseImage>, Error> {
        let reference: Reference =
            name.parse().map_err(|e| Error::Request(format!("{name} is no name of an image: {e}")))?;
        let pull = mode == "pull" || self.around.request.pull && mode != "local";
        self.engine.base_image(&reference, platform, pull).await
    }

    async fn layout(&self, store: &str, platform: &Platform) -> Result<Arc<BaseImage>, Error> {
        let Some((name, path, target)) = self.options.layouts.get(store) else {
            return Err(Error::Request(format!("there is no OCI layout `{store}`; give it with --build-context")));
        };
        context::layout_image(name, path, target.as_deref(), platform, &self.engine).await
    }

    pub(super) async fn image_config(
        &self,
        request: &pb::ResolveImageConfigRequest,
    ) -> Result<pb::ResolveImageConfigResponse, Error> {
        let platform = wanted(request.platform.as_ref());
        let layout = (request.resolver_type == OCI_LAYOUT).then_some(request.store_id.as_str());
        let (digest, config) =
            self.config_of(&request.r#ref, layout, &platform, &request.resolve_mode, &request.log_name).await?;
        Ok(pb::ResolveImageConfigResponse { digest, config, r#ref: request.r#ref.clone() })
    }

    async fn config_of(
        &self,
        name: &str,
        layout: Option<&str>,
        platform: &Platform,
        mode: &str,
        log: &str,
    ) -> Result<(String, Vec<u8>), Error> {
        let shown = if log.is_empty() { format!("[internal] load metadata for {name}") } else { log.to_owned() };
        let work = Work::start(&self.around.sink, &self.around.steps, shown, Vec::new());
        let found = async {
            let image = match layout {
                Some(store) => self.layout(store, platform).await?,
                None => self.image(name, platform, mode).await?,
            };
            Ok((image.top.to_string(), image.config.to_bytes()))
        };
        work.finish(found.await)
    }

    pub(super) async fn source_meta(
        &self,
        request: &pb::ResolveSourceMetaRequest,
    ) -> Result<pb::ResolveSourceMetaResponse, Error> {
        let Some(op) = &request.source else { return Err(Error::Request("ResolveSourceMeta needs a source".into())) };
        let platform = wanted(request.platform.as_ref());
        let mut response = pb::ResolveSourceMetaResponse { source: Some(op.clone()), ..Default::default() };
        let (scheme, rest) = op.identifier.split_once("://").unwrap_or((op.identifier.as_str(), ""));
        let given = &self.around.request;
        match scheme {
            "docker-image" | "oci-layout" => {
                let store = op.attrs.get("oci.store").map(String::as_str).unwrap_or_default();
                let layout = (scheme == "oci-layout").then_some(store);
                let (digest, config) =
                    self.config_of(rest, layout, &platform, &request.resolve_mode, &request.log_name).await?;
                response.image = Some(pb::ResolveSourceImageResponse { digest, config });
            }
            "git" => {
                let source = git(rest, op)?;
                let checksum = op.attrs.get("git.checksum").map(String::as_str);
                let commit = self.engine.git_commit(&source, checksum, given).await?;
                if request.git.as_ref().is_some_and(|git| git.return_object) {
                    return Err(Error::Request("objects of git are not given to frontends yet".into()));
                }
                response.git = Some(pb::ResolveSourceGitResponse {
                    checksum: commit.object,
                    r#ref: commit.reference.unwrap_or_default(),
                    commit_checksum: commit.peeled.unwrap_or_default(),
                    ..Default::default()
                });
            }
            "http" | "https" => {
                let checksum = op.attrs.get("http.checksum").map(String::as_str);
                let file = self.engine.http_file(&op.identifier, checksum, given).await?;
                let filename = match AddSource::parse(&op.identifier) {
                    Ok(AddSource::Http { file_name, .. }) => file_name,
                    _ => String::new(),
                };
                response.http = Some(pb::ResolveSourceHttpResponse {
                    checksum: file.digest.to_string(),
                    filename,
                    last_modified: file.modified.map(|seconds| pb::Timestamp { seconds, nanos: 0 }),
                });
            }
            _ => {}
        }
        Ok(response)
    }

    /// An error with a place in the text, if the frontend has said which.
    pub(super) fn at(&self, error: Error, span: &std::ops::Range<usize>) -> Error {
        if span.is_empty() || !matches!(error, Error::Request(_) | Error::NoPlatform(_) | Error::Remote(_)) {
            return error;
        }
        let loaded = &self.around.loaded;
        let place = Place { name: loaded.name.clone(), text: loaded.text.clone(), span: span.clone(), meant: None };
        Error::At { place: Box::new(place), source: Box::new(error) }
    }
}

/// A repository: its whole address is an attribute, and `#ref:subdir` is at the end of the identifier.
fn git(rest: &str, op: &pb::SourceOp) -> Result<GitSource, Error> {
    let (short, fragment) = rest.split_once('#').map_or((rest, None), |(short, fragment)| (short, Some(fragment)));
    let remote = op.attrs.get("git.fullurl").cloned().unwrap_or_else(|| format!("https://{short}"));
    let (reference, subdir) = match fragment.map(|fragment| fragment.split_once(':').unwrap_or((fragment, ""))) {
        None => (None, None),
        Some((reference, subdir)) => (Some(reference.to_owned()), Some(subdir.trim_matches('/').to_owned())),
    };
    if !is_remote(&remote) {
        return Err(Error::Request(format!("{} is no address of a repository elsewhere", redacted(&remote))));
    }
    for name in ["git.bundle", "git.checkoutbundle", "git.sig.pubkey"] {
        if op.attrs.contains_key(name) {
            return Err(Error::Request(format!("{name} of a repository is not supported")));
        }
    }
    Ok(GitSource {
        text: remote.clone(),
        remote,
        reference: reference.filter(|text| !text.is_empty()),
        subdir: subdir.filter(|text| !text.is_empty()),
        // It is checked where the node runs.
        checksum: None,
        keep_git_dir: Some(flag(op, "git.keepgitdir")),
        submodules: Some(!flag(op, "git.skipsubmodules")),
        commit_time: op.attrs.get("git.mtime").is_some_and(|value| value == "commit"),
        fetch_by_commit: flag(op, "git.fetchbycommit"),
    })
}

/// Whether an address leads away from this machine's files and to no helper program of git's: a frontend is somebody else's program,
/// and must not have git read or run what the person has here.
pub(super) fn is_remote(remote: &str) -> bool {
    let by_scheme = ["https://", "http://", "ssh://", "git://"].iter().any(|scheme| remote.starts_with(scheme));
    let host = |text: &str| text.starts_with(|c: char| c.is_ascii_alphanumeric()) && !text.contains(['/', ':']);
    by_scheme
        || remote.split_once(':').is_some_and(|(who, path)| {
            // `git@host:path`; two colons are a helper.
            who.split_once('@').is_some_and(|(user, at)| host(user) && host(at)) && !path.starts_with(':')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories() {
        let mut op = pb::SourceOp { identifier: "git://h/o/r.git#v1:sub/dir".into(), ..Default::default() };
        op.attrs.insert("git.fullurl".into(), "https://h/o/r.git".into());
        op.attrs.insert("git.keepgitdir".into(), "true".into());
        let found = git("h/o/r.git#v1:sub/dir", &op).unwrap();
        assert_eq!(found.remote, "https://h/o/r.git");
        assert_eq!((found.reference.as_deref(), found.subdir.as_deref()), (Some("v1"), Some("sub/dir")));
        assert_eq!((found.keep_git_dir, found.submodules), (Some(true), Some(true)));
        for (remote, expected) in [
            ("git@github.com:o/r.git", true),
            ("ssh://me@h:2222/r", true),
            ("/home/me/repo", false),
            ("file:///home/me/repo", false),
            ("ext::sh -c id", false),
            ("--upload-pack=id", false),
            ("-x@h:r", false),
            ("a@b::r", false),
        ] {
            assert_eq!(is_remote(remote), expected, "{remote}");
        }
        op.attrs.insert("git.bundle".into(), "x".into());
        assert!(git("h/o/r.git", &op).is_err());
    }
}
