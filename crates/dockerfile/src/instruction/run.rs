//! RUN: its command and its flags. What `--mount` means is decided where its variables are known.

use super::{CommandLine, Device, MountFlag, Network, Op, Raw, Run};
use crate::csv::csv_fields;
use crate::diagnostic::Diagnostic;
use crate::flags::Takes;
use crate::span::Spanned;

const FLAGS: &[(&str, Takes)] =
    &[("mount", Takes::Values), ("network", Takes::Value), ("security", Takes::Value), ("device", Takes::Values)];

impl Raw<'_, '_> {
    pub(super) fn run(&mut self) -> Option<Op> {
        let flags = self.check_flags(FLAGS);
        let mounts = flags.values("mount").into_iter().filter_map(|flag| self.mount(flag)).collect();
        let network = match flags.value("network") {
            None => Network::Default,
            Some(value) => match value.value.as_str() {
                "default" => Network::Default,
                "host" => Network::Host,
                "none" => Network::None,
                other => {
                    let wrong =
                        Diagnostic::error("invalid-network", format!("invalid network mode {other:?}"), value.span);
                    self.found.push(wrong.propose(other, ["default", "host", "none"]));
                    Network::Default
                }
            },
        };
        let insecure = match flags.value("security") {
            None => false,
            Some(value) => match value.value.as_str() {
                "insecure" => true,
                "sandbox" => false,
                other => {
                    let wrong =
                        Diagnostic::error("invalid-security", format!("security {other:?} is not valid"), value.span);
                    self.found.push(wrong.propose(other, ["insecure", "sandbox"]));
                    false
                }
            },
        };
        let devices = flags.values("device").into_iter().filter_map(|flag| self.device(&flag)).collect();
        let command = self.command()?;
        if command == CommandLine::Exec(Vec::new()) {
            let span = self.rest.span();
            self.error("empty-command", "RUN [] has no command to run", span);
        }
        Some(Op::Run(Run { command, mounts, network, insecure, devices }))
    }

    fn fields(&mut self, flag: &str, value: &Spanned<String>) -> Option<Vec<String>> {
        match csv_fields(&value.value) {
            Ok(fields) => Some(fields),
            Err(reason) => {
                self.error(
                    "invalid-list",
                    format!("failed to parse csv {flag}s: {reason} in {:?}", value.value),
                    value.span.clone(),
                );
                None
            }
        }
    }

    fn mount(&mut self, flag: Spanned<String>) -> Option<MountFlag> {
        let fields = self.fields("mount", &flag)?.into_iter().map(|field| match field.split_once('=') {
            Some((key, value)) => (key.to_lowercase(), Some(value.to_owned())),
            None => (field.to_lowercase(), None),
        });
        let fields: Vec<(String, Option<String>)> = fields.collect();
        let sources = || fields.iter().filter(|(key, _)| key == "from").filter_map(|(_, value)| value.as_deref());
        let from = sources().next_back().map(str::to_owned);
        if sources().any(|from| from.find('$').is_some_and(|at| at + 1 < from.len())) {
            let message = "'from' doesn't support variable expansion, define alias stage instead";
            self.error("variable-in-from", message, flag.span.clone()).help =
                Some("write FROM ... AS name, where ARGs from before the first FROM can be used, and from=name".into());
        }
        Some(MountFlag { fields, from: from.filter(|from| !from.is_empty()), span: flag.span })
    }

    fn device(&mut self, flag: &Spanned<String>) -> Option<Device> {
        let mut device = Device { name: String::new(), required: false };
        for field in self.fields("device", flag)? {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key.to_lowercase(), Some(value)),
                None => (field.to_lowercase(), None),
            };
            match (key.as_str(), value) {
                ("required", None) => device.required = true,
                ("required", Some(value)) => match crate::number::boolean(value) {
                    Some(required) => device.required = required,
                    None => drop(self.error(
                        "invalid-device",
                        format!("invalid value for required: {value}"),
                        flag.span.clone(),
                    )),
                },
                ("name", Some(_)) if !device.name.is_empty() => {
                    let message = format!("device name already set to {}", device.name);
                    self.error("invalid-device", message, flag.span.clone());
                }
                ("name", Some(value)) => device.name = value.to_owned(),
                _ if device.name.is_empty() => device.name = field,
                (_, None) => {
                    let message = format!("invalid field '{field}' must be a key=value pair");
                    self.error("invalid-device", message, flag.span.clone());
                }
                _ => {
                    let message = format!("unexpected key '{key}' in '{field}'");
                    let wrong = Diagnostic::error("invalid-device", message, flag.span.clone());
                    self.found.push(wrong.propose(&key, ["name", "required"]));
                }
            }
        }
        Some(device)
    }
}
