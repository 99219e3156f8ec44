//! The measuring thread: measures on time, regardless of the API, the card and the network.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kit::{Actor, Component, Kit, Soc, clock};

use crate::config::SensorSettings;
use crate::history::History;
use crate::reading::{Reading, SharedRoom};
use crate::sensor::{Sensor, SensorError, compensate};

/// The name of the measuring worker.
pub const NAME: &str = "sensor";

/// A measurement takes one second if the bus hangs; this limit is far longer, and shorter than systemd's timeout.
const BEAT: Duration = Duration::from_secs(20);

/// The pause before a failed sensor is tried again; doubled up to the interval or `SLOWEST_RETRY`.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const SLOWEST_RETRY: Duration = Duration::from_secs(30);

/// Starts measuring. The service is ready after the first attempt, even a failed one.
pub fn start(
    kit: &Kit,
    settings: SensorSettings,
    sensor: Box<dyn Sensor>,
    soc: Soc,
    room: Arc<SharedRoom>,
    history: History,
) -> anyhow::Result<()> {
    kit.worker(NAME, BEAT, |component| Sampler {
        sensor,
        soc,
        settings,
        room,
        history,
        component,
        silent_since: None,
        failures_in_a_row: 0,
        due: Instant::now(),
    })?;
    Ok(())
}

struct Sampler {
    sensor: Box<dyn Sensor>,
    soc: Soc,
    settings: SensorSettings,
    room: Arc<SharedRoom>,
    history: History,
    component: Component,
    silent_since: Option<Instant>,
    failures_in_a_row: u32,
    due: Instant,
}

impl Actor for Sampler {
    fn start(&mut self) {
        self.turn();
    }

    fn turn(&mut self) -> Duration {
        if Instant::now() >= self.due {
            match self.sample() {
                Ok(()) => self.failures_in_a_row = 0,
                Err(_) => self.failures_in_a_row += 1,
            }
            let (now, interval) = (Instant::now(), self.settings.interval());
            self.due = next(self.due, now, interval, self.failures_in_a_row);
        }
        self.due.saturating_duration_since(Instant::now())
    }
}

impl Sampler {
    fn sample(&mut self) -> Result<(), SensorError> {
        let measured = self.sensor.measure();
        let at = clock::now_ms();
        match measured {
            Ok(measured) => {
                let soc_temperature = self.soc.temperature();
                let room = compensate(&measured, soc_temperature, &self.settings.compensation);
                let (Some(temperature), Some(sensor_temperature)) =
                    (room.temperature, measured.temperature)
                else {
                    return self.fail(
                        at,
                        SensorError::AllFailed("no temperature was measured".into()),
                    );
                };
                let reading = Reading {
                    at,
                    temperature,
                    humidity: room.humidity,
                    pressure: room.pressure,
                    sensor_temperature,
                    soc_temperature,
                };
                match measured.faults.is_empty() {
                    true => self.component.ok(),
                    false => self.component.degraded(measured.faults.join("; ")),
                }
                self.silent_since = None;
                self.room.measured(reading, measured.faults);
                self.history.reading(reading);
                Ok(())
            }
            Err(error) => self.fail(at, error),
        }
    }

    fn fail(&mut self, at: i64, error: SensorError) -> Result<(), SensorError> {
        let why = error.to_string();
        self.component.degraded(why.clone());
        self.room.failed(why.clone());
        let silent = self.silent_since.get_or_insert_with(Instant::now).elapsed();
        self.history.fault(at, silent, why);
        Err(error)
    }
}

/// The time of the next measurement: at the interval, or sooner after a failure.
fn next(due: Instant, now: Instant, interval: Duration, failures_in_a_row: u32) -> Instant {
    if failures_in_a_row > 0 {
        let longest = SLOWEST_RETRY.min(interval);
        return now + kit::back_off(FIRST_RETRY, failures_in_a_row, longest);
    }
    let next = due + interval;
    // After a delay (a slow bus, a suspended machine) missed measurements are not caught up.
    if next > now { next } else { now + interval }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn the_interval_is_kept_and_missed_ones_are_not_made_up_for() {
        let start = Instant::now();
        assert_eq!(next(start, start + S, 60 * S, 0), start + 60 * S);
        assert_eq!(next(start, start + 200 * S, 60 * S, 0), start + 260 * S);
    }

    #[test]
    fn a_failing_sensor_is_tried_again_ever_more_slowly_but_no_later_than_a_good_one() {
        let now = Instant::now();
        assert_eq!(next(now, now, 60 * S, 9) - now, SLOWEST_RETRY);
        assert_eq!(next(now, now, S / 10, 9) - now, S / 10);
    }
}
