//! Addresses without the logins that stand in them.

/// What stands where a user or a password was: BuildKit's and Go's mask.
const MASK: &str = "xxxxx";

/// A text in which every address `scheme://user:password@host` has lost the two. The user of ssh is nobody's secret: it stays.
#[must_use]
pub fn redacted(text: &str) -> String {
    replaced(text, |_| MASK.into())
}

/// The same for a text that spans point into: it stays as long as it is.
#[must_use]
pub fn masked(text: &str) -> String {
    replaced(text, |secret| "x".repeat(secret.len()))
}

fn replaced(text: &str, by: impl Fn(&str) -> String) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + "://".len());
        shown.push_str(before);
        let ends = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '?' | '#' | '"' | '\'');
        let authority = &after[..after.find(ends).unwrap_or(after.len())];
        rest = after;
        let Some((login, _)) = authority.rsplit_once('@') else { continue };
        let (user, password) = login.split_once(':').map_or((login, None), |(user, word)| (user, Some(word)));
        match user {
            "" => {}
            user if before.ends_with("ssh://") => shown.push_str(user),
            user => shown.push_str(&by(user)),
        }
        if let Some(password) = password {
            shown.push(':');
            shown.push_str(&by(password));
        }
        rest = &after[login.len()..];
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_go_and_the_rest_stays() {
        for (text, shown) in [
            ("ADD https://me:pw@h.example/a?b=c#d /x", "ADD https://xxxxx:xxxxx@h.example/a?b=c#d /x"),
            ("https://token@h.example:5000/a@b", "https://xxxxx@h.example:5000/a@b"),
            ("http://:pw@h and http://h/a@b", "http://:xxxxx@h and http://h/a@b"),
            ("https://a:p@ss@h/r.git", "https://xxxxx:xxxxx@h/r.git"),
            ("ssh://git@h/r ssh://git:pw@h/r git@h:r", "ssh://git@h/r ssh://git:xxxxx@h/r git@h:r"),
            ("a://b://c:d@e", "a://b://xxxxx:xxxxx@e"),
            ("http://", "http://"),
            ("é://ü:ö@ä", "é://xxxxx:xxxxx@ä"),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }
    #[test]
    fn what_is_masked_stays_as_long() {
        for (text, shown) in [
            ("ADD https://me:secret@h/a /x\nADD b c", "ADD https://xx:xxxxxx@h/a /x\nADD b c"),
            ("é://ü:ö@ä http://u:@h ssh://git:pw@h", "é://xx:xx@ä http://x:@h ssh://git:xx@h"),
        ] {
            assert_eq!(masked(text), shown);
            assert_eq!(shown.len(), text.len());
        }
    }
}
