//! Decides what deserves an alert. Pure code, so that it can be tested exhaustively.
//!
//! Only a *change* of state is reported. A lasting state is never reported twice, and a state is left only with a
//! margin (hysteresis), so that a value near a limit does not cause repeated alerts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::AlertSettings;
use crate::reading::Reading;

/// The state of a subject.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Within its limits.
    #[default]
    Normal,
    /// Below the lower limit.
    Low,
    /// Above the upper limit.
    High,
    /// There has been no measurement for too long.
    Failing,
}

/// The subject of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The room's temperature.
    Temperature,
    /// The room's relative humidity.
    Humidity,
    /// The sensor itself.
    Sensor,
}

/// A change of a subject's state.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The time, in milliseconds since 1970.
    pub at: i64,
    /// The subject.
    pub subject: Subject,
    /// Its new state.
    pub level: Level,
    /// The value that caused the change; none for the sensor.
    pub value: Option<f64>,
    /// The limit that was crossed, or the sensor's error.
    pub detail: String,
}

/// The state of all alerts. It is stored, so that a restart does not repeat alerts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Alerts {
    temperature: Level,
    humidity: Level,
    sensor: Level,
}

struct Limits {
    min: f64,
    max: f64,
    hysteresis: f64,
    unit: &'static str,
}

impl Limits {
    /// The state that follows `level` at `value`.
    fn next(&self, level: Level, value: f64) -> Level {
        let below_by = |margin: f64| value < self.min + margin;
        let above_by = |margin: f64| value > self.max - margin;
        let stays_low = level == Level::Low && below_by(self.hysteresis);
        let stays_high = level == Level::High && above_by(self.hysteresis);
        if above_by(0.0) || (stays_high && !below_by(0.0)) {
            Level::High
        } else if below_by(0.0) || stays_low {
            Level::Low
        } else {
            Level::Normal
        }
    }

    fn told(&self, level: Level) -> String {
        match level {
            Level::High => format!("limit {} {}", self.max, self.unit),
            Level::Low => format!("limit {} {}", self.min, self.unit),
            Level::Normal | Level::Failing => format!("{} to {} {}", self.min, self.max, self.unit),
        }
    }
}

impl Alerts {
    /// Judges a reading; returns the changes.
    pub fn reading(&mut self, reading: &Reading, settings: &AlertSettings) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.sensor != Level::Normal {
            self.sensor = Level::Normal;
            changes.push(Change {
                at: reading.at,
                subject: Subject::Sensor,
                level: Level::Normal,
                value: None,
                detail: String::new(),
            });
        }
        let temperature = Limits {
            min: settings.temp_min_c,
            max: settings.temp_max_c,
            hysteresis: settings.temp_hysteresis_c,
            unit: "°C",
        };
        let humidity = Limits {
            min: settings.humidity_min,
            max: settings.humidity_max,
            hysteresis: settings.humidity_hysteresis,
            unit: "%",
        };
        for (subject, level, limits, value) in [
            (
                Subject::Temperature,
                &mut self.temperature,
                temperature,
                Some(reading.temperature),
            ),
            (
                Subject::Humidity,
                &mut self.humidity,
                humidity,
                reading.humidity,
            ),
        ] {
            // A value that was not measured has not changed.
            let Some(value) = value else { continue };
            let next = limits.next(*level, value);
            if next != *level {
                *level = next;
                let detail = limits.told(next);
                changes.push(Change {
                    at: reading.at,
                    subject,
                    level: next,
                    value: Some(value),
                    detail,
                });
            }
        }
        changes
    }

    /// Judges a silence of `silent`. The caller measures the duration, because the wall clock jumps when a device
    /// without a battery-backed clock gets the time.
    pub fn fault(
        &mut self,
        at: i64,
        silent: Duration,
        why: &str,
        settings: &AlertSettings,
    ) -> Vec<Change> {
        let patience = Duration::from_secs(settings.sensor_failing_after_seconds);
        if patience.is_zero() || self.sensor == Level::Failing || silent < patience {
            return Vec::new();
        }
        self.sensor = Level::Failing;
        let change = Change {
            at,
            subject: Subject::Sensor,
            level: Level::Failing,
            value: None,
            detail: why.into(),
        };
        vec![change]
    }

    /// The subjects that are not normal, with their states.
    pub fn active(&self) -> Vec<(Subject, Level)> {
        let all = [
            (Subject::Temperature, self.temperature),
            (Subject::Humidity, self.humidity),
            (Subject::Sensor, self.sensor),
        ];
        all.into_iter()
            .filter(|(_, level)| *level != Level::Normal)
            .collect()
    }
}

impl Subject {
    /// The name in metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Temperature => "temperature",
            Subject::Humidity => "humidity",
            Subject::Sensor => "sensor",
        }
    }
}

impl Level {
    /// The name in keys and messages.
    pub fn name(self) -> &'static str {
        match self {
            Level::Normal => "normal",
            Level::Low => "low",
            Level::High => "high",
            Level::Failing => "failing",
        }
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
