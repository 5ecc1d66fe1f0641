//! From instructions to steps: words are expanded, and what they say is checked.

mod mount;
pub(crate) mod port;
mod run;
mod signal;
mod transfer;

use crate::diagnostic::Diagnostic;
use crate::instruction::{CommandLine, EMPTY_VOLUME, Instruction, Op, Pair, Word};
use crate::path;
use crate::scope::{NO_VARIABLES, Scope};
use crate::step::Step;

impl Scope {
    /// Expands an instruction, and takes note of what it changes for those after it. A variable has one value for the whole
    /// instruction: `ENV a=1 b=$a` takes the old `a` for `b`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn step(&mut self, instruction: &Instruction) -> Result<Step, Diagnostic> {
        Ok(match &instruction.op {
            Op::Add(add) => Step::Add(Box::new(self.add(add)?)),
            Op::Arg(args) => {
                let mut defined = Vec::new();
                for arg in args {
                    defined.push((arg.name.value.clone(), self.arg(&arg.name.value, arg.default.as_ref())?));
                }
                Step::Arg(defined)
            }
            Op::Cmd(line) => Step::Cmd(self.command(line)),
            Op::Copy(copy) => Step::Copy(Box::new(self.copy(copy)?)),
            Op::Entrypoint(line) => Step::Entrypoint(self.command(line)),
            Op::Env(pairs) => {
                let pairs = self.pairs(pairs)?;
                pairs.iter().for_each(|(name, value)| self.set(name, value));
                Step::Env(pairs)
            }
            Op::Expose(words) => Step::Expose(self.ports(words)?),
            Op::Healthcheck(check) => Step::Healthcheck(check.clone()),
            Op::Label(pairs) => Step::Label(self.pairs(pairs)?),
            Op::Maintainer(name) => Step::Maintainer(name.value.clone()),
            Op::Onbuild(trigger) => Step::Onbuild(trigger.clone()),
            Op::Run(run) => Step::Run(Box::new(self.run(run, instruction)?)),
            Op::Shell(shell) => {
                self.shell.clone_from(shell);
                Step::Shell(shell.clone())
            }
            Op::StopSignal(word) => Step::StopSignal(self.stop_signal(word)?),
            Op::User(word) => Step::User(self.expand(word)?),
            Op::Volume(words) => Step::Volume(self.volumes(words)?),
            Op::Workdir(word) => Step::Workdir(self.change_dir(word)?),
        })
    }

    /// `--build-arg` counts more than a default, and a default more than what the global scope has.
    fn arg(&mut self, name: &str, default: Option<&Word>) -> Result<Option<String>, Diagnostic> {
        let value = match (self.globals.given(name), default) {
            (Some(given), _) => Some(given.to_owned()),
            (None, Some(default)) => Some(self.expand(default)?),
            (None, None) => self.globals.get(name).map(str::to_owned),
        };
        if let Some(value) = value.as_ref().filter(|_| !NO_VARIABLES.contains(&name)) {
            self.set(name, value);
        }
        self.declare(name, value.clone());
        Ok(value)
    }

    fn volumes(&mut self, words: &[Word]) -> Result<Vec<String>, Diagnostic> {
        let paths: Vec<String> = words.iter().map(|word| self.expand(word)).collect::<Result<_, _>>()?;
        match words.iter().zip(&paths).find(|(_, path)| path.is_empty()) {
            Some((word, _)) => Err(Diagnostic::error("empty-volume", EMPTY_VOLUME, word.span.clone())),
            None => Ok(paths),
        }
    }

    fn pairs(&mut self, pairs: &[Pair]) -> Result<Vec<(String, String)>, Diagnostic> {
        pairs.iter().map(|pair| Ok((self.expand(&pair.name)?, self.expand(&pair.value)?))).collect()
    }

    /// The command with its shell before it, where it is for one. Nothing at all is a command for the shell too.
    fn command(&self, line: &CommandLine) -> Vec<String> {
        match line {
            CommandLine::Exec(words) => words.clone(),
            CommandLine::Shell(text) => self.in_shell(&text.value),
        }
    }

    fn in_shell(&self, line: &str) -> Vec<String> {
        self.shell.iter().cloned().chain([line.to_owned()]).collect()
    }

    fn change_dir(&mut self, word: &Word) -> Result<String, Diagnostic> {
        let dir = self.expand(word)?;
        self.workdir = path::working_dir(&self.workdir, &dir);
        Ok(self.workdir.clone())
    }
}

#[cfg(test)]
mod tests;
