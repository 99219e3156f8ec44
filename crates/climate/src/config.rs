//! The configuration of the climate service. The defaults apply to an empty file.

use std::path::PathBuf;
use std::time::Duration;

use kit::{Configuration, HttpSettings};
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

kit::settings! {
    /// The sensor, and how often to measure.
    pub struct SensorSettings {
        /// The source of the values.
        pub kind: SensorKind = SensorKind::SenseHat;
        /// The I²C bus: a device such as `/dev/i2c-1`, or `auto` for the first one with the sensors on it.
        pub bus: String = "auto".into();
        /// Time between two readings.
        pub interval_seconds: f64 = 60.0, in 0.05..=86_400.0;
        /// The correction for the processor's heat.
        pub compensation: Compensation = Compensation::default();
    }

    /// Correction for the heat of the processor below the sensors.
    #[derive(Copy, PartialEq)]
    pub struct Compensation {
        /// t − (soc − t) / factor; larger corrects less, 0 not at all. The default is what is usually measured for a
        /// Sense HAT on a Raspberry Pi.
        pub factor: f64 = 5.466, in 0.0..=1000.0;
        /// Added to the compensated temperature, in °C.
        pub temperature_offset: f64 = 0.0, in -50.0..=50.0;
        /// Added to the compensated relative humidity, in percent points.
        pub humidity_offset: f64 = 0.0, in -100.0..=100.0;
    }

    /// How long readings are kept.
    pub struct HistorySettings {
        /// Where the history is [default: $STATE_DIRECTORY, else in memory only].
        pub directory: Option<PathBuf> = None;
        /// Readings older than this are deleted.
        pub retention_days: u32 = 365, in 1..=36_500;
    }

    /// The limits for alerts.
    pub struct AlertSettings {
        /// Alert below this temperature, in °C.
        pub temp_min_c: f64 = 15.0, in -40.0..=120.0;
        /// Alert above this temperature, in °C.
        pub temp_max_c: f64 = 27.0, in -40.0..=120.0;
        /// Alert below this relative humidity, in percent.
        pub humidity_min: f64 = 30.0, in 0.0..=100.0;
        /// Alert above this relative humidity, in percent.
        pub humidity_max: f64 = 70.0, in 0.0..=100.0;
        /// How far inside the limits a temperature has to be before it counts as recovered, in °C.
        pub temp_hysteresis_c: f64 = 0.5, in 0.0..=80.0;
        /// The same for humidity, in percent points.
        pub humidity_hysteresis: f64 = 2.0, in 0.0..=50.0;
        /// Alert when there has been no reading for this long; 0 turns this alert off.
        pub sensor_failing_after_seconds: u64 = 300, in 0..=31_536_000;
    }

    /// How alerts are delivered.
    #[derive(PartialEq, Serialize)]
    pub struct WebhookSettings {
        /// Whether alerts are sent at all.
        pub enabled: bool = true;
        /// Attempts in one round; the next round follows after a longer pause.
        pub retry_count: u32 = 3, in 1..=10;
        /// Pause after the first failed attempt, doubled after each further one.
        pub retry_delay: u64 = 5, in 1..=60;
        /// The time limit for an attempt.
        pub timeout: u64 = 10, in 1..=120;
    }

    /// Periodic messages about the state.
    pub struct StatusSettings {
        /// Whether to send them.
        pub enabled: bool = false;
        /// The time between two of them.
        pub interval_seconds: u64 = 3600, in 1..=31_536_000;
    }
}

impl SensorSettings {
    /// Time between two readings.
    pub fn interval(&self) -> Duration {
        Duration::from_secs_f64(self.interval_seconds)
    }
}

impl Configuration for Config {
    fn http(&self) -> &HttpSettings {
        &self.http
    }

    fn check(&self) -> Result<(), String> {
        self.sensor.in_range("sensor.")?;
        self.sensor.compensation.in_range("sensor.compensation.")?;
        self.history.in_range("history.")?;
        self.webhook.in_range("webhook.")?;
        self.status.in_range("status.")?;
        self.alerts.check("alerts.")?;
        if self.sensor.bus != "auto" && !self.sensor.bus.starts_with('/') {
            return Err("sensor.bus: must be `auto` or a device such as /dev/i2c-1".into());
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
    /// Names the first invalid limit, with this prefix.
    pub fn check(&self, prefix: &str) -> Result<(), String> {
        self.in_range(prefix)?;
        let temperature = (self.temp_min_c, self.temp_max_c, self.temp_hysteresis_c);
        let humidity = (
            self.humidity_min,
            self.humidity_max,
            self.humidity_hysteresis,
        );
        for (name, unit, (min, max, hysteresis)) in
            [("temp", "_c", temperature), ("humidity", "", humidity)]
        {
            let name = |which: &str| format!("{name}_{which}{unit}");
            if min >= max {
                let (low, high) = (name("min"), name("max"));
                return Err(format!("{prefix}{low}: must be less than {high}"));
            }
            if !(0.0..(max - min) / 2.0).contains(&hysteresis) {
                let what = "must be less than half the distance between the limits";
                return Err(format!("{prefix}{}: {what}", name("hysteresis")));
            }
        }
        Ok(())
    }
}
