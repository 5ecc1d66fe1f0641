//! The binary: arguments, configuration and rendering. No logic.
//!
//! `main` has an order that matters. A sandbox stage is this same program started again with another purpose: it is
//! recognised before anything else runs. Arguments are read next, and a command that touches root filesystems enters the
//! user namespace while there is one thread. Only then may a command start the runtime.
#![forbid(unsafe_code)]

mod cli;
mod commands;
mod environment;
mod errors;
mod flags;
mod prompt;
mod render;
mod runtime;
mod surface;
mod unsupported;

use std::process::ExitCode;

fn main() -> ExitCode {
    archipel_sandbox::stage::dispatch();
    cli::run(std::env::args_os().collect())
}
