//! The delivery thread: takes the oldest message, tries until it has arrived, takes the next.
//!
//! It shares nothing with the thread that measures but the outbox, so a slow or dead receiver delays
//! nobody. A message leaves the outbox only after the receiver has said yes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use kit::{Component, Heartbeat, Kit};

use super::message::Message;
use super::outbox::Outbox;
use super::webhook::{SharedWebhook, Webhook, send};
use crate::recorder::Recorder;

/// The longest attempt may take 120 s; a thread silent for longer is stuck.
const BEAT: Duration = Duration::from_secs(180);
const SLICE: Duration = Duration::from_secs(10);
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Between two goes at a message; doubled up to `LONGEST_PAUSE`.
const PAUSE_SECONDS: u32 = 60;
const LONGEST_PAUSE_SECONDS: u32 = 900;

/// The running thread.
#[derive(Debug)]
pub struct Delivery {
    outbox: Arc<Outbox>,
    thread: JoinHandle<()>,
    sent: Arc<AtomicU64>,
}

struct Courier {
    outbox: Arc<Outbox>,
    webhook: Arc<SharedWebhook>,
    recorder: Recorder,
    component: Component,
    heartbeat: Heartbeat,
    sent: Arc<AtomicU64>,
    second: Duration,
}

impl Delivery {
    /// Starts delivering. `second` is how long a second of the retry settings lasts; tests are in a hurry.
    pub fn start(
        kit: &Kit,
        outbox: Arc<Outbox>,
        webhook: Arc<SharedWebhook>,
        recorder: Recorder,
        second: Duration,
    ) -> anyhow::Result<Self> {
        let sent = Arc::new(AtomicU64::new(0));
        let courier = Courier {
            outbox: outbox.clone(),
            webhook,
            recorder,
            component: kit.component("webhook"),
            heartbeat: kit.heartbeat("delivery", BEAT),
            sent: sent.clone(),
            second,
        };
        let thread = std::thread::Builder::new()
            .name("delivery".into())
            .spawn(move || courier.run())
            .context("cannot start the delivery thread")?;
        Ok(Delivery {
            outbox,
            thread,
            sent,
        })
    }

    /// Messages that have arrived.
    pub fn sent(&self) -> Arc<AtomicU64> {
        self.sent.clone()
    }

    /// Stops delivering. A delivery under way may finish, so that it is not repeated; a receiver that takes
    /// longer is not waited for, its message stays stored.
    pub fn stop(self) {
        self.outbox.close();
        let deadline = Instant::now() + LAST_WORDS;
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Courier {
    fn run(self) {
        let mut goes = 0;
        while !self.outbox.is_closed() {
            self.heartbeat.beat();
            let Some(message) = self.outbox.wait_for_message(SLICE) else {
                continue;
            };
            let webhook = self.webhook.now();
            if webhook.target().is_none() {
                // Switched off while messages waited: they keep until it is switched on again.
                self.rest(SLICE);
                continue;
            }
            match self.go(&webhook, &message) {
                Ok(()) => {
                    goes = 0;
                    self.component.ok();
                    self.sent.fetch_add(1, Ordering::Relaxed);
                    self.outbox.remove(&message.key);
                    self.recorder.delivered(message.key);
                }
                Err(pause) => {
                    let doubled = PAUSE_SECONDS.saturating_mul(2u32.saturating_pow(goes));
                    let pause = pause.unwrap_or(self.second * doubled.min(LONGEST_PAUSE_SECONDS));
                    goes = if self.rest(pause) { 0 } else { goes + 1 };
                }
            }
        }
    }

    /// One go: up to `retry_count` attempts, further and further apart. Err is how long to pause.
    fn go(&self, webhook: &Webhook, message: &Message) -> Result<(), Option<Duration>> {
        let Some(url) = webhook.target() else {
            return Err(None);
        };
        let settings = &webhook.settings;
        let mut delay = self.second * settings.retry_delay as u32;
        for attempt in 1..=settings.retry_count {
            self.heartbeat.beat();
            let error = match send(url, message, self.second * settings.timeout as u32) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            tracing::warn!(key = message.key, attempt, "alert not delivered: {error}");
            let waiting = self.outbox.len();
            self.component
                .degraded(format!("alerts are not delivered: {error}"));
            tracing::debug!(waiting, "in the outbox");
            if error.retry_after.is_some() {
                return Err(error.retry_after);
            }
            if attempt < settings.retry_count && self.rest(delay) {
                // Nudged or closed: look at everything anew.
                return Err(Some(Duration::ZERO));
            }
            delay *= 2;
        }
        Err(None)
    }

    /// Pauses, beating; whether it was cut short.
    fn rest(&self, mut length: Duration) -> bool {
        while !length.is_zero() {
            self.heartbeat.beat();
            let slice = length.min(SLICE);
            if self.outbox.pause(slice) {
                return true;
            }
            length -= slice;
        }
        false
    }
}
