//! HEALTHCHECK.

use super::{CommandLine, Op, Raw};
use crate::flags::Takes;
use crate::span::Spanned;
use crate::{Healthcheck, duration};

const FLAGS: &[(&str, Takes)] = &[
    ("interval", Takes::Value),
    ("timeout", Takes::Value),
    ("start-period", Takes::Value),
    ("start-interval", Takes::Value),
    ("retries", Takes::Value),
];

/// The shortest time that an option may name; 0 means the default.
const SHORTEST: i64 = 1_000_000;

impl Raw<'_, '_> {
    pub(super) fn healthcheck(&mut self) -> Option<Op> {
        let (kind, command) = self.rest.split_blank();
        let command = command.unwrap_or(self.rest.slice(0, 0));
        match kind.text().to_uppercase().as_str() {
            "" => {
                self.missing("at least one argument", "CMD command, or HEALTHCHECK NONE");
                None
            }
            "NONE" => {
                self.ignore_flags();
                if !command.is_empty() {
                    let help = "remove what follows NONE, or write HEALTHCHECK CMD command";
                    self.error("too-many-arguments", "HEALTHCHECK NONE takes no arguments", command.span()).help =
                        Some(help.into());
                }
                Some(Op::Healthcheck(Healthcheck { test: vec!["NONE".into()], ..Healthcheck::default() }))
            }
            "CMD" => self.check_command(command),
            other => {
                let message = format!("Unknown type {other:?} in HEALTHCHECK (try CMD)");
                self.error("unknown-healthcheck", message, kind.span()).help =
                    Some("write HEALTHCHECK CMD command".into());
                None
            }
        }
    }

    fn check_command(&mut self, command: crate::line::Piece<'_>) -> Option<Op> {
        let flags = self.check_flags(FLAGS);
        self.rest = command_of(self.rest, command);
        let test = match self.command()? {
            CommandLine::Exec(command) if !command.is_empty() => [vec!["CMD".to_owned()], command].concat(),
            CommandLine::Shell(line) if !line.value.is_empty() => vec!["CMD-SHELL".to_owned(), line.value],
            _ => {
                let span = self.whole.span();
                self.error("missing-argument", "Missing command after HEALTHCHECK CMD", span).help =
                    Some("write HEALTHCHECK CMD command".into());
                return None;
            }
        };
        Some(Op::Healthcheck(Healthcheck {
            test,
            interval: self.time("interval", flags.value("interval")),
            timeout: self.time("timeout", flags.value("timeout")),
            start_period: self.time("start-period", flags.value("start-period")),
            start_interval: self.time("start-interval", flags.value("start-interval")),
            retries: self.retries(flags.value("retries")),
        }))
    }

    fn time(&mut self, name: &str, value: Option<Spanned<String>>) -> i64 {
        let Some(value) = value.filter(|value| !value.value.is_empty()) else { return 0 };
        match duration::parse(&value.value) {
            Some(time @ (0 | SHORTEST..)) => time,
            Some(_) => {
                self.error("invalid-duration", format!("Interval {name:?} cannot be less than 1ms"), value.span);
                0
            }
            None => {
                let message = format!("{} for --{name}", duration::reason(&value.value));
                self.error("invalid-duration", message, value.span).help = Some("write 30s, 1m30s or 500ms".into());
                0
            }
        }
    }

    fn retries(&mut self, value: Option<Spanned<String>>) -> i64 {
        let Some(value) = value.filter(|value| !value.value.is_empty()) else { return 0 };
        match value.value.parse::<i32>() {
            Ok(retries @ 0..) => retries.into(),
            Ok(_) => {
                self.error("invalid-number", format!("--retries cannot be negative ({})", value.value), value.span);
                0
            }
            Err(_) => {
                self.error(
                    "invalid-number",
                    format!("--retries is no number: parsing {:?}: invalid syntax", value.value),
                    value.span,
                );
                0
            }
        }
    }
}

/// The command's own piece: both are parts of one line, so it is the end of `rest`.
fn command_of<'l>(rest: crate::line::Piece<'l>, command: crate::line::Piece<'_>) -> crate::line::Piece<'l> {
    rest.from(rest.text().len() - command.text().len())
}
