//! The client against scripted registries, and against Debian's `docker-registry` where that is installed.
#![expect(clippy::unwrap_used, reason = "the helpers of tests panic like the tests")]

mod auth;
mod helper;
mod network;
mod peer;
mod pull;
mod push;
mod server;
mod tls;

use std::time::Duration;

use archipel_oci::{Descriptor, Digest, Index, RawManifest, Reference};
use archipel_remote::{Client, Config, Credentials, Options, Retry, Secret};

/// Waits are short, attempts few.
fn options() -> Options {
    Options {
        user_agent: "test".into(),
        retry: Retry { attempts: 3, first_wait: Duration::from_millis(1), longest_wait: Duration::from_millis(5) },
        ..Options::default()
    }
}

fn client() -> Client {
    Client::new(Config::default(), Credentials::default(), options())
}

fn client_as(host: &str, user: &str, password: &str) -> Client {
    let mut credentials = Credentials::default();
    credentials.insert(host, user, Secret::new(password));
    Client::new(Config::default(), credentials, options())
}

fn configured(config: &str) -> Client {
    Client::new(Config::parse(config).unwrap(), Credentials::default(), options())
}

fn reference(host: &str, rest: &str) -> Reference {
    format!("{host}/{rest}").parse().unwrap()
}

fn index() -> RawManifest {
    RawManifest::from_index(&Index::new(Vec::new()))
}

fn blob(bytes: &[u8]) -> Descriptor {
    Descriptor::new("application/octet-stream", Digest::of(bytes), bytes.len() as u64)
}
