//! `format` and `formatlist`: printf as HCL has it.

use super::Function;
use crate::Facts;
use crate::fault::{Result, fault};
use crate::value::Value;

pub(super) const TABLE: &[(&str, Function)] = &[("format", format), ("formatlist", formatlist)];

fn format(_: &Facts, arguments: &[Value]) -> Result<Value> {
    let Some((form, values)) = arguments.split_first() else { return Err(fault("a format is required")) };
    formatted(&form.text()?, values).map(Value::String)
}

/// Once for each item of the lists; what is no list is the same each time.
fn formatlist(_: &Facts, arguments: &[Value]) -> Result<Value> {
    let lists = arguments.iter().filter_map(|value| value.list().ok()).map(<[Value]>::len);
    let (least, most) = lists.fold((usize::MAX, 1), |(least, most), len| (least.min(len), most.max(len)));
    if least != usize::MAX && least != most {
        return Err(fault("the lists are not of one length"));
    }
    let at = |i: usize| {
        arguments.iter().map(move |value| match value {
            Value::List(items) => items.get(i).cloned().unwrap_or(Value::Null),
            other => other.clone(),
        })
    };
    let one = |i: usize| format(&Facts::default(), &at(i).collect::<Vec<_>>());
    (0..if least == 0 { 0 } else { most }).map(one).collect()
}

/// What stands between `%` and the verb.
#[derive(Default)]
struct Flags {
    minus: bool,
    plus: bool,
    space: bool,
    zero: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

fn formatted(form: &str, values: &[Value]) -> Result<String> {
    let mut shown = String::new();
    let mut chars = form.chars().peekable();
    let (mut next, mut by_number) = (0, false);
    while let Some(c) = chars.next() {
        if c != '%' {
            shown.push(c);
            continue;
        }
        let mut flags = Flags::default();
        while let Some(flag) = chars.next_if(|c| "-+ 0#".contains(*c)) {
            match flag {
                '-' => flags.minus = true,
                '+' => flags.plus = true,
                ' ' => flags.space = true,
                '0' => flags.zero = true,
                _ => flags.sharp = true,
            }
        }
        let number = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            digits.parse::<usize>().unwrap_or(0).min(1024)
        };
        flags.width = number(&mut chars);
        if chars.next_if_eq(&'.').is_some() {
            flags.precision = Some(number(&mut chars));
        }
        if chars.next_if_eq(&'[').is_some() {
            next = number(&mut chars).checked_sub(1).ok_or_else(|| fault("arguments are counted from 1"))?;
            by_number = true;
            if chars.next() != Some(']') {
                return Err(fault("a `]` is missing in the format"));
            }
        }
        let verb = chars.next().ok_or_else(|| fault("the format ends within a verb"))?;
        if verb == '%' {
            shown.push('%');
            continue;
        }
        let value = values.get(next).ok_or_else(|| fault(format!("no argument for `%{verb}`")))?;
        next += 1;
        let text = one(verb, &flags, value)?;
        let missing = flags.width.saturating_sub(text.chars().count());
        match (flags.minus, flags.zero && "dfeEgGboxX".contains(verb)) {
            (true, _) => shown.extend([text, " ".repeat(missing)]),
            (false, false) => shown.extend([" ".repeat(missing), text]),
            (false, true) => {
                let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+', ' '])));
                shown.extend([sign, &"0".repeat(missing), digits]);
            }
        }
    }
    if next < values.len() && !by_number {
        return Err(fault(format!("the format uses {next} of {} arguments", values.len())));
    }
    Ok(shown)
}

fn one(verb: char, flags: &Flags, value: &Value) -> Result<String> {
    let json = || crate::json::escaped(&value.to_json().to_string());
    let cut = |text: String| match flags.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text,
    };
    let signed = |number: f64, digits: String| match (number < 0.0, flags.plus, flags.space) {
        (true, ..) => format!("-{digits}"),
        (false, true, _) => format!("+{digits}"),
        (false, false, true) => format!(" {digits}"),
        _ => digits,
    };
    let whole = || Ok::<_, Box<crate::fault::Fault>>((value.number()?, value.whole()?.unsigned_abs()));
    match verb {
        'v' if flags.sharp => Ok(json()),
        'v' => match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(_) | Value::Bool(_) => value.text(),
            _ => Ok(json()),
        },
        't' => value.bool().map(|value| value.to_string()),
        's' => value.text().map(cut),
        'q' => value.text().map(cut).map(|text| serde_json::Value::String(text).to_string()),
        'd' => whole().map(|(number, digits)| signed(number, digits.to_string())),
        'b' => whole().map(|(number, digits)| signed(number, format!("{digits:b}"))),
        'o' => whole().map(|(number, digits)| signed(number, format!("{digits:o}"))),
        'x' => match value {
            Value::String(text) => Ok(text.bytes().map(|byte| format!("{byte:02x}")).collect()),
            _ => whole().map(|(number, digits)| signed(number, format!("{digits:x}"))),
        },
        'X' => whole().map(|(number, digits)| signed(number, format!("{digits:X}"))),
        'f' | 'F' => value.number().map(|n| signed(n, format!("{:.*}", flags.precision.unwrap_or(6), n.abs()))),
        'g' | 'G' => value.number().map(|n| signed(n, n.abs().to_string())),
        'e' | 'E' => value.number().map(|n| {
            let text = format!("{:.*e}", flags.precision.unwrap_or(6), n.abs());
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
            signed(n, format!("{digits}{verb}{sign}{exponent:0>2}"))
        }),
        other => Err(fault(format!("the format has no verb `%{other}`"))),
    }
}
