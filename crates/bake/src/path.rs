//! Paths and patterns as texts: nothing here looks at a disk.

/// The shortest path of the same meaning, as Go's `path.Clean` makes it.
#[must_use]
pub fn clean(path: &str) -> String {
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
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".into(),
        (false, false) => parts.join("/"),
    }
}

/// Whether a text is the address of something that is not on this machine.
#[must_use]
pub fn is_remote(text: &str) -> bool {
    let schemes = ["http://", "https://", "git://", "ssh://", "github.com/", "git@"];
    schemes.iter().any(|scheme| text.starts_with(scheme))
}

/// Whether a name is meant by a pattern with `*`, `?` and `[...]`.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    matches_from(&pattern, &name)
}

fn matches_from(pattern: &[char], name: &[char]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        // Stars beside each other are one, so that the tries stay few.
        Some(('*', rest)) if rest.first() == Some(&'*') => matches_from(rest, name),
        Some(('*', rest)) => (0..=name.len()).any(|skip| matches_from(rest, &name[skip..])),
        Some(('?', rest)) => !name.is_empty() && matches_from(rest, &name[1..]),
        Some(('[', rest)) => {
            let (Some(end), Some((c, after))) = (rest.iter().position(|c| *c == ']'), name.split_first()) else {
                return false;
            };
            let (negated, set) = match &rest[..end] {
                ['^', set @ ..] => (true, set),
                set => (false, set),
            };
            in_set(set, *c) != negated && matches_from(&rest[end + 1..], after)
        }
        Some((c, rest)) => name.first() == Some(c) && matches_from(rest, &name[1..]),
    }
}

fn in_set(set: &[char], c: char) -> bool {
    match set {
        [low, '-', high, rest @ ..] => (*low..=*high).contains(&c) || in_set(rest, c),
        [one, rest @ ..] => *one == c || in_set(rest, c),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (path, expected) in [("", "."), ("./a/../b/", "b"), ("../../a", "../../a"), ("/..//a", "/a"), ("a/..", ".")]
        {
            assert_eq!(clean(path), expected, "{path}");
        }
    }

    #[test]
    fn patterns() {
        for pattern in ["app-*", "*", "a?p-v1", "app-v[0-9]", "app-v[^a-z]", "**1"] {
            assert!(matches(pattern, "app-v1"), "{pattern}");
        }
        for pattern in ["app", "*2", "app-v[a-z]", "?"] {
            assert!(!matches(pattern, "app-v1"), "{pattern}");
        }
    }
}
