//! What names stand for: before the first FROM, and in a stage.

use std::sync::Arc;

use crate::arch::TARGET_STAGE;
use crate::diagnostic::Diagnostic;
use crate::heredoc::Heredoc;
use crate::instruction::{CommandLine, Instruction, Op, Run, Word};
use crate::redact::redacted;
use crate::span::Span;
use crate::stage::Dockerfile;
use crate::word::{Expansion, Lexer, Variables, WordError};

/// The most that variables may bring into the words of a stage, those of the stages below it included. Each word has a limit of
/// its own, but there may be many words.
const MAX_GROWTH: usize = 16 << 20;
/// The most characters of a text that a message shows.
const MAX_SHOWN: usize = 200;
/// The most that they may bring into a title.
const MAX_TITLE: usize = 64 << 10;

/// ARGs that are for the builder and never in the environment.
pub(crate) const NO_VARIABLES: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// Names and values, each name once, where it first came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Values(Vec<(String, String)>);

impl Values {
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }

    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}

impl Variables for Values {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The proxy settings that need no ARG (reference: "Predefined ARGs"), in lower case; upper case is the same.
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

/// The scope before the first FROM: the automatic ARGs, those that stand there, and `--build-arg` over both. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Globals {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    escape: char,
    /// The ARGs that nobody needs to define.
    automatic: Values,
    values: Values,
    build_args: Vec<(String, String)>,
}

impl Dockerfile {
    /// Reads the ARGs before the first FROM. `automatic` are those that nobody needs to define
    /// ([`automatic_args`](crate::automatic_args)); of `build_args` with one name the last counts.
    ///
    /// # Errors
    /// A default that cannot be expanded.
    pub fn globals(
        &self,
        automatic: Vec<(String, String)>,
        build_args: &[(String, String)],
    ) -> Result<Globals, Diagnostic> {
        let escape = self.directives.escape;
        let given =
            |name: &str| build_args.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let mut values = Values::default();
        for (name, value) in &automatic {
            values.set(name, given(name).unwrap_or(value));
        }
        if values.get(TARGET_STAGE).is_none() {
            let last = self.stages.last().and_then(|stage| stage.name.as_ref()).map(|name| name.value.to_lowercase());
            let last = last.unwrap_or_else(|| "default".into());
            values.set(TARGET_STAGE, given(TARGET_STAGE).unwrap_or(&last));
        }
        let automatic = values.clone();
        let mut grown = Growth::default();
        let args = self.globals.iter().filter_map(|instruction| match &instruction.op {
            Op::Arg(args) => Some(args),
            _ => None,
        });
        for arg in args.flatten() {
            let value = match (given(&arg.name.value), &arg.default) {
                (Some(value), _) => Some(value.to_owned()),
                (None, Some(default)) => {
                    let found = expand(escape, default, &values)?;
                    grown.add(&found, &default.span)?;
                    Some(found.text)
                }
                (None, None) => None,
            };
            if let Some(value) = value {
                values.set(&arg.name.value, &value);
            }
        }
        let build_args = build_args.to_vec();
        Ok(Globals { shared: Arc::new(Shared { escape, automatic, values, build_args }) })
    }
}

impl Globals {
    /// Expands a word of FROM. Also says which variables it has that nobody defined.
    ///
    /// # Errors
    /// Why it cannot be expanded.
    pub fn expand(&self, word: &Word) -> Result<(String, Vec<String>), Diagnostic> {
        let found = self.expansion(word)?;
        Ok((found.text, found.missing))
    }

    pub(crate) fn expansion(&self, word: &Word) -> Result<Expansion, Diagnostic> {
        expand(self.shared.escape, word, &self.shared.values)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.shared.values.pairs().iter().map(|(name, _)| name.as_str())
    }

    /// The same without what `--build-arg` says of ARGs that the Dockerfile defines.
    pub(crate) fn defaults(&self, dockerfile: &Dockerfile) -> Result<Self, Diagnostic> {
        dockerfile.globals(self.shared.automatic.pairs().to_vec(), &[])
    }

    /// The value of a name there.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.shared.values.get(name)
    }

    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.shared.build_args.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Proxy settings that were given and need no ARG, under both of their names. If both are given, the one in lower case
    /// counts; an empty one is none.
    pub(crate) fn proxies(&self) -> Vec<(String, String)> {
        let mut given: Vec<_> = self.shared.build_args.iter().filter(|(name, _)| is_proxy(name)).collect();
        given.sort_by(|a, b| a.0.cmp(&b.0));
        let mut found = Values::default();
        for (name, value) in given {
            found.set(&name.to_ascii_uppercase(), value);
            found.set(&name.to_ascii_lowercase(), value);
        }
        found.0.retain(|(_, value)| !value.is_empty());
        found.0
    }
}

/// Whether a name is a proxy setting, which every build knows.
#[must_use]
pub fn is_proxy(name: &str) -> bool {
    PROXIES.contains(&name.to_ascii_lowercase().as_str())
}

/// A declared ARG of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
}

/// What a stage knows at one of its instructions: variables, working directory, shell. A stage that is built on another starts
/// with a copy of that one's scope.
#[derive(Clone, Debug)]
pub struct Scope {
    pub(crate) globals: Globals,
    /// ENV, also the base image's, and ARG.
    pub(crate) values: Values,
    /// The ARGs so far.
    pub(crate) args: Vec<Declared>,
    /// Absolute.
    pub(crate) workdir: String,
    pub(crate) shell: Vec<String>,
    /// Variables that words had and nobody defined, with the places where they stand.
    missing: Vec<(String, Span)>,
    grown: Growth,
}

/// How many bytes variables brought in so far.
#[derive(Clone, Copy, Debug, Default)]
struct Growth(usize);

impl Growth {
    fn add(&mut self, found: &Expansion, span: &Span) -> Result<(), Diagnostic> {
        self.0 += found.growth;
        if self.0 <= MAX_GROWTH {
            return Ok(());
        }
        let message = format!("the variables of this stage make it longer than {MAX_GROWTH} bytes");
        Err(Diagnostic::error("substitution", message, span.clone()))
    }
}

/// The shell of images that name none.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

impl Scope {
    /// The scope at the beginning of a stage on an image: its environment (`NAME=value`), working directory and shell.
    #[must_use]
    pub fn new(globals: &Globals, env: &[String], workdir: &str, shell: Option<&[String]>) -> Self {
        let mut values = Values::default();
        for line in env {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            values.set(name, value);
        }
        Self {
            globals: globals.clone(),
            values,
            args: Vec::new(),
            workdir: crate::path::working_dir("/", workdir),
            shell: shell.map_or_else(|| SHELL.map(str::to_owned).to_vec(), <[String]>::to_vec),
            missing: Vec::new(),
            grown: Growth::default(),
        }
    }

    /// The working directory, absolute.
    #[must_use]
    pub fn workdir(&self) -> &str {
        &self.workdir
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name)
    }

    /// The value of an ARG that is for the builder, such as `BUILDKIT_SBOM_SCAN_STAGE`: this stage's own, or that of those it is
    /// built on, else the one from before the first FROM.
    #[must_use]
    pub fn argument(&self, name: &str) -> Option<&str> {
        let own = self.args.iter().rev().filter(|arg| arg.name == name).find_map(|arg| arg.value.as_deref());
        own.or_else(|| self.globals.get(name))
    }

    /// The variables that have been used so far and that nobody defined, not even without a value.
    #[must_use]
    pub fn missing(&self) -> &[(String, Span)] {
        &self.missing
    }

    /// The instruction on one line as people should see it, with the values of variables where they are known.
    #[must_use]
    pub fn title(&self, instruction: &Instruction) -> String {
        let lexer = Lexer::title(self.globals.shared.escape);
        let source = &instruction.source;
        let mut values = self.values.clone();
        // Where a secret takes a variable's place, the variable's own value would tell a lie, and a secret none of it.
        if let Op::Run(run) = &instruction.op {
            let shadowed = run.mounts.iter().flat_map(|mount| &mount.fields).filter(|(key, _)| key == "env");
            shadowed.for_each(|(_, name)| values.set(name.as_deref().unwrap_or_default(), "****"));
        }
        let expanded = lexer.expand(source, &values).ok().filter(|found| found.growth <= MAX_TITLE);
        let expanded = expanded.map_or_else(|| source.clone(), |found| found.text);
        let keyword = instruction.keyword().as_str();
        let rest = expanded.get(instruction.name.value.len()..).unwrap_or_default();
        let rest: Vec<&str> = rest.split_whitespace().collect();
        let title = redacted(&format!("{keyword} {}", rest.join(" ")));
        // A document that is the whole command is shown by its first line.
        let whole = match &instruction.op {
            Op::Run(Run { command: CommandLine::Shell(line), .. }) => Heredoc::parse(&line.value),
            _ => None,
        };
        match instruction.heredocs.first().filter(|_| whole.is_some()) {
            Some(heredoc) => format!("{title} ({})", heredoc.summary()),
            None => title,
        }
    }

    pub(crate) fn expand(&mut self, word: &Word) -> Result<String, Diagnostic> {
        Ok(self.expansion(word)?.text)
    }

    pub(crate) fn expansion(&mut self, word: &Word) -> Result<Expansion, Diagnostic> {
        let found = expand(self.globals.shared.escape, word, &self.values)?;
        self.grown.add(&found, &word.span)?;
        self.miss(&found.missing, &word.span);
        Ok(found)
    }

    /// The same without taking note of what is missing.
    pub(crate) fn peek(&self, word: &Word) -> Result<Expansion, Diagnostic> {
        expand(self.globals.shared.escape, word, &self.values)
    }

    /// The content of a heredoc.
    pub(crate) fn document(&mut self, text: &str, span: &Span) -> Result<String, Diagnostic> {
        let found = Lexer::document().expand(text, &self.values).map_err(|wrong| failed(text, &wrong, span))?;
        self.grown.add(&found, span)?;
        self.miss(&found.missing, span);
        Ok(found.text)
    }

    fn miss(&mut self, names: &[String], span: &Span) {
        // An ARG without a value is empty on purpose.
        let missing = names.iter().filter(|name| !self.declares(name)).map(|name| (name.clone(), span.clone()));
        let missing: Vec<_> = missing.collect();
        self.missing.extend(missing);
    }

    pub(crate) fn declares(&self, name: &str) -> bool {
        self.args.iter().any(|arg| arg.name == name)
    }
}

fn expand(escape: char, word: &Word, values: &Values) -> Result<Expansion, Diagnostic> {
    Lexer::new(escape).expand(&word.value, values).map_err(|wrong| failed(&word.value, &wrong, &word.span))
}

fn failed(text: &str, wrong: &WordError, span: &Span) -> Diagnostic {
    // Of a document the beginning is enough.
    let shown: String = text.chars().take(MAX_SHOWN).collect();
    let shown = if shown.len() < text.len() { format!("{shown}...") } else { shown };
    Diagnostic::error("substitution", format!("failed to process {shown:?}: {}", wrong.0), span.clone())
}
