//! `.dockerignore` (moby `patternmatcher`): the last pattern that matches a path or one of its parents decides, `!` lets in again.

use regex::Regex;

use crate::path;
use crate::pattern::{glob_match, is_well_formed};

/// A list of patterns.
#[derive(Clone, Debug, Default)]
pub struct IgnoreFile {
    patterns: Vec<Pattern>,
    /// What does not match these is left out too.
    only: Option<Box<IgnoreFile>>,
}

#[derive(Clone, Debug)]
struct Pattern {
    /// Cleaned, and without the `!`.
    text: String,
    exception: bool,
    shape: Shape,
}

/// What of a path a pattern is compared with.
#[derive(Clone, Debug)]
enum Shape {
    Exact,
    /// `a/**`: how it begins.
    Prefix,
    /// `**/a`, `**a`: how it ends.
    Suffix,
    Regex(Regex),
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
    /// A `!` with nothing behind it, or a pattern that is malformed.
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
            if path.is_empty() {
                return Err(IgnoreError { line: number + 1, text: line.into() });
            }
            let clean = path::clean(path);
            let clean = clean.strip_prefix('/').filter(|inside| !inside.is_empty()).unwrap_or(&clean);
            let wrong = || IgnoreError { line: number + 1, text: line.into() };
            patterns.push(Pattern::new(clean, exception).ok_or_else(wrong)?);
        }
        Ok(Self { patterns, only: None })
    }

    /// The patterns of `--exclude`, or those that name what is meant: the same rules, without comments, and with a leading slash
    /// that fits nothing. One that is malformed leaves out nothing.
    #[must_use]
    pub fn from_patterns<S: AsRef<str>>(patterns: &[S]) -> Self {
        Self { patterns: patterns.iter().filter_map(|pattern| Pattern::read(pattern.as_ref())).collect(), only: None }
    }

    /// Leaves out also whatever no one of these patterns matches.
    #[must_use]
    pub fn limited<S: AsRef<str>>(self, only: &[S]) -> Self {
        Self { only: Some(Box::new(Self::from_patterns(only))), ..self }
    }

    /// Whether a pattern of `--exclude` is well-formed. Nothing is nothing to leave out, and no mistake.
    pub(crate) fn is_pattern(text: &str) -> bool {
        text.trim().is_empty() || Pattern::read(text).is_some()
    }

    /// Whether a path, relative to the root and without `.` and `..`, is left out.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
        if parts.is_empty() {
            return false;
        }
        let path = parts.join("/");
        self.matches_as_written(&path) || self.only.as_ref().is_some_and(|only| !only.matches_as_written(&path))
    }

    /// The same for a path as COPY has it. As in moby, the root is a directory with an empty name: `a` does not match `/a`, but
    /// `*` does.
    pub(crate) fn matches_as_written(&self, path: &str) -> bool {
        let mut matched = false;
        for pattern in &self.patterns {
            // Once it is decided, only the opposite can change it.
            if pattern.exception != matched {
                continue;
            }
            let parents = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
            if parents.chain([path]).any(|path| pattern.matches(path)) {
                matched = !pattern.exception;
            }
        }
        matched
    }

    /// Whether a pattern lets in again what another one left out.
    pub(crate) fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.exception)
    }

    /// Whether a pattern by itself leaves out everything.
    pub(crate) fn leaves_out_everything(&self) -> bool {
        let all = |pattern: &Pattern| matches!(pattern.text.as_str(), "*" | "**" | "**/*");
        self.patterns.iter().any(|pattern| !pattern.exception && all(pattern))
    }

    /// Whether nothing below a directory that is left out can be let in again: then nobody needs to look there.
    #[must_use]
    pub fn may_prune(&self, dir: &str) -> bool {
        let reached = |patterns: &[Pattern], exception: bool| {
            patterns.iter().filter(|pattern| pattern.exception == exception).any(|pattern| pattern.reaches(dir))
        };
        let outside = self.only.as_ref().is_some_and(|only| !reached(&only.patterns, false));
        outside || (self.matches_as_written(dir) || self.only.is_none()) && !reached(&self.patterns, true)
    }
}

impl Pattern {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let (exception, path) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        if path.is_empty() { None } else { Self::new(&path::clean(path), exception) }
    }

    fn new(text: &str, exception: bool) -> Option<Self> {
        let shape = Some(text).filter(|text| is_well_formed(text)).and_then(Shape::of)?;
        Some(Self { text: text.into(), exception, shape })
    }

    /// Whether it may match something below a directory: if its first parts fit those of `dir`, or could, for `**` and classes fit
    /// slashes.
    fn reaches(&self, dir: &str) -> bool {
        let mut parts = dir.split('/').filter(|part| !part.is_empty());
        for part in self.text.split('/') {
            match parts.next() {
                None => return true,
                Some(_) if part.contains("**") || part.contains('[') => return true,
                Some(have) if !glob_match(part, have) => return false,
                Some(_) => {}
            }
        }
        // It is `dir` or a parent of it.
        true
    }

    fn matches(&self, path: &str) -> bool {
        match &self.shape {
            Shape::Exact => path == self.text,
            Shape::Prefix => self.text.strip_suffix("**").is_some_and(|start| path.starts_with(start)),
            Shape::Suffix => self
                .text
                .strip_prefix("**")
                .is_some_and(|end| path.ends_with(end) || end.strip_prefix('/').is_some_and(|whole| path == whole)),
            Shape::Regex(regex) => regex.is_match(path),
        }
    }
}

impl Shape {
    /// Reads a pattern that is well-formed as moby does, down to what becomes of `**` beside other characters. `None`: a class is
    /// wrong.
    fn of(text: &str) -> Option<Self> {
        let (mut shape, mut regex) = (Some(Self::Exact), String::from("^"));
        let mut buffer = [0; 4];
        let mut in_class = false;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '*' if chars.next_if_eq(&'*').is_some() => {
                    let first = regex.len() == 1;
                    let _ = chars.next_if_eq(&'/');
                    shape = match (chars.peek(), shape) {
                        _ if first => Some(Self::Suffix),
                        (None, Some(Self::Exact)) => Some(Self::Prefix),
                        _ => None,
                    };
                    regex.push_str(if chars.peek().is_none() { ".*" } else { "(.*/)?" });
                    continue;
                }
                '*' => regex.push_str("[^/]*"),
                '?' => regex.push_str("[^/]"),
                '\\' => regex.push_str(&regex::escape(chars.next().unwrap_or('\\').encode_utf8(&mut buffer))),
                '[' if !in_class => {
                    in_class = true;
                    regex.push(c);
                }
                ']' => {
                    in_class = false;
                    regex.push(c);
                }
                // In a class they are its own; moby has a `^` elsewhere fit nothing.
                '^' | '-' => {
                    regex.push(c);
                    continue;
                }
                _ => {
                    regex.push_str(&regex::escape(c.encode_utf8(&mut buffer)));
                    continue;
                }
            }
            shape = None;
        }
        match shape {
            Some(shape) => Some(shape),
            None => Regex::new(&(regex + "$")).ok().map(Self::Regex),
        }
    }
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
            ("**foo", "dir/barfoo", true),
            ("foo**", "foobar/x", true),
            ("a**b", "ab", true),
            ("a**b", "ax/y/b", true),
            ("a**b", "axb", false),
            ("**/dir2/*", "dir1/dir2/file", true),
            ("**/a/**", "a/b", true),
            ("**/a/**", "a", false),
            ("../file", "file", false),
            ("/../file", "file", true),
            ("a+(b)", "a+(b)", true),
            ("*.^x", "a.^x", false),
            ("a^-x", "a^-x", true),
            ("[^a]b", "cb", true),
            ("[a-c&&b]x", "&x", true),
            ("[[]x", "[x", true),
            ("[+-\\-]x", ",x", true),
            ("[\\--a]x", "5x", true),
            ("[\\-\\-a]x", "5x", false),
            ("\\[x", "[x", true),
            ("/", "x", false),
            ("**/dir2/*", "dir/dir2/dir2/file", true),
            ("**file", "dir/dir/file", true),
            ("**/file*txt", "dir/dir/file.txt", true),
            ("**/**/*.txt2", "dir/dir/file.txt", false),
            ("a**/*.txt", "a/dir/dir/file.txt", true),
            ("a**/*.txt", "ab.txt", true),
            ("a/*.txt/**", "a/file.txt", false),
            ("abc?def", "abcZdef", true),
            ("abc?def", "abc/def", false),
            ("a\\\\", "a\\", true),
            ("**/foo/bar", "dir/foo/bar", true),
            ("**/.foo", "bar.foo", false),
            ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
            ("dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", true),
            ("a\\*b", "a*b", true),
        ] {
            assert_eq!(IgnoreFile::parse(patterns).unwrap().matches(path), ignored, "{patterns:?} {path}");
        }
        assert!(!IgnoreFile::from_patterns(&["/file"]).matches("file"));
        assert!(IgnoreFile::from_patterns(&[" ./file/ "]).matches("file"));
        assert!(IgnoreFile::parse("!").is_err());
        assert!(IgnoreFile::parse("[z-a]").is_err());
        // Rust's regular expressions would take the last two for differences of sets.
        for malformed in ["a[", "[a-]", "[+--]", "[a--b]"] {
            assert!(IgnoreFile::parse(malformed).is_err(), "{malformed}");
        }
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
