//! The command line as clap sees it, and what comes before and after a command: reading arguments, entering the user
//! namespace, starting the runtime, telling errors.

use std::ffi::OsString;
use std::process::ExitCode;

use archipel_sandbox::userns::Mapping;
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser};

use crate::commands::Command;
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::flags::csv::boolean;
use crate::render::diagnostic;

/// Container images for many architectures: build, publish, serve and run them, without a daemon or root.
#[derive(Debug, Parser)]
#[command(name = "archipel", version, max_term_width = 100, disable_help_subcommand = true, disable_help_flag = true)]
struct Cli {
    /// Show help
    #[arg(short, long, global = true, display_order = 1000, action = clap::ArgAction::HelpShort)]
    help: Option<bool>,
    #[command(subcommand)]
    command: Command,
}

/// The program.
pub(crate) fn run(arguments: Vec<OsString>) -> ExitCode {
    let cli = match parse(arguments) {
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
    let runs_a_container = cli.command.runs_a_container();
    match prepare(&cli.command).and_then(|()| cli.command.run(&environment)) {
        Ok(status) => ExitCode::from(status),
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            diagnostic::report(&error, &environment);
            ExitCode::from(if runs_a_container { error.status_of_run() } else { error.status() })
        }
    }
}

fn parse(arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    // Docker's flags may have a boolean after them. Ours may too, but their help should not have to say so.
    if arguments.iter().any(|a| a.to_str().and_then(|a| a.split_once('=')).is_some_and(|(_, v)| boolean(v).is_some())) {
        command = flags_take_booleans(command);
    }
    let matches = command.try_get_matches_from_mut(arguments)?;
    Cli::from_arg_matches(&matches).map_err(|e| e.format(&mut command))
}

fn flags_take_booleans(command: clap::Command) -> clap::Command {
    let read = |text: &str| boolean(text).ok_or("it should be true or false");
    command.mut_subcommands(flags_take_booleans).mut_args(|arg| match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false")
            .value_parser(read),
        _ => arg,
    })
}

/// Enters the user namespace, for commands that touch root filesystems. A threaded process cannot, so this comes before
/// anything that may start a thread.
fn prepare(command: &Command) -> Result<(), Error> {
    if !command.touches_root_filesystems() {
        return Ok(());
    }
    if archipel_sandbox::userns::enter()?.mapping == Mapping::Single {
        diagnostic::warn("only one user id is mapped, so files of other owners cannot be made; see `archipel doctor`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_of_commands_is_sound() {
        Cli::command().debug_assert();
        flags_take_booleans(Cli::command()).debug_assert();
    }

    #[test]
    fn flags_take_docker_s_booleans() {
        let pushes = |flag: &str| match parse(["archipel", "build", flag, "."].map(OsString::from).to_vec()) {
            Ok(Cli { command: Command::Build(args), .. }) => Some(args.push),
            _ => None,
        };
        assert_eq!(pushes("--push"), Some(true));
        assert_eq!(pushes("--push=true"), Some(true));
        assert_eq!(pushes("--push=0"), Some(false));
        assert_eq!(pushes("--load=true"), Some(false));
        assert_eq!(pushes("--push=maybe"), None);
    }
}
