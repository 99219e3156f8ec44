//! The turns of those who log in: a crowd of them takes neither the memory nor the processor of a small device.

use tokio::sync::Semaphore;

use super::refusal::Refusal;
use crate::password::{is, keep, keep_instead};

/// Hashes at once. Each has a core to itself and 19 MiB.
const AT_ONCE: usize = 2;
/// Hashes that wait for their turn, beside those that are made.
const WAITING: usize = 32;

/// Makes and compares hashes, a few at once.
pub(super) struct Passwords {
    turns: Semaphore,
    places: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        Passwords {
            turns: Semaphore::new(AT_ONCE),
            places: Semaphore::new(AT_ONCE + WAITING),
        }
    }
}

impl Passwords {
    /// What is kept of a password.
    pub(super) async fn keep(&self, password: String) -> Result<String, Refusal> {
        self.in_turn(move || keep(&password)).await
    }

    /// What is kept of a new password in place of what was kept before.
    pub(super) async fn keep_instead(
        &self,
        password: String,
        before: String,
    ) -> Result<String, Refusal> {
        self.in_turn(move || keep_instead(&password, &before)).await
    }

    /// Whether it is this one. Where there is none, it takes as long to say no: otherwise the time would tell which names exist.
    pub(super) async fn is(&self, password: String, kept: Option<String>) -> Result<bool, Refusal> {
        self.in_turn(move || match kept {
            Some(kept) => is(&password, &kept),
            None => {
                keep(&password);
                false
            }
        })
        .await
    }

    async fn in_turn<V: Send + 'static>(
        &self,
        work: impl FnOnce() -> V + Send + 'static,
    ) -> Result<V, Refusal> {
        let busy = || Refusal::unavailable("too many logins at once", "try again");
        let _place = self.places.try_acquire().map_err(|_| busy())?;
        let _turn = self.turns.acquire().await.map_err(|_| busy())?;
        // If the caller hangs up, the work goes on without its turn: that is one hash more than [`AT_ONCE`] for a moment.
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Refusal::broken("a password was not hashed", error))
    }
}
