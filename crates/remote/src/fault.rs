//! What a request's failure means: who is to blame, and whether to try again.

use std::error::Error as _;

use reqwest::Url;

use crate::endpoint::{Endpoint, host_of};
use crate::{Fault, tls};

/// What a failed exchange was, and whether it may go better next time.
pub(crate) fn fault_of(error: &reqwest::Error, url: &Url, endpoint: &Endpoint) -> (Fault, bool) {
    let host = host_of(url);
    // In messages about TLS the host is the one to configure, which is not the address for Docker Hub.
    let configured = if endpoint.owns(url) { &endpoint.host } else { &host };
    // A host that cannot be reached at all is not going to be in a second; one that has answered may come back.
    let reachable = !error.is_connect() || endpoint.has_answered();
    if error.is_timeout() {
        return (Fault::Timeout { host }, reachable);
    }
    let mut reason = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        reason = cause.to_string();
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return (Fault::Tls { reason: tls::explain(tls, configured), host }, false);
        }
        let io = cause.downcast_ref::<std::io::Error>();
        if io.is_some_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused) {
            return (Fault::ConnectionRefused { host }, false);
        }
        // What an I/O error carries is not its source: it takes the place of it.
        next = match io.and_then(std::io::Error::get_ref) {
            Some(carried) => Some(carried),
            None => cause.source(),
        };
    }
    if error.is_dns() {
        return (Fault::Dns { host }, false);
    }
    (Fault::Broken { host, reason }, reachable && !error.is_builder())
}

/// The cause at the end of the chain, which is the one that says something.
pub(crate) fn deepest(error: &reqwest::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}
