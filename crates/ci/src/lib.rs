//! `.gitlab-ci.yml`: read, expanded, planned, and run in containers of our own.
//!
//! [`Project`] is the way in: it finds the repository, reads its pipeline, plans it and prepares a run. What a pipeline goes through:
//!
//! 1. [`parse`]: the text and what it includes become a [`Pipeline`] of checked [`job::Job`]s. `yaml` reads as Ruby's Psych does,
//!    `include` and `extends` put files and jobs over each other, `reader` and `job` make types of it. Every finding has a
//!    [`Span`]; several are found at once.
//! 2. [`Pipeline::plan`]: for a commit ([`Facts`]), rules choose jobs, copies are made, variables come together in their order of
//!    precedence, and each job knows what it waits for.
//!    [`git::WorkTree`] gathers the facts.
//! 3. [`Schedule`]: what may start now, and what is skipped after a failure.
//! 4. [`run::run`]: each job in a container of its own, over the working tree; what happens is told as [`run::Event`]s.
#![forbid(unsafe_code)]

mod diagnostic;
mod duration;
mod expression;
mod extends;
pub mod git;
mod glob;
mod include;
pub mod job;
pub mod mask;
mod pipeline;
mod plan;
pub mod predefined;
mod project;
mod reader;
pub mod run;
mod schedule;
pub mod script;
pub mod secret;
mod slug;
mod span;
mod variable;
mod yaml;

pub use diagnostic::{Diagnostic, Severity};
pub use expression::{Expression, ExpressionError};
pub use include::Files;
pub use pipeline::{Parsed, Pipeline, parse};
pub use plan::{Facts, Plan, PlannedJob, Unplanned};
pub use predefined::{Ref, Registry, RegistryLogin, Repository};
pub use project::{Error, FILE, Given, Project};
pub use schedule::{Schedule, Skip, State};
pub use slug::{environment_slug, slug};
pub use span::{Source, Sources, Span, Spanned};
pub use variable::{TooLong, Values, Variable, Variables};
