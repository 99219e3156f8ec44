//! Feeds: one task per source, which connects, listens, and reconnects.

mod connect;
mod decode;
mod exchange;
mod gaps;
mod number;
mod reader;
mod socket;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, bail};
use kit::{Component, Heartbeat, Kit, Shutdown};
use tokio::time::{Instant, sleep, sleep_until, timeout};

pub use decode::{Decoded, Garbage, Table};
pub use exchange::{Decode, Exchange, FieldNames, Nature, SourceKind, SourceSettings};
use gaps::Numbers;
use socket::Socket;

use crate::clock::Clock;
use crate::queue::Queue;
use crate::record::{Record, Stream};
use crate::stats::Stats;

const SLOWEST_RETRY: Duration = Duration::from_secs(60);
/// A connection that lasted this long was successful: the next failure counts as the first one.
const GOOD: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(15);
/// How often messages that could not be decoded are logged; they are always counted.
const COMPLAIN: Duration = Duration::from_secs(10);
/// How often a feed beats, and checks whether it must stop because the disk is full.
const LOOK: Duration = Duration::from_secs(1);
/// After how long a connection on which something was refused, and nothing received, is made anew.
const ASK_AGAIN: Duration = Duration::from_secs(600);
const BEAT: Duration = Duration::from_secs(90);

/// The feed of one source.
pub struct Feed {
    index: usize,
    settings: SourceSettings,
    decode: Decode,
    streams: Arc<[Stream]>,
    numbers: Vec<Numbers>,
    first: usize,
    queue: Queue,
    clock: Clock,
    stats: Arc<Stats>,
    component: Component,
    heartbeat: Heartbeat,
    shutdown: Shutdown,
    complained: Option<Instant>,
    /// What the exchange has refused on this connection.
    refused: Option<String>,
    /// Records that have not been moved to the queue yet.
    records: Vec<Record>,
}

/// The state that all feeds share.
#[derive(Clone)]
pub struct Shared {
    /// All streams.
    pub streams: Arc<[Stream]>,
    /// The queue for records.
    pub queue: Queue,
    /// The clock, in µs since 1970.
    pub clock: Clock,
    /// The counters.
    pub stats: Arc<Stats>,
}

impl Feed {
    /// Creates the feed of `settings`, the `index`-th source, whose first stream is `first`. `last` has the highest
    /// known number of each stream.
    pub fn new(
        kit: &Kit,
        shared: &Shared,
        settings: &SourceSettings,
        index: usize,
        first: usize,
        last: &[Option<i64>],
    ) -> Self {
        let count = settings.channels.len() * settings.symbols.len();
        let name = settings.name.clone();
        Feed {
            index,
            settings: settings.clone(),
            decode: settings.decoder(first as u32),
            streams: shared.streams.clone(),
            numbers: (shared.streams[first..].iter())
                .zip(&last[first..first + count])
                .map(|(stream, last)| Numbers::after(last.filter(|_| stream.lasting)))
                .collect(),
            first,
            queue: shared.queue.clone(),
            clock: shared.clock.clone(),
            stats: shared.stats.clone(),
            component: kit.component(name.clone()),
            heartbeat: kit.heartbeat(name, BEAT),
            shutdown: kit.shutdown().clone(),
            complained: None,
            refused: None,
            records: Vec::new(),
        }
    }

    /// Listens until the service is asked to stop.
    pub async fn run(mut self) {
        self.component.degraded("not connected yet");
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let shutdown = self.shutdown.clone();
            let ended = tokio::select! {
                ended = self.listen() => Some(ended),
                () = shutdown.requested() => None,
            };
            let Some(ended) = ended else {
                self.stats.lost(self.records.len() as u64);
                return;
            };
            let stats = self.stats.source(self.index);
            stats.connected.store(false, Relaxed);
            if let Err(error) = ended {
                stats.failures.fetch_add(1, Relaxed);
                self.component.degraded(format!("{error:#}"));
            }
            failures = if began.elapsed() >= GOOD {
                1
            } else {
                failures + 1
            };
            let first = Duration::from_secs_f64(self.settings.retry_seconds);
            let pause = kit::jittered(kit::back_off(first, failures, SLOWEST_RETRY));
            tracing::info!(
                source = self.settings.name,
                pause_ms = pause.as_millis() as u64,
                "connecting again"
            );
            let until = Instant::now() + pause;
            while Instant::now() < until || self.stats.is_stopped() {
                self.heartbeat.beat();
                let slice = (until.saturating_duration_since(Instant::now())).min(LOOK);
                tokio::select! {
                    () = sleep(slice.max(Duration::from_millis(1))) => {}
                    () = shutdown.requested() => return,
                }
            }
        }
    }

    /// Runs one connection until it ends. An error says why; there is none if it ended because the disk is full.
    async fn listen(&mut self) -> anyhow::Result<()> {
        self.heartbeat.beat();
        let exchange = self.settings.kind.0;
        let Some(url) = exchange.address(&self.settings) else {
            return self.simulate().await;
        };
        let mut socket = timeout(CONNECT, Socket::connect(&url))
            .await
            .with_context(|| format!("{url} does not answer"))?
            .with_context(|| format!("cannot connect to {url}"))?;
        for wish in exchange.subscribe(&self.settings) {
            socket.send(wish).await?;
        }
        let stats = self.stats.clone();
        let stats = stats.source(self.index);
        stats.connects.fetch_add(1, Relaxed);
        stats.connected.store(true, Relaxed);
        let began = (self.clock)();
        self.begin(began);

        let silence = self.settings.silence();
        let slice = LOOK.min(silence);
        let mut heard = Instant::now();
        let mut said = heard;
        let look = sleep_until(heard + slice);
        tokio::pin!(look);
        let mut news = false;
        loop {
            // Messages that arrived with the handshake are handled before waiting for more.
            let now = (self.clock)();
            let ended = loop {
                match socket.next() {
                    Ok(Some(message)) => {
                        news = true;
                        self.message(message, now);
                    }
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            if news {
                stats.heard.store(now, Relaxed);
            }
            self.queue.put(&mut self.records).await;
            ended?;
            tokio::select! {
                biased;
                filled = socket.fill() => filled?,
                () = &mut look => {
                    self.heartbeat.beat();
                    let now = Instant::now();
                    if news {
                        (heard, news) = (now, false);
                    }
                    if now - heard >= silence {
                        stats.silences.fetch_add(1, Relaxed);
                        bail!("no message for {} s", silence.as_secs_f64());
                    }
                    if self.stats.is_stopped() {
                        return Ok(());
                    }
                    self.look(began)?;
                    if let Some((every, words)) = exchange.keep_alive()
                        && now - said >= every
                    {
                        socket.send(words.to_owned()).await?;
                        said = now;
                    }
                    look.as_mut().reset(now + slice);
                }
            }
        }
    }

    /// Decodes a message received at `now`, and appends its new records to `records`.
    fn message(&mut self, message: &[u8], now: i64) {
        let before = self.records.len();
        match (self.decode)(message, now, &mut self.records) {
            Ok(Decoded::Records) => {}
            Ok(Decoded::Other) => {
                self.stats.source(self.index).other.fetch_add(1, Relaxed);
            }
            Err(Garbage::Refused(words)) => self.refused(words),
            // If an item of a list is wrong, the others are kept.
            Err(error) => self.garbage(&error, message),
        }
        let mut records = std::mem::take(&mut self.records);
        let mut kept = before;
        for at in before..records.len() {
            if self.accept(&records[at]) {
                // The stream is nearly always known already.
                if kept < at {
                    records[kept] = records[at];
                }
                kept += 1;
            }
        }
        records.truncate(kept);
        self.records = records;
    }

    /// Counts a record, and decides whether to keep it.
    fn accept(&mut self, record: &Record) -> bool {
        let index = record.stream as usize;
        let stream = &self.streams[index];
        let counters = self.stats.stream(record.stream);
        let number = stream.numbered.and_then(|by| record.number(by));
        if let Some(number) = number
            && !self.numbers[index - self.first].accept(number, stream, counters)
        {
            return false;
        }
        counters.received(record.received);
        true
    }

    /// A connection was made at `now`.
    fn begin(&mut self, now: i64) {
        self.refused = None;
        self.component.ok();
        for (index, numbers) in self.numbers.iter_mut().enumerate() {
            if !self.streams[self.first + index].lasting {
                *numbers = Numbers::default();
            }
            let counters = self.stats.stream((self.first + index) as u32);
            let since = &counters.since;
            let _ = since.compare_exchange(0, now, Relaxed, Relaxed);
        }
    }

    fn refused(&mut self, words: String) {
        self.stats.source(self.index).refusals.fetch_add(1, Relaxed);
        tracing::warn!(source = self.settings.name, "the exchange says: {words}");
        let words = format!("the exchange says: {words}");
        self.component.degraded(&*words);
        self.refused.get_or_insert(words);
    }

    /// Looks at each stream of a connection that began at `began`: that something is heard on it says nothing of them.
    fn look(&mut self, began: i64) -> anyhow::Result<()> {
        let now = (self.clock)();
        let longest = (self.settings.quiet_seconds * 1e6) as i64;
        let mut quiet = None;
        let mut any = false;
        for index in self.first..self.first + self.numbers.len() {
            let counters = self.stats.stream(index as u32);
            let heard = counters.heard.load(Relaxed);
            any |= heard > began;
            let is_quiet = now - heard.max(counters.since.load(Relaxed)) >= longest;
            counters.quiet.store(is_quiet, Relaxed);
            if is_quiet {
                quiet.get_or_insert(&self.streams[index]);
            }
        }
        match (&self.refused, quiet) {
            (Some(words), _) => {
                let words = words.clone();
                // It may have been for the moment; who gets nothing at all loses nothing by asking anew.
                if !any && now - began >= ASK_AGAIN.as_micros() as i64 {
                    bail!(words);
                }
                self.component.degraded(words);
            }
            (None, Some(stream)) => self.component.degraded(format!(
                "no record of {} {} for more than {} s",
                stream.channel, stream.symbol, self.settings.quiet_seconds
            )),
            (None, None) => self.component.ok(),
        }
        Ok(())
    }

    fn garbage(&mut self, error: &Garbage, message: &[u8]) {
        self.stats.source(self.index).garbage.fetch_add(1, Relaxed);
        if self.complained.is_some_and(|at| at.elapsed() < COMPLAIN) {
            return;
        }
        self.complained = Some(Instant::now());
        let text = String::from_utf8_lossy(message);
        let beginning: String = text.chars().take(200).collect();
        tracing::warn!(
            source = self.settings.name,
            %error,
            message = beginning,
            "a message that cannot be understood is skipped"
        );
    }

    /// A market without trades.
    async fn simulate(&mut self) -> anyhow::Result<()> {
        let stats = self.stats.clone();
        stats.source(self.index).connected.store(true, Relaxed);
        self.component.ok();
        let mut price = 100.0;
        for number in self
            .numbers
            .iter()
            .filter_map(Numbers::last)
            .max()
            .unwrap_or(0)
            + 1..
        {
            self.heartbeat.beat();
            sleep(Duration::from_millis(100)).await;
            price *= 1.0 + (fastrand::f64() - 0.5) / 1000.0;
            for index in 0..self.numbers.len() {
                let now = (self.clock)();
                let record = Record {
                    time: Some(now).into(),
                    trade_id: Some(number).into(),
                    buy: Some(fastrand::bool()),
                    price: Some((price * 100.0).round() / 100.0).into(),
                    size: Some(f64::from(fastrand::u16(1..1000)) / 1000.0).into(),
                    ..Record::empty((self.first + index) as u32, now)
                };
                if self.accept(&record) {
                    self.records.push(record);
                }
            }
            self.queue.put(&mut self.records).await;
            if self.stats.is_stopped() {
                break;
            }
        }
        Ok(())
    }
}
