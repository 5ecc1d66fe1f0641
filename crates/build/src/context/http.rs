//! A file of a web server: an archive of a context, or a Dockerfile alone.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use archipel_store::Store;

use super::dockerfile::Dockerfile;
use super::local::text_of;
use super::{Loaded, Tree, folder};
use crate::exec::{archive, blocking};
use crate::source::{HttpFile, address};
use crate::{Engine, Error, Request};

/// What BuildKit calls the file, for those who copy it.
const NAME: &str = "context";

pub(super) async fn load(
    url: &str,
    dockerfile: Dockerfile,
    request: &Request,
    engine: &Engine,
) -> Result<Loaded, Error> {
    let found = engine.http_file(url, None, request).await?;
    let store = engine.store.clone();
    let name = address(url);
    blocking(move || loaded(&found, name, &dockerfile, &store)).await
}

/// The file itself, in a folder: of a named context no archive is unpacked (BuildKit's behaviour; `ADD --unpack` does it).
pub(super) async fn named(url: &str, request: &Request, engine: &Engine) -> Result<Tree, Error> {
    let (found, store) = (engine.http_file(url, None, request).await?, engine.store.clone());
    blocking(move || alone(&found, &store)).await
}

fn loaded(found: &HttpFile, name: String, dockerfile: &Dockerfile, store: &Store) -> Result<Loaded, Error> {
    let open = || File::open(&found.path).map_err(Error::io(found.path.display().to_string()));
    let Some(kind) = archive::kind(&open()?)? else {
        let text = match dockerfile {
            Dockerfile::Text { text, .. } => text.clone(),
            _ => text_of(open()?, Path::new(&name))?,
        };
        return Ok(Loaded { tree: alone(found, store)?, name, text, time: found.modified });
    };
    let draft = Arc::new(store.draft(None)?);
    archive::unpack(open()?, kind, draft.upper(), None)?;
    let path = draft.upper().to_owned();
    let made = found.modified.or_else(|| newest(&path));
    let tree = Tree { path, ignore: None, keeps_owners: true, _keep: Some(draft) };
    Ok(Loaded { time: made, ..folder::load(tree, dockerfile)? })
}

fn alone(found: &HttpFile, store: &Store) -> Result<Tree, Error> {
    let draft = Arc::new(store.draft(None)?);
    let path = draft.upper().join(NAME);
    let copied = fs::copy(&found.path, &path)
        .and_then(|_| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)))
        .and_then(|()| File::options().write(true).open(&path)?.set_modified(since_1970(found.modified.unwrap_or(0))));
    copied.map_err(Error::io(path.display().to_string()))?;
    Ok(Tree { path: draft.upper().to_owned(), ignore: None, keeps_owners: false, _keep: Some(draft) })
}

fn since_1970(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// The time of the newest file below a folder. What cannot be read has none.
fn newest(folder: &Path) -> Option<i64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut newest = None;
    let mut pending = vec![folder.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => pending.push(entry.path()),
                Ok(meta) if meta.is_file() => newest = newest.max(Some(meta.mtime())),
                _ => {}
            }
        }
    }
    newest
}
