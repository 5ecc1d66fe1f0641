//! When a request is made again.

use std::time::Duration;

/// How often and after how long.
#[derive(Debug, Clone)]
pub struct Retry {
    /// Attempts in all.
    pub attempts: u32,
    /// The first wait; each further one is twice as long.
    pub first_wait: Duration,
    /// No wait is longer, whatever the registry asks for.
    pub longest_wait: Duration,
}
