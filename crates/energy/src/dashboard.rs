//! Reads the content of the cache and its age for the page.
//!
//! One worker owns the cache and keeps everything that the page shows in memory, so that the page answers at once even
//! if the card is slow. The worker notices by itself when the sync has written.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use kit::{Actor, Component, Kit, Worker, clock, database};

use crate::amber::Price;
use crate::cache::{Cache, DayTotals};
use crate::config::Config;
use crate::sync::{KEY, State};
use crate::{days, simulated};

/// The time limit for a job: a slow card may need it.
const BEAT: Duration = Duration::from_secs(60);
/// How soon a change is noticed.
const SLICE: Duration = Duration::from_secs(1);
/// How often the data are refreshed without a change: a day ends, a price expires.
const FRESH: Duration = Duration::from_secs(60);
/// The number of days whose usage is shown.
const DAYS: i64 = 8;
const HOUR: i64 = 3600;

/// The data that the page shows.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The results of the last syncs.
    pub state: State,
    /// The prices from one hour ago on.
    pub prices: Vec<Price>,
    /// The last days with any data, newest first.
    pub days: Vec<Day>,
    /// The start of the newest usage, in seconds since 1970.
    pub newest_usage: Option<i64>,
    /// The time zone's name.
    pub zone: String,
    /// Whether the cache can be read.
    pub readable: bool,
}

/// A day in the house's time zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Day {
    /// Its date.
    pub date: jiff::civil::Date,
    /// Start and end, in seconds since 1970.
    pub span: (i64, i64),
    /// The totals of the meter.
    pub totals: DayTotals,
}

/// A handle for reading the cache; clones read the same one.
#[derive(Debug, Clone)]
pub struct Reader {
    cache: Worker<CacheReader>,
    seen: Arc<Mutex<Arc<Seen>>>,
}

impl Reader {
    /// Starts the worker. The service is ready once opening the cache was attempted.
    pub fn start(kit: &Kit, config: &Config, zone: TimeZone) -> anyhow::Result<Self> {
        let path = config.cache.path().filter(|_| !config.simulate);
        match &path {
            Some(path) => tracing::info!(path = %path.display(), "cache"),
            None => tracing::warn!("the cache is in memory only, and no other program fills it"),
        }
        let seen = Arc::new(Mutex::default());
        let cache = kit.worker("cache", BEAT, |component| CacheReader {
            path,
            simulate: config.simulate,
            stale_after: config.display.stale_after_seconds as i64,
            zone,
            cache: Err(anyhow::anyhow!("the cache has not been opened yet")),
            seen: Arc::clone(&seen),
            opened: Instant::now(),
            fresh: None,
            cached: component,
            amber: kit.component("amber"),
        })?;
        Ok(Reader { cache, seen })
    }

    /// The last data that were read.
    pub fn seen(&self) -> Arc<Seen> {
        self.seen.lock().expect("no panic while held").clone()
    }

    /// Runs a query on the cache itself.
    pub async fn ask<V: Send + 'static>(
        &self,
        question: impl FnOnce(&Cache) -> anyhow::Result<V> + Send + 'static,
    ) -> anyhow::Result<V> {
        let question = |reader: &mut CacheReader| match &reader.cache {
            Ok(cache) => question(cache),
            Err(error) => Err(anyhow::anyhow!("{error:#}")),
        };
        self.cache.ask(question).await?
    }
}

/// The only owner of the cache in this program.
struct CacheReader {
    path: Option<PathBuf>,
    simulate: bool,
    stale_after: i64,
    zone: TimeZone,
    cache: anyhow::Result<Cache>,
    seen: Arc<Mutex<Arc<Seen>>>,
    /// When opening it was last attempted.
    opened: Instant,
    /// When the shown data were last read.
    fresh: Option<Instant>,
    cached: Component,
    amber: Component,
}

impl Actor for CacheReader {
    fn start(&mut self) {
        self.open(false);
        self.look();
    }

    fn turn(&mut self) -> Duration {
        self.look();
        SLICE
    }

    fn stop(self) -> anyhow::Result<()> {
        if let Ok(cache) = self.cache {
            cache.close();
        }
        Ok(())
    }
}

impl CacheReader {
    fn open(&mut self, suspect: bool) {
        self.opened = Instant::now();
        self.fresh = None;
        self.cache = match &self.path {
            Some(path) => Cache::open_suspect(path, suspect),
            None => Cache::in_memory(),
        };
    }

    /// Reads the data again if they may have changed.
    fn look(&mut self) {
        if self.cache.is_err() && self.opened.elapsed() >= SLICE {
            self.open(false);
        }
        let changed = match &mut self.cache {
            Ok(cache) => cache.changed_by_others().unwrap_or(true),
            Err(_) => false,
        };
        if !changed && self.fresh.is_some_and(|fresh| fresh.elapsed() < FRESH) {
            return;
        }
        self.fresh = Some(Instant::now());
        match self.see() {
            Ok(seen) => {
                self.cached.ok();
                self.judge(&seen.state);
                *self.seen.lock().expect("no panic while held") = Arc::new(seen);
            }
            Err(error) => {
                self.cached
                    .degraded(format!("the cache cannot be read: {error:#}"));
                let mut seen = self.seen.lock().expect("no panic while held");
                Arc::make_mut(&mut seen).readable = false;
                drop(seen);
                if database::is_damage(&error) {
                    self.open(true);
                }
            }
        }
    }

    fn see(&mut self) -> anyhow::Result<Seen> {
        let cache = match &mut self.cache {
            Ok(cache) => cache,
            Err(error) => anyhow::bail!("{error:#}"),
        };
        let now = clock::now_ms() / 1000;
        if self.simulate {
            simulated::fill(cache, now)?;
        }
        let today = days::at(now, &self.zone);
        let mut known = Vec::new();
        for day in (0..DAYS).map(|ago| days::after(today, -ago)) {
            let span = days::span(day, &self.zone);
            let totals = cache.totals(span.0, span.1)?;
            known.extend(totals.map(|totals| Day {
                date: day,
                span,
                totals,
            }));
        }
        Ok(Seen {
            state: cache.setting(KEY)?,
            prices: cache.prices(now - HOUR, now + 48 * HOUR)?,
            days: known,
            newest_usage: cache.newest()?.1,
            zone: self.zone.iana_name().unwrap_or("UTC").to_owned(),
            readable: true,
        })
    }

    /// Updates the health component of Amber.
    fn judge(&self, state: &State) {
        let age = state
            .success
            .map(|success| (clock::now_ms() - success).max(0) / 1000);
        match (age, &state.error) {
            (None, Some(error)) => self.amber.degraded(error),
            (None, None) => self.amber.degraded("there are no prices yet"),
            (Some(age), error) if age > self.stale_after => {
                let why = error.as_deref().unwrap_or("the sync is not running");
                self.amber.degraded(format!("prices are old: {why}"));
            }
            _ => self.amber.ok(),
        }
    }
}
