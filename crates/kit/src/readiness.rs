//! Readiness: a service is ready when the last latch has been dropped.
//!
//! Code that must finish before the service is usable takes a latch and drops it when done. A service that is ready
//! stays ready; later failures affect its health.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::health::Name;

/// Holds the service back from being ready until dropped.
#[derive(Debug)]
pub struct Latch {
    id: u64,
    latches: Latches,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Latches(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    held: Mutex<(u64, BTreeMap<u64, Name>)>,
    ready: watch::Sender<bool>,
}

impl Latches {
    pub(crate) fn take(&self, name: Name) -> Latch {
        let mut held = self.0.held.lock().expect("no panic while held");
        held.0 += 1;
        let id = held.0;
        held.1.insert(id, name);
        Latch {
            id,
            latches: self.clone(),
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        *self.0.ready.borrow()
    }

    /// The names of the latches that are still held.
    pub(crate) fn waiting_for(&self) -> Vec<Name> {
        let held = self.0.held.lock().expect("no panic while held");
        held.1.values().cloned().collect()
    }

    pub(crate) async fn ready(&self) {
        let _ = self.0.ready.subscribe().wait_for(|ready| *ready).await;
    }
}

impl Drop for Latch {
    fn drop(&mut self) {
        let mut held = self.latches.0.held.lock().expect("no panic while held");
        held.1.remove(&self.id);
        if held.1.is_empty() {
            self.latches.0.ready.send_replace(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_the_last_latch_drops_and_for_ever_after() {
        let latches = Latches::default();
        let (first, second) = (
            latches.take("sensor".into()),
            latches.take("history".into()),
        );
        assert_eq!(latches.waiting_for(), ["sensor", "history"]);
        drop(first);
        assert!(!latches.is_ready());
        drop(second);
        assert!(latches.is_ready());
        let _late = latches.take("late".into());
        assert!(latches.is_ready());
    }
}
