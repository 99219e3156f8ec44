//! Work that keeps a processor busy for longer than an answer may wait for its turn: pictures, optimisation. It has threads of its
//! own, and there is only so much of it at once.

use std::time::Duration;

use tokio::sync::Semaphore;

use super::refusal::Refusal;

/// How much of it is done at once: more would only take the processor from each other.
const AT_ONCE: usize = 2;
/// How long it waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// The turns.
pub(super) struct Work(Semaphore);

impl Default for Work {
    fn default() -> Self {
        Work(Semaphore::new(AT_ONCE))
    }
}

impl Work {
    /// Does it when it is its turn.
    pub(super) async fn run<V: Send + 'static>(
        &self,
        work: impl FnOnce() -> V + Send + 'static,
    ) -> Result<V, Refusal> {
        let turn = tokio::time::timeout(PATIENCE, self.0.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            let why = "others have pictures drawn or racks optimised";
            return Err(Refusal::unavailable("the planner is busy", why));
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Refusal::broken("a picture or a proposal was not made", error))
    }
}
