//! Paths in images: always with slashes, whatever the machine.

/// A path from the root on, taken from `dir` where it is relative, without `.`, `..` and double slashes. No slash at its end.
pub(crate) fn absolute(dir: &str, path: &str) -> String {
    let from = if path.starts_with('/') { "" } else { dir };
    let mut parts: Vec<&str> = Vec::new();
    for part in from.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The working directory after WORKDIR. As with docker, one that is written from the root on stays as it is written, and so it
/// stands in the image's config.
pub(crate) fn working_dir(current: &str, dir: &str) -> String {
    match dir {
        "" => current.to_owned(),
        rooted if rooted.starts_with('/') => rooted.to_owned(),
        relative => absolute(current, relative),
    }
}

/// A path as it was written, without what means nothing in it: Go's `filepath.Clean`.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.join("/")) {
        (true, inside) => format!("/{inside}"),
        (false, inside) if inside.is_empty() => ".".into(),
        (false, inside) => inside,
    }
}

/// The same for a destination, where a slash (or a dot) at the end says that a directory is meant, and nothing or `.` is the
/// working directory.
pub(crate) fn destination(dir: &str, path: &str) -> String {
    let whole = absolute(dir, path);
    let directory = path.is_empty() || path == "." || path.ends_with('/') || path.ends_with("/.");
    if directory && whole != "/" { format!("{whole}/") } else { whole }
}

/// The last part of a path.
pub(crate) fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_images_have_them() {
        for (dir, path, whole) in [
            ("/", "a", "/a"),
            ("/w", "a/../b", "/w/b"),
            ("/w", "/a//b/", "/a/b"),
            ("/w", "../../..", "/"),
            ("/w", "", "/w"),
        ] {
            assert_eq!(absolute(dir, path), whole, "{dir} {path}");
        }
        for (dir, path, whole) in [
            ("/w", ".", "/w/"),
            ("/w", "", "/w/"),
            ("/", ".", "/"),
            ("/w", "x/.", "/w/x/"),
            ("/w", "/x", "/x"),
            ("/", "x/", "/x/"),
        ] {
            assert_eq!(destination(dir, path), whole, "{dir} {path}");
        }
        for (current, dir, result) in
            [("/w/", "", "/w/"), ("/w", "/a//b/", "/a//b/"), ("/w/", "a/../b/", "/w/b"), ("/w", "..", "/")]
        {
            assert_eq!(working_dir(current, dir), result, "{current} {dir}");
        }
        for (path, cleaned) in
            [("", "."), ("a/..", "."), ("./a//b/", "a/b"), ("../../a", "../../a"), ("/../a", "/a"), ("/", "/")]
        {
            assert_eq!(clean(path), cleaned, "{path}");
        }
        assert_eq!(base_name("/a/b/"), "b");
    }
}
