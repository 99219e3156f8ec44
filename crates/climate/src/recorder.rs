//! The recorder thread: the one owner of the history and of what counts as an alert.
//!
//! It is fed through a bounded queue and may be slow: nobody waits for it who must not. What it cannot
//! write yet (a full card) it keeps, and alerts go out all the same.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use kit::{Component, Heartbeat, Kit};
use tokio::sync::oneshot;

use crate::alert::{
    Alerts, Change, Level, Message, Outbox, Overrides, SharedWebhook, Subject, Texts,
};
use crate::config::StatusSettings;
use crate::history::{Batch, Series, Store, open_or_set_aside};
use crate::reading::Reading;

const QUEUE: usize = 256;
/// A slow card may take its time; a query over years, too.
const BEAT: Duration = Duration::from_secs(60);
const SLICE: Duration = Duration::from_secs(5);
/// A week of readings at one a minute, kept while the card cannot be written.
const UNSAVED: usize = 10_080;
const FORGET_EVERY_MS: i64 = 3_600_000;

/// Hands things to the recorder; copies feed the same one.
#[derive(Debug, Clone)]
pub struct Recorder {
    queue: SyncSender<Command>,
    shared: Arc<Shared>,
}

/// What the recorder shows of itself.
#[derive(Debug, Default)]
pub struct Shared {
    lost: AtomicU64,
    changes: AtomicU64,
    writable: AtomicBool,
    active: Mutex<Vec<(Subject, Level)>>,
}

/// What the recorder works with.
#[derive(Debug)]
pub struct Settings {
    /// The history's file; in memory only if none.
    pub path: Option<PathBuf>,
    /// Days for which readings are kept.
    pub retention_days: u32,
    /// Messages that all is well.
    pub status: StatusSettings,
}

/// The running thread.
#[derive(Debug)]
pub struct Recording {
    /// Hands things to this recorder.
    pub recorder: Recorder,
    thread: JoinHandle<()>,
}

type Reply<V> = oneshot::Sender<anyhow::Result<V>>;

enum Command {
    Reading(Reading),
    Fault(i64, Duration, String),
    Delivered(String),
    Series(i64, i64, u32, Reply<Series>),
    Override(Overrides, Reply<()>),
    Stop,
}

impl Recorder {
    /// A reading was taken.
    pub fn reading(&self, reading: Reading) {
        self.feed(Command::Reading(reading));
    }

    /// There has been no reading for `silent`.
    pub fn fault(&self, at: i64, silent: Duration, why: String) {
        self.feed(Command::Fault(at, silent, why));
    }

    /// A message has arrived.
    pub fn delivered(&self, key: String) {
        // The delivery thread may wait: a delivery that is forgotten would be repeated.
        let _ = self.queue.send(Command::Delivered(key));
    }

    /// A part of the history.
    pub async fn series(&self, from: i64, to: i64, points: u32) -> anyhow::Result<Series> {
        self.ask(|reply| Command::Series(from, to, points, reply))
            .await
    }

    /// Keeps changes made over the API; they hold once they are kept.
    pub async fn keep(&self, overrides: Overrides) -> anyhow::Result<()> {
        self.ask(|reply| Command::Override(overrides, reply)).await
    }

    /// What is not as it should be.
    pub fn active(&self) -> Vec<(Subject, Level)> {
        self.shared
            .active
            .lock()
            .expect("no panic while held")
            .clone()
    }

    /// Changes of state so far.
    pub fn changes(&self) -> u64 {
        self.shared.changes.load(Ordering::Relaxed)
    }

    /// Readings that were never written.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Whether the last write succeeded.
    pub fn is_writable(&self) -> bool {
        self.shared.writable.load(Ordering::Relaxed)
    }

    /// Never waits: the thread that measures must not.
    fn feed(&self, command: Command) {
        if self.queue.try_send(command).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn ask<V>(&self, command: impl FnOnce(Reply<V>) -> Command) -> anyhow::Result<V> {
        let (reply, answer) = oneshot::channel();
        self.queue
            .try_send(command(reply))
            .map_err(|_| anyhow::anyhow!("the history is busy"))?;
        answer.await.context("the history is closed")?
    }
}

impl Recording {
    /// Opens the history and starts recording. The service is ready when the history is open.
    pub fn start(
        kit: &Kit,
        settings: Settings,
        outbox: Arc<Outbox>,
        webhook: Arc<SharedWebhook>,
        texts: Texts,
    ) -> anyhow::Result<Self> {
        let (queue, commands) = sync_channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let book = Book {
            settings,
            outbox,
            webhook,
            texts,
            shared: shared.clone(),
            component: kit.component("history"),
            store: None,
            loaded: false,
            suspect: false,
            observed: false,
            alerts: Alerts::default(),
            last_status: 0,
            last_forget: 0,
            unsaved: VecDeque::new(),
            messages: Vec::new(),
            gone: Vec::new(),
        };
        let heartbeat = kit.heartbeat("history", BEAT);
        let latch = kit.latch("history");
        let thread = std::thread::Builder::new()
            .name("history".into())
            .spawn(move || book.run(&commands, &heartbeat, latch))
            .context("cannot start the history thread")?;
        Ok(Recording {
            recorder: Recorder { queue, shared },
            thread,
        })
    }

    /// Writes what is left and closes the history.
    pub fn stop(self) {
        let _ = self.recorder.queue.send(Command::Stop);
        let _ = self.thread.join();
    }
}

/// The recorder's own state.
struct Book {
    settings: Settings,
    outbox: Arc<Outbox>,
    webhook: Arc<SharedWebhook>,
    texts: Texts,
    shared: Arc<Shared>,
    component: Component,
    store: Option<Store>,
    /// Whether what was stored has been read since the start.
    loaded: bool,
    /// Whether SQLite has found damage: the file is checked before it is opened again.
    suspect: bool,
    /// Whether anything has been judged since the start.
    observed: bool,
    alerts: Alerts,
    last_status: i64,
    last_forget: i64,
    unsaved: VecDeque<Reading>,
    messages: Vec<Message>,
    gone: Vec<String>,
}

impl Book {
    fn run(mut self, commands: &Receiver<Command>, heartbeat: &Heartbeat, latch: kit::Latch) {
        let opened = self.open();
        self.judge(opened);
        drop(latch);
        loop {
            heartbeat.beat();
            match commands.recv_timeout(SLICE) {
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(command) => self.obey(command),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        self.save();
        if let Some(store) = self.store.take() {
            store.close();
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Reading(reading) => {
                self.notice_restore();
                self.observed = true;
                let changes = self.alerts.reading(&reading, &self.webhook.now().alerts);
                self.unsaved.push_back(reading);
                if self.unsaved.len() > UNSAVED {
                    self.unsaved.pop_front();
                    self.shared.lost.fetch_add(1, Ordering::Relaxed);
                }
                let mut news = self.told(&changes);
                news.extend(self.status(&reading));
                self.send(news);
                self.forget(reading.at);
            }
            Command::Fault(at, silent, why) => {
                self.observed = true;
                let settings = self.webhook.now().alerts;
                let changes = self.alerts.fault(at, silent, &why, &settings);
                let news = self.told(&changes);
                self.send(news);
            }
            Command::Delivered(key) => {
                self.messages.retain(|message| message.key != key);
                self.gone.push(key);
                self.save();
            }
            Command::Series(from, to, points, reply) => {
                let series = match &self.store {
                    Some(store) => store.series(from, to, points),
                    None => Err(anyhow::anyhow!("the history cannot be read")),
                };
                self.suspects(&series);
                let _ = reply.send(series);
            }
            Command::Override(overrides, reply) => {
                let _ = reply.send(self.keep(overrides));
            }
            Command::Stop => {}
        }
    }

    /// Logs changes and puts them into words, if anyone is to be told.
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
        self.shared
            .changes
            .fetch_add(changes.len() as u64, Ordering::Relaxed);
        *self.shared.active.lock().expect("no panic while held") = self.alerts.active();
        if self.webhook.now().target().is_none() {
            return Vec::new();
        }
        changes
            .iter()
            .map(|change| self.texts.change(change))
            .collect()
    }

    /// The periodic message, if it is due. One that still waits is not joined by a second.
    fn status(&mut self, reading: &Reading) -> Option<Message> {
        let interval = self.settings.status.interval_seconds as i64 * 1000;
        let due = self.settings.status.enabled && reading.at - self.last_status >= interval;
        if !due || self.webhook.now().target().is_none() || !self.outbox.is_empty() {
            return None;
        }
        self.last_status = reading.at;
        Some(self.texts.status(reading, &self.alerts.active()))
    }

    /// Stored first, sent then: a crash in between delays a message, but neither loses nor repeats it.
    fn send(&mut self, news: Vec<Message>) {
        self.messages.extend(news.iter().cloned());
        self.save();
        for message in news {
            if let Some(dropped) = self.outbox.push(message) {
                self.gone.push(dropped.key);
            }
        }
    }

    fn save(&mut self) {
        let mut saved = self.try_save();
        if self.suspects(&saved) {
            saved = self.try_save();
        }
        self.judge(saved);
    }

    /// Closes the history if the outcome says that it is damaged, so that it is set aside.
    fn suspects<V>(&mut self, outcome: &anyhow::Result<V>) -> bool {
        let damaged = outcome.as_ref().is_err_and(kit::database::is_damage);
        if damaged {
            self.suspect = true;
            self.store = None;
        }
        damaged
    }

    fn try_save(&mut self) -> anyhow::Result<()> {
        self.open()?;
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        let settings = [
            ("alerts", serde_json::to_string(&self.alerts)?),
            ("last_status", self.last_status.to_string()),
        ];
        store.write(&Batch {
            readings: self.unsaved.make_contiguous(),
            messages: &self.messages,
            gone: &self.gone,
            settings: &settings,
        })?;
        self.unsaved.clear();
        self.messages.clear();
        self.gone.clear();
        Ok(())
    }

    /// Opens the history if it is not, and takes over what was stored.
    fn open(&mut self) -> anyhow::Result<()> {
        if self.store.is_some() {
            return Ok(());
        }
        let (store, aside) = open_or_set_aside(self.settings.path.as_deref(), self.suspect)?;
        self.suspect = false;
        self.store = Some(store);
        if aside.is_some() {
            // What is in memory is all there is now.
            self.messages = self.outbox.all();
            self.keep(self.webhook.overrides())?;
        }
        if !std::mem::replace(&mut self.loaded, true) {
            self.load()?;
        }
        Ok(())
    }

    /// Takes over what was stored. A card that works only later finds us with a state of our own: what we
    /// know is newer, what waits is joined to what waited.
    fn load(&mut self) -> anyhow::Result<()> {
        self.load_overrides()?;
        let Some(store) = &self.store else {
            return Ok(());
        };
        if !self.observed {
            self.alerts = store.setting("alerts")?;
        }
        self.last_status = self.last_status.max(store.setting("last_status")?);
        self.outbox.restore(store.outbox()?);
        *self.shared.active.lock().expect("no panic while held") = self.alerts.active();
        Ok(())
    }

    fn load_overrides(&mut self) -> anyhow::Result<()> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        let overrides: Overrides = store.setting("overrides")?;
        if let Err(problem) = self.webhook.set(overrides) {
            tracing::warn!("changes made over the API no longer fit the configuration: {problem}");
        }
        Ok(())
    }

    /// A restore brings back the past; what is the matter now, and who is still to be told, is known here.
    fn notice_restore(&mut self) {
        let changed = self
            .store
            .as_mut()
            .is_some_and(|store| store.changed_by_others().unwrap_or(false));
        if changed {
            tracing::info!("the history was restored from a backup");
            let loaded = self.load_overrides();
            self.judge(loaded);
            self.messages = self.outbox.all();
            self.outbox.nudge();
        }
    }

    fn keep(&mut self, overrides: Overrides) -> anyhow::Result<()> {
        self.open()?;
        let store = self
            .store
            .as_mut()
            .context("the history cannot be written")?;
        let settings = [("overrides", serde_json::to_string(&overrides)?)];
        store.write(&Batch {
            readings: &[],
            messages: &[],
            gone: &[],
            settings: &settings,
        })?;
        self.webhook.set(overrides).map_err(anyhow::Error::msg)?;
        self.outbox.nudge();
        Ok(())
    }

    fn forget(&mut self, now: i64) {
        // The clock may have been set back meanwhile.
        if (now - self.last_forget).abs() < FORGET_EVERY_MS {
            return;
        }
        self.last_forget = now;
        let before = now - i64::from(self.settings.retention_days) * 86_400_000;
        if let Some(store) = &self.store {
            match store.forget(before) {
                Ok(0) => {}
                Ok(readings) => tracing::info!(readings, "old readings deleted"),
                Err(error) => tracing::warn!("old readings not deleted: {error:#}"),
            }
        }
    }

    fn judge(&self, outcome: anyhow::Result<()>) {
        self.shared
            .writable
            .store(outcome.is_ok(), Ordering::Relaxed);
        match outcome {
            Ok(()) => self.component.ok(),
            Err(error) => self
                .component
                .degraded(format!("the history cannot be written: {error:#}")),
        }
    }
}
