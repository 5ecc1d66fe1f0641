//! Where a build's files come from. Each kind of context becomes a folder to read, and the Dockerfile's text.

mod dockerfile;
mod folder;
mod git;
mod http;
mod local;
mod oci_layout;
mod stdin;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use archipel_dockerfile::IgnoreFile;
use archipel_store::Store;

pub(crate) use oci_layout::layout_image;

use self::dockerfile::Dockerfile;
use crate::exec::blocking;
use crate::frontend::Frontend;
use crate::request::Context;
use crate::{Engine, Error, Request, epoch};

/// The largest Dockerfile that is read. Real ones have kilobytes; a limit keeps a wrong path from filling the memory.
const MAX_DOCKERFILE: u64 = 16 * 1024 * 1024;

/// A folder of files to copy from.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) path: PathBuf,
    pub(crate) ignore: Option<Arc<IgnoreFile>>,
    /// Whether the owners of its files are meant (an archive's), or just whoever checked them out.
    pub(crate) keeps_owners: bool,
    /// What must live as long as the folder is read.
    _keep: Option<Arc<archipel_store::Draft>>,
}

impl Tree {
    /// A folder of this machine with all that is in it.
    pub(crate) fn folder(path: &Path) -> Self {
        Self { path: path.to_owned(), ignore: None, keeps_owners: false, _keep: None }
    }

    /// With what its ignore file leaves out.
    pub(crate) fn whole(self) -> Self {
        Self { ignore: None, ..self }
    }

    /// What was put into a draft, which lives as long.
    pub(crate) fn held(draft: Arc<archipel_store::Draft>) -> Self {
        Self { path: draft.upper().to_owned(), ignore: None, keeps_owners: false, _keep: Some(draft) }
    }
}

/// The main context: its tree, and the Dockerfile.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) tree: Tree,
    /// The Dockerfile as the person knows it.
    pub(crate) name: String,
    pub(crate) text: String,
    /// When the context was made, in seconds since 1970, if it says so: a commit's time, or that of a file of a web server.
    /// It is what `SOURCE_DATE_EPOCH=context` means.
    pub(crate) time: Option<i64>,
}

/// Loads the main context and a Dockerfile in the language that is built in, which `what` needs.
pub(crate) async fn load_dockerfile(request: &Request, engine: &Engine, what: &str) -> Result<Loaded, Error> {
    let loaded = load(request, engine).await?;
    match Frontend::of(&loaded, request)? {
        None => Ok(loaded),
        Some(frontend) => Err(frontend.only_built_in(what)),
    }
}

/// Loads the main context and the Dockerfile.
pub(crate) async fn load(request: &Request, engine: &Engine) -> Result<Loaded, Error> {
    let (store, dockerfile) = (engine.store.clone(), Dockerfile::find(request, engine).await?);
    match request.context.clone() {
        Context::Local(path) => blocking(move || local::load(&path, &dockerfile)).await,
        Context::Stdin(spooled) => blocking(move || stdin::load(&spooled, &dockerfile, &store)).await,
        Context::Git(url) => git::load(&url, dockerfile, request, engine).await,
        Context::Http(url) => http::load(&url, dockerfile, request, engine).await,
        Context::Empty => {
            let Dockerfile::Text { name, text } = dockerfile else {
                return Err(Error::Request("there is no context and no Dockerfile: give a folder, or `-f -`".into()));
            };
            let tree = blocking(move || empty(&store)).await?;
            Ok(Loaded { tree, name, text, time: None })
        }
        Context::Image(_) | Context::OciLayout { .. } => {
            let message =
                "an image cannot be the build context; name it with --build-context NAME=... and copy from it";
            Err(Error::Request(message.into()))
        }
    }
}

/// Loads the tree of a named context that is no image.
pub(crate) async fn named(name: &str, context: &Context, request: &Request, engine: &Engine) -> Result<Tree, Error> {
    let loaded = match context.clone() {
        Context::Local(path) => blocking(move || local::tree(&path, None)).await,
        Context::Git(url) => git::named(&url, request, engine).await,
        Context::Http(url) => http::named(&url, request, engine).await,
        Context::Image(_) | Context::OciLayout { .. } | Context::Stdin(_) | Context::Empty => {
            Err(Error::Request("it has no files to copy from".into()))
        }
    };
    loaded.map_err(|e| match e {
        Error::Request(reason) => Error::Request(format!("build context `{name}`: {reason}")),
        other => other,
    })
}

/// When the files of a named context were made, in seconds since 1970, if it says so.
pub(crate) async fn time(context: &Context, request: &Request, engine: &Engine) -> Result<Option<i64>, Error> {
    match context {
        Context::Git(url) => Ok(Some(git::time(url, request, engine).await?)),
        Context::Http(url) => epoch::time_of_file(&engine.http_file(url, None, request).await?).await,
        _ => Ok(None),
    }
}

/// A folder without files.
fn empty(store: &Store) -> Result<Tree, Error> {
    Ok(Tree::held(Arc::new(store.draft(None)?)))
}
