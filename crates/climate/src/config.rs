//! The configuration of the climate service. The defaults apply to an empty file.

use std::path::PathBuf;
use std::time::Duration;

use kit::{Configuration, HttpSettings, within};
use serde::{Deserialize, Serialize};

/// `/etc/climate/config.json`, written by the service's module.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen, and the limits for requests.
    pub http: HttpSettings,
    /// The sensor, and how often to measure.
    pub sensor: SensorSettings,
    /// How long readings are kept.
    pub history: HistorySettings,
    /// The limits for alerts.
    pub alerts: AlertSettings,
    /// How alerts are sent. The address is a secret: credential `climate.slack-webhook-url`.
    pub webhook: WebhookSettings,
    /// Periodic messages about the state.
    pub status: StatusSettings,
}

/// The source of the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SensorKind {
    /// A Sense HAT's HTS221 and LPS25H on an I²C bus.
    SenseHat,
    /// A simulated room, for trying the service without hardware.
    Simulated,
}

/// The sensor, and how often to measure.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SensorSettings {
    /// The source of the values.
    pub kind: SensorKind,
    /// The I²C bus: a device such as `/dev/i2c-1`, or `auto` for the first one with the sensors on it.
    pub bus: String,
    /// Time between two readings.
    pub interval_seconds: f64,
    /// The correction for the processor's heat.
    pub compensation: Compensation,
}

/// Correction for the heat of the processor below the sensors.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compensation {
    /// t − (soc − t) / factor; larger corrects less, 0 not at all.
    pub factor: f64,
    /// Added to the compensated temperature, in °C.
    pub temperature_offset: f64,
    /// Added to the compensated relative humidity, in percent points.
    pub humidity_offset: f64,
}

/// How long readings are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistorySettings {
    /// Where the history is [default: $STATE_DIRECTORY, else in memory only].
    pub directory: Option<PathBuf>,
    /// Readings older than this are deleted.
    pub retention_days: u32,
}

/// The limits for alerts.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertSettings {
    /// Alert below this temperature, in °C.
    pub temp_min_c: f64,
    /// Alert above this temperature, in °C.
    pub temp_max_c: f64,
    /// Alert below this relative humidity, in percent.
    pub humidity_min: f64,
    /// Alert above this relative humidity, in percent.
    pub humidity_max: f64,
    /// How far inside the limits a temperature has to be before it counts as recovered, in °C.
    pub temp_hysteresis_c: f64,
    /// The same for humidity, in percent points.
    pub humidity_hysteresis: f64,
    /// Alert when there has been no reading for this long; 0 turns this alert off.
    pub sensor_failing_after_seconds: u64,
}

/// How alerts are delivered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookSettings {
    /// Whether alerts are sent at all.
    pub enabled: bool,
    /// Attempts in one round; the next round follows after a longer pause.
    pub retry_count: u32,
    /// Pause after the first failed attempt, doubled after each further one.
    pub retry_delay: u64,
    /// The time limit for an attempt.
    pub timeout: u64,
}

/// Periodic messages about the state.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatusSettings {
    /// Whether to send them.
    pub enabled: bool,
    /// The time between two of them.
    pub interval_seconds: u64,
}

impl Default for SensorSettings {
    fn default() -> Self {
        SensorSettings {
            kind: SensorKind::SenseHat,
            bus: "auto".into(),
            interval_seconds: 60.0,
            compensation: Compensation::default(),
        }
    }
}

impl SensorSettings {
    /// Time between two readings.
    pub fn interval(&self) -> Duration {
        Duration::from_secs_f64(self.interval_seconds)
    }
}

impl Default for Compensation {
    fn default() -> Self {
        // The factor that is usually measured for a Sense HAT on a Raspberry Pi.
        Compensation {
            factor: 5.466,
            temperature_offset: 0.0,
            humidity_offset: 0.0,
        }
    }
}

impl Default for HistorySettings {
    fn default() -> Self {
        HistorySettings {
            directory: None,
            retention_days: 365,
        }
    }
}

impl Default for AlertSettings {
    fn default() -> Self {
        AlertSettings {
            temp_min_c: 15.0,
            temp_max_c: 27.0,
            humidity_min: 30.0,
            humidity_max: 70.0,
            temp_hysteresis_c: 0.5,
            humidity_hysteresis: 2.0,
            sensor_failing_after_seconds: 300,
        }
    }
}

impl Default for WebhookSettings {
    fn default() -> Self {
        WebhookSettings {
            enabled: true,
            retry_count: 3,
            retry_delay: 5,
            timeout: 10,
        }
    }
}

impl Default for StatusSettings {
    fn default() -> Self {
        StatusSettings {
            enabled: false,
            interval_seconds: 3600,
        }
    }
}

impl Configuration for Config {
    fn http(&self) -> &HttpSettings {
        &self.http
    }

    fn check(&self) -> Result<(), String> {
        let sensor = &self.sensor;
        let interval = sensor.interval_seconds;
        within([("sensor.interval_seconds", interval, 0.05..=86_400.0)])?;
        if sensor.bus != "auto" && !sensor.bus.starts_with('/') {
            return Err("sensor.bus: must be `auto` or a device such as /dev/i2c-1".into());
        }
        if !(0.0..=1000.0).contains(&sensor.compensation.factor) {
            return Err("sensor.compensation.factor: must be between 0 (off) and 1000".into());
        }
        if self.history.retention_days == 0 {
            return Err("history.retention_days: must be at least 1".into());
        }
        self.alerts
            .check()
            .map_err(|problem| format!("alerts.{problem}"))?;
        self.webhook
            .check()
            .map_err(|problem| format!("webhook.{problem}"))?;
        if self.status.interval_seconds == 0 {
            return Err("status.interval_seconds: must be at least 1".into());
        }
        Ok(())
    }

    fn simulate(&mut self) {
        self.sensor.kind = SensorKind::Simulated;
        // Simulations are watched by people, and a page that changes once a minute looks broken.
        self.sensor.interval_seconds = self.sensor.interval_seconds.min(2.0);
    }
}

impl AlertSettings {
    /// The first invalid limit, named by its field.
    pub fn check(&self) -> Result<(), String> {
        let limits = [
            (
                "temp",
                self.temp_min_c,
                self.temp_max_c,
                self.temp_hysteresis_c,
                -40.0..=120.0,
            ),
            (
                "humidity",
                self.humidity_min,
                self.humidity_max,
                self.humidity_hysteresis,
                0.0..=100.0,
            ),
        ];
        for (name, min, max, hysteresis, range) in limits {
            let unit = if name == "temp" { "_c" } else { "" };
            within([
                (format!("{name}_min{unit}"), min, range.clone()),
                (format!("{name}_max{unit}"), max, range),
            ])?;
            if min >= max {
                return Err(format!(
                    "{name}_min{unit}: must be less than {name}_max{unit}"
                ));
            }
            if !(0.0..(max - min) / 2.0).contains(&hysteresis) {
                return Err(format!(
                    "{name}_hysteresis{unit}: must be less than half the distance between the limits"
                ));
            }
        }
        Ok(())
    }
}

impl WebhookSettings {
    /// The first invalid setting, named by its field.
    pub fn check(&self) -> Result<(), String> {
        within([
            ("retry_count", u64::from(self.retry_count), 1..=10),
            ("retry_delay", self.retry_delay, 1..=60),
            ("timeout", self.timeout, 1..=120),
        ])
    }
}
