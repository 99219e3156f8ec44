//! Sends what is in the queue, once the time is known.
//!
//! What is oldest goes first, as long as nothing is late. After an outage it depends on the receiver: one that takes old
//! samples after new ones gets what is new first, and the rest whenever there is nothing new; one that does not gets
//! everything in its order, as it would refuse the old for ever once it has the new. Which of the two it is, is tried with a
//! series of courier's own.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use kit::{Actor, Component, Kit, Worker};

use crate::clock::{Boots, Clock};
use crate::config::Config;
use crate::labels::{Labels, NAME};
use crate::queue::codec::STALE;
use crate::queue::{Batch, Order, Queue};
use crate::send::parts::{NotYet, Parts};
use crate::send::pause::Pause;
use crate::send::remote_write::{self, Point};
use crate::send::{Receiver, Verdict};
use crate::stats::{Lost, Outcome, Stats, What};

/// Longer than anything but requests takes.
const PERIOD: Duration = Duration::from_secs(60);
/// Most requests in a turn: two that try what the receiver takes, and one with samples.
const REQUESTS: u32 = 3;
/// How often to look whether the time is known.
const LOOK: Duration = Duration::from_secs(1);
/// The series with which it is tried what the receiver takes.
const PROBE: &str = "courier_probe";

/// The worker that sends.
pub struct Sender {
    receiver: Receiver,
    queue: Arc<Mutex<Queue>>,
    clock: Clock,
    boots: Boots,
    stats: Arc<Stats>,
    component: Component,
    pause: Pause,
    batch_samples: usize,
    late_ms: i64,
    probe: Labels,
    state: State,
    sending: Option<Sending>,
}

/// What is done about what is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is late.
    UpToDate,
    /// New samples go first.
    NewestFirst,
    /// The receiver takes nothing old after what is new.
    OldestFirst,
}

/// A batch that is being sent.
#[derive(Debug)]
struct Sending {
    batch: Batch,
    points: Vec<Point>,
    parts: Parts,
}

/// Starts to send to the receiver.
pub fn start(
    kit: &Kit,
    config: &Config,
    receiver: Receiver,
    queue: Arc<Mutex<Queue>>,
    (clock, boots): (Clock, Boots),
    stats: Arc<Stats>,
) -> anyhow::Result<Worker<Sender>> {
    let settings = &config.metrics;
    let labels = config.labels();
    let labels = labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    let labels: Vec<_> = labels.chain([(NAME, PROBE), ("job", "courier")]).collect();
    let timeout = Duration::from_secs_f64(settings.timeout_seconds);
    kit.worker("metrics", PERIOD + timeout * REQUESTS, |component| Sender {
        receiver,
        queue,
        clock,
        boots,
        stats,
        component,
        pause: Pause::new(settings.retry_seconds, settings.longest_retry_seconds),
        batch_samples: settings.batch_samples,
        late_ms: (settings.late_seconds * 1000.0) as i64,
        probe: Labels::new(&labels),
        state: State::UpToDate,
        sending: None,
    })
}

impl Actor for Sender {
    /// What is being sent stays in the queue.
    const PATIENCE: Duration = Duration::from_secs(2);

    fn turn(&mut self) -> Duration {
        if !self.boots.knows(self.clock.boot()) {
            return LOOK;
        }
        if let Some(left) = self.pause.left() {
            return left;
        }
        match self.step() {
            Ok(true) => Duration::ZERO,
            // There is nothing to do until somebody has scraped.
            Ok(false) => Duration::MAX,
            Err(NotYet { why, after }) => {
                self.pause.failed(after);
                self.component.degraded(format!("metrics wait: {why}"));
                self.pause.left().unwrap_or_default()
            }
        }
    }
}

impl Sender {
    /// Sends one request; whether there was something to send.
    fn step(&mut self) -> Result<bool, NotYet> {
        let mut sending = match self.sending.take() {
            Some(sending) => sending,
            None => match self.next()? {
                Some(sending) => sending,
                None => return Ok(false),
            },
        };
        if let Some(part) = sending.parts.next() {
            let verdict = self.post(&sending.points[part]);
            if let Err(not_yet) = sending.parts.judged(verdict) {
                self.sending = Some(sending);
                return Err(not_yet);
            }
            self.pause.worked();
        }
        match sending.parts.next() {
            Some(_) => self.sending = Some(sending),
            None => self.delivered(&sending),
        }
        Ok(true)
    }

    /// The next batch.
    fn next(&mut self) -> Result<Option<Sending>, NotYet> {
        let order = match self.state {
            State::NewestFirst => Order::NewestFirst,
            State::UpToDate | State::OldestFirst => Order::OldestFirst,
        };
        let next = self.queue().next(order, self.batch_samples);
        let next = next.map_err(|error| NotYet {
            why: format!("the queue cannot be read: {error}"),
            after: None,
        })?;
        let Some(batch) = next else {
            self.state = State::UpToDate;
            self.stats.oldest(What::Metrics, None);
            return Ok(None);
        };
        let first_ms = batch
            .frames
            .first()
            .map(|frame| self.boots.date(&batch.boot, &frame.moment));
        let first_ms = first_ms.unwrap_or_default();
        if batch.is_oldest {
            self.stats.oldest(What::Metrics, Some(first_ms));
            let is_late = self.clock.now_ms() - first_ms > self.late_ms;
            if !is_late {
                self.state = State::UpToDate;
            } else if self.state == State::UpToDate {
                self.state = self.what_it_takes(first_ms)?;
                if self.state == State::NewestFirst {
                    self.queue().begin_anew();
                    return self.next();
                }
            }
        }
        let mut points = Vec::new();
        for frame in &batch.frames {
            let at_ms = self.boots.date(&batch.boot, &frame.moment);
            points.extend(frame.samples.iter().map(|sample| Point {
                series: sample.series.clone(),
                value: sample.value,
                at_ms: sample.at_ms.unwrap_or(at_ms),
            }));
        }
        let parts = Parts::of(points.len(), self.batch_samples);
        Ok(Some(Sending {
            batch,
            points,
            parts,
        }))
    }

    /// Tries whether the receiver takes something as old as this after something new.
    fn what_it_takes(&self, old_ms: i64) -> Result<State, NotYet> {
        for at_ms in [self.clock.now_ms(), old_ms] {
            let point = Point {
                series: self.probe.clone(),
                value: STALE,
                at_ms,
            };
            match self.post(&[point]) {
                Verdict::Taken => {}
                Verdict::Later(why, after) => return Err(NotYet { why, after }),
                Verdict::Refused(why) => {
                    tracing::warn!(
                        "what waited is sent in its order, and what is new after it: {why}"
                    );
                    return Ok(State::OldestFirst);
                }
            }
        }
        Ok(State::NewestFirst)
    }

    fn post(&self, points: &[Point]) -> Verdict {
        let (verdict, bytes) = remote_write::post(&self.receiver, points);
        self.stats
            .request(What::Metrics, Outcome::of(&verdict), bytes);
        verdict
    }

    fn delivered(&self, sending: &Sending) {
        let delivered = sending.parts.delivered();
        self.stats.sent(delivered.taken as u64);
        self.stats.lost(Lost::Refused, delivered.refused as u64);
        match &delivered.why {
            None => self.component.ok(),
            Some(why) => {
                let refused = delivered.refused;
                let problem = format!("{refused} samples were refused for good: {why}");
                self.component.degraded(problem);
            }
        }
        if let Err(error) = self.queue().acknowledge(&sending.batch) {
            tracing::warn!("what has arrived may be sent again: {error:#}");
        }
        tracing::debug!(
            segment = sending.batch.segment,
            end = sending.batch.end,
            "arrived"
        );
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no panic while held")
    }
}
