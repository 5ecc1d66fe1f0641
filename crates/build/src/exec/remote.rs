//! What ADD takes from elsewhere: files of the web and git repositories.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Executor, archive};
use crate::Error;
use crate::plan::{CopyOp, Item, NodeId};
use crate::source::{GitTree, HttpFile};
use crate::tree::{Destination, Selection, View, select};

/// The mode of a file that comes from a URL (reference: "ADD").
const URL_MODE: u32 = 0o600;

/// Something that was fetched and is here now.
#[derive(Debug)]
pub(super) enum Fetched {
    Http { file: HttpFile, name: String },
    Git(GitTree),
}

/// Where things are written to.
pub(super) struct Target<'a> {
    pub(super) op: &'a CopyOp,
    pub(super) root: &'a Path,
    pub(super) owner: Option<(u32, u32)>,
}

impl Executor {
    /// What a key says of an item: its content, however it came.
    pub(super) async fn remote_key(self: &Arc<Self>, item: &Item, op: &CopyOp, id: NodeId) -> Result<Value, Error> {
        let told = |e| self.in_step(e, id);
        match item {
            Item::Path(_) | Item::Inline { .. } => Ok(Value::Null),
            Item::Http { url, file_name } => {
                let file = self.engine.http_file(url, op.checksum.as_deref(), &self.request).await.map_err(told)?;
                Ok(json!({ "http": file.digest, "name": file_name }))
            }
            Item::Git(git) => {
                let commit = self.engine.git_commit(git, op.checksum.as_deref(), &self.request).await.map_err(told)?;
                Ok(json!({ "git": self.git_content(git, &commit, &op.selection).await.map_err(told)? }))
            }
        }
    }

    /// Fetches an item, if it is one to fetch.
    pub(super) async fn fetched(
        self: &Arc<Self>,
        item: &Item,
        op: &CopyOp,
        id: NodeId,
    ) -> Result<Option<Fetched>, Error> {
        let told = |e| self.in_step(e, id);
        match item {
            Item::Path(_) | Item::Inline { .. } => Ok(None),
            Item::Http { url, file_name } => {
                let file = self.engine.http_file(url, op.checksum.as_deref(), &self.request).await.map_err(told)?;
                Ok(Some(Fetched::Http { file, name: file_name.clone() }))
            }
            Item::Git(git) => {
                let commit = self.engine.git_commit(git, op.checksum.as_deref(), &self.request).await.map_err(told)?;
                let tree = self.engine.git_tree(git, &commit, &self.request).await.map_err(told)?;
                Ok(Some(Fetched::Git(tree)))
            }
        }
    }
}

impl Fetched {
    pub(super) fn write(&self, target: &Target<'_>, to: &mut Destination) -> Result<(), Error> {
        let Target { op, root, owner } = *target;
        match self {
            Self::Git(tree) => {
                let view = View::open(&tree.path, None, false)?;
                let excludes = op.selection.excludes.clone();
                let matches = select(&view, "/", &Selection { excludes, ..Selection::default() })?;
                to.copy_dirs(&view, &matches, &op.dest, false)
            }
            Self::Http { file, name } => {
                let told = || Error::io(file.path.display().to_string());
                let mut content = File::open(&file.path).map_err(told())?;
                if op.unpack_urls
                    && let Some(kind) = archive::kind(&content)?
                {
                    let folder = root.join(to.make_dirs_for_archive(Path::new(&op.dest))?);
                    return archive::unpack(content, kind, &folder, owner);
                }
                std::io::Seek::rewind(&mut content).map_err(told())?;
                to.write(&op.dest, name.as_ref(), URL_MODE, Some(file.modified.unwrap_or(0)), &mut content)
            }
        }
    }
}
