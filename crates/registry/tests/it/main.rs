//! The registry over TCP on loopback, with a client that sends exactly what it is told to.

mod collect;
mod faults;
mod http;
mod lists;
mod manifests;
mod referrers;
mod uploads;
