//! A simulated room with drifting values, for trying the service without hardware.

use std::time::Instant;

use super::{Measurement, Sensor, SensorError};

/// A simulated room: each value swings slowly around its mean.
#[derive(Debug)]
pub struct Simulated {
    started: Instant,
}

impl Default for Simulated {
    /// Starts the simulation now.
    fn default() -> Self {
        let started = Instant::now();
        Simulated { started }
    }
}

impl Sensor for Simulated {
    fn measure(&mut self) -> Result<Measurement, SensorError> {
        let seconds = self.started.elapsed().as_secs_f64();
        let swing = |period: f64, by: f64| by * (seconds / period * std::f64::consts::TAU).sin();
        Ok(Measurement {
            temperature: Some(22.5 + swing(300.0, 1.5) + swing(37.0, 0.2)),
            humidity: Some(45.0 - swing(420.0, 4.0) + swing(53.0, 0.5)),
            pressure: Some(1013.2 + swing(1800.0, 2.0)),
            faults: Vec::new(),
        })
    }
}
