//! The configuration of the energy service. The defaults apply to an empty file.

use std::path::PathBuf;

use jiff::tz::TimeZone;
use kit::{Configuration, HttpSettings};

/// The cache's file in the service's state directory.
pub const CACHE_FILE: &str = "cache.sqlite";

kit::settings! {
    /// `/etc/energy/config.json`, written by the service's module.
    pub struct Config {
        /// Where to listen, and the limits for requests.
        pub http: HttpSettings = HttpSettings { port: 5050, ..HttpSettings::default() };
        /// What to request from Amber. The token is a secret: credential `energy.amber-token`.
        pub amber: AmberSettings = AmberSettings::default();
        /// Where Amber's data are stored, and for how long.
        pub cache: CacheSettings = CacheSettings::default();
        /// What the page shows.
        pub display: DisplaySettings = DisplaySettings::default();
        /// Whether to simulate prices and usage instead of storing Amber's.
        pub simulate: bool = false;
    }

    /// What to request from Amber.
    pub struct AmberSettings {
        /// The address of its API.
        pub url: String = "https://api.amber.com.au/v1".into();
        /// The site [default: the account's active one].
        pub site_id: Option<String> = None;
        /// The length of the intervals, 5 or 30 minutes [default: that of the billed ones].
        pub resolution: Option<u16> = None;
        /// How far ahead prices are requested.
        pub forecast_hours: u32 = 16, in 1..=48;
        /// The time limit for an answer.
        pub timeout_seconds: u64 = 30, in 1..=120;
        /// The time between two requests for new usage, which Amber publishes once a day.
        pub usage_minutes: u64 = 30, in 5..=1440;
    }

    /// Where Amber's data are stored, and for how long.
    pub struct CacheSettings {
        /// The file [default: cache.sqlite in $STATE_DIRECTORY, else in memory only].
        pub file: Option<PathBuf> = None;
        /// Older data are deleted.
        pub retention_days: u32 = 730, in 2..=36_500;
    }

    /// What the page shows.
    pub struct DisplaySettings {
        /// Time zone of days and hours, such as Australia/Sydney [default: the device's].
        pub time_zone: Option<String> = None;
        /// Data that Amber has not confirmed for this long are shown as stale. Two runs of the timer may fail before.
        pub stale_after_seconds: u64 = 900, in 60..=86_400;
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
        amber.in_range("amber.")?;
        self.cache.in_range("cache.")?;
        self.display.in_range("display.")?;
        let zone = self.display.zone();
        zone.map(drop).map_err(|error| format!("display.{error}"))
    }

    fn simulate(&mut self) {
        self.simulate = true;
    }
}
