//! Path patterns. GitLab has two kinds: `rules:changes`, `rules:exists` and `include` take Ruby's `File.fnmatch` (pathname, dot files,
//! braces), artifacts and caches take Go's doublestar, where a pattern covers what lies in a folder that it names.

use archipel_dockerfile::path_match;

/// More alternatives than this in one pattern is a mistake or an attack; the rest of them match nothing.
const MAX_ALTERNATIVES: usize = 1000;

/// Whether a path matches as Ruby's `fnmatch` says.
pub(crate) fn fnmatch(pattern: &str, path: &str) -> bool {
    let path: Vec<&str> = path.split('/').collect();
    alternatives(pattern).iter().any(|pattern| {
        // Only `**/` stands for folders; `**` at the end is an ordinary star.
        let mut parts: Vec<&str> = pattern.split('/').collect();
        if parts.last() == Some(&"**") {
            parts.pop();
            parts.push("*");
        }
        path_match(&parts, &path)
    })
}

/// Whether a pattern of artifacts covers a path: it matches the path or a folder that it lies in.
pub(crate) fn covers(pattern: &str, path: &str) -> bool {
    let path: Vec<&str> = path.split('/').collect();
    alternatives(pattern).iter().any(|pattern| {
        let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        // `.` and `./` are everything.
        parts.is_empty() || (1..=path.len()).any(|n| path_match(&parts, &path[..n]))
    })
}

/// Expands `{a,b}`, which may be nested; `\{` is a brace.
fn alternatives(pattern: &str) -> Vec<String> {
    let (mut todo, mut done) = (vec![pattern.to_owned()], Vec::new());
    while let Some(pattern) = todo.pop() {
        if todo.len() + done.len() >= MAX_ALTERNATIVES {
            break;
        }
        match braces(&pattern) {
            Some((open, commas, close)) => {
                let starts = std::iter::once(open).chain(commas.iter().copied());
                let ends = commas.iter().copied().chain(std::iter::once(close));
                for (start, end) in starts.zip(ends) {
                    todo.push(format!("{}{}{}", &pattern[..open], &pattern[start + 1..end], &pattern[close + 1..]));
                }
            }
            None => done.push(negated(&pattern)),
        }
    }
    done
}

/// Ruby and doublestar write a negated class either way, Go's matcher only with `^`. A bracket that is escaped, or in a class, begins none.
fn negated(pattern: &str) -> String {
    let (mut written, mut chars, mut class) = (String::with_capacity(pattern.len()), pattern.chars().peekable(), false);
    while let Some(char) = chars.next() {
        written.push(char);
        match char {
            '\\' => written.extend(chars.next()),
            '[' if !class => {
                class = true;
                written.extend(chars.next_if_eq(&'!').map(|_| '^'));
            }
            ']' => class = false,
            _ => {}
        }
    }
    written
}

/// The first pair of braces and its own commas.
fn braces(pattern: &str) -> Option<(usize, Vec<usize>, usize)> {
    let (mut open, mut depth, mut commas, mut escaped) = (None, 0_usize, Vec::new(), false);
    for (at, byte) in pattern.bytes().enumerate() {
        match byte {
            _ if escaped => {
                escaped = false;
                continue;
            }
            b'\\' => escaped = true,
            b'{' => {
                open = open.or(Some(at));
                depth += 1;
            }
            b',' if depth == 1 => commas.push(at),
            b'}' if depth == 1 => return open.map(|open| (open, commas, at)),
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_ruby_does() {
        for (pattern, path, expected) in [
            ("Dockerfile", "Dockerfile", true),
            ("Dockerfile", "a/Dockerfile", false),
            ("*.md", "a.md", true),
            ("*.md", "docs/a.md", false),
            ("**/*.md", "a.md", true),
            ("**/*.md", "x/y/a.md", true),
            ("docs/**/*", "docs/a/b", true),
            ("docs/**", "docs/a", true),
            ("docs/**", "docs/a/b", false),
            ("*", ".env", true),
            ("src/*.{rs,toml}", "src/a.toml", true),
            ("{a,b{1,2}}.x", "b2.x", true),
            ("{a,b{1,2}}.x", "b3.x", false),
            ("[!a]x", "bx", true),
            ("[!a]x", "ax", false),
            (r"a\[!b", "a[!b", true),
            (r"a\[!b", "a[^b", false),
            (r"a\\[!b]", r"a\c", true),
            (r"a\\[!b]", r"a\b", false),
            ("[a[!]x", "!x", true),
            ("[a[!]x", "^x", false),
            ("{[!a],b}x", "cx", true),
        ] {
            assert_eq!(fnmatch(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn artifacts_cover_folders() {
        for (pattern, path, expected) in [
            ("out", "out/a/b", true),
            ("out/", "out/a", true),
            ("./out/*.txt", "out/a.txt", true),
            ("out/*.txt", "out/b/a.txt", false),
            ("**/*.log", "a/b/c.log", true),
            ("out/**", "out/a/b", true),
            (".", "x", true),
            ("ou", "out", false),
        ] {
            assert_eq!(covers(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn hostile_patterns_end() {
        assert!(!fnmatch(&"{a,b}".repeat(60), "x"));
        assert!(!fnmatch(&"**/a/".repeat(50), &"a/b/".repeat(40)));
    }
}
