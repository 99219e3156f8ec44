//! What lies between the feeds and the writer: a bounded number of records.
//!
//! The writer takes all there is at once, so that a busy queue costs one lock per batch on its side; and it is woken
//! for half a queue, since waking it for every record costs more than all the rest.

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
    records: Mutex<(VecDeque<Record>, bool)>,
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

    /// Puts a record in, or does with it what is configured for a full queue.
    pub async fn put(&self, record: Record) {
        if self.try_put(record) {
            return;
        }
        self.0.stats.stalled();
        loop {
            let emptied = self.0.emptied.notified();
            tokio::pin!(emptied);
            // Asked to be told before looking again, or the telling may be missed.
            emptied.as_mut().enable();
            if self.try_put(record) {
                return;
            }
            emptied.await;
        }
    }

    /// Whether the record is dealt with; if not, it has to wait.
    fn try_put(&self, record: Record) -> bool {
        let inner = &*self.0;
        let (records, _) = &mut *inner.records.lock().expect("no panic while held");
        if records.len() >= inner.settings.records {
            match inner.settings.when_full {
                WhenFull::Block => return false,
                WhenFull::DropNewest => {
                    inner.stats.dropped(1);
                    return true;
                }
                WhenFull::DropOldest => {
                    records.pop_front();
                    inner.stats.dropped(1);
                }
            }
        }
        records.push_back(record);
        if records.len() == inner.half() {
            inner.filled.notify_one();
        }
        true
    }

    /// Takes all there is into `batch`, which must be empty; waits for half a queue to come, but not longer than
    /// `timeout`. False once it is closed and empty.
    pub fn take(&self, batch: &mut VecDeque<Record>, timeout: Duration) -> bool {
        let inner = &*self.0;
        let mut records = inner.records.lock().expect("no panic while held");
        if records.0.len() < inner.half() && !records.1 {
            let waited = inner.filled.wait_timeout(records, timeout);
            records = waited.expect("no panic while held").0;
        }
        std::mem::swap(&mut records.0, batch);
        inner.stats.queued(batch.len());
        let open = !records.1 || !batch.is_empty();
        drop(records);
        inner.emptied.notify_waiters();
        open
    }

    /// Whether nothing more will come.
    pub fn is_closed(&self) -> bool {
        self.0.records.lock().expect("no panic while held").1
    }

    /// Nothing more will come.
    pub fn close(&self) {
        self.0.records.lock().expect("no panic while held").1 = true;
        self.0.filled.notify_one();
    }
}

impl Inner {
    /// What the writer is woken for.
    fn half(&self) -> usize {
        self.settings.records.div_ceil(2)
    }
}
