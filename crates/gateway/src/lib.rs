//! BuildKit's gateway protocol: how a program that is no part of a builder (a *frontend*, what `# syntax=` names) tells the builder
//! what to build. It comes as an image, is run with its standard streams as a connection of gRPC, asks questions about images and
//! files, and hands over graphs of operations (*LLB definitions*).
//!
//! Nothing here builds: this crate knows the messages and the wire. Names are the protocol's.

pub mod pb;
