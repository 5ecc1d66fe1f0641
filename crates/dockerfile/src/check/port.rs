//! EXPOSE.

use super::Report;
use super::rule::{EXPOSE_INVALID_FORMAT, EXPOSE_PROTO_CASING};
use super::walk::Visit;
use crate::expand::port;
use crate::instruction::Op;

impl Report<'_> {
    pub(super) fn ports(&mut self, visit: &Visit<'_>) {
        let instruction = visit.instruction;
        let Op::Expose(words) = &instruction.op else { return };
        let (span, comments) = (&instruction.span, instruction.comments.as_slice());
        let ports = words.iter().filter_map(|word| visit.scope.peek(word).ok()).flat_map(|found| found.words);
        // One without a number or with an unknown protocol ends it before anything is said of it.
        for port in ports.take_while(|port| port::protocol(port).is_ok()) {
            let last = port.rsplit(':').next().unwrap_or_default();
            if last.split_once('/').is_some_and(|(_, protocol)| protocol.contains(char::is_uppercase)) {
                let message = format!("Defined protocol '{port}' in EXPOSE instruction should be lowercase");
                self.add(&EXPOSE_PROTO_CASING, span, comments, message);
            }
            // BuildKit has nothing against `:80` and `::80`, where nothing is before the colons.
            if port.rsplit_once(':').is_some_and(|(before, _)| !matches!(before, "" | ":")) {
                let message =
                    format!("EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'");
                self.add(&EXPOSE_INVALID_FORMAT, span, comments, message);
            }
        }
    }
}
