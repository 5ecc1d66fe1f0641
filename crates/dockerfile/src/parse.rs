//! The parser: from text to stages. It goes on after an error, so that all errors of a text are told at once.

use crate::diagnostic::{Diagnostic, Severity};
use crate::directive::Reader;
use crate::flags::{self, Flags, Takes};
use crate::heredoc::Heredoc;
use crate::instruction::{Instruction, Keyword, Op, Raw, description};
use crate::json;
use crate::line::{Line, Lines, MAX_LINE, Piece, is_comment, trim_end};
use crate::nearest::{did_you_mean, proposed};
use crate::span::{Span, Spanned};
use crate::stage::{Dockerfile, Stage, Unread};

/// What came of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// What could be understood.
    pub dockerfile: Dockerfile,
    /// What could not, in the order of the text. With an error among them the Dockerfile is not to be built.
    pub diagnostics: Vec<Diagnostic>,
}

impl Parsed {
    /// Whether it can be built.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.diagnostics.iter().all(|d| d.severity != Severity::Error)
    }
}

/// Reads a Dockerfile.
#[must_use]
pub fn parse(text: &str) -> Parsed {
    let mut parser = Parser::default();
    parser.text(text);
    parser.parsed.diagnostics.sort_by_key(|d| d.span.start);
    parser.parsed
}

/// Reads an instruction that an image carries for builds on top of it (its config's `OnBuild`). It stands in no text of this
/// build, so `at`, the span of the FROM that brings it in, takes the place of its own.
///
/// # Errors
/// What is wrong with it.
pub fn parse_trigger(text: &str, at: &Span) -> Result<Instruction, Diagnostic> {
    let mut parser = Parser { in_trigger: true, ..Parser::default() };
    parser.text(text);
    let place = |wrong: Diagnostic| {
        let message = format!("the base image's trigger `ONBUILD {}`: {}", first_line(text), wrong.message);
        Diagnostic { message, span: at.clone(), instruction: None, labels: Vec::new(), ..wrong }
    };
    if let Some(wrong) = parser.parsed.diagnostics.into_iter().find(|d| d.severity == Severity::Error) {
        return Err(place(wrong));
    }
    let mut instructions = parser.parsed.dockerfile.globals.into_iter();
    match (instructions.next(), instructions.next()) {
        (Some(instruction), None) => Ok(instruction.moved_to(at)),
        _ => Err(place(Diagnostic::error(
            "invalid-trigger",
            "onbuild trigger should be a single expression",
            at.clone(),
        ))),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[derive(Debug, Default)]
struct Parser {
    parsed: Parsed,
    /// There is no FROM: all instructions are taken together.
    in_trigger: bool,
    /// FROM was there, right or wrong.
    begun: bool,
}

/// An instruction, or the beginning of a stage.
#[derive(Debug)]
pub(crate) enum Statement {
    From(Box<Stage>),
    Instruction(Box<Instruction>),
}

impl Parser {
    fn text(&mut self, text: &str) {
        let mut lines = Lines::new(text);
        let mut directives = Reader::new();
        let mut comments: Vec<String> = Vec::new();
        let mut empty = true;
        while let Some((at, raw)) = lines.next() {
            let indent = raw.len() - raw.trim_start().len();
            let line = trim_end(raw.get(indent..).unwrap_or_default());
            let place = at + indent;
            match directives.line(line, place..place + line.len()) {
                Ok(Some(directive)) => {
                    let set = self.parsed.dockerfile.directives.set(&directive, place, line);
                    self.parsed.diagnostics.extend(set.err());
                    continue;
                }
                Ok(None) => {}
                Err(wrong) => self.parsed.diagnostics.push(wrong),
            }
            if is_comment(line) {
                // A bare `#` cuts off what stands above it; a blank line does not.
                // Docker takes the first character for the `#`, also where that is indented.
                let mut comment = raw.chars();
                comment.next();
                match comment.as_str().trim() {
                    "" => comments.clear(),
                    comment => comments.push(comment.to_owned()),
                }
                continue;
            }
            if line.is_empty() {
                continue;
            }
            empty = false;
            self.instruction(line, place, &mut lines, &comments);
            comments.clear();
        }
        if let Some(line) = lines.too_long() {
            let message = format!("dockerfile line greater than max allowed size of {MAX_LINE}");
            let wrong = Diagnostic::error("line-too-long", message, line.start..line.start);
            self.parsed.diagnostics.push(wrong.help("divide it, or keep its text in a file of its own"));
        }
        self.parsed.dockerfile.directives.other_forms(text);
        self.parsed.diagnostics.extend(self.parsed.dockerfile.wrong_sources());
        if empty {
            let message = if text.is_empty() { "the Dockerfile cannot be empty" } else { "file with no instructions" };
            let wrong = Diagnostic::error("no-instructions", message, 0..0);
            self.parsed.diagnostics.push(wrong.help("begin with FROM and the image to start from, or FROM scratch"));
        } else if !self.in_trigger && !self.begun && self.parsed.is_ok() {
            let wrong = Diagnostic::error("no-stages", "dockerfile contains no stages to build", 0..text.len());
            self.parsed.diagnostics.push(wrong.help("begin with FROM and the image to start from, or FROM scratch"));
        }
    }

    fn instruction<'t>(&mut self, first: &'t str, at: usize, lines: &mut Lines<'t>, comments: &[String]) {
        let escape = self.parsed.dockerfile.directives.escape;
        let mut line = lines.join(at, first, escape);
        let before = self.parsed.diagnostics.len();
        let piece = line.all().trim();
        let mut heredocs = if takes_heredocs(piece, escape) { Heredoc::announced(&line.text) } else { Vec::new() };
        let mut read = 0;
        for heredoc in &mut heredocs {
            if !heredoc.read(lines) {
                let message = format!("unterminated heredoc: no line is {:?}", heredoc.name);
                let help =
                    format!("write a line that is {:?} and nothing else at the end of the document", heredoc.name);
                let wrong = Diagnostic::error("unterminated-heredoc", message, piece.span()).help(help);
                self.parsed.diagnostics.push(wrong.within(&(line.span.start..lines.at())));
                break;
            }
            read += 1;
        }
        if read < heredocs.len() {
            return;
        }
        if !heredocs.is_empty() {
            line.span.end = lines.at();
        }
        let piece = line.all().trim();
        let found = &mut self.parsed.diagnostics;
        let statement = statement(piece, &heredocs, comments, escape, found);
        self.begun |= keyword(piece) == Some(Keyword::From);
        for wrong in self.parsed.diagnostics.iter_mut().skip(before) {
            wrong.instruction = Some(Box::new(line.span.clone()));
        }
        match statement {
            Some(Statement::From(stage)) => self.stage(*stage, &line),
            Some(Statement::Instruction(instruction)) => self.place(*instruction, line),
            None => {
                let unread = Unread {
                    words: words(piece, escape),
                    span: line.span.clone(),
                    comments: comments.to_vec(),
                    blank_inside: line.blank_inside.clone(),
                };
                self.parsed.dockerfile.unread.push(unread);
            }
        }
    }

    fn stage(&mut self, mut stage: Stage, line: &Line) {
        let dockerfile = &mut self.parsed.dockerfile;
        stage.span = line.span.clone();
        stage.blank_inside.clone_from(&line.blank_inside);
        dockerfile.add(stage);
    }

    fn place(&mut self, mut instruction: Instruction, line: Line) {
        instruction.span = line.span;
        instruction.blank_inside = line.blank_inside;
        let is_arg = matches!(instruction.op, Op::Arg(_));
        let dockerfile = &mut self.parsed.dockerfile;
        match dockerfile.stages.last_mut() {
            Some(stage) => stage.instructions.push(instruction),
            None if self.in_trigger || (is_arg && !self.begun) => dockerfile.globals.push(instruction),
            // After a FROM that is wrong there is nothing to add it to.
            None if self.begun => {}
            None => {
                let message = format!("no build stage in current context: {} before FROM", instruction.keyword());
                let wrong = Diagnostic::error("no-stage", message, instruction.name.span).within(&instruction.span);
                self.parsed.diagnostics.push(wrong.help("only ARG can stand before the first FROM"));
            }
        }
    }
}

fn keyword(piece: Piece<'_>) -> Option<Keyword> {
    Keyword::parse(piece.split_blank().0.text())
}

/// An instruction's name, and what follows its flags.
fn words(piece: Piece<'_>, escape: char) -> Vec<String> {
    let (name, rest) = piece.split_blank();
    let rest = rest.map(|rest| flags::split(rest, escape).1.split_blanks()).unwrap_or_default();
    std::iter::once(&name).chain(&rest).map(|word| word.text().to_owned()).collect()
}

/// Whether the line's `<<` are heredocs.
fn takes_heredocs(piece: Piece<'_>, escape: char) -> bool {
    let (name, rest) = piece.split_blank();
    let Some((keyword, rest)) = Keyword::parse(name.text()).zip(rest) else { return false };
    let (_, rest) = flags::split(rest, escape);
    match keyword {
        Keyword::Onbuild => self::keyword(rest) != Some(Keyword::Onbuild) && takes_heredocs(rest, escape),
        other => other.takes_heredocs() && !matches!(json::strings(rest), Ok(Some(_))),
    }
}

/// Reads one instruction. `None`: it is wrong, and what is wrong is among what was found.
pub(crate) fn statement(
    piece: Piece<'_>,
    heredocs: &[Heredoc],
    comments: &[String],
    escape: char,
    found: &mut Vec<Diagnostic>,
) -> Option<Statement> {
    let (name, rest) = piece.split_blank();
    let Some(keyword) = Keyword::parse(name.text()) else {
        found.push(unknown(name));
        return None;
    };
    let (given, rest) = flags::split(rest.unwrap_or(piece.slice(0, 0)), escape);
    if keyword == Keyword::From {
        return from(piece, name, given, rest, comments, found).map(|stage| Statement::From(Box::new(stage)));
    }
    let raw = Raw { keyword, whole: piece, flags: given, rest, heredocs, comments, escape, found };
    let op = raw.parse()?;
    Some(Statement::Instruction(Box::new(Instruction {
        name: name.spanned(),
        source: if keyword == Keyword::Onbuild { piece.untrimmed() } else { piece }.text().to_owned(),
        span: piece.span(),
        comments: comments.to_vec(),
        heredocs: heredocs.to_vec(),
        blank_inside: None,
        op,
    })))
}

fn unknown(name: Piece<'_>) -> Diagnostic {
    let text = name.text();
    if text.is_empty() {
        let wrong =
            Diagnostic::error("unknown-instruction", "a continuation without anything to continue", name.span());
        return wrong.help("remove this line");
    }
    let wrong = Diagnostic::error("unknown-instruction", format!("unknown instruction: {text}"), name.span());
    if text.contains(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}')) {
        return wrong.help("there is an invisible character in it, such as a no-break space; write it anew");
    }
    let upper = text.to_uppercase();
    match proposed(&upper, Keyword::names()) {
        Some(near) => {
            let near = if text == upper { near.to_owned() } else { near.to_lowercase() };
            Diagnostic { message: wrong.message.clone() + &did_you_mean(Some(near)), ..wrong }
        }
        None => wrong.help("if it belongs to the line before, that line must end in a continuation character"),
    }
}

fn from(
    piece: Piece<'_>,
    name: Piece<'_>,
    given: Vec<flags::Flag>,
    rest: Piece<'_>,
    comments: &[String],
    found: &mut Vec<Diagnostic>,
) -> Option<Stage> {
    let before = found.len();
    let flags = Flags::new(Keyword::From, &[("platform", Takes::Value)], given, found);
    let words = rest.split_blanks();
    let (base, as_, stage_name) = match words.as_slice() {
        [base] => (base, None, None),
        [base, as_, name] if as_.text().eq_ignore_ascii_case("as") => (base, Some(as_), Some(name)),
        other => {
            let at = other.get(1).map_or(piece.span(), |second| second.span().start..rest.span().end);
            let wrong = Diagnostic::error("from-arguments", "FROM requires either one or three arguments", at);
            found.push(wrong.help("write FROM image, or FROM image AS name"));
            return None;
        }
    };
    if let Some(name) = stage_name.filter(|name| !valid_stage_name(name.text())) {
        let message = format!(
            "invalid name for build stage: {:?}, name can't start with a number or contain symbols",
            name.text()
        );
        let wrong = Diagnostic::error("invalid-stage-name", message, name.span());
        found.push(wrong.help("a name begins with a letter, and has letters, digits, `-`, `_` and `.`"));
    }
    if found.len() > before {
        return None;
    }
    let stage_name = stage_name.map(Piece::spanned);
    Some(Stage {
        index: 0,
        description: stage_name.as_ref().and_then(|name| description(comments, &name.value.to_lowercase())),
        name: stage_name,
        base: base.spanned(),
        platform: flags.value("platform").filter(|platform| !platform.value.is_empty()),
        from: name.spanned(),
        as_: as_.map(Piece::spanned),
        source: piece.text().to_owned(),
        span: piece.span(),
        comments: comments.to_vec(),
        blank_inside: None,
        instructions: Vec::new(),
    })
}

fn valid_stage_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

impl Instruction {
    /// The same with every place that it names changed to `at`.
    fn moved_to(mut self, at: &Span) -> Self {
        let mut here = |word: &mut Spanned<String>| word.span = at.clone();
        here(&mut self.name);
        match &mut self.op {
            Op::Arg(args) => args.iter_mut().for_each(|arg| {
                here(&mut arg.name);
                arg.default.iter_mut().for_each(&mut here);
            }),
            Op::Env(pairs) | Op::Label(pairs) => pairs.iter_mut().for_each(|pair| {
                here(&mut pair.name);
                here(&mut pair.value);
            }),
            Op::Expose(words) | Op::Volume(words) => words.iter_mut().for_each(here),
            Op::Maintainer(word) | Op::StopSignal(word) | Op::User(word) | Op::Workdir(word) => here(word),
            Op::Cmd(line) | Op::Entrypoint(line) => line.words().for_each(here),
            Op::Run(run) => {
                run.command.words().for_each(here);
                run.mounts.iter_mut().for_each(|mount| mount.span = at.clone());
            }
            Op::Add(add) => {
                add.transfer.words().for_each(&mut here);
                add.checksum.iter_mut().for_each(here);
            }
            Op::Copy(copy) => {
                copy.transfer.words().for_each(&mut here);
                copy.from.iter_mut().for_each(here);
            }
            Op::Healthcheck(_) | Op::Onbuild(_) | Op::Shell(_) => {}
        }
        self.span = at.clone();
        self
    }
}
