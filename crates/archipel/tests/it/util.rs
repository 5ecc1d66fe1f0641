//! The binary in a home of its own, and transcripts without what differs from run to run.

use archipel_testkit::{Archipel, Finished};

/// The binary, in a new home.
pub(crate) fn archipel() -> Archipel {
    Archipel::new(env!("CARGO_BIN_EXE_archipel"))
}

/// A transcript with the home's path, times, digests and ports replaced.
pub(crate) fn transcript(archipel: &Archipel, finished: &Finished) -> String {
    let text = finished.transcript().replace(&archipel.home.path().display().to_string(), "[HOME]");
    text.lines().map(|line| clean(line) + "\n").collect()
}

fn clean(line: &str) -> String {
    line.split(' ').map(clean_word).collect::<Vec<_>>().join(" ")
}

fn clean_word(word: &str) -> String {
    if let Some((before, after)) = word.split_once("sha256:") {
        let rest = after.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        return format!("{before}[DIGEST]{rest}");
    }
    if let Some((before, after)) = word.split_once("127.0.0.1:") {
        let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        return format!("{before}[REGISTRY]{rest}");
    }
    word.to_owned()
}
