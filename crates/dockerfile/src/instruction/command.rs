//! CMD, ENTRYPOINT and SHELL: commands.

use super::{CommandLine, Op, Raw};
use crate::flags::Table;
use crate::json;

impl Raw<'_, '_> {
    pub(super) fn command_line(&mut self, table: Table) -> Option<CommandLine> {
        self.check_flags(table);
        self.command()
    }

    /// A JSON array, or else a line for the shell, whatever it begins with.
    pub(super) fn command(&mut self) -> Option<CommandLine> {
        match json::strings(self.rest) {
            Ok(Some(strings)) => Some(CommandLine::Exec(strings)),
            Ok(None) => Some(CommandLine::Shell(self.rest.spanned())),
            Err(wrong) => {
                self.found.push(wrong);
                None
            }
        }
    }

    pub(super) fn shell(&mut self) -> Option<Op> {
        self.check_flags(&[]);
        match self.command()? {
            CommandLine::Exec(strings) if !strings.is_empty() => Some(Op::Shell(strings)),
            CommandLine::Shell(line) if !line.value.is_empty() => {
                let help = "write SHELL [\"/bin/sh\", \"-c\"]";
                self.error("shell-not-json", "SHELL requires the arguments to be in JSON form", line.span).help =
                    Some(help.into());
                None
            }
            _ => {
                self.missing("at least one argument", "[\"/bin/sh\", \"-c\"]");
                None
            }
        }
    }
}
