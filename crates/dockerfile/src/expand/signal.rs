//! STOPSIGNAL: a signal's name or number.

use std::ops::RangeInclusive;

use crate::diagnostic::Diagnostic;
use crate::instruction::Word;
use crate::scope::Scope;

/// Linux's signals, without `SIG` (signal(7)); real-time ones are `RTMIN` to `RTMAX` with an offset.
const NAMES: &[&str] = &[
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
    "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
    "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
];

/// Real-time signals have names up to these distances from the first and the last of them.
const ABOVE_FIRST: RangeInclusive<u8> = 1..=15;
const BELOW_LAST: RangeInclusive<u8> = 1..=14;

impl Scope {
    pub(super) fn stop_signal(&mut self, word: &Word) -> Result<String, Diagnostic> {
        let text = self.expand(word)?;
        if known(&text) {
            return Ok(text);
        }
        let wrong = Diagnostic::error("invalid-signal", format!("invalid signal: {text}"), word.span.clone());
        Err(match crate::nearest(&text, NAMES.iter().copied()) {
            Some(near) => wrong.help(format!("did you mean {near}?")),
            None => wrong,
        })
    }
}

fn known(text: &str) -> bool {
    if let Ok(number) = text.parse::<i64>() {
        return number != 0;
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str, sign: char, known: RangeInclusive<u8>| {
        rest.is_empty() || known.into_iter().any(|n| rest == format!("{sign}{n}"))
    };
    NAMES.contains(&name)
        || name.strip_prefix("RTMIN").is_some_and(|rest| offset(rest, '+', ABOVE_FIRST))
        || name.strip_prefix("RTMAX").is_some_and(|rest| offset(rest, '-', BELOW_LAST))
}
