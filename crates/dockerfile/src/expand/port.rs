//! EXPOSE: ports, ranges and protocols.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::diagnostic::Diagnostic;
use crate::instruction::Word;
use crate::scope::Scope;
use crate::span::Span;

const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

impl Scope {
    /// A variable may hold several ports. Docker does not take note of one that nobody defined. It names a port in the history
    /// as often as it is written; here once, for a short line may name all of them many times.
    pub(super) fn ports(&mut self, words: &[Word]) -> Result<Vec<String>, Diagnostic> {
        let mut ports = Vec::new();
        // By protocol, whether a port is there. Hashing each would take long where ranges come again and again.
        let mut known: HashMap<&str, Vec<bool>> = HashMap::new();
        for word in words {
            for text in self.expansion(word)?.words {
                let (range, protocol) = range(&text, &word.span)?;
                let known = known.entry(protocol).or_insert_with(|| vec![false; 1 << 16]);
                let new = range.filter(|port| !std::mem::replace(&mut known[usize::from(*port)], true));
                ports.extend(new.map(|port| format!("{port}/{protocol}")));
            }
        }
        Ok(ports)
    }
}

/// `80`, `80/udp`, `8000-8010/tcp`. What docker writes before it for `run -p` (an address, a port of the host) has no meaning
/// here and is left out; but it must be right, as with docker.
fn range(text: &str, span: &Span) -> Result<(RangeInclusive<u16>, &'static str), Diagnostic> {
    let wrong = |message: String| {
        Diagnostic::error("invalid-port", message, span.clone()).help("write 80, 80/udp or 8000-8010/tcp")
    };
    let (port, protocol) = protocol(text).map_err(wrong)?;
    let before = text.rsplit_once(':').map_or("", |(before, _)| before);
    let (address, host_port) = before.rsplit_once(':').unwrap_or(("", before));
    let bare = address.strip_prefix('[').map_or(Some(address), |rest| rest.strip_suffix(']'));
    if !address.is_empty() && bare.is_none_or(|bare| bare.parse::<IpAddr>().is_err()) {
        return Err(wrong(format!("invalid IP address: {address}")));
    }
    let Some(ports) = numbers(port) else { return Err(wrong(format!("invalid containerPort: {port}"))) };
    if !host_port.is_empty() {
        let Some(host) = numbers(host_port) else { return Err(wrong(format!("invalid hostPort: {host_port}"))) };
        if host.len() != ports.len() && ports.len() > 1 {
            let message = format!("invalid ranges specified for container and host Ports: {port} and {host_port}");
            return Err(wrong(message));
        }
    }
    Ok((ports, protocol))
}

/// The container's port, or several, and the protocol.
pub(crate) fn protocol(text: &str) -> Result<(&str, &'static str), String> {
    let port = text.rsplit_once(':').map_or(text, |(_, port)| port);
    let (port, protocol) = port.split_once('/').unwrap_or((port, ""));
    if port.is_empty() {
        return Err(format!("invalid port: {text:?}: no port specified"));
    }
    let known = PROTOCOLS.into_iter().find(|known| protocol.eq_ignore_ascii_case(known));
    let known = known.or(protocol.is_empty().then_some("tcp"));
    Ok((port, known.ok_or_else(|| format!("invalid port: {text:?}: invalid proto: {protocol}"))?))
}

fn numbers(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
    (first <= last).then_some(first..=last)
}
