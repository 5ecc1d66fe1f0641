//! Trees of files as instructions see them: what COPY reads ([`View`], [`select`]), what a cache key says of it
//! ([`digest`]), and where it is written ([`Destination`]).

mod destination;
mod digest;
mod missing;
mod select;
mod view;
mod walk;
pub(crate) mod xattr;

pub(crate) use destination::{Destination, Ownership, mtime, remove_all};
pub(crate) use digest::digest;
pub(crate) use select::{Match, Selection, names_nothing, select};
pub(crate) use view::View;
pub(crate) use walk::names;
