//! Transcripts: what a person types, sees and gets as exit status. What commands mean is tested a layer down.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod arguments;
mod dockerfile;
mod faults;
mod login;
mod main_job;
mod registry;
mod story;
mod util;
