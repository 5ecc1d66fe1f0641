//! Instructions as they are written: words not yet expanded, each with its place. What they come to is a [`Step`](crate::Step).

mod command;
mod copy;
mod healthcheck;
mod keyword;
mod onbuild;
mod pairs;
mod run;

use crate::diagnostic::Diagnostic;
use crate::flags::{self, Flag, Flags, Table};
use crate::heredoc::Heredoc;
use crate::line::Piece;
use crate::span::{Span, Spanned};

pub use keyword::Keyword;
pub(crate) use pairs::description;

/// What is wrong with a VOLUME of which nothing is left.
pub(crate) const EMPTY_VOLUME: &str = "VOLUME specified can not be an empty string";

/// A word as written, with its quotes and variables.
pub type Word = Spanned<String>;

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Its name as written: `RUN`, `run`.
    pub name: Spanned<String>,
    /// Its text on one line: continuations joined, comments in between left out.
    pub source: String,
    /// All of it, with its heredocs.
    pub span: Span,
    /// The comment lines right above it, without their `#`.
    pub comments: Vec<String>,
    /// The documents that follow it.
    pub heredocs: Vec<Heredoc>,
    /// The last of its lines, if there is a blank one among them.
    pub blank_inside: Option<Span>,
    /// What it says.
    pub op: Op,
}

impl Instruction {
    /// Which instruction it is.
    #[must_use]
    pub fn keyword(&self) -> Keyword {
        self.op.keyword()
    }
}

/// What an instruction says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// ADD.
    Add(Add),
    /// ARG: names with their defaults.
    Arg(Vec<ArgDefinition>),
    /// CMD.
    Cmd(CommandLine),
    /// COPY.
    Copy(Copy),
    /// ENTRYPOINT.
    Entrypoint(CommandLine),
    /// ENV.
    Env(Vec<Pair>),
    /// EXPOSE.
    Expose(Vec<Word>),
    /// HEALTHCHECK. Nothing in it is expanded.
    Healthcheck(crate::Healthcheck),
    /// LABEL.
    Label(Vec<Pair>),
    /// MAINTAINER.
    Maintainer(Word),
    /// ONBUILD: the instruction for builds on top of this image, as text.
    Onbuild(String),
    /// RUN.
    Run(Run),
    /// SHELL.
    Shell(Vec<String>),
    /// STOPSIGNAL.
    StopSignal(Word),
    /// USER.
    User(Word),
    /// VOLUME.
    Volume(Vec<Word>),
    /// WORKDIR.
    Workdir(Word),
}

impl Op {
    fn keyword(&self) -> Keyword {
        match self {
            Self::Add(_) => Keyword::Add,
            Self::Arg(_) => Keyword::Arg,
            Self::Cmd(_) => Keyword::Cmd,
            Self::Copy(_) => Keyword::Copy,
            Self::Entrypoint(_) => Keyword::Entrypoint,
            Self::Env(_) => Keyword::Env,
            Self::Expose(_) => Keyword::Expose,
            Self::Healthcheck(_) => Keyword::Healthcheck,
            Self::Label(_) => Keyword::Label,
            Self::Maintainer(_) => Keyword::Maintainer,
            Self::Onbuild(_) => Keyword::Onbuild,
            Self::Run(_) => Keyword::Run,
            Self::Shell(_) => Keyword::Shell,
            Self::StopSignal(_) => Keyword::StopSignal,
            Self::User(_) => Keyword::User,
            Self::Volume(_) => Keyword::Volume,
            Self::Workdir(_) => Keyword::Workdir,
        }
    }
}

/// `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The name.
    pub name: Word,
    /// The value.
    pub value: Word,
    /// Written in the old way, `ENV name value`.
    pub legacy: bool,
}

/// `ARG name[=default]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgDefinition {
    /// The name.
    pub name: Spanned<String>,
    /// The default.
    pub default: Option<Word>,
    /// What the comment above says of it: `# name does this`.
    pub description: Option<String>,
}

/// A command in one of its two forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine {
    /// For the shell.
    Shell(Spanned<String>),
    /// A JSON array: a program and its arguments.
    Exec(Vec<String>),
}

impl CommandLine {
    pub(crate) fn words(&mut self) -> impl Iterator<Item = &mut Word> {
        match self {
            Self::Shell(line) => Some(line),
            Self::Exec(_) => None,
        }
        .into_iter()
    }
}

/// RUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The command.
    pub command: CommandLine,
    /// `--mount`.
    pub mounts: Vec<MountFlag>,
    /// `--network`.
    pub network: Network,
    /// `--security=insecure`.
    pub insecure: bool,
    /// `--device`.
    pub devices: Vec<Device>,
}

/// `--mount`: its options may hold variables, so they get their meaning only when they are expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountFlag {
    /// `key` or `key=value`, in order.
    pub fields: Vec<(String, Option<String>)>,
    /// `from=`, which cannot hold variables: it makes an edge of the stage graph.
    pub from: Option<String>,
    /// Where the option stands.
    pub span: Span,
}

/// `RUN --network`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// What the build as a whole has.
    #[default]
    Default,
    /// The host's.
    Host,
    /// None.
    None,
}

/// `RUN --device`: a CDI device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// `vendor.com/class=name`.
    pub name: String,
    /// Whether the step fails without it.
    pub required: bool,
}

/// What COPY and ADD have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Paths (for ADD also URLs).
    pub sources: Vec<Word>,
    /// Documents that stand in the Dockerfile, by their names.
    pub documents: Vec<Heredoc>,
    /// Where to.
    pub dest: Word,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--exclude`.
    pub excludes: Vec<String>,
}

impl Transfer {
    pub(crate) fn words(&mut self) -> impl Iterator<Item = &mut Word> {
        self.sources.iter_mut().chain([&mut self.dest]).chain(&mut self.chown).chain(&mut self.chmod)
    }
}

/// COPY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// What it shares with ADD.
    pub transfer: Transfer,
    /// `--from`: a stage, a number, a named context or an image.
    pub from: Option<Spanned<String>>,
    /// `--parents`.
    pub parents: bool,
}

/// ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// What it shares with COPY.
    pub transfer: Transfer,
    /// `--checksum`.
    pub checksum: Option<Word>,
    /// `--keep-git-dir`.
    pub keep_git_dir: Option<bool>,
    /// `--unpack`.
    pub unpack: Option<bool>,
}

/// An instruction on its way: its name is known, and its flags are apart from what follows them.
pub(crate) struct Raw<'a, 'l> {
    pub(crate) keyword: Keyword,
    /// All of its text.
    pub(crate) whole: Piece<'l>,
    pub(crate) flags: Vec<Flag>,
    /// What follows the flags, without blanks around it.
    pub(crate) rest: Piece<'l>,
    pub(crate) heredocs: &'a [Heredoc],
    pub(crate) comments: &'a [String],
    pub(crate) escape: char,
    pub(crate) found: &'a mut Vec<Diagnostic>,
}

impl Raw<'_, '_> {
    /// Reads everything but FROM. `None`: it is wrong, and what is wrong is among what was found.
    pub(crate) fn parse(mut self) -> Option<Op> {
        let before = self.found.len();
        let op = match self.keyword {
            Keyword::Add => self.add(),
            Keyword::Arg => self.arg(),
            Keyword::Cmd => self.command_line(&[]).map(Op::Cmd),
            Keyword::Copy => self.copy(),
            Keyword::Entrypoint => self.command_line(&[]).map(Op::Entrypoint),
            Keyword::Env => self.pairs().map(Op::Env),
            Keyword::Expose => self.expose(),
            Keyword::From => None,
            Keyword::Healthcheck => self.healthcheck(),
            Keyword::Label => self.pairs().map(Op::Label),
            Keyword::Maintainer => self.one_word().map(Op::Maintainer),
            Keyword::Onbuild => self.onbuild(),
            Keyword::Run => self.run(),
            Keyword::Shell => self.shell(),
            Keyword::StopSignal => self.stop_signal(),
            Keyword::User => self.one_word().map(Op::User),
            Keyword::Volume => self.volume(),
            Keyword::Workdir => self.one_word().map(Op::Workdir),
        };
        let found = self.found.iter().skip(before);
        op.filter(|_| found.into_iter().all(|d| d.severity != crate::Severity::Error))
    }

    pub(crate) fn check_flags(&mut self, table: Table) -> Flags {
        Flags::new(self.keyword, table, std::mem::take(&mut self.flags), self.found)
    }

    /// For the instructions that take no notice of flags.
    fn ignore_flags(&mut self) {
        flags::without_effect(self.keyword, &self.flags, self.found);
    }

    pub(crate) fn error(&mut self, code: &'static str, message: impl Into<String>, span: Span) -> &mut Diagnostic {
        let last = self.found.len();
        self.found.push(Diagnostic::error(code, message, span));
        &mut self.found[last]
    }

    /// Says that something is missing, and how it is written.
    fn missing(&mut self, what: &str, form: &str) {
        let (keyword, span) = (self.keyword, self.whole.span());
        self.error("missing-argument", format!("{keyword} requires {what}"), span).help =
            Some(format!("write {keyword} {form}"));
    }

    /// The rest of the line as one word.
    fn one_word(&mut self) -> Option<Word> {
        self.check_flags(&[]);
        if self.rest.is_empty() {
            let form = match self.keyword {
                Keyword::Workdir => "/path",
                Keyword::User => "name[:group]",
                Keyword::StopSignal => "SIGTERM",
                _ => "name",
            };
            self.missing("exactly one argument", form);
            return None;
        }
        Some(self.rest.spanned())
    }

    fn stop_signal(&mut self) -> Option<Op> {
        self.ignore_flags();
        self.flags.clear();
        self.one_word().map(Op::StopSignal)
    }

    fn expose(&mut self) -> Option<Op> {
        self.check_flags(&[]);
        let mut words: Vec<Word> = self.rest.split_blanks().iter().map(Piece::spanned).collect();
        if words.is_empty() {
            self.missing("at least one argument", "80/tcp");
            return None;
        }
        // Docker sorts them, and so they come in that order in the history.
        words.sort_by(|a, b| a.value.cmp(&b.value));
        Some(Op::Expose(words))
    }

    fn volume(&mut self) -> Option<Op> {
        self.check_flags(&[]);
        let words = self.json_or_words()?;
        if words.is_empty() {
            self.missing("at least one argument", "/path");
            return None;
        }
        let trimmed = words.into_iter().map(|word| Spanned::new(word.value.trim().to_owned(), word.span));
        let words: Vec<Word> = trimmed.collect();
        if words.iter().any(|word| word.value.is_empty()) {
            let span = self.rest.span();
            self.error("empty-volume", EMPTY_VOLUME, span);
        }
        Some(Op::Volume(words))
    }

    /// A JSON array of words, or words between blanks.
    fn json_or_words(&mut self) -> Option<Vec<Word>> {
        match crate::json::strings(self.rest) {
            Ok(Some(strings)) => {
                let span = self.rest.span();
                Some(strings.into_iter().map(|s| Spanned::new(s, span.clone())).collect())
            }
            Ok(None) => Some(self.rest.split_blanks().iter().map(Piece::spanned).collect()),
            Err(wrong) => {
                self.found.push(wrong);
                None
            }
        }
    }
}
