//! The counters, shared by logs, `/metrics` and `ticker status`.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use kit::{ProcessUsage, Table};
use serde_json::{Value, json};

use crate::record::{Record, Stream};
use crate::store::{Completed, SegmentError};

/// All counters of one process.
#[derive(Debug, Default)]
pub struct Stats {
    streams: Vec<(Stream, StreamStats)>,
    sources: Vec<(String, SourceStats)>,
    queued: AtomicU64,
    dropped: AtomicU64,
    stalls: AtomicU64,
    row_groups: AtomicU64,
    bytes: AtomicU64,
    files: AtomicU64,
    lost: AtomicU64,
    write_errors: AtomicU64,
    salvaged_files: AtomicU64,
    salvaged_records: AtomicU64,
    unsalvaged_files: AtomicU64,
    cut_bytes: AtomicU64,
    stopped: AtomicBool,
    flushed_at: AtomicI64,
}

/// The counters of a stream.
#[derive(Debug, Default)]
pub struct StreamStats {
    /// Records received.
    pub received: AtomicU64,
    /// Records that are durable.
    pub flushed: AtomicU64,
    /// Missing numbers.
    pub missed: AtomicU64,
    /// Gaps in the numbers.
    pub gaps: AtomicU64,
    /// Duplicates of earlier records.
    pub duplicates: AtomicU64,
    /// When the last record was received, in µs since 1970; 0 if there was none.
    pub heard: AtomicI64,
    /// When it was first connected, in µs since 1970.
    pub since: AtomicI64,
    /// Whether no record was received for longer than the source's settings expect.
    pub quiet: AtomicBool,
}

impl StreamStats {
    /// Counts a record received at `now`. A stream belongs to one feed, which alone counts here, so no atomic increment
    /// is needed.
    pub fn received(&self, now: i64) {
        self.heard.store(now, Relaxed);
        self.received
            .store(self.received.load(Relaxed) + 1, Relaxed);
    }
}

/// The counters of a source.
#[derive(Debug, Default)]
pub struct SourceStats {
    /// Whether it is connected.
    pub connected: AtomicBool,
    /// Connections that were established.
    pub connects: AtomicU64,
    /// Failed attempts to connect, and broken connections.
    pub failures: AtomicU64,
    /// Connections that were closed because they were silent.
    pub silences: AtomicU64,
    /// Messages that could not be decoded.
    pub garbage: AtomicU64,
    /// Messages in which the exchange refuses something.
    pub refusals: AtomicU64,
    /// Messages without data for us: of a symbol or channel that was not subscribed to, or about the feed itself.
    pub other: AtomicU64,
    /// When the last message was received, in µs since 1970.
    pub heard: AtomicI64,
}

impl Stats {
    /// Nothing counted yet.
    pub fn new(streams: &[Stream]) -> Self {
        let mut sources: Vec<(String, SourceStats)> = Vec::new();
        for stream in streams {
            if !sources.iter().any(|(name, _)| *name == stream.source) {
                sources.push((stream.source.clone(), SourceStats::default()));
            }
        }
        Stats {
            streams: streams
                .iter()
                .map(|s| (s.clone(), StreamStats::default()))
                .collect(),
            sources,
            ..Stats::default()
        }
    }

    /// The counters of a stream.
    pub fn stream(&self, stream: u32) -> &StreamStats {
        &self.streams[stream as usize].1
    }

    /// The counters of a source, by its index in the configuration.
    pub fn source(&self, index: usize) -> &SourceStats {
        &self.sources[index].1
    }

    /// Counts records that were dropped because the queue was full.
    pub fn dropped(&self, records: u64) {
        self.dropped.fetch_add(records, Relaxed);
    }

    /// Counts that a feed had to wait because the queue was full.
    pub fn stalled(&self) {
        self.stalls.fetch_add(1, Relaxed);
    }

    /// Sets the number of records in the queue.
    pub fn queued(&self, records: usize) {
        self.queued.store(records as u64, Relaxed);
    }

    /// Counts a durable row group: its file is durable up to `length`.
    pub fn flushed(&self, stream: u32, records: &[Record], file: &str, length: u64, bytes: usize) {
        let (of, counters) = &self.streams[stream as usize];
        let flushed =
            counters.flushed.fetch_add(records.len() as u64, Relaxed) + records.len() as u64;
        self.row_groups.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        let last = records.last();
        self.flushed_at
            .store(last.map_or(0, |r| r.received), Relaxed);
        let last = last.and_then(|r| r.number(of.numbered?));
        tracing::debug!(
            file,
            length,
            records = records.len(),
            flushed,
            last,
            "flushed"
        );
    }

    /// Counts a file that was completed and moved to `ready/`.
    pub fn completed(&self, file: &str) {
        self.files.fetch_add(1, Relaxed);
        tracing::debug!(file, "completed");
    }

    /// Counts a file of a former run that was completed.
    pub fn salvaged(&self, file: &str, completed: &Completed) {
        self.salvaged_files.fetch_add(1, Relaxed);
        self.salvaged_records.fetch_add(completed.records, Relaxed);
        self.cut_bytes.fetch_add(completed.cut_bytes, Relaxed);
        tracing::warn!(
            file,
            records = completed.records,
            row_groups = completed.row_groups,
            cut_bytes = completed.cut_bytes,
            "salvaged a file that the last run left incomplete"
        );
    }

    /// Counts a file of a former run that cannot be completed.
    pub fn not_salvaged(&self, file: &str, error: &SegmentError) {
        self.unsalvaged_files.fetch_add(1, Relaxed);
        tracing::error!(file, %error, "the file cannot be salvaged; it stays in active/");
    }

    /// Counts a failed write, which will be retried.
    pub fn write_failed(&self) {
        self.write_errors.fetch_add(1, Relaxed);
    }

    /// Counts records that were received and will never be written.
    pub fn lost(&self, records: u64) {
        if records > 0 {
            self.lost.fetch_add(records, Relaxed);
            tracing::error!(
                records,
                "records were received, but are lost because they were never written"
            );
        }
    }

    /// Sets whether ingesting has stopped because the disk is full.
    pub fn set_stopped(&self, stopped: bool) {
        self.stopped.store(stopped, Relaxed);
    }

    /// Whether ingesting has stopped because the disk is full.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    /// The number of durable records of all streams.
    pub fn total_flushed(&self) -> u64 {
        self.total(|s| &s.flushed)
    }

    /// The number of received records of all streams.
    pub fn total_received(&self) -> u64 {
        self.total(|s| &s.received)
    }

    fn total(&self, of: fn(&StreamStats) -> &AtomicU64) -> u64 {
        self.streams.iter().map(|(_, s)| of(s).load(Relaxed)).sum()
    }

    fn over_sources(&self, of: fn(&SourceStats) -> &AtomicU64) -> u64 {
        self.sources.iter().map(|(_, s)| of(s).load(Relaxed)).sum()
    }

    /// Logs one line.
    pub fn log(&self) {
        let usage = ProcessUsage::now();
        let connected = self
            .sources
            .iter()
            .filter(|(_, s)| s.connected.load(Relaxed));
        tracing::info!(
            sources_connected = connected.count(),
            received = self.total(|s| &s.received),
            flushed = self.total(|s| &s.flushed),
            queued = self.queued.load(Relaxed),
            missed = self.total(|s| &s.missed),
            duplicates = self.total(|s| &s.duplicates),
            garbage = self.over_sources(|s| &s.garbage),
            dropped = self.dropped.load(Relaxed),
            lost = self.lost.load(Relaxed),
            files = self.files.load(Relaxed),
            resident_kib = usage.resident_bytes / 1024,
            cpu_seconds = usage.cpu_seconds,
            "statistics"
        );
    }

    /// All counters as JSON.
    pub fn json(&self) -> Value {
        let sources = self.sources.iter().map(|(name, s)| {
            let value = json!({
                "connected": s.connected.load(Relaxed),
                "connects": s.connects.load(Relaxed),
                "failures": s.failures.load(Relaxed),
                "silences": s.silences.load(Relaxed),
                "garbage": s.garbage.load(Relaxed),
                "refusals": s.refusals.load(Relaxed),
                "other": s.other.load(Relaxed),
            });
            (name.clone(), value)
        });
        let streams = self.streams.iter().map(|(of, s)| {
            json!({
                "source": of.source,
                "channel": of.channel,
                "symbol": of.symbol,
                "received": s.received.load(Relaxed),
                "flushed": s.flushed.load(Relaxed),
                "missed": s.missed.load(Relaxed),
                "gaps": s.gaps.load(Relaxed),
                "duplicates": s.duplicates.load(Relaxed),
                "quiet": s.quiet.load(Relaxed),
            })
        });
        let usage = ProcessUsage::now();
        json!({
            "sources": sources.collect::<serde_json::Map<_, _>>(),
            "streams": streams.collect::<Vec<_>>(),
            "received": self.total_received(),
            "flushed": self.total_flushed(),
            "queued": self.queued.load(Relaxed),
            "dropped": self.dropped.load(Relaxed),
            "lost": self.lost.load(Relaxed),
            "files": self.files.load(Relaxed),
            "salvaged": {
                "files": self.salvaged_files.load(Relaxed),
                "records": self.salvaged_records.load(Relaxed),
                "cut_bytes": self.cut_bytes.load(Relaxed),
                "not": self.unsalvaged_files.load(Relaxed),
            },
            "stopped": self.is_stopped(),
            "resident_bytes": usage.resident_bytes,
        })
    }

    /// All counters for Prometheus.
    pub fn tell(&self, table: &mut Table) {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        let streams = |of: fn(&StreamStats) -> &AtomicU64| {
            self.streams.iter().map(move |(stream, counters)| {
                let labels = [
                    ("source", stream.source.as_str()),
                    ("channel", stream.channel.as_str()),
                    ("symbol", stream.symbol.as_str()),
                ];
                (labels, of(counters).load(Relaxed))
            })
        };
        let sources = |of: fn(&SourceStats) -> &AtomicU64| {
            let sources = self.sources.iter();
            sources.map(move |(name, counters)| {
                ([("source", name.as_str())], of(counters).load(Relaxed))
            })
        };
        let connected = self.sources.iter();
        let connected =
            connected.map(|(name, s)| ([("source", name.as_str())], s.connected.load(Relaxed)));
        let by_stream = |of: fn(&StreamStats) -> f64| {
            self.streams.iter().map(move |(stream, stats)| {
                let labels = [
                    ("source", stream.source.as_str()),
                    ("channel", stream.channel.as_str()),
                    ("symbol", stream.symbol.as_str()),
                ];
                (labels, of(stats))
            })
        };
        kit::metrics! { table;
            counter "ticker_queue_dropped", "Records dropped because the queue was full" => of(&self.dropped);
            counter "ticker_queue_stalls", "Times a feed waited because the queue was full" => of(&self.stalls);
            counter "ticker_row_groups", "Row groups made durable" => of(&self.row_groups);
            counter "ticker_written_bytes", "Bytes of row groups made durable" => of(&self.bytes);
            counter "ticker_files_completed", "Files completed and moved to ready/" => of(&self.files);
            counter "ticker_records_lost", "Records received and never written" => of(&self.lost);
            counter "ticker_write_errors", "Attempts to write that failed" => of(&self.write_errors);
            counter "ticker_salvaged_files", "Files of a former run that were completed" => of(&self.salvaged_files);
            counter "ticker_salvaged_records", "Records in them" => of(&self.salvaged_records);
            counter "ticker_salvage_cut_bytes", "Bytes behind their last whole row group" => of(&self.cut_bytes);
            counter "ticker_salvage_failures", "Files of a former run that could not be read" => of(&self.unsalvaged_files);
            gauge "ticker_queued_records", "Records in the queue" => of(&self.queued) as f64;
            gauge "ticker_stopped", "Whether ingesting has stopped for want of room" => self.is_stopped();
            gauge "ticker_flushed_timestamp_seconds", "When the last durable record was received"
                => self.flushed_at.load(Relaxed) as f64 / 1e6;
            counters "ticker_records_received", "Records received" => streams(|s| &s.received);
            counters "ticker_records_flushed", "Records that are durable" => streams(|s| &s.flushed);
            counters "ticker_records_missed", "Numbers that the source skipped" => streams(|s| &s.missed);
            counters "ticker_gaps", "Times that numbers were skipped" => streams(|s| &s.gaps);
            counters "ticker_duplicates", "Records received before, and skipped" => streams(|s| &s.duplicates);
            counters "ticker_connects", "Connections made" => sources(|s| &s.connects);
            counters "ticker_connection_failures", "Connections that failed or broke" => sources(|s| &s.failures);
            counters "ticker_silences", "Connections given up because nothing came" => sources(|s| &s.silences);
            counters "ticker_garbage", "Messages that could not be understood" => sources(|s| &s.garbage);
            counters "ticker_refusals", "Messages in which the exchange refused something" => sources(|s| &s.refusals);
            gauges "ticker_last_record_timestamp_seconds", "When the last record was received; 0 if there was none"
                => by_stream(|s| s.heard.load(Relaxed) as f64 / 1e6);
            gauges "ticker_quiet", "Whether no record was received for longer than quiet_seconds"
                => by_stream(|s| f64::from(u8::from(s.quiet.load(Relaxed))));
            counters "ticker_other_messages", "Messages for nobody" => sources(|s| &s.other);
            gauges "ticker_source_connected", "Whether the source is connected" => connected;
        }
    }
}
