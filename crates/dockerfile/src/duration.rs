//! Lengths of time in Go's form: `1m30s`, `1.5h`, `500ms`.

/// Nanoseconds for each unit.
const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("h", 3.6e12), ("m", 6e10), ("s", 1e9)];

/// Reads one, in nanoseconds.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_i64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(end)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && part.is_empty()) || part.contains('.') {
            return None;
        }
        let (unit, scale) = UNITS.iter().find(|(unit, _)| after.starts_with(unit))?;
        rest = after.strip_prefix(unit)?;
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let part: f64 = if part.is_empty() { 0.0 } else { format!("0.{part}").parse().ok()? };
        #[expect(clippy::cast_possible_truncation, reason = "a part of a unit, and whole nanoseconds in one")]
        let (scale, part) = (*scale as i64, (part * scale) as i64);
        total = total.checked_add(whole.checked_mul(scale)?.checked_add(part)?)?;
    }
    Some(if negative { -total } else { total })
}

/// Why a text is none, in Go's words.
pub(crate) fn reason(text: &str) -> String {
    let number = |c: char| c.is_ascii_digit() || c == '.';
    let mut rest = text.trim_start_matches(['+', '-']);
    while rest.starts_with(number) {
        rest = rest.trim_start_matches(number);
        let unit = rest.get(..rest.find(number).unwrap_or(rest.len())).unwrap_or_default();
        if unit.is_empty() {
            return format!("missing unit in duration {text:?}");
        }
        if !UNITS.iter().any(|(known, _)| *known == unit) {
            return format!("unknown unit {unit:?} in duration {text:?}");
        }
        rest = rest.trim_start_matches(unit);
    }
    format!("invalid duration {text:?}")
}

/// Writes one as Go does: `1m30s`, `1.5s`, `500ms`, `0s`.
pub(crate) fn show(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let n = nanoseconds.unsigned_abs();
    let fraction = |n: u64, unit: u64| {
        let width = unit.ilog10() as usize;
        let text = format!("{}.{:0width$}", n / unit, n % unit);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match n {
        0 => "0s".into(),
        1..1_000 => format!("{sign}{n}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", fraction(n, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", fraction(n, 1_000_000)),
        _ => {
            let (minutes, rest) = (n / 60_000_000_000, n % 60_000_000_000);
            let seconds = if rest == 0 { "0".into() } else { fraction(rest, 1_000_000_000) };
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, m) => format!("{sign}{m}m{seconds}s"),
                (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        for (text, nanoseconds, shown) in [
            ("0", 0, "0s"),
            ("5s", 5_000_000_000, "5s"),
            ("1m30s", 90_000_000_000, "1m30s"),
            ("1.5h", 5_400_000_000_000, "1h30m0s"),
            ("500ms", 500_000_000, "500ms"),
            (".5s", 500_000_000, "500ms"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("2us", 2_000, "2µs"),
            ("1500ns", 1_500, "1.5µs"),
            ("-1s", -1_000_000_000, "-1s"),
        ] {
            assert_eq!(parse(text), Some(nanoseconds), "{text}");
            assert_eq!(show(nanoseconds), shown, "{text}");
        }
        for bad in ["", "5", "s", "5 s", "1..5s", "99999999999h", "1d", "."] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        for (bad, why) in [
            ("x", "invalid duration \"x\""),
            ("1m5", "missing unit in duration \"1m5\""),
            ("1d", "unknown unit \"d\" in duration \"1d\""),
            ("99999999999h", "invalid duration \"99999999999h\""),
        ] {
            assert_eq!(reason(bad), why);
        }
    }
}
