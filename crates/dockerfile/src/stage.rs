//! A Dockerfile's stages, and how they depend on each other.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use crate::diagnostic::Diagnostic;
use crate::directive::Directives;
use crate::instruction::{Instruction, Keyword, MountFlag, Op, Word};
use crate::line::continuation;
use crate::nearest::similar;
use crate::span::{Span, Spanned};

/// A Dockerfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dockerfile {
    /// `# syntax=`, `# escape=`, `# check=`.
    pub directives: Directives,
    /// The ARGs before the first FROM.
    pub globals: Vec<Instruction>,
    /// The stages, in order.
    pub stages: Vec<Stage>,
    /// The instructions that cannot be read.
    pub(crate) unread: Vec<Unread>,
    /// The places of the stages of each name (in lower case), in order.
    names: HashMap<String, Vec<usize>>,
}

/// An instruction that is wrong, of which some checks tell all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unread {
    /// Its name and what follows it and its flags, as words.
    pub(crate) words: Vec<String>,
    pub(crate) span: Span,
    pub(crate) comments: Vec<String>,
    pub(crate) blank_inside: Option<Span>,
}

/// FROM, and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Its place among the stages.
    pub index: usize,
    /// `AS name`, as written. Upper and lower case are the same.
    pub name: Option<Spanned<String>>,
    /// What it starts from: an image, an earlier stage or `scratch`, with variables.
    pub base: Word,
    /// `--platform`, with variables.
    pub platform: Option<Word>,
    /// `FROM` as written.
    pub from: Spanned<String>,
    /// `AS` as written.
    pub as_: Option<Spanned<String>>,
    /// The FROM instruction on one line.
    pub source: String,
    /// The FROM instruction.
    pub span: Span,
    /// The comment lines right above it, without their `#`.
    pub comments: Vec<String>,
    /// The last of FROM's lines, if there is a blank one among them.
    pub blank_inside: Option<Span>,
    /// What the comment above says of it: `# name does this`.
    pub description: Option<String>,
    /// What follows.
    pub instructions: Vec<Instruction>,
}

/// Images that are often misspelt (BuildKit's list).
const COMMON_IMAGES: [&str; 7] = ["alpine", "busybox", "centos", "debian", "golang", "ubuntu", "fedora"];

/// The code of a source that comes too late.
const LATER: &str = "stage-defined-later";

/// Where a COPY or a mount takes its files from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// A stage, by its place.
    Stage(usize),
    /// A named context or an image.
    Other(String),
}

impl Stage {
    /// Its name as other instructions and people may give it, in lower case; if it has none, `stage-N`.
    #[must_use]
    pub fn label(&self) -> String {
        self.name.as_ref().map_or_else(|| format!("stage-{}", self.index), |name| name.value.to_lowercase())
    }
}

impl Dockerfile {
    /// Adds a stage at the end.
    pub(crate) fn add(&mut self, mut stage: Stage) {
        stage.index = self.stages.len();
        if let Some(name) = &stage.name {
            self.names.entry(name.value.to_ascii_lowercase()).or_default().push(stage.index);
        }
        self.stages.push(stage);
    }

    /// The places of the stages of a name, in order.
    fn called(&self, name: &str) -> &[usize] {
        self.names.get(&name.to_ascii_lowercase()).map(Vec::as_slice).unwrap_or_default()
    }

    /// The stage that `--target` names. With two of a name it is the last one. No target is the last stage.
    ///
    /// # Errors
    /// There is none.
    pub fn target(&self, target: Option<&str>) -> Result<&Stage, Diagnostic> {
        let found = match target {
            None => self.stages.last(),
            Some(name) => self.called(name).last().and_then(|index| self.stages.get(*index)),
        };
        found.ok_or_else(|| {
            let name = target.unwrap_or_default();
            let wrong = Diagnostic::error("unknown-target", format!("target stage {name:?} could not be found"), 0..0);
            let labels: Vec<String> = self.stages.iter().map(Stage::label).collect();
            wrong.propose(name, labels.iter().map(String::as_str))
        })
    }

    /// What may have been meant by the name of an image that there is not: a stage, or an image that many builds start from.
    #[must_use]
    pub fn meant(&self, name: &str) -> Option<String> {
        let labels = self.stages.iter().map(Stage::label);
        let images = COMMON_IMAGES.iter().flat_map(|image| [(*image).to_owned(), format!("{image}:latest")]);
        let known: Vec<String> = labels.chain(images).collect();
        // That something of exactly this name cannot be had is no misspelling.
        if known.iter().any(|known| known == name) {
            return None;
        }
        similar(name, known.iter().map(String::as_str)).map(str::to_owned)
    }

    /// The stage that a FROM with this base (expanded) means: the last one of that name before it. Other than elsewhere, the base
    /// must be in lower case, as with docker. `None`: an image, a named context or `scratch`.
    #[must_use]
    pub fn parent(&self, stage: usize, base: &str) -> Option<&Stage> {
        let called = self.names.get(base)?;
        let before = called.partition_point(|index| *index < stage);
        self.stages.get(*called.get(before.checked_sub(1)?)?)
    }

    /// What `from` means in an instruction of a stage. COPY also takes a stage's number.
    ///
    /// # Errors
    /// A stage that is this one or comes after it, or a number that is no stage's.
    pub fn source(&self, stage: usize, from: &str, numbers: bool, span: &Span) -> Result<From, Diagnostic> {
        let numbered = Some(from).filter(|_| numbers).and_then(|from| self.numbered(stage, from, span));
        // Of two stages of one name it is the last.
        let named = || self.called(from).last().copied();
        let Some(index) = numbered.transpose()?.or_else(named) else { return Ok(From::Other(from.to_owned())) };
        if index < stage {
            return Ok(From::Stage(index));
        }
        if index == stage {
            return Err(self.circular(stage, span.clone()));
        }
        let current = self.stages.get(stage).map(Stage::label).unwrap_or_default();
        let message = if numbers {
            format!("cannot copy from stage {from:?}, it needs to be defined before current stage {current:?}")
        } else {
            format!("cannot mount from stage {from:?}, stage needs to be defined before current command")
        };
        let wrong = Diagnostic::error(LATER, message, span.clone());
        Err(wrong.label(self.stages[index].span.clone(), "it is defined here").help("move that stage up"))
    }

    /// The same with the instruction that an error is in, for who tells of whole instructions.
    #[must_use]
    pub fn located(&self, wrong: Diagnostic) -> Diagnostic {
        let at = wrong.span.start;
        let stage = self.stages.partition_point(|stage| stage.span.start <= at).checked_sub(1);
        let (from, instructions) = match stage.and_then(|stage| self.stages.get(stage)) {
            Some(stage) => (Some(&stage.span), &stage.instructions),
            None => (None, &self.globals),
        };
        let next = instructions.partition_point(|instruction| instruction.span.start <= at);
        let own = next.checked_sub(1).and_then(|n| instructions.get(n)).map(|instruction| &instruction.span);
        match own.or(from).filter(|span| span.contains(&at) && wrong.span.end <= span.end) {
            Some(span) => wrong.within(span),
            None => wrong,
        }
    }

    /// The stage with a number. `None`: it is no number.
    pub(crate) fn numbered(&self, stage: usize, from: &str, span: &Span) -> Option<Result<usize, Diagnostic>> {
        let number = from.parse::<i64>().ok()?;
        Some(usize::try_from(number).ok().filter(|n| *n < self.stages.len()).ok_or_else(|| {
            let message = format!("invalid stage index {number}");
            let wrong = Diagnostic::error("invalid-stage-index", message, span.clone());
            wrong.help(format!("the stages before this one are 0 to {}", stage.saturating_sub(1)))
        }))
    }

    pub(crate) fn circular(&self, stage: usize, span: Span) -> Diagnostic {
        let label = self.stages.get(stage).map(Stage::label).unwrap_or_default();
        let message = format!("circular dependency detected on stage: {label}");
        let wrong = Diagnostic::error("circular-dependency", message, span);
        wrong.help("a stage cannot take files from itself, nor from one that needs it")
    }

    /// The stages and other things that an instruction of a stage takes files from.
    ///
    /// # Errors
    /// As [`source`](Self::source).
    pub fn sources(&self, stage: usize, instruction: &Instruction) -> Result<Vec<From>, Diagnostic> {
        match &instruction.op {
            Op::Copy(copy) => copy.from.iter().map(|from| self.source(stage, &from.value, true, &from.span)).collect(),
            Op::Run(run) => {
                let mounts = run.mounts.iter().filter_map(|mount| Some((mount, mount.from.as_ref()?)));
                let source = |(mount, from): (&MountFlag, &String)| {
                    self.source(stage, from, false, &mount.span).map_err(|wrong| in_mount(wrong, mount, from))
                };
                mounts.map(source).collect()
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The stages that a stage needs, itself included, in order: each needs earlier ones only. `base` gives each stage's expanded
    /// base, or nothing for one that is replaced by something else and needs no stage. Triggers that come with base images are
    /// not known here; what they need is for who runs them.
    ///
    /// # Errors
    /// As [`source`](Self::source), and those of `base`.
    pub fn reachable(
        &self,
        target: usize,
        base: &mut dyn FnMut(&Stage) -> Result<Option<String>, Diagnostic>,
    ) -> Result<BTreeSet<usize>, Diagnostic> {
        let mut reached = BTreeSet::new();
        let mut open = vec![target];
        while let Some(index) = open.pop() {
            let Some(stage) = self.stages.get(index) else { continue };
            if !reached.insert(index) {
                continue;
            }
            let Some(base) = base(stage)? else { continue };
            open.extend(self.parent(index, &base).map(|parent| parent.index));
            for instruction in &stage.instructions {
                for source in self.sources(index, instruction)? {
                    open.extend(match source {
                        From::Stage(index) => Some(index),
                        From::Other(_) => None,
                    });
                }
            }
        }
        Ok(reached)
    }
}

/// The error of a mount's source in BuildKit's words for mounts.
fn in_mount(wrong: Diagnostic, mount: &MountFlag, from: &str) -> Diagnostic {
    if wrong.code != LATER {
        return wrong;
    }
    let names = ["target", "dst", "destination"];
    let target = mount.fields.iter().find(|(key, _)| names.contains(&key.to_ascii_lowercase().as_str()));
    let target = target.and_then(|(_, value)| value.as_deref()).unwrap_or_default();
    let message =
        format!("cannot mount from stage {from:?} to {target:?}, stage needs to be defined before current command");
    Diagnostic { message, ..wrong }
}

/// Writes it anew, one instruction on a line. What comes of that text is the same Dockerfile, but for places.
impl fmt::Display for Dockerfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directives = &self.directives;
        for (name, value) in [("syntax", &directives.syntax), ("check", &directives.check)] {
            if let Some(value) = value {
                // White space at a value's end belongs to it only where more follows.
                let more = if value.value.ends_with(char::is_whitespace) { " -" } else { "" };
                writeln!(f, "# {name}={}{more}", value.value)?;
            }
        }
        if directives.escape != '\\' {
            writeln!(f, "# escape={}", directives.escape)?;
        }
        // So that no comment becomes a directive.
        writeln!(f)?;
        let escape = directives.escape;
        for instruction in &self.globals {
            instruction.print(escape, f)?;
        }
        for stage in &self.stages {
            print(&stage.comments, &stage.source, f)?;
            match continuation(&stage.source, escape).1 {
                true => writeln!(f, "{NO_BLANK}")?,
                false => writeln!(f)?,
            }
            for instruction in &stage.instructions {
                instruction.print(escape, f)?;
            }
        }
        Ok(())
    }
}

impl Instruction {
    fn print(&self, escape: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(&self.comments, &self.source, f)?;
        // An escape character at its end is no continuation. That of a trigger, whose end is kept as it is, can only have stood
        // before a continuation with nothing to continue with, at the end of the text; so that comes here too.
        match continuation(&self.source, escape).1 {
            true if self.keyword() == Keyword::Onbuild => writeln!(f, "{escape}\n")?,
            true => writeln!(f, "{NO_BLANK}")?,
            false => writeln!(f)?,
        }
        self.heredocs.iter().try_for_each(|heredoc| writeln!(f, "{}{}", heredoc.content, heredoc.name))
    }
}

/// White space at the end of an instruction that goes, and before which an escape character is no continuation.
const NO_BLANK: char = '\u{c}';

fn print(comments: &[String], source: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // A bare `#` keeps apart what belongs to different instructions.
    writeln!(f, "#")?;
    comments.iter().try_for_each(|comment| writeln!(f, "# {comment}"))?;
    f.write_str(source)
}

#[cfg(test)]
mod tests {
    use crate::parse;

    #[test]
    fn ends_of_lines_stay_what_they_are() {
        for text in [
            "FROM scratch\nLABEL a=b\\\n\\\u{a0} \nLABEL c=d",
            "FROM scratch AS a\\\u{c}\nUSER a",
            "FROM scratch\nRUN a\\ \\",
            "FROM scratch\nONBUILD RUN a\\ \\",
            "FROM scratch\nONBUILD RUN a\\\u{a0}\nRUN b",
            "# syntax=a\r\r b\nFROM scratch",
        ] {
            let parsed = parse(text);
            let again = parse(&parsed.dockerfile.to_string()).dockerfile;
            assert_eq!(again.to_string(), parsed.dockerfile.to_string(), "{text:?}");
            let sources = |dockerfile: &crate::Dockerfile| {
                let instructions = dockerfile.stages.iter().flat_map(|stage| &stage.instructions);
                instructions.map(|instruction| instruction.source.clone()).collect::<Vec<_>>()
            };
            assert_eq!(sources(&again), sources(&parsed.dockerfile), "{text:?}");
        }
    }

    #[test]
    fn what_may_have_been_meant() {
        let dockerfile = parse("FROM scratch AS Buildr\nFROM busybox\nFROM scratch AS gem").dockerfile;
        for (name, meant) in [
            ("builder", Some("buildr")),
            ("debain", Some("debian")),
            ("alpine:lates", Some("alpine:latest")),
            ("gen", Some("gem")),
            ("buildr", None),
            ("busybox", None),
            ("stage-2", Some("stage-1")),
            ("example.com/app", None),
        ] {
            assert_eq!(dockerfile.meant(name).as_deref(), meant, "{name}");
        }
    }
}
