//! EXPOSE: ports, ranges and protocols.

use crate::diagnostic::Diagnostic;
use crate::instruction::Word;
use crate::scope::Scope;
use crate::span::Span;

const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

impl Scope {
    /// A variable may hold several ports.
    pub(super) fn ports(&mut self, words: &[Word]) -> Result<Vec<String>, Diagnostic> {
        let mut ports = Vec::new();
        for word in words {
            for text in self.expansion(word)?.words {
                ports.extend(range(&text, &word.span)?);
            }
        }
        Ok(ports)
    }
}

/// `80`, `80/udp`, `8000-8010/tcp`. What docker writes before it for `run -p` (an address, a port of the host) has no meaning
/// here and is left out, as docker does.
fn range(text: &str, span: &Span) -> Result<Vec<String>, Diagnostic> {
    let wrong = |message: String| {
        Diagnostic::error("invalid-port", message, span.clone()).help("write 80, 80/udp or 8000-8010/tcp")
    };
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = if protocol.is_empty() { "tcp".into() } else { protocol.to_ascii_lowercase() };
    if !PROTOCOLS.contains(&protocol.as_str()) {
        return Err(wrong(format!("invalid proto: {protocol:?} in {text:?}")));
    }
    let ports = ports.rsplit(':').next().unwrap_or_default();
    let number = |digits: &str| digits.parse::<u16>().map_err(|_| wrong(format!("invalid containerPort: {text:?}")));
    let (first, last) = match ports.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(ports)?, number(ports)?),
    };
    if first > last {
        return Err(wrong(format!("invalid range specified for port: {text:?}")));
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}
