//! What names stand for: before the first FROM, and in a stage.

use std::sync::Arc;

use crate::arch::TARGET_STAGE;
use crate::diagnostic::Diagnostic;
use crate::heredoc::Heredoc;
use crate::instruction::{CommandLine, Instruction, Op, Run, Word};
use crate::redact::redacted;
use crate::span::Span;
use crate::stage::Dockerfile;
use crate::values::{Named, Values};
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
    /// The names of the ARGs there, also of those without a value.
    declared: Named<()>,
    build_args: Values,
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
        let build_args: Values = build_args.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let given = |name: &str| build_args.get(name);
        let mut values: Values =
            automatic.iter().map(|(name, value)| (name.as_str(), given(name).unwrap_or(value))).collect();
        if values.get(TARGET_STAGE).is_none() {
            let last = self.stages.last().and_then(|stage| stage.name.as_ref()).map(|name| name.value.to_lowercase());
            let last = last.unwrap_or_else(|| "default".into());
            values.set(TARGET_STAGE, given(TARGET_STAGE).unwrap_or(&last).to_owned());
        }
        let automatic = values.clone();
        let mut grown = Growth::default();
        let args = self.globals.iter().filter_map(|instruction| match &instruction.op {
            Op::Arg(args) => Some(args),
            _ => None,
        });
        let mut declared = Named::default();
        for arg in args.flatten() {
            declared.set(&arg.name.value, ());
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
                values.set(&arg.name.value, value);
            }
        }
        Ok(Globals { shared: Arc::new(Shared { escape, automatic, values, declared, build_args }) })
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

    /// The variables in a word that are not there, also if it cannot be expanded.
    pub(crate) fn missing(&self, word: &Word) -> Vec<String> {
        let found = Lexer::new(self.shared.escape).expand(&word.value, &self.shared.values);
        found.map_or_else(|wrong| wrong.missing, |found| found.missing)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.shared.values.pairs().iter().map(|(name, _)| name.as_str())
    }

    /// The ARGs before the first FROM, also those without a value.
    pub(crate) fn declared(&self) -> impl Iterator<Item = &str> + Clone {
        self.shared.declared.pairs().iter().map(|(name, ())| name.as_str())
    }

    pub(crate) fn declares(&self, name: &str) -> bool {
        self.shared.declared.value(name).is_some() || self.get(name).is_some()
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
        self.shared.build_args.get(name)
    }

    /// Proxy settings that were given and need no ARG, under both of their names. If both are given, the one in lower case
    /// counts; an empty one is none.
    pub(crate) fn proxies(&self) -> Vec<(String, String)> {
        let given = self.shared.build_args.pairs().iter();
        let mut given: Vec<_> = given.filter(|(name, _)| is_proxy(name)).collect();
        given.sort_by(|a, b| a.0.cmp(&b.0));
        let mut found = Values::default();
        for (name, value) in given {
            found.set(&name.to_ascii_uppercase(), value.clone());
            found.set(&name.to_ascii_lowercase(), value.clone());
        }
        found.pairs().iter().filter(|(_, value)| !value.is_empty()).cloned().collect()
    }
}

/// Whether a name is a proxy setting, which every build knows.
#[must_use]
pub fn is_proxy(name: &str) -> bool {
    PROXIES.contains(&name.to_ascii_lowercase().as_str())
}

/// What a stage knows at one of its instructions: variables, working directory, shell. A stage that is built on another starts
/// with a copy of that one's scope.
#[derive(Clone, Debug)]
pub struct Scope {
    pub(crate) globals: Globals,
    /// ENV, also the base image's, and ARG.
    values: Values,
    /// The ARGs so far.
    args: Named<Option<String>>,
    /// The same as a RUN has them, until one of them or of the variables changes.
    run_args: Option<Arc<Vec<(String, String)>>>,
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
        Self {
            globals: globals.clone(),
            values: env.iter().map(|line| line.split_once('=').unwrap_or((line, ""))).collect(),
            args: Named::default(),
            run_args: None,
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
        let own = self.args.value(name).and_then(Option::as_deref);
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
            shadowed.for_each(|(_, name)| values.set(name.as_deref().unwrap_or_default(), "****".into()));
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
        self.expanded(Lexer::new(self.globals.shared.escape), &word.value, &word.span)
    }

    /// The same without taking note of what is missing.
    pub(crate) fn peek(&self, word: &Word) -> Result<Expansion, Diagnostic> {
        expand(self.globals.shared.escape, word, &self.values)
    }

    /// The content of a heredoc.
    pub(crate) fn document(&mut self, text: &str, span: &Span) -> Result<String, Diagnostic> {
        Ok(self.expanded(Lexer::document(), text, span)?.text)
    }

    fn expanded(&mut self, lexer: Lexer, text: &str, span: &Span) -> Result<Expansion, Diagnostic> {
        let found = lexer.expand(text, &self.values);
        // As with docker, also where the word cannot be expanded after all.
        let missing = found.as_ref().map_or_else(|wrong| &wrong.missing, |found| &found.missing);
        // An ARG without a value is empty on purpose.
        let missing = missing.iter().filter(|name| !self.declares(name)).map(|name| (name.clone(), span.clone()));
        self.missing.extend(missing.collect::<Vec<_>>());
        let found = found.map_err(|wrong| failed(text, &wrong, span))?;
        self.grown.add(&found, span)?;
        Ok(found)
    }

    pub(crate) fn declares(&self, name: &str) -> bool {
        self.args.value(name).is_some()
    }

    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.values.set(name, value.to_owned());
        self.run_args = None;
    }

    pub(crate) fn declare(&mut self, name: &str, value: Option<String>) {
        self.args.set(name, value);
        self.run_args = None;
    }

    /// The ARGs with their values, in the order of their definition. Docker's history shows what an ARG has become, also where ENV
    /// has changed it since.
    pub(crate) fn run_args(&mut self) -> Arc<Vec<(String, String)>> {
        let (args, values) = (&self.args, &self.values);
        let value = |(name, own): &(String, Option<String>)| {
            (name.clone(), values.get(name).or(own.as_deref()).unwrap_or_default().to_owned())
        };
        self.run_args.get_or_insert_with(|| Arc::new(args.pairs().iter().map(value).collect())).clone()
    }
}

fn expand(escape: char, word: &Word, values: &Values) -> Result<Expansion, Diagnostic> {
    Lexer::new(escape).expand(&word.value, values).map_err(|wrong| failed(&word.value, &wrong, &word.span))
}

fn failed(text: &str, wrong: &WordError, span: &Span) -> Diagnostic {
    // Of a document the beginning is enough.
    let shown: String = text.chars().take(MAX_SHOWN).collect();
    let shown = if shown.len() < text.len() { format!("{shown}...") } else { shown };
    Diagnostic::error("substitution", format!("failed to process {shown:?}: {}", wrong.reason), span.clone())
}
