//! A reading, and the current state of the room.

use std::sync::{Mutex, MutexGuard};

use kit::clock;
use serde::{Deserialize, Serialize};

/// The values of the room at one moment. A value that could not be measured is none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The time, in milliseconds since 1970.
    pub at: i64,
    /// Temperature of the room, in °C.
    pub temperature: f64,
    /// Relative humidity of the room, in percent.
    pub humidity: Option<f64>,
    /// Air pressure, in hPa.
    pub pressure: Option<f64>,
    /// Temperature at the sensor, before compensation.
    pub sensor_temperature: f64,
    /// Temperature of the processor.
    pub soc_temperature: Option<f64>,
}

/// The current state of the room: the last reading, and why there is no current one.
#[derive(Debug, Clone, Default)]
pub struct Room {
    /// The last reading.
    pub last: Option<Reading>,
    /// Why the room cannot be measured now; the last reading is then not current.
    pub fault: Option<String>,
    /// What failed although there is a reading.
    pub partial: Vec<String>,
    /// The number of readings.
    pub readings: u64,
    /// The number of attempts that failed.
    pub failures: u64,
}

/// The state of the room, shared between the measuring thread and its readers.
#[derive(Debug, Default)]
pub struct SharedRoom(Mutex<Room>);

impl SharedRoom {
    /// The current state.
    pub fn now(&self) -> Room {
        self.lock().clone()
    }

    /// The current reading, if there is one.
    pub fn present(&self) -> Option<Reading> {
        let room = self.lock();
        room.last.filter(|_| room.fault.is_none())
    }

    /// Records a reading.
    pub fn measured(&self, reading: Reading, partial: Vec<String>) {
        let mut room = self.lock();
        room.last = Some(reading);
        room.fault = None;
        room.partial = partial;
        room.readings += 1;
    }

    /// Records a failed attempt.
    pub fn failed(&self, why: String) {
        let mut room = self.lock();
        room.fault = Some(why);
        room.failures += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Room> {
        self.0.lock().expect("no panic while held")
    }
}

/// A reading in the API's form.
#[derive(Debug, Serialize)]
pub struct ReadingBody {
    timestamp: String,
    temperature_c: f64,
    temperature_f: f64,
    humidity: Option<f64>,
    pressure_hpa: Option<f64>,
    sensor_temperature_c: f64,
    soc_temperature_c: Option<f64>,
    age_seconds: f64,
}

impl From<Reading> for ReadingBody {
    fn from(reading: Reading) -> Self {
        let hundredths = |value: f64| (value * 100.0).round() / 100.0;
        ReadingBody {
            timestamp: clock::rfc3339(reading.at),
            temperature_c: hundredths(reading.temperature),
            temperature_f: hundredths(reading.temperature * 1.8 + 32.0),
            humidity: reading.humidity.map(hundredths),
            pressure_hpa: reading.pressure.map(hundredths),
            sensor_temperature_c: hundredths(reading.sensor_temperature),
            soc_temperature_c: reading.soc_temperature.map(hundredths),
            age_seconds: (clock::now_ms() - reading.at).max(0) as f64 / 1000.0,
        }
    }
}
