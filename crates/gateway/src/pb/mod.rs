//! The messages, as BuildKit's `.proto` files have them (release 0.26 and what its main branch has added until August 2026).
//! They are written down here by number and type: nothing is generated, and no compiler of such files is needed.

mod file;
mod gateway;
mod ops;

pub use file::*;
pub use gateway::*;
pub use ops::*;
