//! What a person may have meant by a source that is not there.

use std::path::{Component, Path, PathBuf};

use archipel_dockerfile::{did_you_mean, nearest};

use super::View;
use super::walk::names;

/// More names than a person can have meant one of.
const MAX_NAMES: usize = 10_000;

/// A remark to put after `not found`; nothing where nothing can be said.
pub(super) fn remark(view: &View, source: &str) -> String {
    let path: PathBuf = Path::new(source).components().filter(|part| matches!(part, Component::Normal(_))).collect();
    if view.ignores(&path) && view.without_ignore().locate(&path, true).is_ok() {
        return " (it is there, but left out by .dockerignore)".into();
    }
    did_you_mean(near(view, &path).map(|near| format!("\"/{}\"", near.display())))
}

/// The name that is nearest to the first part that is not there, beside it.
fn near(view: &View, path: &Path) -> Option<PathBuf> {
    let mut known = PathBuf::new();
    let mut parts = path.components();
    while let Some(part) = parts.next() {
        let next = known.join(part);
        if view.locate(&next, true).is_ok() && !view.ignores(&next) {
            known = next;
            continue;
        }
        let folder = view.locate(&known, true).ok()?;
        let beside = names(&view.open_dir(&folder.path).ok()?).ok()?;
        let beside = beside.iter().take(MAX_NAMES).filter_map(|name| name.to_str());
        let beside: Vec<&str> = beside.filter(|name| !view.ignores(&folder.path.join(name))).collect();
        let mut near = known.join(nearest(part.as_os_str().to_str()?, beside)?);
        near.extend(parts);
        return view.locate(&near, true).is_ok().then_some(near);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use archipel_dockerfile::IgnoreFile;

    use super::*;

    #[test]
    fn what_was_meant() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("src/app")).unwrap();
        for file in ["app.py", "src/app/main.go", "secret.pem"] {
            fs::write(root.path().join(file), "").unwrap();
        }
        let ignore = IgnoreFile::parse("*.pem\n").unwrap();
        let view = View::open(root.path(), Some(Arc::new(ignore)), false).unwrap();
        for (source, expected) in [
            ("ap.py", " (did you mean \"/app.py\"?)"),
            ("/scr/app/main.go", " (did you mean \"/src/app/main.go\"?)"),
            ("./src/app/mian.go", " (did you mean \"/src/app/main.go\"?)"),
            ("scr/app/other.go", ""),
            ("secret.pem", " (it is there, but left out by .dockerignore)"),
            ("secrets.pem", ""),
            ("quite-another-thing", ""),
        ] {
            assert_eq!(remark(&view, source), expected, "{source}");
        }
    }
}
