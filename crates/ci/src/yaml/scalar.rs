//! What a plain scalar means to Psych (`Psych::ScalarScanner`). Its rules are not quite YAML 1.1's: `1:30` is 5400, for instance,
//! because it takes two parts for hours and minutes. Whoever writes a pipeline sees GitLab's reading, so we do the same.

use super::Value;

/// Reads a plain scalar. An error is a sentence: Psych makes dates of some texts, and GitLab refuses those.
pub(super) fn plain(text: &str) -> Result<Value, String> {
    if text.is_empty() {
        return Ok(Value::Null);
    }
    if is_word(text) || text.contains('\n') {
        return Ok(word(text));
    }
    if is_date(text) {
        return Err(format!("`{text}` is a date, which GitLab does not take"));
    }
    match text.to_ascii_lowercase().as_str() {
        ".inf" | "+.inf" => return Ok(Value::Float(f64::INFINITY)),
        "-.inf" => return Ok(Value::Float(f64::NEG_INFINITY)),
        ".nan" => return Ok(Value::Float(f64::NAN)),
        _ => {}
    }
    if let Some(symbol) = text.strip_prefix(':').filter(|rest| !rest.is_empty()) {
        return Ok(Value::String(unquoted(symbol).to_owned()));
    }
    Ok(sexagesimal(text)
        .or_else(|| float(text))
        .or_else(|| integer(text))
        .unwrap_or_else(|| Value::String(text.to_owned())))
}

/// `/^[^\d.:-]?[[:alpha:]_\s!@#$%\^&*(){}<>|\/\\~;=]+/`: begins, after at most one other character, with what no number has.
fn is_word(text: &str) -> bool {
    let of_words = |c: char| c.is_alphabetic() || c.is_whitespace() || "_!@#$%^&*(){}<>|/\\~;=".contains(c);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if of_words(first) => true,
        Some(first) => !first.is_ascii_digit() && !".:-".contains(first) && chars.next().is_some_and(of_words),
        None => false,
    }
}

fn word(text: &str) -> Value {
    match text.to_ascii_lowercase().as_str() {
        "~" | "null" => Value::Null,
        "yes" | "true" | "on" => Value::Bool(true),
        "no" | "false" | "off" => Value::Bool(false),
        _ => Value::String(text.to_owned()),
    }
}

/// `:"a b"` is the symbol `a b`.
fn unquoted(symbol: &str) -> &str {
    let within = |quote: char| symbol.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    within('"').or_else(|| within('\'')).unwrap_or(symbol)
}

/// `2024-01-31`, alone or with a time after it.
fn is_date(text: &str) -> bool {
    let (date, time) = match text.find(['T', 't', ' ', '\t']) {
        Some(at) => (&text[..at], Some(text[at + 1..].trim_start())),
        None => (text, None),
    };
    let date = if time.is_some() { date.strip_prefix('-').unwrap_or(date) } else { date };
    let digits = |part: &str, most: usize| (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = date.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    if year.len() != 4 || !digits(year, 4) || !digits(month, 2) || !digits(day, 2) {
        return false;
    }
    match time {
        None => {
            let number = |part: &str| part.parse::<u32>().unwrap_or(0);
            number(month) <= 12 && number(day) <= 31 && (month.len() == 2 || number(month) > 0)
        }
        // Hours, minutes and seconds are enough to tell: what follows them is a fraction or a zone.
        Some(time) => {
            let parts: Vec<&str> = time.splitn(3, ':').collect();
            let [hour, minute, second] = parts[..] else { return false };
            digits(hour, 2) && digits(minute, 2) && second.get(..2).is_some_and(|s| digits(s, 2))
        }
    }
}

/// `[-+]?[0-9][0-9_]*(:[0-5]?[0-9]){1,2}` and the same with a fraction. The weight of a part is its distance from the third.
fn sexagesimal(text: &str) -> Option<Value> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let unsigned = whole.strip_prefix(['-', '+']).unwrap_or(whole);
    let parts: Vec<&str> = unsigned.split(':').collect();
    let first =
        parts[0].starts_with(|c: char| c.is_ascii_digit()) && parts[0].bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let sixty = |part: &&str| match part.as_bytes() {
        [d] => d.is_ascii_digit(),
        [b'0'..=b'5', d] => d.is_ascii_digit(),
        _ => false,
    };
    let fits = fraction.is_none_or(|f| f.bytes().all(|b| b.is_ascii_digit() || b == b'_'));
    if !(2..=3).contains(&parts.len()) || !first || !parts[1..].iter().all(sixty) || !fits {
        return None;
    }
    let weights = [3600, 60, 1];
    let mut total: i64 = 0;
    for (part, weight) in parts.iter().zip(weights) {
        let mut value: i64 = part.replace('_', "").parse().ok()?;
        if *part == parts[0] && whole.starts_with('-') {
            value = -value;
        }
        total = total.checked_add(value.checked_mul(weight)?)?;
    }
    let Some(fraction) = fraction else { return Some(Value::Int(total)) };
    let weight = weights[parts.len() - 1];
    let part: f64 = format!("0.{}", fraction.replace('_', "")).parse().ok()?;
    Some(Value::Float(total as f64 + part * f64::from(i32::try_from(weight).ok()?)))
}

/// `[-+]?([0-9][0-9_,]*)?\.[0-9]*([eE][+-][0-9]+)?`. So `1e3` is a text, and `1.10` is 1.1.
fn float(text: &str) -> Option<Value> {
    let (whole, rest) = text.split_once('.')?;
    let (fraction, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let unsigned = whole.strip_prefix(['-', '+']).unwrap_or(whole);
    let whole_fits = unsigned.is_empty()
        || unsigned.starts_with(|c: char| c.is_ascii_digit())
            && unsigned.bytes().all(|b| b.is_ascii_digit() || b == b'_' || b == b',');
    let exponent_fits = exponent.is_none_or(|e| e.strip_prefix(['-', '+']).is_some_and(|e| !e.is_empty() && digits(e)));
    if !whole_fits || !digits(fraction) || !exponent_fits || (unsigned.is_empty() && fraction.is_empty()) {
        return None;
    }
    let exponent = exponent.map_or_else(String::new, |e| format!("e{e}"));
    let plain = format!("{}.{fraction}0{exponent}", whole.replace(['_', ','], ""));
    plain.parse().ok().map(Value::Float)
}

/// Binary, octal, decimal and hexadecimal, with `_` and `,` between digits.
fn integer(text: &str) -> Option<Value> {
    let (sign, unsigned) = match text.as_bytes().first() {
        Some(b'-') => ("-", &text[1..]),
        Some(b'+') => ("", &text[1..]),
        _ => ("", text),
    };
    let bare = unsigned.replace(['_', ','], "");
    let begins_and_ends = |s: &str| s.ends_with(|c: char| c.is_ascii_digit());
    let (radix, digits) = match bare.as_bytes() {
        [b'0', b'b', ..] => (2, &bare[2..]),
        [b'0', b'x', ..] => (16, &bare[2..]),
        [b'0', _, ..] if unsigned.starts_with('0') => (8, &bare[1..]),
        _ => {
            let separated = unsigned.as_bytes().windows(2).any(|w| w.iter().all(|b| *b == b'_' || *b == b','));
            if !unsigned.starts_with(|c: char| c.is_ascii_digit()) || !begins_and_ends(unsigned) || separated {
                return None;
            }
            (10, &bare[..])
        }
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    // Ruby's integers have no end. One that is too long for ours can only be shown again, so it stays a text.
    let value = i64::from_str_radix(&format!("{sign}{digits}"), radix);
    Some(value.map_or_else(|_| Value::String(format!("{sign}{digits}")), Value::Int))
}

/// Ruby's `Float#to_s`.
pub(crate) fn ruby_float(f: f64) -> String {
    if f.is_nan() {
        return "NaN".into();
    }
    if f.is_infinite() {
        return if f > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    let size = f.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{f:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let digits = if digits.contains('.') { digits.to_owned() } else { format!("{digits}.0") };
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    let text = f.to_string();
    if text.contains('.') { text } else { format!("{text}.0") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match plain(text) {
            Ok(Value::String(s)) => format!("\"{s}\""),
            Ok(Value::Null) => "nil".into(),
            Ok(Value::Bool(b)) => b.to_string(),
            Ok(Value::Int(n)) => n.to_string(),
            Ok(Value::Float(f)) => format!("{}f", ruby_float(f)),
            Ok(_) => "?".into(),
            Err(_) => "date".into(),
        }
    }

    #[test]
    fn as_psych_does() {
        for (text, expected) in [
            ("", "nil"),
            ("~", "nil"),
            ("NULL", "nil"),
            ("yes", "true"),
            ("On", "true"),
            ("no", "false"),
            ("y", "\"y\""),
            ("n", "\"n\""),
            ("yesterday", "\"yesterday\""),
            ("0755", "493"),
            ("08", "\"08\""),
            ("0", "0"),
            ("-17", "-17"),
            ("+1", "1"),
            ("1_000", "1000"),
            ("1,000", "1000"),
            ("1__0", "\"1__0\""),
            ("0b101", "5"),
            ("0xff", "255"),
            ("0x", "\"0x\""),
            ("99999999999999999999", "\"99999999999999999999\""),
            ("1:30", "5400"),
            ("1:30:15", "5415"),
            ("-1:30", "-1800"),
            ("1:60", "\"1:60\""),
            ("1:30.5", "5430.0f"),
            ("1.10", "1.1f"),
            ("1.", "1.0f"),
            (".5", "0.5f"),
            (".", "\".\""),
            ("1e3", "\"1e3\""),
            ("1.5e+3", "1500.0f"),
            ("1.5e3", "\"1.5e3\""),
            ("1.2.3", "\"1.2.3\""),
            (".inf", "Infinityf"),
            ("-.INF", "-Infinityf"),
            (":", "\":\""),
            (":sym", "\"sym\""),
            ("2024-01-31", "date"),
            ("2024-01-31 12:00:00", "date"),
            ("2024-13-01", "\"2024-13-01\""),
            ("2024-01", "\"2024-01\""),
            ("19.03.15", "\"19.03.15\""),
            ("docker:dind", "\"docker:dind\""),
            ("-", "\"-\""),
            ("3h 20m", "\"3h 20m\""),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn floats_as_ruby_writes_them() {
        for (f, expected) in [
            (1.1, "1.1"),
            (3.0, "3.0"),
            (1e16, "1.0e+16"),
            (1.5e-7, "1.5e-07"),
            (0.0, "0.0"),
            (1e15, "1000000000000000.0"),
        ] {
            assert_eq!(ruby_float(f), expected);
        }
    }
}
