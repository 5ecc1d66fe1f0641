//! RUN.

use crate::diagnostic::Diagnostic;
use crate::heredoc::Heredoc;
use crate::instruction::{CommandLine, Instruction, Run};
use crate::scope::Scope;
use crate::step::{Command, InlineFile, RunStep, SCRIPT_DIR};

impl Scope {
    pub(super) fn run(&mut self, run: &Run, instruction: &Instruction) -> Result<RunStep, Diagnostic> {
        let mut mounts = Vec::new();
        for flag in &run.mounts {
            mounts.push(self.mount(flag)?);
        }
        let (command, script) = match &run.command {
            CommandLine::Exec(words) => (Command::Exec(words.clone()), None),
            CommandLine::Shell(line) => shell(&line.value, &instruction.heredocs),
        };
        let argv = match (&command, &script) {
            // Also a script of its own is started by the shell.
            (_, Some(script)) => self.in_shell(&format!("{SCRIPT_DIR}/{}", script.name)),
            (Command::Exec(words), None) => words.clone(),
            (Command::Shell(line), None) => self.in_shell(line),
        };
        let proxies = self.globals.proxies();
        let args = self.run_args();
        let hidden = |name: &str| proxies.iter().any(|(proxy, _)| proxy == name) && !self.declares(name);
        Ok(RunStep {
            command,
            argv,
            script,
            mounts,
            network: run.network,
            insecure: run.insecure,
            devices: run.devices.clone(),
            env: self.values().pairs().clone(),
            args,
            hidden_env: proxies.iter().filter(|(name, _)| hidden(name)).cloned().collect(),
        })
    }
}

/// What the shell gets. A line that is nothing but a heredoc is that document: a script of its own if it begins with `#!`, and
/// else the shell's text. Every other line goes to the shell together with its documents, which are the shell's affair.
fn shell(line: &str, heredocs: &[Heredoc]) -> (Command, Option<InlineFile>) {
    let Some(first) = heredocs.first() else { return (Command::Shell(line.to_owned()), None) };
    if Heredoc::parse(line).is_none() {
        let documents = heredocs.iter().map(|document| format!("\n{}{}", document.content, document.name));
        return (Command::Shell(std::iter::once(line.to_owned()).chain(documents).collect()), None);
    }
    let content = first.file_content();
    if !content.starts_with("#!") {
        return (Command::Shell(content), None);
    }
    let script = InlineFile { name: first.name.clone(), content: content.clone() };
    (Command::Shell(content), Some(script))
}
