//! Wildcards: Go's `filepath.Match`, which COPY and ADD use, and the patterns of ignore files (moby `patternmatcher`), which add `**`.

/// Whether a name matches: `*` any run without `/`, `?` one character, `[a-z]` and `[^a-z]` classes, `\` an escape. A pattern that
/// is malformed matches nothing.
#[must_use]
pub fn glob_match(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    matches(&pattern, &name)
}

/// Where a `*` was last met, so that a mismatch goes back there and lets it take one more: linear for one star at a time, never
/// exponential.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(p) {
            Some('*') => {
                back = Some((p + 1, n));
                p += 1;
                continue;
            }
            None if n == name.len() => return true,
            None => None,
            Some(_) if n == name.len() => None,
            Some(_) => one(&pattern[p..], name[n]).map(|used| (p + used, n + 1)),
        };
        match (step, back) {
            (Some((next_p, next_n)), _) => (p, n) = (next_p, next_n),
            (None, Some((after, from))) if name.get(from).is_some_and(|c| *c != '/') => {
                back = Some((after, from + 1));
                (p, n) = (after, from + 1);
            }
            _ => return false,
        }
    }
}

/// Whether one pattern element takes a character, and how long it is.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => (c != '/').then_some(1),
        ['\\', escaped, ..] => (*escaped == c).then_some(2),
        ['[', rest @ ..] => class(rest, c).filter(|(taken, _)| *taken && c != '/').map(|(_, used)| used + 1),
        [literal, ..] => (*literal == c).then_some(1),
        [] => None,
    }
}

/// A class after its `[`: whether it takes the character, and its length with the `]`. `None`: it is malformed.
fn class(rest: &[char], c: char) -> Option<(bool, usize)> {
    let negated = rest.first() == Some(&'^');
    let mut at = usize::from(negated);
    let mut taken = false;
    let mut first = true;
    loop {
        if rest.get(at) == Some(&']') && !first {
            return Some((taken != negated, at + 1));
        }
        first = false;
        let (low, used) = literal(&rest[at.min(rest.len())..])?;
        at += used;
        let mut high = low;
        if rest.get(at) == Some(&'-') {
            let (end, used) = literal(&rest[at + 1..])?;
            high = end;
            at += 1 + used;
        }
        taken |= (low..=high).contains(&c);
    }
}

fn literal(rest: &[char]) -> Option<(char, usize)> {
    match rest {
        ['\\', c, ..] => Some((*c, 2)),
        ['-' | ']', ..] | [] | ['\\'] => None,
        [c, ..] => Some((*c, 1)),
    }
}

/// Whether Go would take a pattern for one: escapes escape something, and classes are closed and have a `-` or `]` of their own
/// only if it is escaped.
pub(crate) fn is_well_formed(pattern: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let mut rest = pattern.as_slice();
    loop {
        rest = match rest {
            [] => return true,
            ['\\'] => return false,
            ['\\', _, after @ ..] => after,
            ['[', after @ ..] => match class(after, '\0').and_then(|(_, used)| after.get(used..)) {
                Some(after) => after,
                None => return false,
            },
            [_, after @ ..] => after,
        };
    }
}

/// Whether there is anything in a pattern that stands for more than itself.
pub(crate) fn has_wildcards(pattern: &str) -> bool {
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' | '?' | '[' => return true,
            '\\' => drop(chars.next()),
            _ => {}
        }
    }
    false
}

/// Whether a path matches part by part as [`glob_match`], where a part `**` is any number of parts, none among them. A `**` beside other
/// characters is no more than `*`. Goes back only to the last `**`, so it is never exponential.
#[must_use]
pub fn path_match<S: AsRef<str>>(pattern: &[S], path: &[&str]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
        match pattern.get(p).map(AsRef::as_ref) {
            Some("**") => {
                back = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some(part) if n < path.len() && glob_match(part, path[n]) => {
                (p, n) = (p + 1, n + 1);
                continue;
            }
            None if n == path.len() => return true,
            _ => {}
        }
        match back {
            Some((after, from)) if from < path.len() => {
                back = Some((after, from + 1));
                (p, n) = (after, from + 1);
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_does() {
        for (pattern, name, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("[a-ζ]*", "α", true),
            ("a?b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[x\\-]", "-", true),
            ("[]a]", "]", false),
            ("[-]", "-", false),
            ("[a-b-c]", "a", false),
            ("[", "a", false),
            ("*x", "xxx", true),
        ] {
            assert_eq!(glob_match(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn malformed_as_with_go() {
        for good in ["", "a", "[a]", "[^a-c/]*", "\\[", "[\\]\\-]", "[[]", "]", "a-b", "[^^]", "[z-a]"] {
            assert!(is_well_formed(good), "{good}");
        }
        for bad in
            ["[", "a[", "[a", "[]a]", "[^]", "[-]", "[a-]", "[-a]", "[a-c-e]", "[+--]", "a\\", "[a\\", "[a-\\", "*[a-"]
        {
            assert!(!is_well_formed(bad), "{bad}");
        }
        assert!(has_wildcards("a\\[b?") && !has_wildcards("\\*\\?\\[\\"));
    }

    #[test]
    fn many_stars_do_not_hang() {
        assert!(glob_match(&"a*".repeat(200), &"a".repeat(5000)));
        assert!(!glob_match(&format!("{}b", "*a".repeat(100)), &"a".repeat(2000)));
    }
}
