//! Text that others wrote, on its way to a terminal; and numbers for people.

use std::time::Duration;

/// One line of a process's output as it may stand in a live view: without escape sequences and control characters, and
/// with what a carriage return left last.
pub(crate) fn visible(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches('\r');
    let last = text.rsplit('\r').next().unwrap_or_default();
    let mut visible = String::with_capacity(last.len());
    let mut chars = last.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\t' => visible.push_str("    "),
            c if c.is_control() => {}
            c => visible.push(c),
        }
    }
    visible
}

/// Control sequences (ECMA-48): CSI ends at a letter or the like, OSC at BEL or ST, others after one character.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => while chars.next().is_some_and(|c| !('\u{40}'..='\u{7e}').contains(&c)) {},
        Some(']') => {
            while let Some(c) = chars.next() {
                if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
        }
        _ => {}
    }
}

/// `0.1s`, `12.3s`, `2m 03s`.
pub(crate) fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 {
        return format!("{seconds:.1}s");
    }
    let whole = time.as_secs();
    match whole / 3600 {
        0 => format!("{}m {:02}s", whole / 60, whole % 60),
        hours => format!("{hours}h {:02}m", whole / 60 % 60),
    }
}

/// How long ago something was, in docker's words: the largest unit that it fills.
pub(crate) fn age(seconds: u64) -> String {
    let (minute, hour, day) = (60, 3600, 24 * 3600);
    match seconds {
        0 => "Less than a second".into(),
        1 => "1 second".into(),
        s if s < minute => format!("{s} seconds"),
        s if s < 2 * minute => "About a minute".into(),
        s if s < hour => format!("{} minutes", s / minute),
        s if s < 2 * hour => "About an hour".into(),
        s if s < 2 * day => format!("{} hours", s / hour),
        s if s < 14 * day => format!("{} days", s / day),
        s if s < 60 * day => format!("{} weeks", s / (7 * day)),
        s if s < 730 * day => format!("{} months", s / (30 * day)),
        s => format!("{} years", s / (365 * day)),
    }
}

/// `17 B`, `1.5 MB`: powers of 1000, as docker shows sizes.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = "kB";
    for larger in ["MB", "GB", "TB"] {
        if value < 999.5 {
            break;
        }
        (value, unit) = (value / 1000.0, larger);
    }
    if value < 99.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// Cuts a stream into lines; what a process wrote after its last newline stays until more comes or it ends.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<u8>);

/// A line that never ends is shown in pieces of this many bytes rather than kept for ever.
const MAX_LINE: usize = 16 << 10;

impl Lines {
    /// Takes bytes and hands over each line that they end.
    pub(super) fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(end) if self.0.is_empty() => line(end),
                Some(end) => {
                    self.0.extend_from_slice(end);
                    line(&std::mem::take(&mut self.0));
                }
                None => self.0.extend_from_slice(piece),
            }
            if self.0.len() > MAX_LINE {
                line(&std::mem::take(&mut self.0));
            }
        }
    }

    /// What came after the last newline.
    pub(super) fn rest(&mut self) -> Option<Vec<u8>> {
        let rest = std::mem::take(&mut self.0);
        (!rest.is_empty()).then_some(rest)
    }

    /// The same, without taking it.
    pub(super) fn pending(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_not_steered_by_output() {
        assert_eq!(visible(b"\x1b[31mred\x1b[0m\x1b]0;title\x07!\x1b]8;;x\x1b\\link\r"), "red!link");
        assert_eq!(visible(b"10%\r20%\r30%"), "30%");
        assert_eq!(visible(b"a\tb\x08\x07\xff"), "a    b\u{fffd}");
    }

    #[test]
    fn ages() {
        for (seconds, shown) in [
            (0, "Less than a second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (7199, "About an hour"),
            (86_400, "24 hours"),
            (172_800, "2 days"),
            (1_209_600, "2 weeks"),
            (5_184_000, "2 months"),
            (63_072_000, "2 years"),
        ] {
            assert_eq!(age(seconds), shown);
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(seconds(Duration::from_millis(1234)), "1.2s");
        assert_eq!(seconds(Duration::from_secs(123)), "2m 03s");
        assert_eq!(seconds(Duration::from_secs(7400)), "2h 03m");
        assert_eq!([17, 999, 1000, 1_500_000, 123_456_789].map(size), ["17 B", "999 B", "1.0 kB", "1.5 MB", "123 MB"]);
    }

    #[test]
    fn lines() {
        let mut lines = Lines::default();
        let mut seen = vec![];
        for piece in ["a", "b\nc\n\nd"] {
            lines.push(piece.as_bytes(), |l| seen.push(String::from_utf8_lossy(l).into_owned()));
        }
        assert_eq!(seen, ["ab", "c", ""]);
        assert_eq!(lines.rest().as_deref(), Some(&b"d"[..]));
        assert_eq!(lines.rest(), None);
    }
}
