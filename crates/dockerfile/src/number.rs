//! Booleans, ids, modes and sizes in options.

/// A boolean as Go's `strconv.ParseBool` reads it, which is how docker reads those of options and build arguments.
#[must_use]
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Go's unsigned numbers: digits and nothing else.
pub(crate) fn unsigned(text: &str, radix: u32) -> Option<u32> {
    u32::from_str_radix(text, radix).ok().filter(|_| !text.starts_with('+'))
}

/// A number of bytes with a unit in powers of 1024: `64`, `128m`, `1.5GiB`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit) {
        "" if !unit.ends_with("ib") => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let scale = 1_u64 << (10 * power);
    match number.split_once('.') {
        None => number.parse::<u64>().ok()?.checked_mul(scale),
        Some(_) => {
            let bytes = number.parse::<f64>().ok()? * scale as f64;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "within the range, and whole bytes"
            )]
            (0.0..9e18).contains(&bytes).then_some(bytes as u64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(unsigned("0755", 8), Some(0o755));
        assert_eq!(unsigned("1000", 10), Some(1000));
        for bad in ["", "+1", "-1", "8", "4294967296"] {
            assert_eq!(unsigned(bad, 8), None, "{bad}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("64", 64),
            ("128m", 128 << 20),
            ("64MiB", 64 << 20),
            ("1.5k", 1536),
            ("2 GB", 2 << 30),
            ("1b", 1),
            ("0", 0),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for bad in ["", "m", "1x", "-1", "1ib", "1..5k", "99999999999999999999", "99999999p"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }
}
