//! What lies between the feeds and the writer: a bounded number of records.
//!
//! A feed puts in what one read of its socket brought, and the writer takes all there is at once: one lock for many
//! records. The writer is woken for half a queue, since waking it for every record costs more than all the rest.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use crate::config::{QueueSettings, WhenFull};
use crate::record::Record;
use crate::stats::Stats;

/// The queue; copies are the same.
#[derive(Debug, Clone)]
pub struct Queue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: QueueSettings,
    stats: Arc<Stats>,
    records: Mutex<VecDeque<Record>>,
    filled: Condvar,
    emptied: Notify,
}

impl Queue {
    /// An empty one.
    pub fn new(settings: QueueSettings, stats: Arc<Stats>) -> Self {
        Queue(Arc::new(Inner {
            settings,
            stats,
            records: Mutex::default(),
            filled: Condvar::new(),
            emptied: Notify::new(),
        }))
    }

    /// Moves `records` in, or does with those for which there is no room what is configured for a full queue.
    pub async fn put(&self, records: &mut Vec<Record>) {
        if self.try_put(records) {
            return;
        }
        self.0.stats.stalled();
        loop {
            let emptied = self.0.emptied.notified();
            tokio::pin!(emptied);
            // Asked to be told before looking again, or the telling may be missed.
            emptied.as_mut().enable();
            if self.try_put(records) {
                return;
            }
            emptied.await;
        }
    }

    /// Whether all of the records are dealt with; if not, those that are left have to wait.
    fn try_put(&self, records: &mut Vec<Record>) -> bool {
        let inner = &*self.0;
        let queued = &mut *inner.records.lock().expect("no panic while held");
        let before = queued.len();
        let room = inner.settings.records.saturating_sub(before);
        let over = records.len().saturating_sub(room);
        match inner.settings.when_full {
            WhenFull::Block => queued.extend(records.drain(..records.len() - over)),
            WhenFull::DropNewest => {
                queued.extend(records.drain(..records.len() - over));
                records.clear();
                inner.stats.dropped(over as u64);
            }
            WhenFull::DropOldest => {
                let queued_too_long = over.min(before);
                queued.drain(..queued_too_long);
                queued.extend(records.drain(..).skip(over - queued_too_long));
                inner.stats.dropped(over as u64);
            }
        }
        if before < inner.half() && queued.len() >= inner.half() {
            inner.filled.notify_one();
        }
        records.is_empty()
    }

    /// Takes all there is into `batch`, which must be empty; waits for half a queue to come, but not longer than
    /// `timeout`.
    pub fn take(&self, batch: &mut VecDeque<Record>, timeout: Duration) {
        let inner = &*self.0;
        let mut records = inner.records.lock().expect("no panic while held");
        if records.len() < inner.half() {
            let waited = inner.filled.wait_timeout(records, timeout);
            records = waited.expect("no panic while held").0;
        }
        std::mem::swap(&mut *records, batch);
        inner.stats.queued(batch.len());
        drop(records);
        inner.emptied.notify_waiters();
    }
}

impl Inner {
    /// What the writer is woken for.
    fn half(&self) -> usize {
        self.settings.records.div_ceil(2)
    }
}
