//! The kit itself.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod image;
mod script;
