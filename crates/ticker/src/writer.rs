//! The worker that owns the store.
//!
//! Records come to it through [`Queue`] and not through the worker's own: a closure for every record, more than a
//! million a second, would cost more than all the rest. So each turn waits for the queue, for a moment at most.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use kit::{Actor, Component, Kit};

use crate::Clock;
use crate::queue::Queue;
use crate::record::Record;
use crate::stats::Stats;
use crate::store::{SegmentError, Space, Store};

/// Longest without looking at the clock.
const SLICE: Duration = Duration::from_millis(100);
/// How often the room on the disk is looked at, and how long writing rests when it fails.
const DISK_PERIOD: Duration = Duration::from_secs(1);
/// Writing a large buffer to a slow card takes seconds; longer than this is stuck.
const BEAT: Duration = Duration::from_secs(60);

/// Starts writing what comes through `queue`. When the service has ended, what is left is written, and all files are
/// completed.
pub fn start(
    kit: &Kit,
    store: Store,
    space: Space,
    queue: Queue,
    clock: Clock,
    stats: Arc<Stats>,
) -> anyhow::Result<()> {
    kit.worker("disk", BEAT, |disk| Writer {
        store,
        space,
        queue,
        clock,
        stats,
        disk,
        batch: VecDeque::with_capacity(1024),
        looked: None,
    })?;
    Ok(())
}

struct Writer {
    store: Store,
    space: Space,
    queue: Queue,
    clock: Clock,
    stats: Arc<Stats>,
    disk: Component,
    /// What was taken and could not be written yet.
    batch: VecDeque<Record>,
    looked: Option<Instant>,
}

impl Actor for Writer {
    fn turn(&mut self) -> Duration {
        // While writing fails the queue is left alone: what does not fit into it is its policy's business.
        if self.batch.is_empty() {
            self.queue.take(&mut self.batch, SLICE);
        }
        self.look_at_the_disk();
        match self.write() {
            Ok(()) => Duration::ZERO,
            Err(error) => {
                self.failed(&error);
                DISK_PERIOD
            }
        }
    }

    fn stop(mut self) -> anyhow::Result<()> {
        // Nothing more comes, as the feeds have ended.
        let mut outcome = self.write();
        if outcome.is_ok() {
            self.queue.take(&mut self.batch, Duration::ZERO);
            outcome = self.write();
        }
        if let Err(error) = outcome {
            self.failed(&error);
            let mut lost = self.batch.len();
            self.batch.clear();
            self.queue.take(&mut self.batch, Duration::ZERO);
            lost += self.batch.len();
            self.stats.lost(lost as u64);
        }
        let outcome = self.store.finish((self.clock)());
        self.stats.log();
        outcome.context("cannot write the last received records")
    }
}

impl Writer {
    fn write(&mut self) -> Result<(), SegmentError> {
        let mut outcome = Ok(());
        let mut records = self.batch.iter();
        let taken = records.position(|record| {
            outcome = self.store.take(record);
            outcome.is_err()
        });
        self.batch.drain(..taken.unwrap_or(self.batch.len()));
        outcome?;
        self.store.tick((self.clock)())
    }

    fn failed(&mut self, error: &SegmentError) {
        self.stats.write_failed();
        let reason = format!("records cannot be written: {error}");
        self.disk.failed(reason);
        self.looked = None;
    }

    fn look_at_the_disk(&mut self) {
        if self.looked.is_some_and(|at| at.elapsed() < DISK_PERIOD) {
            return;
        }
        self.looked = Some(Instant::now());
        match self.space.make() {
            Ok(true) => {
                self.stats.set_stopped(false);
                self.disk.ok();
            }
            Ok(false) => {
                self.stats.set_stopped(true);
                self.disk.failed(
                    "the disk is full of files that have not been synced: ingesting has stopped",
                );
            }
            Err(error) => self
                .disk
                .degraded(format!("the free space on the disk is unknown: {error}")),
        }
    }
}
