//! Transcripts: what a person types, sees and gets as exit status. What commands mean is tested a layer down.

mod arguments;
mod dockerfile;
mod login;
mod registry;
mod story;
mod util;
