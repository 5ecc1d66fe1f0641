//! Variables: what is not defined, what should be no secret, and what only we define.

use super::rule::{SECRETS_USED_IN_ARG_OR_ENV, UNDEFINED_VAR, UNPORTABLE_ARG};
use super::walk::Visit;
use super::{Report, Subject};
use crate::arch::OWN_ARGS;
use crate::instruction::{ArgDefinition, Instruction, Op};
use crate::nearest::did_you_mean;
use crate::scope::{Globals, NO_VARIABLES};
use crate::stage::Stage;
use crate::step::Step;

/// Words that make a name a secret's.
const SECRET: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];

/// Words that make it none all the same.
const NO_SECRET: [&str; 3] = ["public", "file", "version"];

impl Report<'_> {
    pub(super) fn variables(&mut self, visit: &Visit<'_>) {
        let instruction = visit.instruction;
        match (&instruction.op, visit.step) {
            (Op::Env(_), Ok(Step::Env(pairs))) => {
                pairs.iter().for_each(|(name, _)| self.secret("ENV", name, instruction));
            }
            (Op::Arg(args), _) => args.iter().for_each(|arg| {
                self.secret("ARG", &arg.name.value, instruction);
                self.unportable(arg, &visit.scope.globals, instruction);
            }),
            // As in BuildKit: a port that is not defined is no port.
            (Op::Expose(_), _) => return,
            _ => {}
        }
        if visit.before.known {
            self.undefined(visit);
        }
    }

    fn undefined(&mut self, visit: &Visit<'_>) {
        let instruction = visit.instruction;
        let names = visit.scope.values().pairs().iter().take(visit.before.names).map(|(name, _)| name.as_str());
        for (name, _) in visit.missing.iter().filter(|(name, _)| !NO_VARIABLES.contains(&name.as_str())) {
            let near = self.similar(name, names.clone()).map(|near| format!("${near}"));
            let message = format!("Usage of undefined variable '${name}'{}", did_you_mean(near));
            self.add(&UNDEFINED_VAR, &instruction.span, &instruction.comments, message);
        }
    }

    fn secret(&mut self, keyword: &str, name: &str, instruction: &Instruction) {
        let has = |words: &[&str]| name.split('_').any(|part| words.iter().any(|word| part.eq_ignore_ascii_case(word)));
        if has(&SECRET) && !has(&NO_SECRET) {
            let message = format!("Do not use ARG or ENV instructions for sensitive data ({keyword} {name:?})");
            self.add(&SECRETS_USED_IN_ARG_OR_ENV, &instruction.span, &instruction.comments, message);
        }
    }

    pub(super) fn unportable_in_globals(&mut self, subject: &Subject<'_>) {
        for instruction in &subject.dockerfile.globals {
            if let Op::Arg(args) = &instruction.op {
                args.iter().for_each(|arg| self.unportable(arg, subject.globals, instruction));
            }
        }
    }

    /// In FROM they need no ARG. Where there is one, that is where to say it.
    pub(super) fn unportable_in_from(&mut self, subject: &Subject<'_>, stage: &Stage, used: &[String]) {
        let declared = |name: &str| subject.globals.declared().any(|known| known == name);
        for name in used.iter().filter(|name| is_own(name, subject.globals) && !declared(name)) {
            self.add(&UNPORTABLE_ARG, &stage.span, &stage.comments, unportable(name));
        }
    }

    fn unportable(&mut self, arg: &ArgDefinition, globals: &Globals, instruction: &Instruction) {
        if arg.default.is_none() && is_own(&arg.name.value, globals) {
            self.add(&UNPORTABLE_ARG, &instruction.span, &instruction.comments, unportable(&arg.name.value));
        }
    }
}

/// Whether its value comes from us, and not from the command line.
fn is_own(name: &str, globals: &Globals) -> bool {
    OWN_ARGS.contains(&name) && globals.given(name).is_none()
}

fn unportable(name: &str) -> String {
    format!("'{name}' is set by archipel only, with other builders it is empty unless --build-arg sets it")
}
