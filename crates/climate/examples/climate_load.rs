//! How fast the service answers, how much memory it takes, how soon a reading is told; in JSON.
//!
//! `cargo run --release -p climate --example climate_load -- [CONNECTIONS] [REQUESTS]`
//!
//! Its sensor's readings say when they were taken.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use climate::World;
use climate::config::Config;
use climate::sensor::{Measurement, Sensor, SensorError};
use kit::Soc;
use kit::load::{Connection, Measured, spread};
use serde_json::{Value, json};

/// A reading's pressure is the microsecond it was taken in, in hundredths, within this many.
const WRAP: u64 = 1_000_000_000;
const READING: &str = "/api/reading";
const INTERVAL_SECONDS: f64 = 0.05;

fn main() -> Result<()> {
    kit::load::main([8, 40_000], measure, |_| serve())
}

fn measure([connections, requests]: [usize; 2]) -> Result<Value> {
    let service = Measured::start(&[], READING)?;
    let idle = service.usage().resident_bytes;
    let delays = sensor_to_api(service.address, 100)?;
    let alone = service.load(READING, 1, requests / 4)?;
    let together = service.load(READING, connections, requests)?;
    Ok(json!({
        "sensor_to_api_us": spread(delays),
        "one_connection": alone,
        "many_connections": together,
        "resident_bytes_idle": idle,
        "resident_bytes_after": service.usage().resident_bytes,
    }))
}

fn serve() -> Result<()> {
    let state = tempfile::tempdir()?;
    let mut config = Config::default();
    config.sensor.interval_seconds = INTERVAL_SECONDS;
    config.history.directory = Some(state.path().into());
    let world = World {
        sensor: Some(Box::new(Stopwatch)),
        soc: Soc::at("/nonexistent"),
        ..World::default()
    };
    kit::load::serve("climate", config, |config, kit| {
        climate::run_in(world, config, kit)
    })
}

struct Stopwatch;

impl Sensor for Stopwatch {
    fn measure(&mut self) -> Result<Measurement, SensorError> {
        Ok(Measurement {
            temperature: Some(22.0),
            humidity: Some(50.0),
            pressure: Some(microsecond() as f64 / 100.0),
            faults: Vec::new(),
        })
    }
}

fn microsecond() -> u64 {
    kit::clock::now_us() as u64 % WRAP
}

/// From the moment of measuring until someone who keeps asking is told.
fn sensor_to_api(address: SocketAddr, count: usize) -> Result<Vec<u64>> {
    let mut connection = Connection::open(address)?;
    let (mut delays, mut last) = (Vec::new(), None);
    while delays.len() < count {
        let Some(body) = connection.get(READING)? else {
            continue;
        };
        let body: Value = serde_json::from_str(&body)?;
        let taken = (body["pressure_hpa"].as_f64().context("no reading")? * 100.0).round() as u64;
        if last.replace(taken).is_some_and(|last| last != taken) {
            delays.push((microsecond() + WRAP - taken) % WRAP);
        }
    }
    Ok(delays)
}
