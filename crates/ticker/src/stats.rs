//! What is counted: once, for logs, `/metrics` and `ticker status` alike.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use kit::ProcessUsage;
use kit::prometheus_client::collector::Collector;
use kit::prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use kit::prometheus_client::metrics::MetricType;
use kit::prometheus_client::metrics::counter::ConstCounter;
use kit::prometheus_client::metrics::gauge::ConstGauge;
use serde_json::{Value, json};

use crate::record::{Record, Stream};
use crate::store::{Completed, SegmentError};

/// All counters of one process.
#[derive(Debug)]
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

/// What is counted per stream.
#[derive(Debug, Default)]
pub struct StreamStats {
    /// Records received.
    pub received: AtomicU64,
    /// Records that are durable.
    pub flushed: AtomicU64,
    /// Numbers that were skipped.
    pub missed: AtomicU64,
    /// Times that numbers were skipped.
    pub gaps: AtomicU64,
    /// Records that had been received before.
    pub duplicates: AtomicU64,
}

impl StreamStats {
    /// A record was received. Its stream is one feed's, which alone counts here: no need to lock the bus for it.
    pub fn received(&self) {
        self.received
            .store(self.received.load(Relaxed) + 1, Relaxed);
    }
}

/// What is counted per source.
#[derive(Debug, Default)]
pub struct SourceStats {
    /// Whether it is connected.
    pub connected: AtomicBool,
    /// Connections made.
    pub connects: AtomicU64,
    /// Attempts to connect that failed, and connections that broke.
    pub failures: AtomicU64,
    /// Connections given up because nothing came.
    pub silences: AtomicU64,
    /// Messages that could not be understood.
    pub garbage: AtomicU64,
    /// Messages for nobody: of a symbol or channel that was not asked for, and what feeds say about themselves.
    pub other: AtomicU64,
    /// When the last message came, in µs since 1970.
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
            queued: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            stalls: AtomicU64::new(0),
            row_groups: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            files: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            write_errors: AtomicU64::new(0),
            salvaged_files: AtomicU64::new(0),
            salvaged_records: AtomicU64::new(0),
            unsalvaged_files: AtomicU64::new(0),
            cut_bytes: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            flushed_at: AtomicI64::new(0),
        }
    }

    /// The counters of a stream.
    pub fn stream(&self, stream: u32) -> &StreamStats {
        &self.streams[stream as usize].1
    }

    /// The counters of a source, by its place in the configuration.
    pub fn source(&self, index: usize) -> &SourceStats {
        &self.sources[index].1
    }

    /// Records dropped because the queue was full.
    pub fn dropped(&self, records: u64) {
        self.dropped.fetch_add(records, Relaxed);
    }

    /// A feed had to wait because the queue was full.
    pub fn stalled(&self) {
        self.stalls.fetch_add(1, Relaxed);
    }

    /// How many records are in the queue.
    pub fn queued(&self, records: usize) {
        self.queued.store(records as u64, Relaxed);
    }

    /// A row group is durable: its file is so up to `length`.
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

    /// A file is complete, and in `ready/`.
    pub fn completed(&self, file: &str) {
        self.files.fetch_add(1, Relaxed);
        tracing::debug!(file, "completed");
    }

    /// A file that a former run left has been completed.
    pub fn salvaged(&self, file: &str, completed: &Completed) {
        self.salvaged_files.fetch_add(1, Relaxed);
        self.salvaged_records.fetch_add(completed.records, Relaxed);
        self.cut_bytes.fetch_add(completed.cut_bytes, Relaxed);
        tracing::warn!(
            file,
            records = completed.records,
            row_groups = completed.row_groups,
            cut_bytes = completed.cut_bytes,
            "salvaged what the last run left unfinished"
        );
    }

    /// A file that a former run left cannot be completed.
    pub fn not_salvaged(&self, file: &str, error: &SegmentError) {
        self.unsalvaged_files.fetch_add(1, Relaxed);
        tracing::error!(file, %error, "cannot be salvaged; it stays in active/");
    }

    /// Writing failed; it is tried again.
    pub fn write_failed(&self) {
        self.write_errors.fetch_add(1, Relaxed);
    }

    /// Records that were received and will never be written.
    pub fn lost(&self, records: u64) {
        if records > 0 {
            self.lost.fetch_add(records, Relaxed);
            tracing::error!(records, "lost: received, and never written");
        }
    }

    /// Whether ingesting has stopped for want of room.
    pub fn set_stopped(&self, stopped: bool) {
        self.stopped.store(stopped, Relaxed);
    }

    /// Whether ingesting has stopped for want of room.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    /// Records that are durable, of all streams.
    pub fn total_flushed(&self) -> u64 {
        self.total(|s| &s.flushed)
    }

    /// Records received, of all streams.
    pub fn total_received(&self) -> u64 {
        self.total(|s| &s.received)
    }

    fn total(&self, of: fn(&StreamStats) -> &AtomicU64) -> u64 {
        self.streams.iter().map(|(_, s)| of(s).load(Relaxed)).sum()
    }

    fn over_sources(&self, of: fn(&SourceStats) -> &AtomicU64) -> u64 {
        self.sources.iter().map(|(_, s)| of(s).load(Relaxed)).sum()
    }

    /// One line for the journal.
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

    /// Everything, for programs.
    pub fn json(&self) -> Value {
        let sources = self.sources.iter().map(|(name, s)| {
            let value = json!({
                "connected": s.connected.load(Relaxed),
                "connects": s.connects.load(Relaxed),
                "failures": s.failures.load(Relaxed),
                "silences": s.silences.load(Relaxed),
                "garbage": s.garbage.load(Relaxed),
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

    fn counters(&self) -> [(&'static str, &'static str, u64); 11] {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        [
            (
                "ticker_queue_dropped",
                "Records dropped because the queue was full",
                of(&self.dropped),
            ),
            (
                "ticker_queue_stalls",
                "Times a feed waited because the queue was full",
                of(&self.stalls),
            ),
            (
                "ticker_row_groups",
                "Row groups made durable",
                of(&self.row_groups),
            ),
            (
                "ticker_written_bytes",
                "Bytes of row groups made durable",
                of(&self.bytes),
            ),
            (
                "ticker_files_completed",
                "Files completed and moved to ready/",
                of(&self.files),
            ),
            (
                "ticker_records_lost",
                "Records received and never written",
                of(&self.lost),
            ),
            (
                "ticker_write_errors",
                "Attempts to write that failed",
                of(&self.write_errors),
            ),
            (
                "ticker_salvaged_files",
                "Files of a former run that were completed",
                of(&self.salvaged_files),
            ),
            (
                "ticker_salvaged_records",
                "Records in them",
                of(&self.salvaged_records),
            ),
            (
                "ticker_salvage_cut_bytes",
                "Bytes behind their last whole row group",
                of(&self.cut_bytes),
            ),
            (
                "ticker_salvage_failures",
                "Files of a former run that could not be read",
                of(&self.unsalvaged_files),
            ),
        ]
    }
}

/// [`Stats`] as Prometheus metrics.
#[derive(Debug)]
pub struct Numbers(pub std::sync::Arc<Stats>);

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let stats = &*self.0;
        for (name, help, value) in stats.counters() {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        let gauges = [
            (
                "ticker_queued_records",
                "Records in the queue",
                stats.queued.load(Relaxed) as f64,
            ),
            (
                "ticker_stopped",
                "Whether ingesting has stopped for want of room",
                f64::from(u8::from(stats.is_stopped())),
            ),
            (
                "ticker_flushed_timestamp_seconds",
                "When the last durable record was received",
                stats.flushed_at.load(Relaxed) as f64 / 1e6,
            ),
        ];
        for (name, help, value) in gauges {
            gauge(&mut encoder, name, help, value)?;
        }
        type OfStream = fn(&StreamStats) -> &AtomicU64;
        let per_stream: [(&str, &str, OfStream); 5] = [
            ("ticker_records_received", "Records received", |s| {
                &s.received
            }),
            ("ticker_records_flushed", "Records that are durable", |s| {
                &s.flushed
            }),
            (
                "ticker_records_missed",
                "Numbers that the source skipped",
                |s| &s.missed,
            ),
            ("ticker_gaps", "Times that numbers were skipped", |s| {
                &s.gaps
            }),
            (
                "ticker_duplicates",
                "Records received before, and skipped",
                |s| &s.duplicates,
            ),
        ];
        for (name, help, of) in per_stream {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (stream, counters) in &stats.streams {
                let labels = [
                    ("source", stream.source.as_str()),
                    ("channel", stream.channel.as_str()),
                    ("symbol", stream.symbol.as_str()),
                ];
                ConstCounter::new(of(counters).load(Relaxed))
                    .encode(family.encode_family(&labels)?)?;
            }
        }
        type OfSource = fn(&SourceStats) -> &AtomicU64;
        let per_source: [(&str, &str, OfSource); 5] = [
            ("ticker_connects", "Connections made", |s| &s.connects),
            (
                "ticker_connection_failures",
                "Connections that failed or broke",
                |s| &s.failures,
            ),
            (
                "ticker_silences",
                "Connections given up because nothing came",
                |s| &s.silences,
            ),
            (
                "ticker_garbage",
                "Messages that could not be understood",
                |s| &s.garbage,
            ),
            ("ticker_other_messages", "Messages for nobody", |s| &s.other),
        ];
        for (name, help, of) in per_source {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (source, counters) in &stats.sources {
                let labels = [("source", source.as_str())];
                ConstCounter::new(of(counters).load(Relaxed))
                    .encode(family.encode_family(&labels)?)?;
            }
        }
        let mut connected = encoder.encode_descriptor(
            "ticker_source_connected",
            "Whether the source is connected",
            None,
            MetricType::Gauge,
        )?;
        for (source, counters) in &stats.sources {
            let labels = [("source", source.as_str())];
            let value = f64::from(u8::from(counters.connected.load(Relaxed)));
            ConstGauge::new(value).encode(connected.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// One gauge without labels.
pub fn gauge(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    value: f64,
) -> Result<(), std::fmt::Error> {
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}
