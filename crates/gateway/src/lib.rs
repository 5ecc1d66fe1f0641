//! BuildKit's gateway protocol: how a program that is no part of a builder (a *frontend*, what `# syntax=` names) tells the builder
//! what to build. It comes as an image, is run with its standard streams as a connection of gRPC, asks questions about images and
//! files, and hands over graphs of operations (*LLB definitions*).
//!
//! Nothing here builds: this crate knows the messages ([`pb`]), the wire ([`server`]) and the graph that a definition's bytes are
//! ([`definition`]). Names are the protocol's.
#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod client;
pub mod definition;
pub mod pb;
pub mod server;
pub mod status;
mod wire;

pub use definition::{Graph, Vertex};
/// How messages are written: for tests of what is made of them.
#[doc(hidden)]
pub use prost::Message;
pub use server::{Bridge, serve};
