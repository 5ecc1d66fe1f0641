//! The command line as clap sees it, and what comes before and after a command: reading arguments, entering the user
//! namespace, starting the runtime, telling errors.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use archipel_sandbox::userns::Mapping;
use clap::{Arg, ArgAction, CommandFactory, FromArgMatches, Parser};

use crate::commands::{Command, OF_DOCKER};
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::flags::csv::boolean;
use crate::render::diagnostic;
use crate::surface::{DOCKER_BUILD, Surface};
use crate::unsupported;

/// Container images for many architectures: build, publish, serve and run them, without a daemon or root.
#[derive(Debug, Parser)]
#[command(
    name = "archipel",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    disable_help_flag = true,
    after_help = "As `archipel docker ...`, or through a link named docker, it takes docker's commands."
)]
struct Cli {
    /// Show help
    #[arg(short, long, global = true, display_order = 1000, action = clap::ArgAction::HelpShort)]
    help: Option<bool>,
    #[command(subcommand)]
    command: Command,
}

/// What was typed.
struct Typed {
    command: Command,
    /// Docker's `--config`.
    config: Option<PathBuf>,
}

/// The program.
pub(crate) fn run(arguments: Vec<OsString>) -> ExitCode {
    let (surface, arguments) = Surface::of(arguments);
    let wants_to_run = wants_to_run(&arguments);
    let typed = match parse(surface, arguments) {
        Ok(typed) => typed,
        // Help and version come this way too, with status 0; clap's own status for a wrong command line is ours.
        Err(error) => {
            let told = error.print();
            return match (error.exit_code(), told) {
                (0, Err(e)) if e.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::from(status::FAILED),
                (0, _) => ExitCode::SUCCESS,
                (_, _) if wants_to_run => ExitCode::from(status::RUN_FAILED),
                (_, _) => ExitCode::from(status::USAGE),
            };
        }
    };
    let environment = Environment::read(typed.config);
    let command = typed.command.plain();
    let runs_a_container = command.runs_a_container();
    match prepare(&command).and_then(|()| command.run(surface, &environment)) {
        Ok(status) => ExitCode::from(status),
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            diagnostic::report(&error, &environment);
            ExitCode::from(if runs_a_container { error.status_of_run() } else { error.status() })
        }
    }
}

/// Whether a command line is about a container, whatever is wrong with it.
fn wants_to_run(arguments: &[OsString]) -> bool {
    let mut words = arguments.iter().skip(1).filter(|word| !word.as_encoded_bytes().starts_with(b"-"));
    words.find(|word| *word != "container").is_some_and(|word| word == "run")
}

fn parse(surface: Surface, arguments: Vec<OsString>) -> Result<Typed, clap::Error> {
    let mut command = match surface {
        Surface::Archipel => Cli::command(),
        Surface::Docker => docker(),
    };
    // Docker's flags may have a boolean after them. Ours may too, but their help should not have to say so.
    if arguments.iter().any(|a| a.to_str().and_then(|a| a.split_once('=')).is_some_and(|(_, v)| boolean(v).is_some())) {
        command = flags_take_booleans(command);
    }
    let mut matches = match command.try_get_matches_from_mut(arguments) {
        Ok(matches) => matches,
        Err(error) => return Err(unsupported::explain(error, &mut command)),
    };
    let config = match surface {
        Surface::Archipel => None,
        Surface::Docker => matches.remove_one::<PathBuf>("config"),
    };
    let command = Command::from_arg_matches(&matches).map_err(|e| e.format(&mut command))?;
    Ok(Typed { command, config })
}

/// The same commands, as far as docker has them, with docker's flags before them.
fn docker() -> clap::Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FOLDER")
        .value_parser(clap::value_parser!(PathBuf))
        .help("Folder of docker's configuration: credentials, builders, manifest lists");
    let version = Arg::new("version").short('v').long("version").action(ArgAction::Version).help("Show the version");
    // Not `-h`, which is the host name of a container.
    let help =
        Arg::new("help").long("help").global(true).display_order(1000).action(ArgAction::HelpShort).help("Show help");
    let all = Cli::command();
    let of_docker = |name: &str| OF_DOCKER.contains(&name);
    let commands = all.get_subcommands().filter(|c| of_docker(c.get_name())).cloned().map(|c| c.hide(false));
    clap::Command::new("docker")
        .about("Docker's commands, without docker: no daemon, no root")
        .version(DOCKER_BUILD)
        .display_name("Docker version")
        .max_term_width(100)
        .disable_help_subcommand(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args([config, version, help])
        .subcommands(commands)
        .mut_subcommand("run", |run| run.mut_arg("hostname", |hostname| hostname.short('h')))
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
    let entered = archipel_sandbox::userns::enter()?;
    match (entered.refused, command) {
        // Jobs have work trees, our own program and each other's files to mount.
        (Some(reason), Command::Ci(_)) => {
            return Err(archipel_sandbox::Error::UserNamespaces { reason, remedy: None }.into());
        }
        (Some(_), Command::Build(_) | Command::Run(_)) => diagnostic::warn(
            "this container gives neither namespaces nor mounts, so processes run in a chroot; see `archipel doctor`",
        ),
        _ => {}
    }
    if entered.mapping == Mapping::Single {
        diagnostic::warn("only one user id is mapped, so files of other owners cannot be made; see `archipel doctor`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_of_commands_is_sound() {
        for command in [Cli::command(), docker()] {
            command.clone().debug_assert();
            flags_take_booleans(command).debug_assert();
        }
    }

    fn typed(surface: Surface, text: &str) -> Result<Command, clap::Error> {
        parse(surface, text.split(' ').map(OsString::from).collect()).map(|typed| typed.command.plain())
    }

    #[test]
    fn flags_take_docker_s_booleans() {
        let pushes = |flag: &str| match typed(Surface::Archipel, &format!("archipel build {flag} .")) {
            Ok(Command::Build(args)) => Some(args.push),
            _ => None,
        };
        assert_eq!(pushes("--push"), Some(true));
        assert_eq!(pushes("--push=true"), Some(true));
        assert_eq!(pushes("--push=0"), Some(false));
        assert_eq!(pushes("--load=true"), Some(false));
        assert_eq!(pushes("--push=maybe"), None);
    }

    #[test]
    fn commands_that_there_are_not() {
        for (surface, text, message) in [
            (Surface::Archipel, "archipel buid .", "'build'"),
            (Surface::Archipel, "archipel commit x", "no command `commit`: it is not supported yet"),
            (Surface::Docker, "docker ps", "no command `ps`: it is not supported yet"),
            (Surface::Docker, "docker swarm init", "docker's daemons"),
        ] {
            let error = typed(surface, text).unwrap_err().to_string();
            assert!(error.contains(message) && !error.contains("builder"), "{text}: {error}");
        }
        let error = typed(Surface::Archipel, "archipel build --allow foo .").unwrap_err().to_string();
        assert!(error.contains("unknown entitlement"), "{error}");
    }

    #[test]
    fn one_command_has_many_names() {
        for text in
            ["docker build", "docker buildx build", "docker buildx b", "docker image build", "docker builder build"]
        {
            let text = format!("{text} --push --platform linux/amd64 -tregistry.example/a:1 .");
            let Ok(Command::Build(args)) = typed(Surface::Docker, &text) else { panic!("{text}") };
            assert_eq!((args.tag.len(), args.tag[0].tag(), args.push), (1, Some("1"), true));
        }
        assert!(matches!(typed(Surface::Docker, "docker image ls -q"), Ok(Command::Images(_))));
        assert!(matches!(typed(Surface::Docker, "docker run -it -h name busybox sh -h"), Ok(Command::Run(_))));
        assert!(typed(Surface::Docker, "docker doctor").is_err());
        assert!(typed(Surface::Docker, "docker --context x info").is_err());
    }

    #[test]
    fn docker_has_only_what_there_is() {
        let all = Cli::command();
        let names: Vec<&str> = all.get_subcommands().map(clap::Command::get_name).collect();
        for name in OF_DOCKER {
            assert!(names.contains(name), "{name}");
        }
    }
}
