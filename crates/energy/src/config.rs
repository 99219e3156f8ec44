//! The configuration of the energy service. The defaults apply to an empty file.

use std::path::PathBuf;

use jiff::tz::TimeZone;
use kit::{Configuration, HttpSettings, within};
use serde::Deserialize;

/// The cache's file in the service's state directory.
pub const CACHE_FILE: &str = "cache.sqlite";

/// `/etc/energy/config.json`, written by the service's module.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen, and the limits for requests.
    pub http: HttpSettings,
    /// What to request from Amber. The token is a secret: credential `energy.amber-token`.
    pub amber: AmberSettings,
    /// Where Amber's data are stored, and for how long.
    pub cache: CacheSettings,
    /// What the page shows.
    pub display: DisplaySettings,
    /// Whether to simulate prices and usage instead of storing Amber's.
    pub simulate: bool,
}

/// What to request from Amber.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AmberSettings {
    /// The address of its API.
    pub url: String,
    /// The site [default: the account's active one].
    pub site_id: Option<String>,
    /// The length of the intervals, 5 or 30 minutes [default: that of the billed ones].
    pub resolution: Option<u16>,
    /// How far ahead prices are requested.
    pub forecast_hours: u32,
    /// The time limit for an answer.
    pub timeout_seconds: u64,
    /// The time between two requests for new usage, which Amber publishes once a day.
    pub usage_minutes: u64,
}

/// Where Amber's data are stored, and for how long.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheSettings {
    /// The file [default: cache.sqlite in $STATE_DIRECTORY, else in memory only].
    pub file: Option<PathBuf>,
    /// Older data are deleted.
    pub retention_days: u32,
}

/// What the page shows.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DisplaySettings {
    /// Time zone of days and hours, such as Australia/Sydney [default: the device's].
    pub time_zone: Option<String>,
    /// Data that Amber has not confirmed for this long are shown as stale.
    pub stale_after_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            http: HttpSettings {
                port: 5050,
                ..HttpSettings::default()
            },
            amber: AmberSettings::default(),
            cache: CacheSettings::default(),
            display: DisplaySettings::default(),
            simulate: false,
        }
    }
}

impl Default for AmberSettings {
    fn default() -> Self {
        AmberSettings {
            url: "https://api.amber.com.au/v1".into(),
            site_id: None,
            resolution: None,
            forecast_hours: 16,
            timeout_seconds: 30,
            usage_minutes: 30,
        }
    }
}

impl Default for CacheSettings {
    fn default() -> Self {
        CacheSettings {
            file: None,
            retention_days: 730,
        }
    }
}

impl Default for DisplaySettings {
    fn default() -> Self {
        DisplaySettings {
            time_zone: None,
            // Two runs of the timer may fail before anyone is told.
            stale_after_seconds: 900,
        }
    }
}

impl CacheSettings {
    /// The path of the file; none for a cache in memory only.
    pub fn path(&self) -> Option<PathBuf> {
        let from_systemd = || Some(kit::state_directory()?.join(CACHE_FILE));
        self.file.clone().or_else(from_systemd)
    }
}

impl DisplaySettings {
    /// The time zone of days and hours. A device without one uses UTC.
    pub fn zone(&self) -> Result<TimeZone, String> {
        match &self.time_zone {
            None => Ok(TimeZone::try_system().unwrap_or(TimeZone::UTC)),
            Some(name) => TimeZone::get(name).map_err(|_| {
                format!(
                    "time_zone: `{name}` is not a time zone; use a name such as Australia/Sydney"
                )
            }),
        }
    }
}

impl Configuration for Config {
    fn http(&self) -> &HttpSettings {
        &self.http
    }

    fn check(&self) -> Result<(), String> {
        let amber = &self.amber;
        if !amber.url.starts_with("https://") && !amber.url.starts_with("http://") {
            return Err("amber.url: must begin with https://".into());
        }
        let is_id = |id: &String| {
            !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if amber.site_id.as_ref().is_some_and(|id| !is_id(id)) {
            return Err("amber.site_id: must consist of letters and digits".into());
        }
        if amber
            .resolution
            .is_some_and(|minutes| minutes != 5 && minutes != 30)
        {
            return Err("amber.resolution: must be 5 or 30".into());
        }
        let (retention, stale) = (self.cache.retention_days, self.display.stale_after_seconds);
        within([
            ("amber.forecast_hours", amber.forecast_hours.into(), 1..=48),
            ("amber.timeout_seconds", amber.timeout_seconds, 1..=120),
            ("amber.usage_minutes", amber.usage_minutes, 5..=1440),
            ("cache.retention_days", retention.into(), 2..=36_500),
            ("display.stale_after_seconds", stale, 60..=86_400),
        ])
    }

    fn simulate(&mut self) {
        self.simulate = true;
    }
}
