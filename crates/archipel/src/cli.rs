//! The command line as clap sees it, and what comes before and after a command: reading arguments, entering the user
//! namespace, starting the runtime, telling errors.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::commands::Command;
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::render::diagnostic;

/// Container images for many architectures: build, publish, serve and run them, without a daemon or root.
#[derive(Debug, Parser)]
#[command(name = "archipel", version, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The program.
pub(crate) fn run(arguments: Vec<OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        // Help and version come this way too, with status 0; clap's own status for a wrong command line is ours.
        Err(error) => {
            let told = error.print();
            return match (error.exit_code(), told) {
                (0, Err(e)) if e.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::from(status::FAILED),
                (0, _) => ExitCode::SUCCESS,
                (_, _) => ExitCode::from(status::USAGE),
            };
        }
    };
    let environment = Environment::read();
    let failed = cli.command.status_of_failure();
    match prepare(&cli.command).and_then(|()| cli.command.run(&environment)) {
        Ok(status) => ExitCode::from(status),
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            diagnostic::report(&error, &environment);
            let status = error.status();
            ExitCode::from(if status == status::INTERRUPTED { status } else { failed.unwrap_or(status) })
        }
    }
}

/// Enters the user namespace, for commands that touch root filesystems. A threaded process cannot, so this comes before
/// anything that may start a thread.
fn prepare(command: &Command) -> Result<(), Error> {
    if command.touches_root_filesystems() {
        archipel_sandbox::userns::enter()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_tree_of_commands_is_sound() {
        Cli::command().debug_assert();
    }
}
