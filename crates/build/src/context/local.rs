//! A folder of this machine.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archipel_dockerfile::IgnoreFile;

use super::dockerfile::Dockerfile;
use super::{Loaded, MAX_DOCKERFILE, Tree};
use crate::Error;

pub(super) fn load(context: &Path, dockerfile: &Dockerfile) -> Result<Loaded, Error> {
    let (name, text, beside) = match dockerfile {
        Dockerfile::Text { name, text } => (name.clone(), text.clone(), None),
        Dockerfile::Path(path) => (path.display().to_string(), read(path)?, Some(path.clone())),
        Dockerfile::Default => {
            check(context)?;
            let path = default(context)?;
            let name = path.file_name().map_or_else(|| "Dockerfile".into(), |n| n.to_string_lossy().into_owned());
            (name, read(&path)?, Some(path))
        }
    };
    Ok(Loaded { tree: tree(context, beside.as_deref())?, name, text, time: None })
}

/// The tree below a folder, less what its ignore file leaves out: `<Dockerfile>.dockerignore` if there is one, else
/// `.dockerignore` in the folder.
pub(super) fn tree(context: &Path, dockerfile: Option<&Path>) -> Result<Tree, Error> {
    check(context)?;
    let own = dockerfile.map(|path| {
        let mut name = path.as_os_str().to_owned();
        name.push(".dockerignore");
        PathBuf::from(name)
    });
    let candidates = own.into_iter().chain([context.join(".dockerignore")]);
    let mut ignore = None;
    for path in candidates {
        match File::open(&path) {
            // A folder of that name is none (BuildKit).
            Ok(file) if file.metadata().is_ok_and(|meta| meta.is_dir()) => {}
            Ok(file) => {
                let text = text_of(file, &path)?;
                let parsed =
                    IgnoreFile::parse(&text).map_err(|e| Error::Request(format!("{}: {e}", path.display())))?;
                ignore = Some(Arc::new(parsed));
                break;
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io(format!("read {}", path.display()))(e)),
        }
    }
    Ok(Tree { path: context.to_owned(), ignore, keeps_owners: false, _keep: None })
}

fn check(context: &Path) -> Result<(), Error> {
    let meta = std::fs::metadata(context).map_err(Error::io(format!("build context {}", context.display())))?;
    if !meta.is_dir() {
        let shown = context.display();
        return Err(Error::Request(format!(
            "build context {shown} is not a folder; give the folder, and the Dockerfile with -f"
        )));
    }
    Ok(())
}

/// `Dockerfile`, else `dockerfile`.
fn default(context: &Path) -> Result<PathBuf, Error> {
    for name in ["Dockerfile", "dockerfile"] {
        let path = context.join(name);
        if path.exists() {
            return Ok(path);
        }
    }
    Err(Error::Request(format!(
        "no Dockerfile in {}: no such file or directory; name another with -f FILE",
        context.display()
    )))
}

fn read(path: &Path) -> Result<String, Error> {
    let file = File::open(path).map_err(Error::io(format!("read Dockerfile {}", path.display())))?;
    text_of(file, path)
}

pub(super) fn text_of(file: File, path: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let what = || format!("read {}", path.display());
    file.take(MAX_DOCKERFILE + 1).read_to_end(&mut bytes).map_err(Error::io(what()))?;
    self::text(bytes, path)
}

pub(super) fn text(bytes: Vec<u8>, path: &Path) -> Result<String, Error> {
    if bytes.len() as u64 > MAX_DOCKERFILE {
        return Err(Error::Request(format!("{} is larger than {MAX_DOCKERFILE} bytes", path.display())));
    }
    // Old editors on Windows leave a byte order mark; it is not an instruction.
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    String::from_utf8(text.to_vec()).map_err(|_| Error::Request(format!("{} is not UTF-8 text", path.display())))
}
