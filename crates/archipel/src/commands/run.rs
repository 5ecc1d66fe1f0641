//! `archipel run`.

use archipel_oci::{Platform, Reference};

use super::shared;
use crate::environment::Environment;
use crate::errors::Error;
use crate::flags::value;

/// Run a command in a new container. The exit status is the command's; 125 if it could not be started.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: Reference,
    /// The command and its arguments [default: the image's]
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
    /// Remove the container afterwards, as happens anyway
    #[arg(long)]
    rm: bool,
    /// Pass standard input on
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// Variable; a name alone takes its value from the environment
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// File of variables, one NAME[=VALUE] per line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<std::path::PathBuf>,
    /// Show a folder or file of this machine in the container
    #[arg(short, long, value_name = "SOURCE:TARGET[:ro]")]
    volume: Vec<String>,
    /// Folder to start in
    #[arg(short, long, value_name = "FOLDER")]
    workdir: Option<String>,
    /// User to run as
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Program to run in place of the image's entry point
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Platform to run [default: this machine's]
    #[arg(long, value_parser = value::platform, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// When to ask the registry
    #[arg(long, value_enum, default_value = "missing", value_name = "WHEN")]
    pull: Pull,
    /// Network
    #[arg(long, visible_alias = "net", value_parser = ["default", "host", "none"], value_name = "MODE")]
    network: Option<String>,
    /// Host name
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Entry of /etc/hosts
    #[arg(long, value_parser = value::host, value_name = "NAME:ADDRESS")]
    add_host: Vec<(String, String)>,
    /// Refuse writes to the root filesystem
    #[arg(long)]
    read_only: bool,
    /// Empty folder in memory
    #[arg(long, value_name = "FOLDER[:OPTIONS]")]
    tmpfs: Vec<String>,
}

/// `--pull`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Pull {
    /// Where the image is not here
    Missing,
    /// In any case
    Always,
    /// Not at all
    Never,
}
