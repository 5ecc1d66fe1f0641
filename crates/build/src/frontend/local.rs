//! Folders of this machine that a frontend asks for, by name and with patterns of what it wants of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archipel_dockerfile::{IgnoreFile, glob_match};
use archipel_gateway::pb;

use super::session::{Session, State};
use crate::Error;

/// As many links as one path may lead through.
const MAX_LINKS: usize = 40;

/// A folder's name, and what is wanted of it, not wanted, and followed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    name: String,
    include: Vec<String>,
    exclude: Vec<String>,
}

impl Session {
    /// The context of a `local://` source.
    pub(super) fn local(&self, state: &mut State, name: &str, op: &pb::SourceOp) -> Result<usize, Error> {
        let Some(tree) = self.options.folders.get(name) else {
            return Err(Error::Request(format!(
                "the frontend asks for the folder `{name}`, which this build does not have"
            )));
        };
        let patterns = |attribute: &str| -> Result<Vec<String>, Error> {
            let Some(text) = op.attrs.get(attribute) else { return Ok(Vec::new()) };
            serde_json::from_str(text).map_err(|e| Error::Request(format!("{attribute} of local://{name}: {e}")))
        };
        let mut include = patterns("local.includepattern")?;
        include.extend(followed(&tree.path, &patterns("local.followpaths")?));
        let key = Key { name: name.into(), include, exclude: patterns("local.excludepatterns")? };
        if let Some(known) = state.locals.get(&key) {
            return Ok(*known);
        }
        let mut tree = tree.clone();
        if !key.exclude.is_empty() || !key.include.is_empty() {
            let ignore = IgnoreFile::from_patterns(&key.exclude);
            let all = key.include.is_empty() || key.include.iter().any(|path| matches!(path.as_str(), "" | "." | "/"));
            tree.ignore = Some(Arc::new(if all { ignore } else { ignore.limited(&key.include) }));
        }
        state.contexts.push(tree);
        let place = state.contexts.len() - 1;
        state.locals.insert(key, place);
        Ok(place)
    }
}

/// Paths with all that links among them lead to, which is wanted too (fsutil's `FollowLinks`). What is not there is named as well:
/// it may be a pattern.
fn followed(root: &Path, paths: &[String]) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut open: Vec<(PathBuf, usize)> = paths.iter().map(|path| (PathBuf::from(path), 0)).collect();
    while let Some((path, links)) = open.pop() {
        follow(root, &path, links, &mut found, &mut open);
    }
    found.into_iter().collect()
}

fn follow(root: &Path, path: &Path, links: usize, found: &mut BTreeSet<String>, open: &mut Vec<(PathBuf, usize)>) {
    let mut at = PathBuf::new();
    let mut parts = path.components().filter_map(|part| match part {
        std::path::Component::Normal(name) => Some(Some(name)),
        std::path::Component::ParentDir => Some(None),
        _ => None,
    });
    while let Some(part) = parts.next() {
        let Some(name) = part else {
            at.pop();
            continue;
        };
        let text = name.to_string_lossy();
        let rest = || -> PathBuf { parts.clone().map(|part| part.unwrap_or("..".as_ref())).collect() };
        if text.contains(['*', '?', '[']) {
            // No link is on the way to here, so this is inside.
            for entry in std::fs::read_dir(root.join(&at)).into_iter().flatten().flatten() {
                if glob_match(&text, &entry.file_name().to_string_lossy()) {
                    open.push((at.join(entry.file_name()).join(rest()), links));
                }
            }
            at.push(name);
            at.extend(rest().iter());
            break;
        }
        at.push(name);
        if let Ok(target) = std::fs::read_link(root.join(&at)) {
            found.insert(at.to_string_lossy().into_owned());
            if links == MAX_LINKS {
                return;
            }
            let base = if target.is_absolute() { Path::new("") } else { at.parent().unwrap_or(Path::new("")) };
            open.push((base.join(target.strip_prefix("/").unwrap_or(&target)).join(rest()), links + 1));
            return;
        }
    }
    found.insert(at.to_string_lossy().into_owned());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_bring_what_they_lead_to() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("real/sub")).unwrap();
        symlink("real", dir.path().join("dir")).unwrap();
        symlink("/real/sub", dir.path().join("real/absolute")).unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        symlink("../../..", dir.path().join("out")).unwrap();
        let found = |path: &str| followed(dir.path(), &[path.into()]);
        assert_eq!(found("plain"), ["plain"]);
        assert_eq!(found("/dir/absolute/x"), ["dir", "real/absolute", "real/sub/x"]);
        assert_eq!(found("out/etc"), ["etc", "out"]);
        assert_eq!(found("d*/sub"), ["d*/sub", "dir", "real/sub"]);
        assert_eq!(found("loop"), ["loop"]);
    }
}
