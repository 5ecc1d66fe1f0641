//! ONBUILD: an instruction for another build.

use super::{Keyword, Op, Raw};
use crate::diagnostic::Severity;
use crate::parse;

/// What is wrong already in the way that an instruction is written. The rest is wrong only once the trigger is used, and a
/// Dockerfile whose triggers nobody uses is built all the same.
const SYNTAX: [&str; 3] = ["missing-equals", "missing-value-of-pair", "json-not-strings"];

impl Raw<'_, '_> {
    pub(super) fn onbuild(&mut self) -> Option<Op> {
        self.check_flags(&[]);
        if self.rest.is_empty() {
            self.missing("at least one argument", "RUN command");
            return None;
        }
        let (name, _) = self.rest.split_blank();
        match Keyword::parse(name.text()) {
            Some(Keyword::Onbuild) => {
                self.error("chained-onbuild", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", name.span())
                    .help = Some("write the second ONBUILD in a Dockerfile of its own".into());
                return None;
            }
            Some(keyword @ (Keyword::Maintainer | Keyword::From)) => {
                self.error("invalid-trigger", format!("{keyword} isn't allowed as an ONBUILD trigger"), name.span());
                return None;
            }
            _ => {}
        }
        let mut found = Vec::new();
        parse::statement(self.rest, self.heredocs, &[], self.escape, &mut found);
        for mut wrong in found {
            if !SYNTAX.contains(&wrong.code) && wrong.severity == Severity::Error {
                wrong.severity = Severity::Warning;
                wrong.message.push_str("; a build on top of this image will fail");
            }
            self.found.push(wrong);
        }
        // Docker keeps the blanks at its end.
        let mut text = self.whole.untrimmed().from(name_end(self.whole.text())).text().trim_start().to_owned();
        for heredoc in self.heredocs {
            text.push('\n');
            text.push_str(&heredoc.content);
            text.push_str(&heredoc.name);
        }
        Some(Op::Onbuild(text))
    }
}

/// Where `ONBUILD` ends.
fn name_end(text: &str) -> usize {
    text.find(crate::line::blank).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use crate::{Op, parse};

    #[test]
    fn a_trigger_keeps_the_blanks_at_its_end() {
        for (text, expected) in [
            ("FROM scratch\nONBUILD  RUN  a  b\t \nCMD x", "RUN  a  b\t "),
            ("FROM scratch\n onbuild RUN a \\\n  b \\", "RUN a   b "),
            ("FROM scratch\nONBUILD RUN <<E \nx\nE\n", "RUN <<E \nx\nE"),
        ] {
            let parsed = parse(text);
            assert!(parsed.is_ok(), "{:?}", parsed.diagnostics);
            assert_eq!(parsed.dockerfile.stages[0].instructions[0].op, Op::Onbuild(expected.into()));
        }
    }
}
