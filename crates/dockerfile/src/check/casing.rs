//! Upper and lower case of instructions and their keywords.

use super::Report;
use super::rule::{CONSISTENT_INSTRUCTION_CASING, FROM_AS_CASING};
use crate::stage::Dockerfile;

impl Report<'_> {
    pub(super) fn casing(&mut self, dockerfile: &Dockerfile) {
        for stage in &dockerfile.stages {
            let (from, Some(as_)) = (&stage.from.value, &stage.as_) else { continue };
            // One that is neither is told of already.
            let Some(case) = Case::of(from) else { continue };
            if !case.is(&as_.value) {
                let message = format!("'{}' and '{from}' keywords' casing do not match", as_.value);
                self.add(&FROM_AS_CASING, &stage.span, &stage.comments, message);
            }
        }
        let names = || {
            dockerfile.stages.iter().flat_map(|stage| {
                let own = stage.instructions.iter().map(|i| (&i.name.value, &i.span));
                std::iter::once((&stage.from.value, &stage.span)).chain(own)
            })
        };
        let count = |case| names().filter(|(name, _)| Case::of(name) == Some(case)).count();
        let case = if count(Case::Lower) > count(Case::Upper) { Case::Lower } else { Case::Upper };
        for (name, span) in names().filter(|(name, _)| !case.is(name)) {
            let case = match case {
                Case::Lower => "lowercase",
                Case::Upper => "uppercase",
            };
            let message = format!("Command '{name}' should match the case of the command majority ({case})");
            self.add(&CONSISTENT_INSTRUCTION_CASING, span, &[], message);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Lower,
    Upper,
}

impl Case {
    fn of(word: &str) -> Option<Self> {
        [Self::Lower, Self::Upper].into_iter().find(|case| case.is(word))
    }

    fn is(self, word: &str) -> bool {
        match self {
            Self::Lower => !word.contains(char::is_uppercase),
            Self::Upper => !word.contains(char::is_lowercase),
        }
    }
}
