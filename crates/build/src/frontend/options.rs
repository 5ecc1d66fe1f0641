//! What a frontend is told of the request: the options that `docker buildx build` gives to BuildKit, by its names
//! (`frontend/dockerui/config.go`), and the folders that they speak of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archipel_oci::Platform;

use super::Frontend;
use crate::context::{self, Loaded, Tree};
use crate::exec::blocking;
use crate::request::{Context, Dockerfile, normal};
use crate::{Engine, Error, Request};

/// The folders that buildx always has.
pub(super) const CONTEXT: &str = "context";
pub(super) const DOCKERFILE: &str = "dockerfile";

/// How the options begin whose names go on with that of a `--build-context`.
pub(super) const NAMED: &str = "context:";

/// What frontends say that they can do.
pub(super) const CONTEXTS: &str = "moby.buildkit.frontend.contexts";
pub(super) const INPUTS: &str = "moby.buildkit.frontend.inputs";
pub(super) const SUBREQUESTS: &str = "moby.buildkit.frontend.subrequests";

/// What the text is called where it has no name.
pub(super) const FILE_NAME: &str = "Dockerfile";

/// Options and folders.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) values: BTreeMap<String, String>,
    /// Folders by the names under which the frontend asks for them.
    pub(super) folders: BTreeMap<String, Tree>,
    /// OCI layouts in the same way: the name of the context, its folder, and which image of it.
    pub(super) layouts: BTreeMap<String, (String, PathBuf, Option<String>)>,
    /// What the frontend must be able to do.
    pub(super) needs: Vec<&'static str>,
}

impl Options {
    pub(super) async fn of(
        engine: &Engine,
        frontend: &Frontend,
        request: &Request,
        loaded: &Loaded,
    ) -> Result<Self, Error> {
        let mut options = Self::default();
        options.set("source", frontend.image.to_string());
        options.set("cmdline", frontend.command_line.clone());
        options.request(request);
        options.context(engine, request, loaded).await?;
        for (n, (name, context)) in request.named_contexts.iter().enumerate() {
            options.named(engine, request, n, name, context).await?;
        }
        Ok(options)
    }

    /// Asks for something that is no build.
    pub(super) fn ask(&mut self, subrequest: &str) {
        self.set("requestid", subrequest);
        self.set("frontend.caps", SUBREQUESTS);
        self.needs.push(SUBREQUESTS);
    }

    /// What the named context of a name is. Names are compared as the request's are.
    pub(super) fn context_named(&self, name: &str) -> Option<&str> {
        let wanted = normal(name);
        let is_it = |key: &str| key.strip_prefix(NAMED).is_some_and(|known| normal(known) == wanted);
        self.values.iter().find(|(key, _)| is_it(key)).map(|(_, value)| value.as_str())
    }

    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.values.insert(name.into(), value.into());
    }

    fn request(&mut self, request: &Request) {
        for (name, value) in &request.build_args {
            self.set(&format!("build-arg:{name}"), value.clone());
        }
        for (name, value) in &request.labels {
            self.set(&format!("label:{name}"), value.clone());
        }
        if let Some(target) = &request.target {
            self.set("target", target.clone());
        }
        if !request.platforms.is_empty() {
            self.set("platform", joined(request.platforms.iter().map(Platform::to_string)));
        }
        if request.no_cache || !request.no_cache_filter.is_empty() {
            self.set("no-cache", if request.no_cache { String::new() } else { request.no_cache_filter.join(",") });
        }
        if request.pull {
            self.set("image-resolve-mode", "pull");
        }
        match request.network.as_deref() {
            None | Some("default") => {}
            Some(mode) => self.set("force-network-mode", mode),
        }
        if !request.add_hosts.is_empty() {
            self.set("add-hosts", joined(request.add_hosts.iter().map(|(name, address)| format!("{name}={address}"))));
        }
        if let Some(size) = request.shm_size {
            self.set("shm-size", size.to_string());
        }
        if !request.ulimits.is_empty() {
            let limit = |(name, soft, hard): &(String, u64, u64)| format!("{name}={soft}:{hard}");
            self.set("ulimit", joined(request.ulimits.iter().map(limit)));
        }
    }

    /// Where the text is and what is beside it.
    async fn context(&mut self, engine: &Engine, request: &Request, loaded: &Loaded) -> Result<(), Error> {
        let within = |path: &Path| path.display().to_string();
        let whole = |tree: &Tree| tree.clone().whole();
        let given = match &request.dockerfile {
            Dockerfile::Default => None,
            Dockerfile::Path(path) => Some(path.clone()),
            Dockerfile::Text(_) | Dockerfile::Url(_) => {
                // The text alone, in a folder of its own.
                self.folders.insert(DOCKERFILE.into(), text_folder(engine, loaded).await?);
                self.set("filename", FILE_NAME);
                None
            }
        };
        let alone = self.folders.contains_key(DOCKERFILE);
        match &request.context {
            Context::Git(url) | Context::Http(url) => {
                self.set(CONTEXT, url.clone());
                if alone {
                    self.set("dockerfilekey", DOCKERFILE);
                }
                if let Some(path) = &given {
                    self.set("filename", within(path));
                }
            }
            Context::Local(folder) => {
                self.folders.insert(CONTEXT.into(), whole(&loaded.tree));
                if !alone {
                    let path = given.unwrap_or_else(|| folder.join(&loaded.name));
                    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                    let tree = Tree::folder(parent.unwrap_or(Path::new(".")));
                    self.folders.insert(DOCKERFILE.into(), tree);
                    let name =
                        path.file_name().map_or_else(|| FILE_NAME.into(), |name| name.to_string_lossy().into_owned());
                    self.set("filename", name);
                }
            }
            _ => {
                self.folders.insert(CONTEXT.into(), whole(&loaded.tree));
                if !alone {
                    let tree = match given.is_some() || loaded.tree.path.join(&loaded.name).exists() {
                        true => whole(&loaded.tree),
                        // It came by itself, without any context.
                        false => text_folder(engine, loaded).await?,
                    };
                    self.folders.insert(DOCKERFILE.into(), tree);
                    self.set("filename", given.as_deref().map_or_else(|| loaded.name.clone(), within));
                }
            }
        }
        Ok(())
    }

    async fn named(
        &mut self,
        engine: &Engine,
        request: &Request,
        n: usize,
        name: &str,
        context: &Context,
    ) -> Result<(), Error> {
        // The frontend's names for what only we know.
        let key = format!("context{n}");
        let value = match context {
            Context::Image(reference) => format!("docker-image://{}", reference.familiar()),
            Context::Git(url) | Context::Http(url) => url.clone(),
            Context::OciLayout { path, target } => {
                let platform = request.platforms.first().cloned().unwrap_or_else(Platform::host);
                let image = context::layout_image(name, path, target.as_deref(), &platform, engine).await?;
                let value = format!("oci-layout://{key}@{}", image.top);
                self.layouts.insert(key, (name.into(), path.clone(), target.clone()));
                value
            }
            Context::Local(_) | Context::Stdin(_) | Context::Empty => {
                let tree = context::named(name, context, request, engine).await?;
                self.folders.insert(key.clone(), tree.whole());
                format!("local:{key}")
            }
        };
        self.set(&format!("{NAMED}{name}"), value);
        if !self.needs.contains(&CONTEXTS) {
            self.needs.push(CONTEXTS);
        }
        Ok(())
    }
}

/// A folder with the text in it.
async fn text_folder(engine: &Engine, loaded: &Loaded) -> Result<Tree, Error> {
    let (store, text) = (engine.store.clone(), loaded.text.clone());
    blocking(move || {
        let draft = Arc::new(store.draft(None)?);
        let path = draft.upper().join(FILE_NAME);
        std::fs::write(&path, text).map_err(Error::io(path.display().to_string()))?;
        Ok(Tree::held(draft))
    })
    .await
}

fn joined(values: impl Iterator<Item = String>) -> String {
    values.collect::<Vec<_>>().join(",")
}
