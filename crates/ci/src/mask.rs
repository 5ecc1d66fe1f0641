//! Secrets in a log. A masker takes the log as it comes, in pieces of any size, and gives it back with `[MASKED]` where a secret
//! was: also where the secret came in two pieces. Of several that begin at one place the longest counts.

/// What stands in the log instead (GitLab's word).
pub const MASK: &str = "[MASKED]";

/// The shortest value that GitLab masks: shorter ones would be found everywhere.
const SHORTEST: usize = 8;

/// Why a value cannot be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmaskable {
    /// Too short.
    #[error("it has fewer than {SHORTEST} characters")]
    Short,
    /// Spaces or line ends.
    #[error("it has spaces or more than one line")]
    Spaces,
}

/// GitLab's rules for a masked value that is not expanded: one line, no spaces, eight characters or more.
///
/// # Errors
/// What is wrong with it; never the value.
pub fn check(value: &str) -> Result<(), Unmaskable> {
    if value.contains(char::is_whitespace) {
        Err(Unmaskable::Spaces)
    } else if value.chars().count() < SHORTEST {
        Err(Unmaskable::Short)
    } else {
        Ok(())
    }
}

/// Hides secrets in a stream.
#[derive(Clone)]
pub struct Masker {
    /// Longest first.
    secrets: Vec<Vec<u8>>,
    /// Which bytes a secret begins with.
    begins: [bool; 256],
    /// What may be the beginning of a secret.
    held: Vec<u8>,
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Masker({} secrets)", self.secrets.len())
    }
}

impl Masker {
    /// Hides these. Empty ones are nowhere.
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Self {
        let mut secrets: Vec<Vec<u8>> = secrets.into_iter().map(|secret| secret.as_ref().to_vec()).collect();
        secrets.retain(|secret| !secret.is_empty());
        secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        secrets.dedup();
        let mut begins = [false; 256];
        secrets.iter().for_each(|secret| begins[usize::from(secret[0])] = true);
        Self { secrets, begins, held: Vec::new() }
    }

    /// Takes a piece and returns what can be shown by now.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        self.take(false)
    }

    /// The stream is over: what was held back.
    pub fn finish(&mut self) -> Vec<u8> {
        self.take(true)
    }

    fn take(&mut self, over: bool) -> Vec<u8> {
        let mut shown = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while at < self.held.len() {
            let rest = &self.held[at..];
            if !self.begins[usize::from(rest[0])] {
                shown.push(rest[0]);
                at += 1;
                continue;
            }
            // A longer secret that may still come goes before a shorter one that is here.
            let open = |secret: &&Vec<u8>| secret.starts_with(rest) || rest.starts_with(secret);
            match self.secrets.iter().find(|secret| if over { rest.starts_with(secret) } else { open(secret) }) {
                Some(secret) if rest.len() < secret.len() => break,
                Some(secret) => {
                    shown.extend_from_slice(MASK.as_bytes());
                    at += secret.len();
                }
                None => {
                    shown.push(rest[0]);
                    at += 1;
                }
            }
        }
        self.held.drain(..at);
        shown
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The whole text at once, the longest secret first at each place.
    fn naive(text: &[u8], secrets: &[String]) -> Vec<u8> {
        let (mut out, mut at) = (Vec::new(), 0);
        while at < text.len() {
            let here = secrets.iter().filter(|s| !s.is_empty() && text[at..].starts_with(s.as_bytes()));
            match here.max_by_key(|s| s.len()) {
                Some(secret) => {
                    out.extend_from_slice(MASK.as_bytes());
                    at += secret.len();
                }
                None => {
                    out.push(text[at]);
                    at += 1;
                }
            }
        }
        out
    }

    #[test]
    fn a_secret_in_two_pieces_is_hidden() {
        let mut masker = Masker::new(["hunter22"]);
        let mut shown = masker.push(b"password hunt");
        assert_eq!(shown, b"password ");
        shown.extend(masker.push(b"er22!"));
        shown.extend(masker.push(b" hunt"));
        shown.extend(masker.finish());
        assert_eq!(String::from_utf8_lossy(&shown), "password [MASKED]! hunt");
    }

    #[test]
    fn what_can_be_masked() {
        assert_eq!(check("12345678"), Ok(()));
        assert_eq!(check("1234567"), Err(Unmaskable::Short));
        assert_eq!(check("1234 5678"), Err(Unmaskable::Spaces));
        assert_eq!(check("12345678\n"), Err(Unmaskable::Spaces));
    }

    proptest! {
        #[test]
        fn as_naive_for_every_split(
            text in "[ab]{0,40}",
            secrets in proptest::collection::vec("[ab]{0,5}", 0..4),
            cuts in proptest::collection::vec(0_usize..40, 0..6),
        ) {
            let mut masker = Masker::new(&secrets);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let (mut shown, mut from) = (Vec::new(), 0);
            for cut in cuts {
                shown.extend(masker.push(&text.as_bytes()[from..cut]));
                from = cut;
            }
            shown.extend(masker.push(&text.as_bytes()[from..]));
            shown.extend(masker.finish());
            prop_assert_eq!(shown, naive(text.as_bytes(), &secrets));
        }
    }
}
