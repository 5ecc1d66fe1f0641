//! The Dockerfile language: text in, checked stages and steps out. Pure: no file is opened here.
#![forbid(unsafe_code)]

mod arch;
mod base;
mod check;
mod chmod;
mod circle;
mod csv;
mod diagnostic;
mod directive;
mod duration;
mod expand;
mod flags;
mod heredoc;
mod history;
mod ignore;
mod instruction;
mod json;
mod line;
mod mount;
mod nearest;
mod number;
mod parse;
mod path;
mod pattern;
mod phase;
mod redact;
mod scope;
mod source;
mod span;
mod stage;
mod step;
mod substitute;
mod values;
mod word;

pub use arch::{OWN_ARGS, automatic_args};
pub use check::{
    CheckOptions, Checked, Finding, Outline, OutlineArg, OutlineNeed, RULES, Rule, Subject, check, check_from,
    check_text, outline,
};
pub use chmod::Chmod;
pub use csv::csv_fields;
pub use diagnostic::{Diagnostic, Label, Severity};
pub use directive::Directives;
pub use heredoc::Heredoc;
pub use ignore::{IgnoreError, IgnoreFile};
pub use instruction::*;
pub use mount::*;
pub use nearest::{did_you_mean, nearest};
pub use number::boolean;
pub use parse::{Parsed, parse, parse_trigger};
pub use path::clean as clean_path;
pub use pattern::{glob_match, path_match};
pub use phase::{Phase, first_met};
pub use redact::{masked, redacted};
pub use scope::{Globals, Scope, is_proxy};
pub use source::{AddSource, GitSource};
pub use span::{LineIndex, Span, Spanned};
pub use stage::{Dockerfile, From, Stage};
pub use step::*;
