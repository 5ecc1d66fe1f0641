//! The binary: arguments, configuration and rendering. No logic.
fn main() {}
