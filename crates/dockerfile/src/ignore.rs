//! `.dockerignore` (moby `patternmatcher`): the last pattern that matches a path or one of its parents decides, `!` lets in again.

use crate::pattern::path_match;

/// A list of patterns.
#[derive(Clone, Debug, Default)]
pub struct IgnoreFile {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    parts: Vec<String>,
    exception: bool,
}

/// Why a line is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: illegal exclusion pattern: {text:?}")]
pub struct IgnoreError {
    /// Its number, from 1.
    pub line: usize,
    /// What stands there.
    pub text: String,
}

impl IgnoreFile {
    /// Reads a file: `#` starts a comment line, blank lines do not count, a path is cleaned of `.`, `..` and outer slashes.
    ///
    /// # Errors
    /// A `!` with nothing behind it, or a class that is not closed.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let mut patterns = Vec::new();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (number, line) in text.lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let (exception, path) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            if path.is_empty() || !well_formed(path) {
                return Err(IgnoreError { line: number + 1, text: line.into() });
            }
            let parts = clean(path);
            if !parts.is_empty() {
                patterns.push(Pattern { parts, exception });
            }
        }
        Ok(Self { patterns })
    }

    /// The patterns of `--exclude`, or those that name what is meant: the same rules, without comments.
    #[must_use]
    pub fn from_patterns<S: AsRef<str>>(patterns: &[S]) -> Self {
        let pattern = |p: &S| match p.as_ref().strip_prefix('!') {
            Some(rest) => Pattern { parts: clean(rest), exception: true },
            None => Pattern { parts: clean(p.as_ref()), exception: false },
        };
        Self { patterns: patterns.iter().map(pattern).filter(|p| !p.parts.is_empty()).collect() }
    }

    /// Whether a path, relative to the root and without `.` and `..`, is left out.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
        self.matches_parts(&parts)
    }

    /// The same for a path as COPY has it. As in moby, the root is a part of its own, with an empty name: `a` does not match
    /// `/a`, but `*` does.
    pub(crate) fn matches_as_written(&self, path: &str) -> bool {
        self.matches_parts(&path.split('/').collect::<Vec<_>>())
    }

    fn matches_parts(&self, parts: &[&str]) -> bool {
        let mut matched = false;
        for pattern in &self.patterns {
            // Once it is decided, only the opposite can change it.
            if pattern.exception != matched {
                continue;
            }
            if (1..=parts.len()).any(|n| path_match(&pattern.parts, &parts[..n])) {
                matched = !pattern.exception;
            }
        }
        matched
    }

    /// Whether a pattern lets in again what another one left out.
    pub(crate) fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.exception)
    }

    /// Whether a pattern by itself leaves out everything: `*`, `**`, `**/*`.
    pub(crate) fn leaves_out_everything(&self) -> bool {
        let all = |pattern: &Pattern| match pattern.parts.as_slice() {
            [one] => one == "*",
            [one, two] => matches!((one.as_str(), two.as_str()), ("*", "**") | ("**", "*")),
            _ => false,
        };
        self.patterns.iter().any(|pattern| !pattern.exception && all(pattern))
    }

    /// Whether nothing below a directory that is left out can be let in again: then nobody needs to look there.
    #[must_use]
    pub fn may_prune(&self, dir: &str) -> bool {
        let parts: Vec<&str> = dir.split('/').filter(|p| !p.is_empty()).collect();
        !self.patterns.iter().filter(|p| p.exception).any(|pattern| {
            // An exception reaches below `dir` if its first parts fit those of `dir`, or could by a `**`.
            for (n, part) in pattern.parts.iter().enumerate() {
                match parts.get(n) {
                    None => return true,
                    Some(_) if part == "**" => return true,
                    Some(have) if !path_match(std::slice::from_ref(part), &[have]) => return false,
                    Some(_) => {}
                }
            }
            // The exception is `dir` or a parent of it: then `dir` is not left out, or was left out again later.
            true
        })
    }
}

/// Go's `filepath.Clean` and the removal of outer slashes, by parts.
fn clean(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            "**" if parts.last().is_some_and(|last| last == "**") => {}
            part => parts.push(part.to_owned()),
        }
    }
    // A `**` at the end is everything below, which is something.
    if parts.last().is_some_and(|last| last == "**") {
        parts.insert(parts.len() - 1, "*".into());
    }
    parts
}

fn well_formed(path: &str) -> bool {
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.next().is_none() => return false,
            '[' => {
                let mut any = false;
                loop {
                    match chars.next() {
                        None => return false,
                        Some(']') if any => break,
                        Some('\\') => drop(chars.next()),
                        Some('^') if !any => continue,
                        Some(_) => {}
                    }
                    any = true;
                }
            }
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_moby_does() {
        for (patterns, path, ignored) in [
            ("**", "file", true),
            ("**/", "file", true),
            ("**/file", "dir/dir/file", true),
            ("**/file", "file", true),
            ("**/**/*.txt", "dir/dir/file.txt", true),
            ("a/*.txt", "a/b.txt", true),
            ("a/*.txt", "a/b/c.txt", false),
            ("a[b-d]e", "ace", true),
            ("dir", "dir/sub/file", true),
            ("*.md", "README.md", true),
            ("*.md", "docs/README.md", false),
            ("dir/**", "dir/file", true),
            ("dir/**", "dir", false),
            ("/file", "file", true),
            ("./file", "file", true),
            ("a/../file", "file", true),
            ("*\n!keep", "keep", false),
            ("*\n!keep", "other", true),
            ("dir\n!dir/keep", "dir/keep", false),
            ("dir\n!dir/keep\ndir/keep/not", "dir/keep/not", true),
            ("# note\n  spaced  ", "spaced", true),
            ("abc.def", "abcdef", false),
            ("a\\*b", "a*b", true),
        ] {
            assert_eq!(IgnoreFile::parse(patterns).unwrap().matches(path), ignored, "{patterns:?} {path}");
        }
        assert!(IgnoreFile::parse("!").is_err());
        assert!(IgnoreFile::parse("a[").is_err());
    }

    #[test]
    fn pruning_never_hides_an_exception() {
        let file = IgnoreFile::parse("*\n!a/b/c\n!**/deep.txt").unwrap();
        assert!(!file.may_prune("x"));
        let file = IgnoreFile::parse("*\n!a/b/c").unwrap();
        assert!(file.may_prune("x"));
        assert!(!file.may_prune("a"));
        assert!(!file.may_prune("a/b"));
        assert!(file.may_prune("a/x"));
    }

    proptest! {
        #[test]
        fn what_is_pruned_has_nothing_in_it(
            lines in proptest::collection::vec("!?[ab*]{1,2}(/[ab*]{1,2}){0,2}", 1..5),
            dir in "[ab](/[ab]){0,1}", below in "[ab](/[ab]){0,1}",
        ) {
            let Ok(file) = IgnoreFile::parse(&lines.join("\n")) else { return Ok(()) };
            if file.matches(&dir) && file.may_prune(&dir) {
                let path = format!("{dir}/{below}");
                prop_assert!(file.matches(&path));
            }
        }
    }
}
