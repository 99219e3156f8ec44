//! The only one who writes the history: readings and messages come to the card, whatever others ask meanwhile.
//!
//! It may be slow, because no time-critical code waits for it. What cannot be written (for example to a full card) is
//! kept in memory, and alerts are sent all the same.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use kit::{Actor, Component, Kit, Worker};
use tokio::sync::Semaphore;

use super::reader::Reader;
use super::store::{Batch, Series, Store, open_or_set_aside};
use crate::alert::{Judge, Message, Outbox, Overrides, SharedWebhook};
use crate::reading::Reading;

/// How many may wait for their part of the history at once; further ones are told so.
const READERS: usize = 8;
/// The time limit for a job: a slow card or a query over years may need it.
const BEAT: Duration = Duration::from_secs(60);
/// How many readings are kept in memory while the card cannot be written: one week at one a minute.
const UNSAVED: usize = 10_080;
const FORGET_EVERY_MS: i64 = 3_600_000;

/// The settings of the history.
#[derive(Debug)]
pub struct Settings {
    /// Its file; none for a history in memory only.
    pub path: Option<PathBuf>,
    /// Days for which readings are kept.
    pub retention_days: u32,
}

/// A handle to the history; clones refer to the same one.
#[derive(Debug, Clone)]
pub struct History {
    keeper: Worker<Keeper>,
    /// Who answers queries; a history in memory has only the keeper.
    reader: Option<Worker<Reader>>,
    readers: Arc<Semaphore>,
    component: Component,
    shared: Arc<Shared>,
}

/// The history's shared counters and flags.
#[derive(Debug, Default)]
struct Shared {
    lost: AtomicU64,
    writable: AtomicBool,
}

impl History {
    /// Starts the worker. The service is ready once opening the file was attempted.
    pub fn start(
        kit: &Kit,
        settings: Settings,
        judge: Judge,
        outbox: Arc<Outbox>,
        webhook: Arc<SharedWebhook>,
    ) -> anyhow::Result<Self> {
        match &settings.path {
            Some(path) => tracing::info!(path = %path.display(), "history"),
            None => tracing::warn!(
                "the history is kept in memory only: set history.directory or $STATE_DIRECTORY"
            ),
        }
        let shared = Arc::new(Shared::default());
        let path = settings.path.clone();
        let mut of_keeper = None;
        let keeper = kit.worker("history", BEAT, |component| {
            of_keeper = Some(component.clone());
            Keeper {
                settings,
                judge,
                outbox,
                webhook,
                shared: shared.clone(),
                component,
                store: None,
                loaded: false,
                suspect: false,
                last_forget: 0,
                unsaved: VecDeque::new(),
                messages: Vec::new(),
                gone: Vec::new(),
            }
        })?;
        let component = of_keeper.context("the history has no component")?;
        let reader = match path {
            Some(path) => Some(kit.worker("history reader", BEAT, |_| Reader::of(path))?),
            None => None,
        };
        let readers = Arc::new(Semaphore::new(READERS));
        Ok(History {
            keeper,
            reader,
            readers,
            component,
            shared,
        })
    }

    /// Records a reading.
    pub fn reading(&self, reading: Reading) {
        self.feed(move |keeper| keeper.reading(reading));
    }

    /// Records that there has been no reading for `silent`.
    pub fn fault(&self, at: i64, silent: Duration, why: String) {
        self.feed(move |keeper| {
            let news = keeper.judge.fault(at, silent, &why);
            keeper.send(news);
        });
    }

    /// Records a delivered message. Waits if the queue is full, because a forgotten delivery would be repeated.
    pub fn delivered(&self, key: String) {
        self.keeper.send(move |keeper| keeper.delivered(key));
    }

    /// Queries a period of the history. Nobody who measures or sends alerts waits for it.
    pub async fn series(&self, from: i64, to: i64, points: u32) -> anyhow::Result<Series> {
        let Some(reader) = &self.reader else {
            let question = move |keeper: &mut Keeper| keeper.series(from, to, points);
            return self.keeper.ask(question).await?;
        };
        let _place = self
            .readers
            .try_acquire()
            .context("too many ask for the history at once")?;
        let answer = reader
            .ask(move |reader| reader.series(from, to, points))
            .await?;
        if answer.as_ref().is_err_and(kit::database::is_damage) {
            self.keeper.send(Keeper::found_damage);
        }
        answer
    }

    /// Stores changes made over the API; they take effect once they are stored.
    pub async fn keep(&self, overrides: Overrides) -> anyhow::Result<()> {
        let question = move |keeper: &mut Keeper| keeper.keep(overrides);
        self.keeper.ask(question).await?
    }

    /// The number of readings that were never written.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Whether the last write succeeded.
    pub fn is_writable(&self) -> bool {
        self.shared.writable.load(Ordering::Relaxed)
    }

    /// Never blocks, because the measuring thread must not wait.
    fn feed(&self, job: impl FnOnce(&mut Keeper) + Send + 'static) {
        if !self.keeper.offer(job) {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            self.component
                .degraded("a reading was lost: the history does not keep up");
        }
    }
}

struct Keeper {
    settings: Settings,
    judge: Judge,
    outbox: Arc<Outbox>,
    webhook: Arc<SharedWebhook>,
    shared: Arc<Shared>,
    component: Component,
    store: Option<Store>,
    /// Whether the stored state has been read since the start.
    loaded: bool,
    /// Whether SQLite has found damage: the file is then checked before it is opened again.
    suspect: bool,
    last_forget: i64,
    unsaved: VecDeque<Reading>,
    messages: Vec<Message>,
    gone: Vec<String>,
}

impl Actor for Keeper {
    fn start(&mut self) {
        let opened = self.open();
        self.show(opened);
    }

    /// Writes everything that is pending.
    fn stop(mut self) -> anyhow::Result<()> {
        self.save();
        if let Some(store) = self.store.take() {
            store.close();
        }
        Ok(())
    }
}

impl Keeper {
    fn reading(&mut self, reading: Reading) {
        self.notice_restore();
        let news = self.judge.reading(&reading);
        self.unsaved.push_back(reading);
        if self.unsaved.len() > UNSAVED {
            self.unsaved.pop_front();
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
        self.send(news);
        self.forget(reading.at);
    }

    fn delivered(&mut self, key: String) {
        self.messages.retain(|message| message.key != key);
        self.gone.push(key);
        self.save();
    }

    fn series(&mut self, from: i64, to: i64, points: u32) -> anyhow::Result<Series> {
        let series = match &self.store {
            Some(store) => store.series(from, to, points),
            None => Err(anyhow::anyhow!("the history cannot be read")),
        };
        self.suspects(&series);
        series
    }

    /// Somebody else has seen that the file is damaged.
    fn found_damage(&mut self) {
        self.suspect = true;
        self.store = None;
        self.save();
    }

    /// Stores messages before sending them: a crash in between delays a message, but neither loses nor repeats it.
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
        self.show(saved);
    }

    /// Closes the history if the result shows damage, so that it is set aside.
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
        let settings = self.judge.state()?;
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

    /// Opens the history if it is closed, and restores the stored state.
    fn open(&mut self) -> anyhow::Result<()> {
        if self.store.is_some() {
            return Ok(());
        }
        let (store, aside) = open_or_set_aside(self.settings.path.as_deref(), self.suspect)?;
        self.suspect = false;
        self.store = Some(store);
        if aside.is_some() {
            // The new file is empty, so store what is in memory.
            self.messages = self.outbox.all();
            self.keep(self.webhook.overrides())?;
        }
        if !std::mem::replace(&mut self.loaded, true) {
            self.load()?;
        }
        Ok(())
    }

    /// Restores the stored state. If the card starts to work only later, the state in memory is newer and takes
    /// precedence, and stored messages are added to those that are waiting.
    fn load(&mut self) -> anyhow::Result<()> {
        self.load_overrides()?;
        let Some(store) = &self.store else {
            return Ok(());
        };
        self.judge
            .restore(store.setting("alerts")?, store.setting("last_status")?);
        self.outbox.restore(store.outbox()?);
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

    /// After a restore, the readings are those of the backup; the current alerts and pending messages stay as in
    /// memory.
    fn notice_restore(&mut self) {
        let changed = self
            .store
            .as_mut()
            .is_some_and(|store| store.changed_by_others().unwrap_or(false));
        if changed {
            tracing::info!("the history was restored from a backup");
            let loaded = self.load_overrides();
            self.show(loaded);
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
        // The clock may have been set back since.
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

    fn show(&self, outcome: anyhow::Result<()>) {
        let writable = &self.shared.writable;
        writable.store(outcome.is_ok(), Ordering::Relaxed);
        match outcome {
            Ok(()) => self.component.ok(),
            Err(error) => self
                .component
                .degraded(format!("the history cannot be written: {error:#}")),
        }
    }
}
