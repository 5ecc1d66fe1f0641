//! When a request is made again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// How often and after how long.
#[derive(Debug, Clone)]
pub struct Retry {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// The first wait; each further one is twice as long, less a random part, so that many clients do not come back as one.
    pub first_wait: Duration,
    /// No wait is longer, whatever the registry asks for.
    pub longest_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 5, first_wait: Duration::from_millis(200), longest_wait: Duration::from_secs(30) }
    }
}

/// The attempts of one request, or of one transfer since it last got somewhere.
pub(crate) struct Attempts {
    retry: Retry,
    made: u32,
}

impl Attempts {
    pub(crate) fn new(retry: &Retry) -> Self {
        Self { retry: retry.clone(), made: 0 }
    }

    /// Begins to count anew: the last attempt got somewhere.
    pub(crate) fn reset(&mut self) {
        self.made = 0;
    }

    /// Waits for the next attempt, or says that there is none.
    pub(crate) async fn again(&mut self, asked: Option<Duration>) -> bool {
        self.made += 1;
        if self.made >= self.retry.attempts {
            return false;
        }
        let doubled = self.retry.first_wait.saturating_mul(1 << (self.made - 1).min(16));
        let wait = asked.unwrap_or_else(|| jitter(doubled)).min(self.retry.longest_wait);
        tokio::time::sleep(wait).await;
        true
    }
}

/// Between half of the time and all of it.
fn jitter(wait: Duration) -> Duration {
    // The standard library seeds its hash maps randomly: randomness enough, and no dependency.
    let thousandths = RandomState::new().hash_one(0) % 500;
    wait / 1000 * (500 + u32::try_from(thousandths).unwrap_or(0))
}

/// Whether a status means "later" rather than "no".
pub(crate) fn transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// `Retry-After` in seconds. The form with a date is not read: it needs both clocks to agree, and no registry sends it.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
