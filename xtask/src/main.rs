//! Development tasks: what the Makefile asks for and is more than a line of shell.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command for people at a terminal")]

mod apt;
mod bases;
mod bench;
mod layout;
mod tree;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const USAGE: &str = "usage: cargo xtask COMMAND

  bases DIR [--only NAME]...   make the base images busybox and golang in DIR, from Debian packages, as OCI layouts
  bench ARCHIPEL BASES         measure the release binary and the peers that are here; a table for BENCHMARKS.md";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        Some("bases") => {
            let dir = PathBuf::from(args.next().context(USAGE)?);
            let mut only = Vec::new();
            while let Some(arg) = args.next() {
                if arg != "--only" {
                    bail!("unknown argument {arg:?}\n{USAGE}");
                }
                only.push(args.next().context("--only needs a name")?);
            }
            bases::make(&dir, &only)
        }
        Some("bench") => {
            let (archipel, bases) = (args.next().context(USAGE)?, args.next().context(USAGE)?);
            bench::run(&PathBuf::from(archipel), &PathBuf::from(bases))
        }
        _ => bail!("{USAGE}"),
    }
}
