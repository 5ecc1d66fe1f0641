//! Upper and lower case of instructions and their keywords.

use super::Report;
use super::rule::{CONSISTENT_INSTRUCTION_CASING, FROM_AS_CASING};
use crate::span::Span;
use crate::stage::Dockerfile;

impl Report<'_> {
    pub(super) fn casing(&mut self, dockerfile: &Dockerfile) {
        for stage in &dockerfile.stages {
            if let Some(as_) = &stage.as_ {
                self.casing_of_as(&stage.from.value, &as_.value, &stage.span, &stage.comments);
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

    pub(super) fn casing_of_as(&mut self, from: &str, as_: &str, span: &Span, comments: &[String]) {
        // A FROM that is neither is told of already.
        if Case::of(from).is_some_and(|case| !case.is(as_)) {
            let message = format!("'{as_}' and '{from}' keywords' casing do not match");
            self.add(&FROM_AS_CASING, span, comments, message);
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
