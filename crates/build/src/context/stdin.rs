//! What was given on standard input: an archive of a context, or a Dockerfile alone. The binary spooled it to a file.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use archipel_store::Store;

use super::dockerfile::Dockerfile;
use super::local::text_of;
use super::{Loaded, Tree, empty, folder};
use crate::Error;
use crate::exec::archive;

pub(super) fn load(spooled: &Path, dockerfile: &Dockerfile, store: &Store) -> Result<Loaded, Error> {
    let open = || File::open(spooled).map_err(Error::io("read standard input"));
    let Some(kind) = archive::kind(&open()?)? else {
        let text = text_of(open()?, Path::new("standard input"))?;
        return Ok(Loaded { tree: empty(store)?, name: "Dockerfile".into(), text, time: None });
    };
    let draft = Arc::new(store.draft(None)?);
    archive::unpack(open()?, kind, draft.upper(), None)?;
    let tree = Tree { path: draft.upper().to_owned(), ignore: None, keeps_owners: true, _keep: Some(draft) };
    folder::load(tree, dockerfile)
}
