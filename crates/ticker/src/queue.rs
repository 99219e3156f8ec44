//! The bounded queue of records between the feeds and the writer.
//!
//! A feed adds the records of one socket read at once, and the writer takes everything at once, so one lock serves many
//! records. The writer is woken when the queue is half full, because waking it for every record would be too expensive.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use crate::config::{QueueSettings, WhenFull};
use crate::record::Record;
use crate::stats::Stats;

/// A handle to the queue; clones refer to the same one.
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
    /// Creates an empty queue.
    pub fn new(settings: QueueSettings, stats: Arc<Stats>) -> Self {
        Queue(Arc::new(Inner {
            settings,
            stats,
            records: Mutex::default(),
            filled: Condvar::new(),
            emptied: Notify::new(),
        }))
    }

    /// Moves `records` into the queue; if it is full, applies the configured policy to the rest.
    pub async fn put(&self, records: &mut Vec<Record>) {
        if self.try_put(records) {
            return;
        }
        self.0.stats.stalled();
        loop {
            let emptied = self.0.emptied.notified();
            tokio::pin!(emptied);
            // Register for the notification before checking again, or it could be missed.
            emptied.as_mut().enable();
            if self.try_put(records) {
                return;
            }
            emptied.await;
        }
    }

    /// Whether all records were handled; if not, the remaining ones have to wait.
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

    /// Moves all records into `batch`, which must be empty; waits until the queue is half full, but no longer than
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
    /// The number of records at which the writer is woken.
    fn half(&self) -> usize {
        self.settings.records.div_ceil(2)
    }
}
