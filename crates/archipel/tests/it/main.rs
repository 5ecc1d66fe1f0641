//! Transcripts: what a person types, sees and gets as exit status. What commands mean is tested a layer down.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod archives;
mod arguments;
mod bake;
mod cache;
mod checks;
mod chroot;
mod copy;
mod device;
mod docker;
mod dockerfile;
mod epoch;
mod faults;
mod frontend;
mod git;
mod images;
mod index;
mod login;
mod main_job;
mod manifest;
mod output;
mod page;
mod pipeline;
mod preview;
mod registry;
mod sbom;
mod story;
mod util;
