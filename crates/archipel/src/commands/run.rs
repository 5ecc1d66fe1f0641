//! `archipel run`.

use archipel_build::Streams;
use archipel_oci::Platform;

use super::shared;
use crate::environment::Environment;
use crate::errors::Error;
use crate::flags::{container, value};
use crate::render::{Progress, View};
use crate::runtime;

/// Run a command in a new container
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The exit status is the command's own; 125 if it did not come to that, 126 and 127 as in a shell."
)]
pub(crate) struct Args {
    /// The image, and the command with its arguments [default: the image's]. What follows the image is the command's
    #[arg(required = true, trailing_var_arg = true, value_name = "IMAGE [COMMAND..]")]
    words: Vec<String>,
    /// Remove the container afterwards, as happens anyway
    #[arg(long)]
    pub(crate) rm: bool,
    /// Pass standard input on
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Variable; a name alone takes its value from the environment
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// File of variables, one NAME[=VALUE] per line
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<std::path::PathBuf>,
    /// Show a folder or file of this machine in the container
    #[arg(short, long, value_name = "SOURCE:TARGET[:ro]")]
    pub(crate) volume: Vec<String>,
    /// Folder to start in
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) workdir: Option<String>,
    /// User to run as
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// Program to run in place of the image's entry point
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<String>,
    /// Platform to run [default: this machine's]
    #[arg(long, value_parser = value::platform, value_name = "PLATFORM")]
    pub(crate) platform: Option<Platform>,
    /// When to ask the registry
    #[arg(long, value_enum, default_value = "missing", value_name = "WHEN")]
    pub(crate) pull: Pull,
    /// Network
    #[arg(long, visible_alias = "net", value_parser = ["default", "host", "none"], value_name = "MODE")]
    pub(crate) network: Option<String>,
    /// Host name
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Entry of /etc/hosts
    #[arg(long, value_parser = value::host, value_name = "NAME:ADDRESS")]
    pub(crate) add_host: Vec<(String, String)>,
    /// Refuse writes to the root filesystem
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Empty folder in memory
    #[arg(long, value_name = "FOLDER[:size=BYTES,mode=MODE]")]
    pub(crate) tmpfs: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_parser = value::size, value_name = "BYTES")]
    pub(crate) shm_size: Option<u64>,
    /// Resource limit
    #[arg(long, value_parser = value::ulimit, value_name = "NAME=SOFT[:HARD]")]
    pub(crate) ulimit: Vec<(String, u64, u64)>,
    /// Give the command every capability that you have
    #[arg(long)]
    pub(crate) privileged: bool,
}

/// `--pull`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Pull {
    /// Where the image is not here
    Missing,
    /// In any case
    Always,
    /// Not at all
    Never,
}

impl Args {
    /// The image as it was typed.
    pub(crate) fn image(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The command, if one was typed.
    pub(crate) fn command(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }
}

/// Runs it to its end. Signals go to the command, which may take them or leave them.
pub(super) fn run(args: Args, environment: &Environment) -> Result<u8, Error> {
    let image = shared::reference(&shared::store(environment)?, args.image())?;
    let request = container::resolve(&args, image, environment)?;
    let streams = Streams::inherit(args.interactive || args.tty);
    let engine = shared::engine(environment)?;
    let view = View::new(environment.progress(Progress::Auto)?, 0, environment);
    let exit = runtime::start(async {
        let signals = runtime::signals()?;
        Ok(engine.run(&request, streams, signals, &view.sink()).await?)
    })?;
    Ok(u8::try_from(exit.shell_code()).unwrap_or(u8::MAX))
}
