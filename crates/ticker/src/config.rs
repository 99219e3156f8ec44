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

/// How often the service logs its statistics.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatsSettings {
    /// Seconds between two lines of statistics.
    pub interval_seconds: u64,
}

/// The argument of `ticker run` that overrides a setting.
#[derive(Debug, clap::Args)]
pub struct StatsInterval {
    /// Seconds between two lines of statistics [default: stats.interval_seconds, 30 unless set]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    stats_interval: Option<u64>,
}

/// Where records are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSettings {
    /// The directory that contains `raw/` [default: $STATE_DIRECTORY].
    pub directory: Option<PathBuf>,
    /// With less free space than this, synced files are deleted, oldest first; if there are none, ingesting stops.
    pub min_free_bytes: u64,
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

/// The queue between the feeds and the files.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueSettings {
    /// Its capacity in records.
    pub records: usize,
    /// What happens when it is full.
    pub when_full: WhenFull,
}

/// When records are written and made durable. A partition's buffer is due once it has `records` records, or once its
/// oldest record is `seconds` old. All due buffers are written together, every `pace_seconds`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlushSettings {
    /// A buffer with this many records is due.
    pub records: usize,
    /// A buffer whose oldest record is this old is due.
    pub seconds: f64,
    /// How often due buffers are written: an fdatasync per hundred records would wear out a card.
    pub pace_seconds: f64,
    /// A buffer with this many records is written at once: the largest row group.
    pub most_records: usize,
}

/// When a file is complete; every file is also complete at the end of its hour.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SegmentSettings {
    /// A file of this size is complete.
    pub bytes: u64,
    /// A file with this many row groups is complete, because its footer has to fit into memory.
    pub row_groups: usize,
}

/// Where files are uploaded.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyncSettings {
    /// The address of the S3-compatible storage, such as `https://s3.eu-central-1.amazonaws.com`; without it, nothing
    /// is uploaded.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// Put before every key.
    pub prefix: String,
    /// Whether the bucket is named in the path; otherwise it is part of the host name.
    pub path_style: bool,
    /// The size of parts for uploading larger files; S3 requires at least 5 MiB.
    pub part_bytes: usize,
    /// Attempts for one request before this run gives up.
    pub attempts: u32,
    /// Pause after the first failed attempt, doubled after each further one.
    pub retry_seconds: f64,
    /// The time limit for a request.
    pub timeout_seconds: f64,
    /// Synced files are deleted locally when they are older than this.
    pub retention_days: f64,
}

impl Default for DataSettings {
    fn default() -> Self {
        DataSettings {
            directory: None,
            min_free_bytes: 512 << 20,
        }
    }
}

impl Default for QueueSettings {
    fn default() -> Self {
        QueueSettings {
            records: 10_000,
            when_full: WhenFull::Block,
        }
    }
}

impl Default for FlushSettings {
    fn default() -> Self {
        FlushSettings {
            records: 100,
            seconds: 5.0,
            pace_seconds: 2.0,
            most_records: 20_000,
        }
    }
}

impl Default for SegmentSettings {
    fn default() -> Self {
        SegmentSettings {
            bytes: 100 << 20,
            row_groups: 2000,
        }
    }
}

impl Default for StatsSettings {
    fn default() -> Self {
        StatsSettings {
            interval_seconds: 30,
        }
    }
}

impl StatsInterval {
    /// Applies the argument, if it was given, to the configuration.
    pub fn apply(config: &mut Config, arguments: Self) {
        let interval = arguments.stats_interval;
        config.stats.interval_seconds = interval.unwrap_or(config.stats.interval_seconds);
    }
}

impl Default for SyncSettings {
    fn default() -> Self {
        SyncSettings {
            endpoint: None,
            region: "us-east-1".into(),
            bucket: String::new(),
            prefix: String::new(),
            path_style: true,
            part_bytes: 8 << 20,
            attempts: 5,
            retry_seconds: 1.0,
            timeout_seconds: 120.0,
            retention_days: 7.0,
        }
    }
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
        let at_least = [
            ("queue.records", self.queue.records as f64, 1.0),
            ("flush.records", self.flush.records as f64, 1.0),
            ("flush.most_records", self.flush.most_records as f64, 1.0),
            ("flush.seconds", self.flush.seconds, 0.01),
            ("flush.pace_seconds", self.flush.pace_seconds, 0.01),
            ("segment.bytes", self.segment.bytes as f64, 4096.0),
            ("segment.row_groups", self.segment.row_groups as f64, 1.0),
            (
                "stats.interval_seconds",
                self.stats.interval_seconds as f64,
                1.0,
            ),
            ("sync.part_bytes", self.sync.part_bytes as f64, 5_242_880.0),
            ("sync.attempts", f64::from(self.sync.attempts), 1.0),
            ("sync.retry_seconds", self.sync.retry_seconds, 0.001),
            ("sync.timeout_seconds", self.sync.timeout_seconds, 0.1),
            ("sync.retention_days", self.sync.retention_days, 0.0),
        ];
        for (name, value, least) in at_least {
            // Not `value < least`, which would accept NaN.
            if !(value >= least && value < 1e12) {
                return Err(format!("{name}: must be at least {least}"));
            }
        }
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
