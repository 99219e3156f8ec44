//! The configuration of the ticker service. The defaults apply to an empty file.

use std::path::PathBuf;

use kit::{Configuration, HttpSettings};
use serde::Deserialize;

use crate::feed::{Nature, SourceSettings};
use crate::record::Stream;

/// `/etc/ticker/config.json`, written by the service's module.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen, and the limits for requests.
    pub http: HttpSettings,
    /// Where records are kept.
    pub data: DataSettings,
    /// The sources to connect to.
    pub sources: Vec<SourceSettings>,
    /// The queue between the feeds and the files.
    pub queue: QueueSettings,
    /// When records are written and made durable.
    pub flush: FlushSettings,
    /// When a file is complete.
    pub segment: SegmentSettings,
    /// Where files are uploaded. The keys are secrets: credentials `ticker.s3-access-key-id` and
    /// `ticker.s3-secret-access-key`.
    pub sync: SyncSettings,
    /// How often the service logs its statistics.
    pub stats: StatsSettings,
}

kit::settings! {
    /// How often the service logs its statistics.
    pub struct StatsSettings {
        /// Seconds between two lines of statistics.
        pub interval_seconds: u64 = 30, in 1..=86_400;
    }

    /// Where records are kept.
    pub struct DataSettings {
        /// The directory that contains `raw/` [default: $STATE_DIRECTORY].
        pub directory: Option<PathBuf> = None;
        /// With less free space than this, synced files are deleted, oldest first; if there are none, ingesting stops.
        pub min_free_bytes: u64 = 512 << 20, in 0..=1 << 50;
    }

    /// The queue between the feeds and the files.
    pub struct QueueSettings {
        /// Its capacity in records.
        pub records: usize = 10_000, in 1..=10_000_000;
        /// What happens when it is full.
        pub when_full: WhenFull = WhenFull::Block;
    }

    /// When records are written and made durable. A partition's buffer is due once it has `records` records, or once
    /// its oldest record is `seconds` old. All due buffers are written together, every `pace_seconds`.
    pub struct FlushSettings {
        /// A buffer with this many records is due.
        pub records: usize = 100, in 1..=1_000_000;
        /// A buffer whose oldest record is this old is due.
        pub seconds: f64 = 5.0, in 0.01..=3600.0;
        /// How often due buffers are written: an fdatasync per hundred records would wear out a card.
        pub pace_seconds: f64 = 2.0, in 0.01..=3600.0;
        /// A buffer with this many records is written at once: the largest row group.
        pub most_records: usize = 20_000, in 1..=1_000_000;
    }

    /// When a file is complete; every file is also complete at the end of its hour.
    pub struct SegmentSettings {
        /// A file of this size is complete.
        pub bytes: u64 = 100 << 20, in 4096..=1 << 40;
        /// A file with this many row groups is complete, because its footer has to fit into memory. Parquet numbers them
        /// with 15 bits.
        pub row_groups: usize = 2000, in 1..=32_767;
    }

    /// Where files are uploaded.
    pub struct SyncSettings {
        /// The address of the S3-compatible storage, such as `https://s3.eu-central-1.amazonaws.com`; without it,
        /// nothing is uploaded.
        pub endpoint: Option<String> = None;
        /// Its region.
        pub region: String = "us-east-1".into();
        /// The bucket.
        pub bucket: String = String::new();
        /// Put before every key.
        pub prefix: String = String::new();
        /// Whether the bucket is named in the path; otherwise it is part of the host name.
        pub path_style: bool = true;
        /// The size of parts for uploading larger files; S3 requires at least 5 MiB, and at most 5 GiB.
        pub part_bytes: usize = 8 << 20, in 5 << 20..=5 << 30;
        /// Attempts for one request before this run gives up.
        pub attempts: u32 = 5, in 1..=100;
        /// Pause after the first failed attempt, doubled after each further one.
        pub retry_seconds: f64 = 1.0, in 0.001..=3600.0;
        /// The time limit for a request.
        pub timeout_seconds: f64 = 120.0, in 0.1..=86_400.0;
        /// Synced files are deleted locally when they are older than this.
        pub retention_days: f64 = 7.0, in 0.0..=36_500.0;
    }
}

/// The argument of `ticker run` that overrides a setting.
#[derive(Debug, clap::Args)]
pub struct StatsInterval {
    /// Seconds between two lines of statistics [default: stats.interval_seconds, 30 unless set]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    stats_interval: Option<u64>,
}

impl StatsInterval {
    /// Applies the argument, if it was given, to the configuration.
    pub fn apply(config: &mut Config, arguments: Self) {
        let interval = arguments.stats_interval;
        config.stats.interval_seconds = interval.unwrap_or(config.stats.interval_seconds);
    }
}

/// What happens to a record when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// It waits, and its feed stops reading, so that the pressure reaches the sender.
    Block,
    /// It is dropped.
    DropNewest,
    /// The oldest record in the queue is dropped to make room.
    DropOldest,
}

impl Config {
    /// The directory that contains `raw/`, if one is set.
    pub fn directory(&self) -> Option<PathBuf> {
        self.data.directory.clone().or_else(kit::state_directory)
    }

    /// The same for a command that is run by hand, without the environment that systemd gives the service.
    pub fn directory_by_hand(&self) -> PathBuf {
        self.directory().unwrap_or_else(|| "/var/lib/ticker".into())
    }

    /// All streams of the sources, in their order.
    pub fn streams(&self) -> Vec<Stream> {
        self.sources.iter().flat_map(streams_of).collect()
    }
}

fn streams_of(source: &SourceSettings) -> impl Iterator<Item = Stream> {
    source.channels.iter().flat_map(move |channel| {
        // Validation refuses a source with a channel of unknown nature.
        let nature = source.nature(channel).unwrap_or(Nature::UNNUMBERED_QUOTES);
        source.symbols.iter().map(move |symbol| Stream {
            source: source.name.clone(),
            channel: channel.clone(),
            symbol: symbol.clone(),
            kind: nature.kind,
            numbered: nature.numbered,
            contiguous: nature.contiguous,
            lasting: nature.lasting,
        })
    })
}

impl Configuration for Config {
    fn http(&self) -> &HttpSettings {
        &self.http
    }

    fn check(&self) -> Result<(), String> {
        for (index, source) in self.sources.iter().enumerate() {
            source
                .check()
                .map_err(|problem| format!("sources[{index}].{problem}"))?;
            if self.sources[..index].iter().any(|s| s.name == source.name) {
                let name = &source.name;
                return Err(format!(
                    "sources[{index}].name: {name:?} is used by another source"
                ));
            }
        }
        self.data.in_range("data.")?;
        self.queue.in_range("queue.")?;
        self.flush.in_range("flush.")?;
        self.segment.in_range("segment.")?;
        self.stats.in_range("stats.")?;
        self.sync.in_range("sync.")?;
        if let Some(endpoint) = &self.sync.endpoint {
            if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
                return Err("sync.endpoint: must begin with https:// or http://".into());
            }
            if self.sync.bucket.is_empty() {
                return Err("sync.bucket: must be set when sync.endpoint is set".into());
            }
        }
        Ok(())
    }

    fn simulate(&mut self) {
        self.sources = vec![SourceSettings::simulated()];
    }
}
