//! The worker that owns the store.
//!
//! Records reach it through [`Queue`] and not through the worker's own queue: a closure for every record, more than a
//! million a second, would be too expensive. So in each turn it waits for the queue, with a short timeout.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use kit::{Actor, Component, Kit};

use crate::clock::Clock;
use crate::queue::Queue;
use crate::record::Record;
use crate::stats::Stats;
use crate::store::{SegmentError, Space, Store};

/// The longest time without checking the clock.
const SLICE: Duration = Duration::from_millis(100);
/// How often the free space is checked, and how long writing pauses after a failure.
const DISK_PERIOD: Duration = Duration::from_secs(1);
/// The period of the heartbeat: writing a large buffer to a slow card takes seconds, so longer means stuck.
const BEAT: Duration = Duration::from_secs(60);

/// Starts writing the records in `queue`. After the service has ended, the rest is written and all files are completed.
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
    /// Records that were taken from the queue and could not be written yet.
    batch: VecDeque<Record>,
    looked: Option<Instant>,
}

impl Actor for Writer {
    fn turn(&mut self) -> Duration {
        // While writing fails, nothing is taken from the queue; its policy decides about records that do not fit.
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
        // The feeds have ended, so no more records arrive.
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
                .degraded(format!("the free space on the disk is unknown: {error:#}")),
        }
    }
}
