//! A folder of this machine that holds somebody else's files: an archive's or a repository's. Unlike in a person's own
//! folder, no link in it may lead outside, not even that of the Dockerfile. No ignore file counts in it: that is for what lies
//! about beside the sources, and here is only what somebody has put there (BuildKit's behaviour).

use std::path::Path;

use super::dockerfile::Dockerfile;
use super::{Loaded, MAX_DOCKERFILE, Tree};
use crate::Error;
use crate::tree::View;

/// Finds the Dockerfile in a tree.
pub(super) fn load(tree: Tree, dockerfile: &Dockerfile) -> Result<Loaded, Error> {
    let view = View::open(&tree.path, None, false)?;
    let (name, text) = match dockerfile {
        Dockerfile::Text { name, text } => (name.clone(), text.clone()),
        Dockerfile::Path(path) => {
            let name = path.display().to_string();
            let text = read(&view, path)?
                .ok_or_else(|| Error::Request(format!("no {name} in the build context: no such file or directory")))?;
            (name, text)
        }
        Dockerfile::Default => default(&view)?,
    };
    Ok(Loaded { tree, name, text, time: None })
}

fn default(view: &View) -> Result<(String, String), Error> {
    for name in ["Dockerfile", "dockerfile"] {
        if let Some(text) = read(view, Path::new(name))? {
            return Ok((name.into(), text));
        }
    }
    Err(Error::Request(
        "no Dockerfile in the build context: no such file or directory; name another with -f FILE".into(),
    ))
}

fn read(view: &View, path: &Path) -> Result<Option<String>, Error> {
    let Some(bytes) = view.read(path, MAX_DOCKERFILE + 1)? else { return Ok(None) };
    super::local::text(bytes, path).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn tree(path: &Path) -> Tree {
        Tree { path: path.to_owned(), ignore: None, keeps_owners: false, _keep: None }
    }

    #[test]
    fn nothing_outside_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::write(dir.path().join("secret"), "FROM secret").unwrap();
        symlink("../secret", root.join("Dockerfile")).unwrap();
        let error = load(tree(&root), &Dockerfile::Default).unwrap_err().to_string();
        assert!(error.contains("no Dockerfile in the build context"), "{error}");
        let outside = Dockerfile::Path("../secret".into());
        assert!(load(tree(&root), &outside).is_err());
        fs::write(root.join("sub/Real"), "FROM scratch").unwrap();
        fs::write(root.join(".dockerignore"), "sub").unwrap();
        let loaded = load(tree(&root), &Dockerfile::Path("/sub/Real".into())).unwrap();
        assert_eq!(loaded.text, "FROM scratch");
        assert!(loaded.tree.ignore.is_none());
    }
}
