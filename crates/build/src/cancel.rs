//! How a running build is told to stop: by a person's Ctrl-C, or because another of its steps failed.

use tokio::sync::watch;

/// A switch that is thrown once. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Cancel(watch::Sender<bool>);

impl Default for Cancel {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Cancel {
    /// Throws it.
    pub(crate) fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was thrown.
    #[must_use]
    pub(crate) fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is thrown.
    pub(crate) async fn cancelled(&self) {
        // The sender lives in `self`, so the only way out of the wait is the switch.
        let _ = self.0.subscribe().wait_for(|thrown| *thrown).await;
    }
}
