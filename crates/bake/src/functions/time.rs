//! Times, as texts in RFC 3339.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::fmt::temporal::{Pieces, PiecesOffset};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

use super::{Function, exactly, texts};
use crate::Facts;
use crate::fault::{Result, fault};
use crate::value::Value;

pub(super) const TABLE: &[(&str, Function)] = &[
    ("formatdate", |_, a| texts(a).and_then(|[form, time]| formatted(&form, &read(&time)?))),
    ("formattimestamp", formattimestamp),
    ("timeadd", |_, a| {
        let [time, duration] = texts(a)?;
        let Time { at, offset } = read(&time)?;
        let sum = at.checked_add(go_duration(&duration)?).map_err(|e| fault(e.to_string()))?;
        Ok(Time { at: sum, offset }.rfc3339().into())
    }),
    ("timestamp", |facts, _| Ok(utc(facts.now)?.rfc3339().into())),
    ("unixtimestampparse", unixtimestampparse),
];

/// A time, as clocks of some place show it.
struct Time {
    at: DateTime,
    offset: Offset,
}

impl Time {
    fn rfc3339(&self) -> String {
        let at = &self.at;
        let zone = if self.offset == Offset::UTC { "Z".to_owned() } else { self.zone(":") };
        let (date, time) = (at.date(), (at.hour(), at.minute(), at.second()));
        format!("{date}T{:02}:{:02}:{:02}{zone}", time.0, time.1, time.2)
    }

    /// How far it is from the time of Greenwich.
    fn zone(&self, between: &str) -> String {
        let seconds = self.offset.seconds();
        let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
        format!("{sign}{:02}{between}{:02}", minutes / 60, minutes % 60)
    }
}

fn utc(seconds: i64) -> Result<Time> {
    let time = Timestamp::from_second(seconds).map_err(|_| fault("this is not the time of any day"))?;
    Ok(Time { at: Offset::UTC.to_datetime(time), offset: Offset::UTC })
}

/// Reads RFC 3339, and keeps the offset that it has.
fn read(text: &str) -> Result<Time> {
    let wrong = || fault(format!("`{text}` is not a time such as 2006-01-02T15:04:05Z"));
    let pieces = Pieces::parse(text).map_err(|_| wrong())?;
    let offset = match pieces.offset() {
        Some(PiecesOffset::Zulu) => Offset::UTC,
        Some(PiecesOffset::Numeric(offset)) => offset.offset(),
        _ => return Err(wrong()),
    };
    Ok(Time { at: DateTime::from_parts(pieces.date(), pieces.time().ok_or_else(wrong)?), offset })
}

fn formattimestamp(_: &Facts, arguments: &[Value]) -> Result<Value> {
    let [form, time] = exactly(arguments)?;
    let time = match time {
        Value::Number(_) => utc(time.whole()?)?,
        other => read(&other.text()?)?,
    };
    match form.text()?.as_str() {
        "X" => match time.offset.to_timestamp(time.at) {
            Ok(time) => Ok(time.as_second().to_string().into()),
            Err(e) => Err(fault(e.to_string())),
        },
        form => formatted(form, &time),
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Letters stand for parts of the time, as many as wanted digits; what is between quotes is itself.
fn formatted(form: &str, time: &Time) -> Result<Value> {
    let mut shown = String::new();
    let mut chars = form.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' {
            let mut closed = false;
            while let Some(c) = chars.next() {
                match c {
                    '\'' if chars.next_if_eq(&'\'').is_some() => shown.push('\''),
                    '\'' => {
                        closed = true;
                        break;
                    }
                    c => shown.push(c),
                }
            }
            if !closed {
                return Err(fault("a quote is not closed in the format"));
            }
            continue;
        }
        if !c.is_ascii_alphabetic() {
            shown.push(c);
            continue;
        }
        let mut verb = String::from(c);
        while chars.next_if_eq(&c).is_some() {
            verb.push(c);
        }
        shown.push_str(&part(&verb, time)?);
    }
    Ok(shown.into())
}

fn part(verb: &str, time: &Time) -> Result<String> {
    let month = MONTHS[usize::try_from(time.at.month() - 1).unwrap_or_default() % 12];
    let day = DAYS[usize::try_from(time.at.weekday().to_monday_zero_offset()).unwrap_or_default() % 7];
    let twelve = (time.at.hour() + 11) % 12 + 1;
    let half = if time.at.hour() < 12 { "am" } else { "pm" };
    let is_utc = time.offset == Offset::UTC;
    Ok(match verb {
        "YYYY" => format!("{:04}", time.at.year()),
        "YY" => format!("{:02}", time.at.year().rem_euclid(100)),
        "MMMM" => month.into(),
        "MMM" => month[..3].into(),
        "MM" => format!("{:02}", time.at.month()),
        "M" => time.at.month().to_string(),
        "DD" => format!("{:02}", time.at.day()),
        "D" => time.at.day().to_string(),
        "EEEE" => day.into(),
        "EEE" => day[..3].into(),
        "hh" => format!("{:02}", time.at.hour()),
        "h" => time.at.hour().to_string(),
        "HH" => format!("{twelve:02}"),
        "H" => twelve.to_string(),
        "AA" => half.to_uppercase(),
        "aa" => half.into(),
        "mm" => format!("{:02}", time.at.minute()),
        "m" => time.at.minute().to_string(),
        "ss" => format!("{:02}", time.at.second()),
        "s" => time.at.second().to_string(),
        "Z" if is_utc => "Z".into(),
        "ZZZ" if is_utc => "UTC".into(),
        "Z" | "ZZZZZ" => time.zone(":"),
        "ZZZ" | "ZZZZ" => time.zone(""),
        other => return Err(fault(format!("the format has no verb `{other}`"))),
    })
}

/// `1h30m`, `-10s`, `1.5h`.
fn go_duration(text: &str) -> Result<SignedDuration> {
    let wrong = || fault(format!("`{text}` is not a duration such as 1h30m"));
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut seconds = 0.0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while rest != "0" && !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit() || c == '.').map_or(rest.len(), |end| digits + end);
        seconds += number
            * match &rest[digits..unit] {
                "ns" => 1e-9,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return Err(wrong()),
            };
        rest = &rest[unit..];
    }
    SignedDuration::try_from_secs_f64(if negative { -seconds } else { seconds }).map_err(|_| wrong())
}

fn unixtimestampparse(_: &Facts, arguments: &[Value]) -> Result<Value> {
    let [seconds] = exactly(arguments)?;
    let time = utc(seconds.whole()?)?;
    let number = |value: i64| Value::Number(value as f64);
    let week = time.at.date().iso_week_date();
    Ok(Value::Map(BTreeMap::from([
        ("year".to_owned(), number(time.at.year().into())),
        ("year_day".to_owned(), number(time.at.day_of_year().into())),
        ("day".to_owned(), number(time.at.day().into())),
        ("month".to_owned(), number(time.at.month().into())),
        ("month_name".to_owned(), part("MMMM", &time)?.into()),
        ("weekday".to_owned(), number(time.at.weekday().to_sunday_zero_offset().into())),
        ("weekday_name".to_owned(), part("EEEE", &time)?.into()),
        ("hour".to_owned(), number(time.at.hour().into())),
        ("minute".to_owned(), number(time.at.minute().into())),
        ("second".to_owned(), number(time.at.second().into())),
        ("rfc3339".to_owned(), time.rfc3339().into()),
        ("iso_year".to_owned(), number(week.year().into())),
        ("iso_week".to_owned(), number(week.week().into())),
    ])))
}
