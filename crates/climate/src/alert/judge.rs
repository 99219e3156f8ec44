//! Decides which alerts are active, and which messages to send about them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::machine::{Alerts, Change, Level, Subject};
use super::message::{Message, Texts};
use super::outbox::Outbox;
use super::webhook::SharedWebhook;
use crate::config::StatusSettings;
use crate::reading::Reading;

/// The active alerts, shared between the judge and its readers.
#[derive(Debug, Default)]
pub struct SharedAlerts {
    changes: AtomicU64,
    active: Mutex<Vec<(Subject, Level)>>,
}

impl SharedAlerts {
    /// The active alerts.
    pub fn active(&self) -> Vec<(Subject, Level)> {
        self.active.lock().expect("no panic while held").clone()
    }

    /// The number of state changes so far.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }
}

/// Judges readings. The messages that it returns must be stored first and sent afterwards.
#[derive(Debug)]
pub struct Judge {
    webhook: Arc<SharedWebhook>,
    outbox: Arc<Outbox>,
    texts: Texts,
    status: StatusSettings,
    shared: Arc<SharedAlerts>,
    alerts: Alerts,
    last_status: i64,
    /// Whether any reading or silence has been judged since the start.
    observed: bool,
}

impl Judge {
    /// Creates a judge without any history.
    pub fn new(
        webhook: Arc<SharedWebhook>,
        outbox: Arc<Outbox>,
        texts: Texts,
        status: StatusSettings,
    ) -> Self {
        Judge {
            webhook,
            outbox,
            texts,
            status,
            shared: Arc::default(),
            alerts: Alerts::default(),
            last_status: 0,
            observed: false,
        }
    }

    /// The shared view of the active alerts.
    pub fn shared(&self) -> Arc<SharedAlerts> {
        self.shared.clone()
    }

    /// Judges a reading.
    pub fn reading(&mut self, reading: &Reading) -> Vec<Message> {
        self.observed = true;
        let settings = self.webhook.now().alerts;
        let changes = self.alerts.reading(reading, &settings);
        let mut news = self.told(&changes);
        news.extend(self.status(reading));
        news
    }

    /// Judges a silence: there has been no reading for `silent`.
    pub fn fault(&mut self, at: i64, silent: Duration, why: &str) -> Vec<Message> {
        self.observed = true;
        let settings = self.webhook.now().alerts;
        let changes = self.alerts.fault(at, silent, why, &settings);
        self.told(&changes)
    }

    /// The state to store, under the names that [`Judge::restore`] reads.
    pub fn state(&self) -> anyhow::Result<[(&'static str, String); 2]> {
        Ok([
            ("alerts", serde_json::to_string(&self.alerts)?),
            ("last_status", self.last_status.to_string()),
        ])
    }

    /// Restores the stored state. Anything judged since the start is newer and takes precedence.
    pub fn restore(&mut self, alerts: Alerts, last_status: i64) {
        if !self.observed {
            self.alerts = alerts;
        }
        self.last_status = self.last_status.max(last_status);
        self.show();
    }

    /// Logs changes, and creates messages if sending is configured.
    fn told(&self, changes: &[Change]) -> Vec<Message> {
        for change in changes {
            let (subject, level) = (change.subject.name(), change.level.name());
            tracing::warn!(
                subject,
                level,
                value = change.value,
                "{subject} is {level}: {}",
                change.detail
            );
        }
        let count = changes.len() as u64;
        self.shared.changes.fetch_add(count, Ordering::Relaxed);
        self.show();
        if self.webhook.now().target().is_none() {
            return Vec::new();
        }
        let message = |change| self.texts.change(change);
        changes.iter().map(message).collect()
    }

    /// The periodic message, if it is due and no earlier one is still waiting.
    fn status(&mut self, reading: &Reading) -> Option<Message> {
        let interval = self.status.interval_seconds as i64 * 1000;
        let due = self.status.enabled && reading.at - self.last_status >= interval;
        if !due || self.webhook.now().target().is_none() || !self.outbox.is_empty() {
            return None;
        }
        self.last_status = reading.at;
        Some(self.texts.status(reading, &self.alerts.active()))
    }

    fn show(&self) {
        *self.shared.active.lock().expect("no panic while held") = self.alerts.active();
    }
}
