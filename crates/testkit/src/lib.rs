//! Shared by tests: temporary homes and runs of the binary in them, tiny images, registries (ours and Debian's), a scripted HTTP
//! server, and probes of the machine. Everything panics with a reason where a test cannot go on; nothing leaves the loopback
//! device.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, clippy::print_stderr, reason = "this is test code that other crates share")]

mod bases;
mod command;
pub mod elf;
mod home;
mod image;
mod peer;
pub mod probe;
mod registry;
pub mod script;

pub use bases::bases;
pub use command::{Archipel, Finished};
pub use home::TempHome;
pub use image::{Image, ImageBuilder, write_layout};
pub use peer::DockerRegistry;
pub use registry::OwnRegistry;
pub use script::{Reply, Script, ScriptServer};
