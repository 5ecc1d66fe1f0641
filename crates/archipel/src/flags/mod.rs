//! What stands after flags: texts in docker's notations, read into the library's types. Two stages: clap keeps what was
//! typed, and these functions make of it what is meant.

pub(crate) mod allow;
pub(crate) mod attestation;
pub(crate) mod bake;
pub(crate) mod cache;
pub(crate) mod container;
pub(crate) mod context;
pub(crate) mod csv;
pub(crate) mod output;
pub(crate) mod request;
pub(crate) mod secret;
pub(crate) mod value;
