//! Checks: what builds, and is probably not meant. The rules are BuildKit's, so that a Dockerfile passes here when it passes
//! there; [`RULES`] lists them.
//!
//! Each file has the rules of one theme. Some need nothing but the text ([`check_text`]); the others look at the instructions
//! of stages with the variables that they see, and for that they need to know what base images bring.

mod casing;
mod command;
mod copy;
mod definition;
mod from;
mod options;
mod outline;
mod port;
mod rule;
mod stage;
mod variable;
mod walk;

use std::collections::HashMap;

use archipel_oci::ImageConfig;

use crate::diagnostic::Diagnostic;
use crate::ignore::IgnoreFile;
use crate::nearest::similar;
use crate::phase::{Phase, first_met};
use crate::scope::Globals;
use crate::span::{LineIndex, Span};
use crate::stage::Dockerfile;

pub use options::CheckOptions;
pub use outline::{Outline, OutlineArg, OutlineNeed, outline};
use rule::{
    FROM_AS_CASING, INVALID_DEFINITION_DESCRIPTION, MAINTAINER_DEPRECATED, NO_EMPTY_CONTINUATION, STAGE_NAME_CASING,
};
pub use rule::{RULES, Rule};

/// What a rule has to say. Plain data.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finding {
    /// Which rule.
    pub rule: &'static Rule,
    /// The instruction that it is about.
    pub span: Span,
    /// One sentence.
    pub message: String,
}

impl Finding {
    /// On one line, as BuildKit writes it at the end of a build.
    #[must_use]
    pub fn summary(&self, lines: &LineIndex) -> String {
        format!("{}: {} (line {})", self.rule.name, self.message, lines.line(self.span.start))
    }
}

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// A Dockerfile without errors.
    pub dockerfile: &'a Dockerfile,
    /// Its global scope.
    pub globals: &'a Globals,
    /// The stage that is built, whose own instructions and those of the stages that it needs count. `None`: all do.
    pub target: Option<usize>,
    /// The build context's ignore file.
    pub ignore: Option<&'a IgnoreFile>,
    /// The configs of base images, by the stages that start from them. Of an image that is not here nobody knows which
    /// variables it defines, so none is missing in stages that are built on it.
    pub bases: &'a HashMap<usize, ImageConfig>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// In the order of the text.
    pub findings: Vec<Finding>,
    /// What will fail, as far as it can be known without building.
    pub errors: Vec<Diagnostic>,
}

/// For as many names it is said what may have been meant. Nobody mends more at once, and each is compared with all that are known,
/// of which a hostile text has as many as it has lines.
const MAX_PROPOSALS: usize = 1000;

/// What is found while a text is parsed, at each instruction.
const WHILE_PARSING: [&Rule; 4] =
    [&STAGE_NAME_CASING, &FROM_AS_CASING, &MAINTAINER_DEPRECATED, &INVALID_DEFINITION_DESCRIPTION];

/// Checks what can be checked without a build, also of a text that was parsed with errors. As in BuildKit, the first of those
/// ends it.
#[must_use]
pub fn check_text(dockerfile: &Dockerfile, errors: &[Diagnostic], options: &CheckOptions) -> Vec<Finding> {
    let mut report = Report::new(options);
    report.text(dockerfile);
    let mut findings = report.finish().findings;
    match first_met(errors).map(|first| (first.phase(), first.lines().start)) {
        Some((Phase::Text, _)) => findings.clear(),
        Some((Phase::Instruction, end)) => findings.retain(|found| {
            *found.rule == NO_EMPTY_CONTINUATION || (WHILE_PARSING.contains(&found.rule) && found.span.start <= end)
        }),
        Some((Phase::Whole, _)) | None => {}
    }
    findings
}

/// Checks what can be checked before any stage is looked into: the text, and what becomes of FROM. The errors are those of FROM.
#[must_use]
pub fn check_from(dockerfile: &Dockerfile, globals: &Globals, options: &CheckOptions) -> Checked {
    let bases = HashMap::new();
    let mut report = Report::new(options);
    report.before_stages(&Subject { dockerfile, globals, target: None, ignore: None, bases: &bases });
    report.finish()
}

/// Checks everything, up to the first error: so far docker tells of it too.
#[must_use]
pub fn check(subject: &Subject<'_>, options: &CheckOptions) -> Checked {
    let mut report = Report::new(options);
    report.before_stages(subject);
    match walk::stages(subject) {
        Ok(_) if !report.checked.errors.is_empty() => {}
        Ok(stages) => {
            let mut seen = command::Seen::default();
            let unread = walk::walk(subject, &stages, &mut |visit| {
                if report.checked.errors.is_empty() {
                    report.variables(visit);
                    report.commands(visit, &mut seen);
                    report.ports(visit);
                    report.copies(visit, subject.ignore);
                }
                if let (Err(wrong), true) = (visit.step, visit.before.known) {
                    report.checked.errors.push(wrong.clone());
                }
            });
            report.checked.errors.extend(unread);
        }
        Err(wrong) => report.checked.errors.push(wrong),
    }
    report.finish()
}

/// Collects findings of the rules that count.
struct Report<'a> {
    options: &'a CheckOptions,
    /// What the comments above the instruction at a place say. One instruction may have many findings, and many comments.
    local: Option<(usize, CheckOptions)>,
    /// How many more names are looked at for one that may have been meant.
    proposals: usize,
    checked: Checked,
}

impl<'a> Report<'a> {
    fn new(options: &'a CheckOptions) -> Self {
        Self { options, local: None, proposals: MAX_PROPOSALS, checked: Checked::default() }
    }

    fn text(&mut self, dockerfile: &Dockerfile) {
        self.casing(dockerfile);
        self.names(dockerfile);
        self.definitions(dockerfile);
        self.unread(dockerfile);
    }

    fn before_stages(&mut self, subject: &Subject<'_>) {
        self.text(subject.dockerfile);
        self.from(subject);
        self.unportable_in_globals(subject);
    }

    /// `comments` are those above the instruction, or none for the rules on which BuildKit lets only the directive at the top
    /// have a say.
    fn add(&mut self, rule: &'static Rule, span: &Span, comments: &[String], message: String) {
        let none = CheckOptions::default();
        let local = match &mut self.local {
            _ if comments.is_empty() => &none,
            Some((at, local)) if *at == span.start => local,
            local => &local.insert((span.start, CheckOptions::local(comments))).1,
        };
        if self.options.wants(rule, local) {
            self.checked.findings.push(Finding { rule, span: span.clone(), message });
        }
    }

    /// What may have been meant by a name that stands for nothing.
    fn similar<'n>(&mut self, name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
        self.proposals = self.proposals.checked_sub(1)?;
        similar(name, known)
    }

    fn finish(mut self) -> Checked {
        self.checked.findings.sort_by_key(|finding| finding.span.start);
        self.checked.errors.sort_by_key(|error| error.span.start);
        self.checked
    }
}

#[cfg(test)]
mod tests;
