//! The shutdown signal, seen by every task and thread.

use std::sync::Arc;

use tokio::sync::watch;

/// A handle to the shutdown signal; all clones see it at once.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Shutdown {
    /// Gives the signal.
    pub fn request(&self) {
        self.0.send_replace(true);
    }

    /// Whether the signal was given.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the signal is given.
    pub async fn requested(&self) {
        // The sender lives in self, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|requested| *requested).await;
    }
}
