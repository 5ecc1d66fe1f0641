//! The registry over TCP on loopback, with a client that sends exactly what it is told to.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod collect;
mod faults;
mod http;
mod lists;
mod manifests;
mod page;
mod referrers;
mod uploads;
