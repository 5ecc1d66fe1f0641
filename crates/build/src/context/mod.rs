//! Where a build's files come from. Each kind of context becomes a folder to read, and the Dockerfile's text.

mod local;
mod stdin;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use archipel_dockerfile::IgnoreFile;
use archipel_oci::Platform;
use archipel_store::Store;

use crate::request::{Context, Dockerfile};
use crate::image::BaseImage;
use crate::{Engine, Error, Request};

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

/// The main context: its tree, and the Dockerfile.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) tree: Tree,
    /// The Dockerfile as the person knows it.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Loads the main context and the Dockerfile.
pub(crate) fn load(request: &Request, store: &Store) -> Result<Loaded, Error> {
    match &request.context {
        Context::Local(path) => local::load(path, &request.dockerfile),
        Context::Stdin(spooled) => stdin::load(spooled, &request.dockerfile, store),
        Context::Empty => {
            let Dockerfile::Text(text) = &request.dockerfile else {
                return Err(Error::Request("there is no context and no Dockerfile: give a folder, or `-f -`".into()));
            };
            let folder = empty(store)?;
            Ok(Loaded { tree: folder, name: "Dockerfile".into(), text: text.clone() })
        }
        other => Err(unsupported(other)),
    }
}

/// Loads the tree of a named context that is a folder.
pub(crate) async fn named(name: &str, context: &Context, _engine: &Engine) -> Result<Tree, Error> {
    match context {
        Context::Local(path) => local::tree(path, None),
        other => Err(Error::Request(format!("build context `{name}`: {}", unsupported(other)))),
    }
}

/// Loads a named context that is an image of a layout.
pub(crate) async fn layout_image(
    name: &str,
    path: &Path,
    target: Option<&str>,
    _platform: &Platform,
    _engine: &Engine,
) -> Result<Arc<BaseImage>, Error> {
    let context = Context::OciLayout { path: path.to_owned(), target: target.map(str::to_owned) };
    Err(Error::Request(format!("build context `{name}`: {}", unsupported(&context))))
}

fn unsupported(context: &Context) -> Error {
    let what = match context {
        Context::Git(url) => format!("the git context `{url}` is not supported yet; clone it and give the folder"),
        Context::Http(url) => format!("the HTTP context `{url}` is not supported yet; fetch it and give it as `-`"),
        Context::OciLayout { path, .. } => {
            format!("an OCI layout ({}) as context is not supported yet; copy it to a registry", path.display())
        }
        _ => "this kind of context is not supported here".into(),
    };
    Error::Request(what)
}

/// A folder without files.
fn empty(store: &Store) -> Result<Tree, Error> {
    let draft = Arc::new(store.draft(None)?);
    Ok(Tree { path: draft.upper().to_owned(), ignore: None, keeps_owners: false, _keep: Some(draft) })
}
