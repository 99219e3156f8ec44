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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn reading(at: i64, temperature: f64, humidity: Option<f64>) -> Reading {
        Reading {
            at,
            temperature,
            humidity,
            pressure: None,
            sensor_temperature: temperature,
            soc_temperature: None,
        }
    }

    /// The states told for these temperatures, one after the other.
    fn told(temperatures: &[f64]) -> Vec<&'static str> {
        let (mut alerts, settings) = (Alerts::default(), AlertSettings::default());
        let one =
            |(at, t): (usize, &f64)| alerts.reading(&reading(at as i64, *t, Some(50.0)), &settings);
        temperatures
            .iter()
            .enumerate()
            .flat_map(one)
            .map(|change| change.level.name())
            .collect()
    }

    #[test]
    fn a_hot_afternoon_is_told_once_and_so_is_its_end() {
        assert_eq!(
            told(&[22.0, 27.1, 29.0, 31.0, 28.0, 26.0, 25.0]),
            ["high", "normal"]
        );
    }

    #[test]
    fn a_value_on_the_edge_does_not_chatter() {
        assert_eq!(
            told(&[26.9, 27.1, 26.9, 27.1, 26.6, 27.1, 26.4, 26.9]),
            ["high", "normal"]
        );
        assert_eq!(
            told(&[15.1, 14.9, 15.1, 14.9, 15.4, 15.6]),
            ["low", "normal"]
        );
    }

    #[test]
    fn from_too_hot_to_too_cold_is_one_piece_of_news() {
        assert_eq!(told(&[30.0, 10.0, 30.0]), ["high", "low", "high"]);
    }

    #[test]
    fn a_silent_sensor_is_told_after_a_while_and_its_return_at_once() {
        let (mut alerts, settings) = (Alerts::default(), AlertSettings::default());
        assert_eq!(alerts.fault(0, Duration::ZERO, "gone", &settings), []);
        assert_eq!(alerts.fault(1, S * 299, "gone", &settings), []);
        let news = alerts.fault(2, S * 300, "gone", &settings);
        assert_eq!(
            (news[0].level, news[0].detail.as_str()),
            (Level::Failing, "gone")
        );
        assert_eq!(alerts.fault(3, S * 900, "gone", &settings), []);
        let news = alerts.reading(&reading(4, 22.0, Some(50.0)), &settings);
        assert_eq!(
            (news.len(), news[0].subject, news[0].level),
            (1, Subject::Sensor, Level::Normal)
        );
    }

    #[test]
    fn what_is_not_measured_does_not_change() {
        let (mut alerts, settings) = (Alerts::default(), AlertSettings::default());
        assert_eq!(
            alerts
                .reading(&reading(0, 22.0, Some(90.0)), &settings)
                .len(),
            1
        );
        assert_eq!(alerts.reading(&reading(1, 22.0, None), &settings), []);
        assert_eq!(alerts.active(), [(Subject::Humidity, Level::High)]);
    }

    #[test]
    fn a_restart_repeats_nothing() {
        let (mut alerts, settings) = (Alerts::default(), AlertSettings::default());
        assert_eq!(
            alerts
                .reading(&reading(0, 30.0, Some(50.0)), &settings)
                .len(),
            1
        );
        let stored = serde_json::to_string(&alerts).unwrap();
        let mut after: Alerts = serde_json::from_str(&stored).unwrap();
        assert_eq!(after.reading(&reading(1, 30.0, Some(50.0)), &settings), []);
        assert_eq!(
            after
                .reading(&reading(2, 22.0, Some(50.0)), &settings)
                .len(),
            1
        );
    }

    proptest! {
        #[test]
        fn no_state_is_ever_told_twice_in_a_row(
            values in prop::collection::vec((5.0..40.0f64, prop::option::of(0.0..100.0f64), any::<bool>()), 1..200),
        ) {
            let (mut alerts, settings) = (Alerts::default(), AlertSettings::default());
            let (mut last, mut silent) = ([Level::Normal; 3], Duration::ZERO);
            for (step, (temperature, humidity, works)) in values.into_iter().enumerate() {
                let at = step as i64 * 60_000;
                let news = match works {
                    true => {
                        silent = Duration::ZERO;
                        alerts.reading(&reading(at, temperature, humidity), &settings)
                    }
                    false => { silent += S * 60; alerts.fault(at, silent, "gone", &settings) },
                };
                for change in news {
                    let told = &mut last[change.subject as usize];
                    prop_assert_ne!(*told, change.level);
                    *told = change.level;
                }
                // What was told last is the truth.
                let active: Vec<Level> = alerts.active().into_iter().map(|(_, level)| level).collect();
                let told: Vec<Level> = last.into_iter().filter(|level| *level != Level::Normal).collect();
                prop_assert_eq!(active, told);
            }
        }

        #[test]
        fn beyond_a_limit_is_always_an_alert(temperature in -40.0..120.0f64, before in 5.0..40.0f64) {
            let (mut alerts, settings) = (Alerts::default(), AlertSettings::default());
            alerts.reading(&reading(0, before, None), &settings);
            alerts.reading(&reading(1, temperature, None), &settings);
            let level = alerts.active().first().map_or(Level::Normal, |(_, level)| *level);
            if temperature > 27.0 { prop_assert_eq!(level, Level::High) }
            if temperature < 15.0 { prop_assert_eq!(level, Level::Low) }
            if (15.5..26.5).contains(&temperature) { prop_assert_eq!(level, Level::Normal) }
        }
    }
}
