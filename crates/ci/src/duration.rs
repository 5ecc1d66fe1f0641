//! Spans of time as people write them: `1 hour 30 minutes`, `3h 20m`, `90` (seconds), `1 week` (GitLab's ChronicDuration).

use std::time::Duration;

const DAY: u64 = 24 * 3600;

/// Reads one; `None` if it is none.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut total: u64 = 0;
    let mut rest = text.trim();
    let mut any = false;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = seconds(&rest[..letters].to_ascii_lowercase())?;
        rest = rest[letters..].trim_start_matches([' ', ',', '\t']);
        rest = rest.strip_prefix("and ").unwrap_or(rest).trim_start();
        let part = number * unit as f64;
        // A hundred years are enough for anybody, and fit everywhere.
        if !part.is_finite() || part > (36_525 * DAY) as f64 {
            return None;
        }
        total = total.checked_add(part as u64)?;
        any = true;
    }
    any.then(|| Duration::from_secs(total))
}

fn seconds(unit: &str) -> Option<u64> {
    Some(match unit {
        "" | "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600,
        "d" | "day" | "days" => DAY,
        "w" | "wk" | "wks" | "week" | "weeks" => 7 * DAY,
        "mo" | "mos" | "month" | "months" => 30 * DAY,
        "y" | "yr" | "yrs" | "year" | "years" => 36_525 * DAY / 100,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn as_people_write_them() {
        for (text, expected) in [
            ("42", Some(42)),
            ("1 hour 30 minutes", Some(5400)),
            ("3h 20m", Some(12000)),
            ("1h30m", Some(5400)),
            ("3 mins 4 sec", Some(184)),
            ("2 hrs and 20 min", Some(8400)),
            ("6 mos 1 day", Some(181 * 86400)),
            ("1.5 hours", Some(5400)),
            ("", None),
            ("soon", None),
            ("3 parsecs", None),
            ("99999999999999999999 years", None),
        ] {
            assert_eq!(super::parse(text).map(|d| d.as_secs()), expected, "{text}");
        }
    }
}
