//! Which files a COPY or ADD means: its sources, with their wildcards, `--exclude` and `--parents`.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use archipel_dockerfile::{IgnoreFile, glob_match};
use rustix::fs::{AtFlags, Stat, statat};
use rustix::io::Errno;

use super::view::{Place, is_dir, is_link, parts};
use super::walk::{Entry, Verdict, names, walk};
use super::{View, missing};
use crate::Error;

/// What the instruction says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// `--parents`: keep the directories of the source's path, from the `/./` in it on.
    pub(crate) parents: bool,
    /// `--exclude`.
    pub(crate) excludes: Vec<String>,
    /// Of a directory only what one of these fits; everything if there is none. No instruction says so, but frontends do.
    pub(crate) includes: Vec<String>,
    /// The path is a name as it stands, whatever wildcards are in it (frontends).
    pub(crate) literal: bool,
    /// A link is meant itself, and not where it leads (frontends).
    pub(crate) no_follow: bool,
    /// What a directory is called matters, for it is copied itself and not only what is in it (frontends).
    pub(crate) named: bool,
}

/// One thing that a source stands for.
#[derive(Debug)]
pub(crate) struct Match {
    place: Place,
    /// The name it has below a destination directory.
    pub(crate) name: OsString,
    exclude: Option<IgnoreFile>,
    /// With `--parents`: the pattern below `place` that is meant, rather than all of it.
    include: Option<IgnoreFile>,
}

/// Whether a source with `--parents` names a folder itself, in which nothing is then meant.
pub(crate) fn names_nothing(source: &str) -> bool {
    clean(source.split_once("/./").map_or(source, |(_, rest)| rest)).is_empty()
}

/// Finds what a source stands for. A wildcard may stand for nothing; a plain path may not.
pub(crate) fn select(view: &View, source: &str, selection: &Selection) -> Result<Vec<Match>, Error> {
    let exclude = (!selection.excludes.is_empty()).then(|| IgnoreFile::from_patterns(&selection.excludes));
    let not_found = || located(view, source, Errno::NOENT);
    let (base, rest) = match (selection.parents, source.split_once("/./")) {
        (false, _) => (source, None),
        (true, Some((base, rest))) => (base, Some(rest)),
        (true, None) => ("", Some(source)),
    };
    let includes = (!selection.includes.is_empty()).then(|| IgnoreFile::from_patterns(&selection.includes));
    let follow = !selection.parents && !selection.no_follow;
    let expanded = match selection.literal {
        true => plain(view, base, &clean(base), follow)?,
        false => expand(view, base, follow)?,
    };
    let mut found = Vec::new();
    for (place, name) in expanded {
        let exclude = exclude.clone();
        let Some(rest) = rest else {
            found.push(Match { place, name, exclude, include: includes.clone() });
            continue;
        };
        let rest = clean(rest);
        let plain = !has_wildcard(&rest);
        if plain && view.locate(&place.path.join(&rest), false).is_err() {
            return Err(not_found());
        }
        // `.` fits nothing (BuildKit).
        let include = Some(IgnoreFile::from_patterns(&[rest]));
        found.push(Match { place, name, exclude, include });
    }
    if found.is_empty() && (selection.literal || !has_wildcard(base)) {
        return Err(not_found());
    }
    Ok(found)
}

impl Match {
    /// Whether it is a directory, whose contents are meant.
    pub(crate) fn is_dir(&self) -> bool {
        is_dir(&self.place.stat)
    }

    /// Whether it is a file that `--exclude` fits, in vain: those patterns are for what is in directories.
    pub(crate) fn is_excluded_file(&self) -> bool {
        let fits = |exclude: &IgnoreFile| exclude.matches(&self.name.to_string_lossy());
        !self.is_dir() && self.exclude.as_ref().is_some_and(fits)
    }

    /// Its path in the view, without links.
    pub(crate) fn path(&self) -> &Path {
        &self.place.path
    }

    /// Opens the file that it is.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Goes through what it stands for: itself (with an empty path), then what is below it.
    pub(crate) fn visit(
        &self,
        view: &View,
        visit: &mut dyn FnMut(&Entry<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let judge = |path: &Path, stat: &Stat| self.judge(view, path, stat);
        let mut visit = |entry: &Entry<'_>| visit(entry).map_err(Stop::Visitor);
        match walk(self.place.dir.as_fd(), &self.place.name, &self.place.stat, &judge, &mut visit) {
            Ok(_) => Ok(()),
            Err(Stop::Visitor(e)) => Err(e),
            Err(Stop::Walk(path, errno)) => {
                Err(Error::Io { what: self.place.path.join(path).display().to_string(), source: errno.into() })
            }
        }
    }

    fn judge(&self, view: &View, path: &Path, stat: &Stat) -> Verdict {
        let full = self.place.path.join(path);
        if !view.ignores(&full) {
            return self.chooses(path, stat);
        }
        if !is_dir(stat) || view.may_prune(&full) {
            return Verdict::Prune;
        }
        // It is there if something in it was let in again.
        match self.chooses(path, stat) {
            Verdict::Keep => Verdict::Descend,
            other => other,
        }
    }

    /// What the instruction's own patterns say.
    fn chooses(&self, path: &Path, stat: &Stat) -> Verdict {
        let top = path.as_os_str().is_empty();
        let text = path.to_string_lossy();
        // What a source names itself is meant, also where a pattern fits it (BuildKit).
        if let Some(exclude) = self.exclude.as_ref().filter(|exclude| !top && exclude.matches(&text)) {
            let pruned = !is_dir(stat) || exclude.may_prune(&text);
            return if pruned { Verdict::Prune } else { Verdict::Pass };
        }
        match &self.include {
            // A file that is named is meant, whatever is wanted of folders (BuildKit).
            Some(_) if top && !is_dir(stat) => Verdict::Keep,
            Some(_) if top => Verdict::Descend,
            Some(include) if !include.matches(&text) => Verdict::Pass,
            _ => Verdict::Keep,
        }
    }
}

enum Stop {
    Walk(PathBuf, Errno),
    Visitor(Error),
}

impl From<(PathBuf, Errno)> for Stop {
    fn from((path, errno): (PathBuf, Errno)) -> Self {
        Self::Walk(path, errno)
    }
}

/// An error with the source as a path from the root of where it is looked for, as BuildKit shows it.
fn located(view: &View, source: &str, errno: Errno) -> Error {
    let source = format!("/{}", source.trim_start_matches('/'));
    match errno {
        Errno::NOENT | Errno::NOTDIR => {
            Error::Request(format!("{source:?}: not found{}", missing::remark(view, &source)))
        }
        Errno::LOOP => Error::Request(format!("{source:?}: too many levels of symbolic links")),
        other => Error::Io { what: format!("{source:?}"), source: other.into() },
    }
}

/// Resolves `path` with wildcards into places. Links on a plain path are followed; a wildcard matches names as they are.
fn expand(view: &View, path: &str, follow: bool) -> Result<Vec<(Place, OsString)>, Error> {
    let cleaned = clean(path);
    if !has_wildcard(&cleaned) {
        return plain(view, path, &cleaned, follow);
    }
    let components: Vec<&str> = cleaned.split('/').collect();
    let literal = components.iter().take_while(|c| !has_wildcard(c)).count();
    let base = components[..literal].join("/");
    let start = match view.locate(Path::new(&base), true) {
        Ok(place) => place.path,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
        Err(e) => return Err(located(view, path, e)),
    };
    let mut found = Vec::new();
    // A link to nowhere is an error among many matches too: who asked for it would miss it.
    descend(view, &start, &components[literal..], follow, &mut found)
        .map_err(|(path, e)| located(view, &path.to_string_lossy(), e))?;
    Ok(found)
}

/// The one place of a path without wildcards.
fn plain(view: &View, path: &str, cleaned: &str, follow: bool) -> Result<Vec<(Place, OsString)>, Error> {
    let place = view.locate(Path::new(cleaned), follow).map_err(|e| located(view, path, e))?;
    if view.ignores(&place.path) && (!is_dir(&place.stat) || view.may_prune(&place.path)) {
        return Err(located(view, path, Errno::NOENT));
    }
    let name = parts(Path::new(cleaned)).next_back().unwrap_or(OsStr::new("")).to_owned();
    Ok(vec![(place, name)])
}

fn descend(
    view: &View,
    at: &Path,
    patterns: &[&str],
    follow: bool,
    found: &mut Vec<(Place, OsString)>,
) -> Result<(), (PathBuf, Errno)> {
    let Some((pattern, rest)) = patterns.split_first() else { return Ok(()) };
    let dir = match view.open_dir(at) {
        Ok(dir) => dir,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        Err(e) => return Err((at.to_owned(), e)),
    };
    for name in names(&dir).map_err(|e| (at.to_owned(), e))? {
        if !glob_match(pattern, &name.to_string_lossy()) {
            continue;
        }
        let path = at.join(&name);
        let Ok(stat) = statat(&dir, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
        if view.ignores(&path) && (!is_dir(&stat) || view.may_prune(&path)) {
            continue;
        }
        if !rest.is_empty() {
            if is_dir(&stat) {
                descend(view, &path, rest, follow, found)?;
            }
            continue;
        }
        match view.locate(&path, follow && is_link(&stat)) {
            Ok(place) => found.push((place, name)),
            Err(e) => return Err((path, e)),
        }
    }
    Ok(())
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

/// A path without `.`, empty parts and a leading `/`; `..` takes a part away and stops at the root.
fn clean(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    kept.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn paths(view: &View, source: &str, selection: &Selection) -> Vec<String> {
        let found = select(view, source, selection).unwrap();
        let mut paths = Vec::new();
        for found in found {
            let mut tell = |entry: &Entry<'_>| {
                paths.push(found.path().join(entry.path).display().to_string().trim_end_matches('/').to_owned());
                Ok(())
            };
            found.visit(view, &mut tell).unwrap();
        }
        paths
    }

    #[test]
    fn what_frontends_select() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["d/a.c", "d/b.h", "d/sub/c.c", "d/empty/x", "*", "real/f"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        symlink("real", dir.path().join("link")).unwrap();
        let view = View::open(dir.path(), None, false).unwrap();
        let default = Selection::default;
        // A name with a wildcard in it.
        let literal = Selection { literal: true, ..default() };
        assert_eq!(paths(&view, "/*", &literal), ["*"]);
        assert!(paths(&view, "/*", &default()).len() > 4);
        assert!(select(&view, "/d/*.c", &literal).is_err());
        // A link, or where it leads.
        let no_follow = Selection { no_follow: true, ..default() };
        assert_eq!(paths(&view, "/link", &default()), ["real", "real/f"]);
        assert_eq!(paths(&view, "/link", &no_follow), ["link"]);
        assert_eq!(paths(&view, "/l*", &no_follow), ["link"]);
        assert_eq!(paths(&view, "/link/f", &no_follow), ["real/f"]);
        // Of a folder what fits, and the folders that lead there.
        let includes = |patterns: &[&str], excludes: &[&str]| Selection {
            includes: patterns.iter().map(|p| (*p).into()).collect(),
            excludes: excludes.iter().map(|p| (*p).into()).collect(),
            ..default()
        };
        assert_eq!(paths(&view, "/d", &includes(&["**/*.c"], &[])), ["d", "d/a.c", "d/sub", "d/sub/c.c"]);
        assert_eq!(paths(&view, "/d", &includes(&["sub"], &[])), ["d", "d/sub", "d/sub/c.c"]);
        assert_eq!(paths(&view, "/d", &includes(&["**/*.c"], &["sub"])), ["d", "d/a.c"]);
        // A file that is named is meant.
        assert_eq!(paths(&view, "/d/a.c", &includes(&["*.h"], &[])), ["d/a.c"]);
    }
}
