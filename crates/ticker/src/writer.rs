//! The thread that owns the store.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use kit::{Component, Heartbeat, Kit};

use crate::Clock;
use crate::queue::Queue;
use crate::stats::Stats;
use crate::store::{SegmentError, Space, Store};

/// Longest without looking at the clock.
const SLICE: Duration = Duration::from_millis(100);
/// How often the room on the disk is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Writing a large buffer to a slow card takes seconds; longer than this is stuck.
const BEAT: Duration = Duration::from_secs(60);

/// The running thread.
#[derive(Debug)]
pub struct Writing {
    queue: Queue,
    thread: JoinHandle<anyhow::Result<()>>,
}

struct Writer {
    store: Store,
    space: Space,
    queue: Queue,
    clock: Clock,
    stats: Arc<Stats>,
    disk: Component,
    heartbeat: Heartbeat,
    looked: Option<Instant>,
}

impl Writing {
    /// Starts writing what comes through `queue`.
    pub fn start(
        kit: &Kit,
        store: Store,
        space: Space,
        queue: Queue,
        clock: Clock,
        stats: Arc<Stats>,
    ) -> anyhow::Result<Self> {
        let writer = Writer {
            store,
            space,
            queue: queue.clone(),
            clock,
            stats,
            disk: kit.component("disk"),
            heartbeat: kit.heartbeat("writer", BEAT),
            looked: None,
        };
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || writer.run())
            .context("cannot start the writing thread")?;
        Ok(Writing { queue, thread })
    }

    /// Writes what is left, completes all files, and waits for the thread.
    pub fn stop(self) -> anyhow::Result<()> {
        self.queue.close();
        match self.thread.join() {
            Ok(outcome) => outcome,
            Err(_) => anyhow::bail!("the writing thread panicked"),
        }
    }
}

impl Writer {
    fn run(mut self) -> anyhow::Result<()> {
        let mut batch = VecDeque::with_capacity(1024);
        loop {
            self.heartbeat.beat();
            // While writing fails the queue is left alone: what does not fit into it is its policy's business.
            let open = !batch.is_empty() || self.queue.take(&mut batch, SLICE);
            if !open {
                break;
            }
            self.look_at_the_disk();
            if let Err(error) = self.write(&mut batch) {
                self.stats.write_failed();
                self.disk.failed(format!("nothing can be written: {error}"));
                self.looked = None;
                if self.queue.is_closed() {
                    self.stats.lost(batch.len() as u64);
                    break;
                }
                std::thread::sleep(LOOK);
            }
        }
        let outcome = self.store.finish((self.clock)());
        outcome.context("what was received last could not be written")
    }

    fn write(&mut self, batch: &mut VecDeque<crate::record::Record>) -> Result<(), SegmentError> {
        let mut outcome = Ok(());
        let mut records = batch.iter();
        let taken = records.position(|record| {
            outcome = self.store.take(record);
            outcome.is_err()
        });
        batch.drain(..taken.unwrap_or(batch.len()));
        outcome?;
        self.store.tick((self.clock)())
    }

    fn look_at_the_disk(&mut self) {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK) {
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
                self.disk
                    .failed("the disk is full of what has not been synced: ingesting has stopped");
            }
            Err(error) => self
                .disk
                .degraded(format!("the room on the disk is unknown: {error}")),
        }
    }
}
