//! Bake files: what `docker buildx bake` builds, from `docker-bake.hcl`, `docker-bake.json` and compose files.
//!
//! Nothing here reads a file, a variable or a clock: texts and lookups come in, targets go out. [`read()`] makes a [`Definition`] of
//! files: [`source`] brings both notations to one form, [`world`] holds what they name and evaluates it ([`eval`], [`functions`])
//! when it is asked for, [`compose`] reads the other language. [`Definition::resolve`] makes a [`Bake`] of it, the targets that were
//! asked for with everything applied. What is wrong has a place in a file, wherever it can.

#![forbid(unsafe_code)]

mod compose;
mod definition;
mod entry;
mod eval;
mod fault;
mod function;
mod functions;
mod json;
mod kind;
mod overrides;
mod path;
mod resolve;
mod source;
mod target;
mod template;
mod value;
mod variable;
mod world;

pub use compose::dot_env;
pub use definition::{Definition, Facts, File, Group, Lookup, read};
pub use entry::{Entry, Ssh};
pub use fault::{Error, Place};
pub use path::{clean, is_remote};
pub use resolve::Bake;
pub use target::Target;
pub use variable::Shown as Variable;
