//! The configuration of the courier. The defaults apply to an empty file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use http_client::Address;
use kit::{Configuration, HttpSettings};
use serde::Deserialize;

use crate::labels::is_label_name;

/// More labels than this are a mistake, and each series would have them.
const MOST_LABELS: usize = 16;
/// The longest value of a label.
const LONGEST_VALUE: usize = 256;
/// More targets than this would take too many threads.
const MOST_TARGETS: usize = 32;
/// The labels that courier sets itself.
const OWN_LABELS: [&str; 3] = ["job", "unit", "level"];

/// `/etc/courier/config.json`, written by the service's module.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen, and the limits for requests.
    pub http: HttpSettings,
    /// Where the queue and the marks are.
    pub data: DataSettings,
    /// What every series and every log line is labelled with, beside `instance`: the device's name unless it is set here.
    pub labels: BTreeMap<String, String>,
    /// What is scraped, and how.
    pub scrape: ScrapeSettings,
    /// How much may wait.
    pub queue: QueueSettings,
    /// Where metrics are sent to. Secrets: credentials `courier.metrics-token`, or `courier.metrics-user` and
    /// `courier.metrics-password`.
    pub metrics: MetricsSettings,
    /// Where logs are sent to. Secrets: credentials `courier.logs-token`, or `courier.logs-user` and
    /// `courier.logs-password`.
    pub logs: LogsSettings,
    /// How it is known that the time is right.
    pub clock: ClockSettings,
    /// Whether it is its own receiver, at [`SINK`], because it simulates its surroundings.
    #[serde(skip)]
    pub simulated: bool,
}

/// The path at which a simulated courier takes what it sends, and forgets it.
pub const SINK: &str = "/sink";

kit::settings! {
    /// Where the queue and the marks are.
    pub struct DataSettings {
        /// The directory [default: $STATE_DIRECTORY].
        pub directory: Option<PathBuf> = None;
    }

    /// What is scraped, and how.
    pub struct ScrapeSettings {
        /// The targets.
        pub targets: Vec<Target> = Vec::new();
        /// Time between two scrapes.
        pub interval_seconds: f64 = 15.0, in 0.02..=3600.0;
        /// A target that takes longer has failed.
        pub timeout_seconds: f64 = 10.0, in 0.01..=60.0;
        /// A target that tells more bytes has failed.
        pub max_bytes: usize = 10_000_000, in 1..=67_108_864;
        /// A target that tells more series has failed.
        pub max_series: usize = 5_000, in 1..=100_000;
        /// A target that tells a longer line has failed.
        pub max_line_bytes: usize = 16_384, in 64..=1_048_576;
        /// Only metrics with these names are kept, if there are any; `*` stands for any characters.
        pub keep: Vec<String> = Vec::new();
        /// Metrics with these names are dropped.
        pub drop: Vec<String> = Vec::new();
    }

    /// How much may wait.
    pub struct QueueSettings {
        /// Most bytes on disk; when there are more, the oldest samples are given up.
        pub max_bytes: u64 = 268_435_456, in 65_536..=1_099_511_627_776;
    }

    /// Where metrics are sent to.
    pub struct MetricsSettings {
        /// The address of a receiver of remote-write, such as `https://prometheus.example.org/api/v1/write`; without it,
        /// nothing is scraped.
        pub url: Option<String> = None;
        /// Sent as `X-Scope-OrgID`, which receivers for several tenants ask for.
        pub tenant: Option<String> = None;
        /// A request that takes longer has failed.
        pub timeout_seconds: f64 = 30.0, in 0.1..=120.0;
        /// Pause after the first failure, doubled after each further one.
        pub retry_seconds: f64 = 1.0, in 0.01..=3600.0;
        /// The longest pause.
        pub longest_retry_seconds: f64 = 60.0, in 0.01..=3600.0;
        /// What is older than this goes beside what is new, if the receiver takes it then.
        pub late_seconds: f64 = 120.0, in 0.0..=86_400.0;
        /// Most samples in a request.
        pub batch_samples: usize = 2_000, in 1..=20_000;
    }

    /// Where logs are sent to.
    pub struct LogsSettings {
        /// The address of Loki's push API, such as `https://loki.example.org/loki/api/v1/push`; without it, no logs are
        /// read.
        pub url: Option<String> = None;
        /// Sent as `X-Scope-OrgID`.
        pub tenant: Option<String> = None;
        /// A request that takes longer has failed.
        pub timeout_seconds: f64 = 30.0, in 0.1..=120.0;
        /// Pause after the first failure, doubled after each further one.
        pub retry_seconds: f64 = 1.0, in 0.01..=3600.0;
        /// The longest pause.
        pub longest_retry_seconds: f64 = 60.0, in 0.01..=3600.0;
        /// Time between two looks at the journal.
        pub interval_seconds: f64 = 5.0, in 0.01..=3600.0;
        /// Most lines in a request.
        pub batch_lines: usize = 1_000, in 1..=10_000;
        /// Most bytes of lines in a request.
        pub batch_bytes: usize = 262_144, in 1_024..=4_194_304;
        /// Longer lines are cut off.
        pub max_line_bytes: usize = 65_536, in 64..=262_144;
        /// The program that reads the journal.
        pub journalctl: PathBuf = "journalctl".into();
        /// Where journals are. Nothing is read as long as nothing in there changes.
        pub journals: Vec<PathBuf> = vec!["/var/log/journal".into(), "/run/log/journal".into()];
    }

    /// How it is known that the time is right.
    pub struct ClockSettings {
        /// A file that is there once it is; null if it always is.
        pub synchronized: Option<PathBuf> = Some("/run/systemd/timesync/synchronized".into());
    }
}

/// Something that tells metrics.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name, which becomes the label `job`.
    pub job: String,
    /// The address of its metrics.
    pub url: String,
}

impl Default for Config {
    fn default() -> Self {
        let http = HttpSettings {
            port: 9102,
            ..HttpSettings::default()
        };
        Config {
            http,
            data: DataSettings::default(),
            labels: BTreeMap::new(),
            scrape: ScrapeSettings::default(),
            queue: QueueSettings::default(),
            metrics: MetricsSettings::default(),
            logs: LogsSettings::default(),
            clock: ClockSettings::default(),
            simulated: false,
        }
    }
}

impl Config {
    /// The directory for the queue and the marks, if there is one.
    pub fn directory(&self) -> Option<PathBuf> {
        self.data.directory.clone().or_else(kit::state_directory)
    }

    /// The labels of everything that is sent.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let name = rustix::system::uname();
        let name = name.nodename().to_string_lossy().into_owned();
        let mut labels = BTreeMap::from([("instance".to_owned(), name)]);
        labels.extend(self.labels.clone());
        labels
    }

    fn check_labels(&self) -> Result<(), String> {
        if self.labels.len() > MOST_LABELS {
            return Err(format!("labels: at most {MOST_LABELS} are possible"));
        }
        for (name, value) in &self.labels {
            if !is_label_name(name) || name.starts_with("__") {
                return Err(format!("labels.{name}: is no name of a label"));
            }
            if OWN_LABELS.contains(&name.as_str()) {
                return Err(format!("labels.{name}: is set by courier itself"));
            }
            if value.is_empty() || value.len() > LONGEST_VALUE {
                return Err(format!(
                    "labels.{name}: must have 1 to {LONGEST_VALUE} bytes"
                ));
            }
        }
        Ok(())
    }

    fn check_targets(&self) -> Result<(), String> {
        let targets = &self.scrape.targets;
        if targets.len() > MOST_TARGETS {
            return Err(format!(
                "scrape.targets: at most {MOST_TARGETS} are possible"
            ));
        }
        let mut jobs = BTreeSet::new();
        for (index, target) in targets.iter().enumerate() {
            let at = format!("scrape.targets[{index}]");
            if target.job.is_empty() || target.job.len() > LONGEST_VALUE {
                return Err(format!("{at}.job: must have 1 to {LONGEST_VALUE} bytes"));
            }
            if !jobs.insert(&target.job) {
                let job = &target.job;
                return Err(format!("{at}.job: {job:?} is another target's, too"));
            }
            check_url(&format!("{at}.url"), &target.url)?;
        }
        Ok(())
    }
}

/// The message does not repeat the address, which may contain a password.
fn check_url(at: &str, url: &str) -> Result<(), String> {
    match Address::parse(url) {
        Some(_) => Ok(()),
        None => Err(format!("{at}: must be an http or https address")),
    }
}

impl Configuration for Config {
    fn http(&self) -> &HttpSettings {
        &self.http
    }

    fn check(&self) -> Result<(), String> {
        self.scrape.in_range("scrape.")?;
        self.queue.in_range("queue.")?;
        self.metrics.in_range("metrics.")?;
        self.logs.in_range("logs.")?;
        self.check_labels()?;
        self.check_targets()?;
        for (at, url) in [
            ("metrics.url", &self.metrics.url),
            ("logs.url", &self.logs.url),
        ] {
            if let Some(url) = url {
                check_url(at, url)?;
            }
        }
        Ok(())
    }

    /// It scrapes itself, and sends to itself.
    fn simulate(&mut self) {
        let port = self.http.metrics_port.unwrap_or(self.http.port);
        let itself = format!("http://127.0.0.1:{}{SINK}", self.http.port);
        self.scrape.targets = vec![Target {
            job: "courier".into(),
            url: format!("http://127.0.0.1:{port}/metrics"),
        }];
        self.scrape.interval_seconds = self.scrape.interval_seconds.min(1.0);
        self.metrics.url.get_or_insert(itself);
        self.simulated = true;
        self.clock.synchronized = None;
        // A simulation is tried on a machine that has no state directory.
        if self.directory().is_none() {
            self.data.directory = Some(std::env::temp_dir().join("courier-simulated"));
        }
    }
}
