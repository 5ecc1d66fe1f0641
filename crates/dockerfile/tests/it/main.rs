//! What must hold for any text, and what some texts come to.
#![expect(clippy::unwrap_used, reason = "tests")]

mod fragments;
mod golden;
mod hostile;
mod properties;
