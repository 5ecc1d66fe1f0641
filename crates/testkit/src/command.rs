//! Running the binary.

use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::TempHome;

/// Variables of the caller that would change what a command does.
const UNWANTED: &[&str] = &[
    "ARCHIPEL_STORE",
    "NO_COLOR",
    "CLICOLOR_FORCE",
    "COLUMNS",
    "SOURCE_DATE_EPOCH",
    "DOCKER_HOST",
    "DOCKER_AUTH_CONFIG",
    "DOCKER_DEFAULT_PLATFORM",
    "BUILDKIT_PROGRESS",
    "XDG_RUNTIME_DIR",
    "RUST_BACKTRACE",
    "CI",
];

/// The binary, in a home of its own. The path comes from the test: only cargo knows it (`env!("CARGO_BIN_EXE_archipel")`).
#[derive(Debug)]
pub struct Archipel {
    program: PathBuf,
    /// Where it lives.
    pub home: TempHome,
}

impl Archipel {
    /// A program in a new home.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), home: TempHome::new() }
    }

    /// A command that is ready to run: home set, no terminal, in the home's work folder.
    #[must_use]
    pub fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).envs(self.home.env()).current_dir(self.home.work()).stdin(Stdio::null());
        for name in UNWANTED {
            command.env_remove(name);
        }
        command
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Finished {
        finish(&mut self.command(args), None)
    }

    /// Runs a command with something on its standard input.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run_with<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>, input: &[u8]) -> Finished {
        finish(&mut self.command(args), Some(input))
    }

    /// Runs a command that must succeed; returns what it printed.
    ///
    /// # Panics
    /// When it does not succeed.
    pub fn ok<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> String {
        self.run(args).ok()
    }
}

fn finish(command: &mut Command, input: Option<&[u8]>) -> Finished {
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        let input = input.to_vec();
        // A command may end without having read everything, which is for the test to judge.
        std::thread::spawn(move || stdin.write_all(&input));
    }
    let output = child.wait_with_output().expect("the binary ends");
    Finished { command: args.join(" "), output }
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    command: String,
    output: Output,
}

impl Finished {
    /// Its exit status; 128 + N for signal N, as shells do.
    #[must_use]
    pub fn code(&self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        let status = self.output.status;
        status.code().or_else(|| status.signal().map(|n| 128 + n)).unwrap_or(-1)
    }

    /// What it printed.
    #[must_use]
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// What it complained of.
    #[must_use]
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Everything in one text, for snapshots and for people.
    #[must_use]
    pub fn transcript(&self) -> String {
        format!("$ archipel {}\n{}{}[exit {}]\n", self.command, self.stdout(), self.stderr(), self.code())
    }

    /// What it printed, if it succeeded.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.code() == 0, "{}", self.transcript());
        self.stdout()
    }

    /// What it complained of, if it ended with this status.
    ///
    /// # Panics
    /// When it ended otherwise.
    #[must_use]
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert!(self.code() == code, "expected exit {code}\n{}", self.transcript());
        self.stderr()
    }
}
