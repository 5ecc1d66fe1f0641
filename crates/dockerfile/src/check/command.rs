//! CMD, ENTRYPOINT, HEALTHCHECK, WORKDIR, ENV and LABEL.

use std::collections::HashMap;

use super::Report;
use super::rule::{
    JSON_ARGS_RECOMMENDED, LEGACY_KEY_VALUE_FORMAT, MULTIPLE_INSTRUCTIONS_DISALLOWED, WORKDIR_RELATIVE_PATH,
};
use super::walk::Visit;
use crate::instruction::{CommandLine, Keyword, Op};
use crate::span::Span;

/// Where a stage last had an instruction of which only the last one counts.
pub(super) type Seen = HashMap<(usize, Keyword), Span>;

impl Report<'_> {
    pub(super) fn commands(&mut self, visit: &Visit<'_>, seen: &mut Seen) {
        let instruction = visit.instruction;
        let (span, comments) = (&instruction.span, instruction.comments.as_slice());
        let name = &instruction.name.value;
        match &instruction.op {
            Op::Cmd(_) | Op::Entrypoint(_) | Op::Healthcheck(_) => {
                // The earlier one is the one to remove.
                if let Some(earlier) = seen.insert((visit.stage.index, instruction.keyword()), span.clone()) {
                    let message = format!(
                        "Multiple {name} instructions should not be used in the same stage because only the last one will be used"
                    );
                    self.add(&MULTIPLE_INSTRUCTIONS_DISALLOWED, &earlier, comments, message);
                }
                // Who sets a shell wants it.
                let shell =
                    matches!(&instruction.op, Op::Cmd(CommandLine::Shell(_)) | Op::Entrypoint(CommandLine::Shell(_)));
                if shell && !visit.before.shell_set {
                    let message = format!(
                        "JSON arguments recommended for {name} to prevent unintended behavior related to OS signals"
                    );
                    self.add(&JSON_ARGS_RECOMMENDED, span, comments, message);
                }
            }
            // Only the first one depends on the base image: to mend it is to mend all.
            Op::Workdir(word) if !visit.before.workdir_set => {
                if let Some(path) =
                    visit.scope.peek(word).ok().map(|found| found.text).filter(|path| !path.starts_with('/'))
                {
                    let message =
                        format!("Relative workdir {path:?} can have unexpected results if the base image changes");
                    self.add(&WORKDIR_RELATIVE_PATH, span, comments, message);
                }
            }
            Op::Env(pairs) | Op::Label(pairs) if visit.step.is_ok() && pairs.iter().any(|pair| pair.legacy) => {
                let message =
                    format!("\"{name} key=value\" should be used instead of legacy \"{name} key value\" format");
                self.add(&LEGACY_KEY_VALUE_FORMAT, span, comments, message);
            }
            _ => {}
        }
    }
}
