//! Steps: instructions with every word expanded. Plain data for who carries them out.

use std::sync::Arc;

use crate::chmod::Chmod;
use crate::instruction::{Device, Network};
use crate::mount::Mount;
use crate::source::AddSource;

/// What an instruction comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// ADD.
    Add(Box<AddStep>),
    /// ARG: names, and values where they have one. For the history; the scope has taken note of them.
    Arg(Vec<(String, Option<String>)>),
    /// CMD: the whole command, with the shell before it where it is for a shell.
    Cmd(Vec<String>),
    /// COPY.
    Copy(Box<CopyStep>),
    /// ENTRYPOINT, as CMD. It also takes away the CMD that came with the base image; one of this stage stays. Empty: none.
    Entrypoint(Vec<String>),
    /// ENV.
    Env(Vec<(String, String)>),
    /// EXPOSE: `80/tcp`.
    Expose(Vec<String>),
    /// HEALTHCHECK.
    Healthcheck(Healthcheck),
    /// LABEL.
    Label(Vec<(String, String)>),
    /// MAINTAINER.
    Maintainer(String),
    /// ONBUILD: an instruction for [`parse_trigger`](crate::parse_trigger). It leaves no history.
    Onbuild(String),
    /// RUN.
    Run(Box<RunStep>),
    /// SHELL.
    Shell(Vec<String>),
    /// STOPSIGNAL.
    StopSignal(String),
    /// USER.
    User(String),
    /// VOLUME.
    Volume(Vec<String>),
    /// WORKDIR: an absolute path. It makes the directory, unless it is `/`.
    Workdir(String),
}

/// The limits of HEALTHCHECK in nanoseconds; 0 is what a runtime takes by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Healthcheck {
    /// `NONE`, or `CMD` with a command, or `CMD-SHELL` with a line for the shell.
    pub test: Vec<String>,
    /// `--interval`.
    pub interval: i64,
    /// `--timeout`.
    pub timeout: i64,
    /// `--start-period`.
    pub start_period: i64,
    /// `--start-interval`.
    pub start_interval: i64,
    /// `--retries`.
    pub retries: i64,
}

/// A file whose content stands in the Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineFile {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub content: String,
}

/// COPY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyStep {
    /// `--from` as written; [`Dockerfile::source`](crate::Dockerfile::source) says what it means.
    pub from: Option<String>,
    /// What to copy.
    pub sources: Vec<String>,
    /// Files that stand in the Dockerfile: mode 0644 and root unless the options say otherwise.
    pub files: Vec<InlineFile>,
    /// Where to, absolute. A `/` at its end says that it is a directory.
    pub dest: String,
    /// The same as written, expanded.
    pub dest_as_written: String,
    /// `--chown`: `user[:group]`, names of the image that is built or numbers.
    pub chown: Option<String>,
    /// `--chmod`.
    pub chmod: Option<Chmod>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`.
    pub excludes: Vec<String>,
}

/// ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddStep {
    /// What to add, in order.
    pub sources: Vec<AddSource>,
    /// Files that stand in the Dockerfile.
    pub files: Vec<InlineFile>,
    /// Where to, absolute. A `/` at its end says that it is a directory.
    pub dest: String,
    /// The same as written, expanded.
    pub dest_as_written: String,
    /// `--chown`.
    pub chown: Option<String>,
    /// `--chmod`.
    pub chmod: Option<Chmod>,
    /// `--link`.
    pub link: bool,
    /// `--exclude`.
    pub excludes: Vec<String>,
    /// `--checksum`: of the one source, which is a URL (`sha256:...`) or a git repository (a commit or its beginning).
    pub checksum: Option<String>,
    /// `--keep-git-dir`.
    pub keep_git_dir: Option<bool>,
    /// `--unpack`. If it is not given, archives of the context are unpacked, and those from URLs are not.
    pub unpack: Option<bool>,
}

/// A command as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// For the shell; a heredoc's content, or a line with its heredocs after it.
    Shell(String),
    /// A program and its arguments.
    Exec(Vec<String>),
}

/// RUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunStep {
    /// What was asked for.
    pub command: Command,
    /// What to execute: the command, or the script, with its shell.
    pub argv: Vec<String>,
    /// A heredoc that begins with `#!`: a file of mode 0755 to mount, read-only, in [`SCRIPT_DIR`], which `argv` names.
    pub script: Option<InlineFile>,
    /// `--mount`.
    pub mounts: Vec<Mount>,
    /// `--network`.
    pub network: Network,
    /// `--security=insecure`.
    pub insecure: bool,
    /// `--device`.
    pub devices: Vec<Device>,
    /// The process's environment: that of the base image, ENV and ARG, in order.
    pub env: Arc<Vec<(String, String)>>,
    /// Which of them are ARGs of this stage, with their values, in the order of their definition; those without a value too.
    pub args: Arc<Vec<(String, String)>>,
    /// Proxy settings (`--build-arg http_proxy=...` without an ARG): the process sees them, keys and history do not.
    pub hidden_env: Vec<(String, String)>,
}

/// Where a script is mounted.
pub const SCRIPT_DIR: &str = "/dev/pipes";

impl RunStep {
    /// Whether the command's own text has this word in it. What the programs that it starts read by themselves cannot be seen
    /// here: a variable that is not mentioned may matter all the same, one that is does.
    #[must_use]
    pub fn mentions(&self, variable: &str) -> bool {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let texts = self.argv.iter().chain(self.script.as_ref().map(|s| &s.content));
        !variable.is_empty()
            && texts.into_iter().any(|text| {
                text.match_indices(variable).any(|(at, _)| {
                    let before = text.get(..at).is_some_and(|t| t.ends_with(word));
                    let after = text.get(at + variable.len()..).is_some_and(|t| t.starts_with(word));
                    !before && !after
                })
            })
    }
}
