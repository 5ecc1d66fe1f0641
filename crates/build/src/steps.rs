//! Numbers for the steps of one build.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::StepId;

/// Gives out numbers. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steps(Arc<AtomicU32>);

impl Steps {
    /// The next one, from 1.
    pub(crate) fn next(&self) -> StepId {
        StepId(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
