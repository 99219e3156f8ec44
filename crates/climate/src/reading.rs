//! A reading, and the room as it is known right now.

use std::sync::{Mutex, MutexGuard};

use kit::clock;
use serde::{Deserialize, Serialize};

/// The room at one moment. What could not be measured is none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// When, in milliseconds since 1970.
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

/// What is known of the room: the last reading, and why there is none now.
#[derive(Debug, Clone, Default)]
pub struct Room {
    /// The last reading there was.
    pub last: Option<Reading>,
    /// Why the room cannot be read now; the last reading is not the present then.
    pub fault: Option<String>,
    /// What does not work although there is a reading.
    pub partial: Vec<String>,
    /// Readings taken.
    pub readings: u64,
    /// Attempts that gave no reading.
    pub failures: u64,
}

/// The room as shared between the thread that measures and everyone who asks.
#[derive(Debug, Default)]
pub struct SharedRoom(Mutex<Room>);

impl SharedRoom {
    /// The room right now.
    pub fn now(&self) -> Room {
        self.lock().clone()
    }

    /// The reading that is the present, if there is one.
    pub fn present(&self) -> Option<Reading> {
        let room = self.lock();
        room.last.filter(|_| room.fault.is_none())
    }

    /// The room was measured.
    pub fn measured(&self, reading: Reading, partial: Vec<String>) {
        let mut room = self.lock();
        room.last = Some(reading);
        room.fault = None;
        room.partial = partial;
        room.readings += 1;
    }

    /// The room could not be measured.
    pub fn failed(&self, why: String) {
        let mut room = self.lock();
        room.fault = Some(why);
        room.failures += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Room> {
        self.0.lock().expect("no panic while held")
    }
}

/// A reading as the API shows it.
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
