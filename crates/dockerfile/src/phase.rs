//! In which order BuildKit comes to what is wrong: it stops at the first error, and what its checks find after that is not told.

use crate::diagnostic::Diagnostic;

/// When an error of a text is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// When the text is taken apart, before any instruction is understood.
    Text,
    /// At its instruction.
    Instruction,
    /// When it is known what all instructions say.
    Whole,
}

const TEXT: [&str; 8] = [
    "duplicate-directive",
    "invalid-escape",
    "json-not-strings",
    "line-too-long",
    "missing-equals",
    "missing-value-of-pair",
    "no-instructions",
    "unterminated-heredoc",
];
const WHOLE: [&str; 4] = ["circular-dependency", "invalid-stage-index", "no-stages", "variable-in-copy-from"];

impl Diagnostic {
    /// When an error that a text was parsed with is met.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.code {
            code if TEXT.contains(&code) => Phase::Text,
            code if WHOLE.contains(&code) => Phase::Whole,
            _ => Phase::Instruction,
        }
    }
}

/// The error of a parsed text that is met first.
#[must_use]
pub fn first_met(errors: &[Diagnostic]) -> Option<&Diagnostic> {
    errors.iter().min_by_key(|error| error.phase())
}

#[cfg(test)]
mod tests {
    use crate::{CheckOptions, LineIndex, check_text, first_met, parse};

    #[test]
    fn the_first_error_ends_what_is_found() {
        let written = |text: &str| {
            let parsed = parse(text);
            let found = check_text(&parsed.dockerfile, &parsed.diagnostics, &CheckOptions::default());
            found.iter().map(|finding| finding.rule.name).collect::<Vec<_>>()
        };
        let text = "FROM scratch AS A\nMAINTAINER x\nFOO\nMAINTAINER y\nenv a\\\n\n b";
        assert_eq!(written(text), ["StageNameCasing", "MaintainerDeprecated", "NoEmptyContinuation"]);
        assert!(written(&format!("{text}\nENV a")).is_empty());
        assert_eq!(
            written("FROM scratch as a\nCOPY --from=a a b\nfrom a"),
            ["FromAsCasing", "ConsistentInstructionCasing"]
        );
        // An instruction that is wrong is told of as far as it is read.
        assert_eq!(
            written("FROM scratch\nFROM --foo=a scratch as \\\n\nB\nFROM a as b"),
            ["FromAsCasing", "StageNameCasing", "NoEmptyContinuation"]
        );
        assert_eq!(written("FROM scratch as a b c\n"), ["FromAsCasing"]);
        assert_eq!(written("FROM scratch\nMAINTAINER\nMAINTAINER x\n"), ["MaintainerDeprecated"]);
    }

    #[test]
    fn an_error_is_of_a_whole_instruction() {
        for (text, lines) in [
            ("FROM scratch\nCOPY \\\n --foo \\\n a b\n", (2, 4)),
            ("FROM scratch\nENV a=b \\\n c\nFOO\n", (2, 3)),
            ("FROM scratch\nFOO\nENV a=b \\\n c\n", (3, 4)),
            ("FROM scratch\nONBUILD \\\n FROM x\n", (2, 3)),
            ("ENV \\\n a=b\nFROM scratch\n", (1, 2)),
            ("FROM scratch\nCOPY <<E \\\n /x\nfoo\n", (2, 4)),
            ("FROM scratch\nADD \\\n a \\\n <<E\nE\n", (2, 5)),
            ("FROM \\\n scratch AS \\\n 1\n", (1, 3)),
            ("FROM scratch\nCOPY \\\n --from=7 \\\n a b\n", (2, 4)),
        ] {
            let parsed = parse(text);
            let first = first_met(&parsed.diagnostics).unwrap().clone();
            let first = parsed.dockerfile.located(first);
            assert_eq!(LineIndex::new(text).lines(first.lines()), lines, "{text}");
        }
    }
}
