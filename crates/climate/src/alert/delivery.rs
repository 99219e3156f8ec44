//! Delivers messages: takes the oldest one, retries until it has arrived, and takes the next.
//!
//! Runs on a thread of its own that shares only the outbox with the measuring thread, so a slow or unreachable receiver
//! delays nothing else. A message leaves the outbox only after the receiver has accepted it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kit::{Actor, Component, Kit};

use super::outbox::Outbox;
use super::webhook::{NotSent, SharedWebhook, send};
use crate::config::WebhookSettings;

/// The longest attempt may take 120 s; a thread without a beat for longer is stuck.
const BEAT: Duration = Duration::from_secs(180);
/// The pause between two rounds of attempts; doubled up to `LONGEST_PAUSE_SECONDS`.
const PAUSE_SECONDS: u32 = 60;
const LONGEST_PAUSE_SECONDS: u32 = 900;

/// Starts delivering the messages in `outbox`, and calls `delivered` with the key of each delivered one. `second` is
/// the length of a second in the retry settings; tests shorten it.
pub fn deliver(
    kit: &Kit,
    outbox: Arc<Outbox>,
    webhook: Arc<SharedWebhook>,
    delivered: impl Fn(String) + Send + 'static,
    second: Duration,
) -> anyhow::Result<()> {
    let worker = kit.worker("webhook", BEAT, |component| Courier {
        outbox: outbox.clone(),
        webhook,
        delivered: Box::new(delivered),
        component,
        second,
        attempts: 0,
        goes: 0,
        pause: None,
    })?;
    // If the queue is full, the worker will check the outbox anyway.
    outbox.ring(move || {
        let _ = worker.offer(|_| {});
    });
    Ok(())
}

struct Courier {
    outbox: Arc<Outbox>,
    webhook: Arc<SharedWebhook>,
    delivered: Box<dyn Fn(String) + Send>,
    component: Component,
    second: Duration,
    /// Attempts in the current round for the oldest message.
    attempts: u32,
    /// Failed rounds for this message.
    goes: u32,
    /// No attempts are made before this time, unless the outbox has been nudged more often than this.
    pause: Option<(Instant, u64)>,
}

impl Actor for Courier {
    /// A delivery in progress may finish, so that it is not repeated. A receiver that takes longer is not waited for;
    /// its message stays stored.
    const PATIENCE: Duration = Duration::from_secs(2);

    fn turn(&mut self) -> Duration {
        let nudges = self.outbox.nudges();
        match self.pause {
            Some((until, before)) if before == nudges => {
                let left = until.saturating_duration_since(Instant::now());
                if !left.is_zero() {
                    return left;
                }
            }
            // Something has changed, so start over.
            Some(_) => (self.attempts, self.goes) = (0, 0),
            None => {}
        }
        self.pause = None;
        let Some(message) = self.outbox.front() else {
            return Duration::MAX;
        };
        let webhook = self.webhook.now();
        let Some(url) = webhook.target() else {
            // Sending was turned off while messages waited: they stay until it is turned on again, which nudges the
            // outbox.
            return Duration::MAX;
        };
        let timeout = self.second * webhook.settings.timeout as u32;
        match send(url, &message, timeout) {
            Ok(()) => {
                (self.attempts, self.goes) = (0, 0);
                self.component.ok();
                self.outbox.delivered(&message.key);
                (self.delivered)(message.key);
                Duration::ZERO
            }
            Err(error) => {
                self.attempts += 1;
                let attempt = self.attempts;
                tracing::warn!(key = message.key, attempt, "alert not delivered: {error}");
                self.component
                    .degraded(format!("alerts are not delivered: {error}"));
                let pause = self.pause_after(&error, &webhook.settings);
                self.pause = Some((Instant::now() + pause, nudges));
                pause
            }
        }
    }
}

impl Courier {
    /// The pause after a failure. A round has up to `retry_count` attempts with growing pauses, and the pauses between
    /// rounds grow, too. If the receiver says when to retry, that is obeyed.
    fn pause_after(&mut self, error: &NotSent, settings: &WebhookSettings) -> Duration {
        if error.retry_after.is_none() && self.attempts < settings.retry_count {
            let first = self.second * settings.retry_delay as u32;
            return kit::back_off(first, self.attempts, Duration::MAX);
        }
        self.attempts = 0;
        self.goes += 1;
        let [first, longest] = [PAUSE_SECONDS, LONGEST_PAUSE_SECONDS].map(|n| self.second * n);
        let pause = kit::back_off(first, self.goes, longest);
        error.retry_after.unwrap_or(pause)
    }
}
