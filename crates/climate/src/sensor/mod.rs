//! Where values come from: a trait, with real sensors and a simulated room behind it.

mod bus;
mod compensation;
mod hts221;
mod lps25h;
mod sense_hat;
mod simulated;

use std::io;

pub use bus::{Bus, Connector, LinuxBuses};
pub use compensation::compensate;
pub use sense_hat::SenseHat;
pub use simulated::Simulated;

use crate::config::{SensorKind, SensorSettings};

/// Something that measures. It blocks while it does, so it lives in a thread of its own.
pub trait Sensor: Send {
    /// Measures once. An error is the whole truth: there is no value then.
    fn measure(&mut self) -> Result<Measurement, SensorError>;
}

/// What was measured; what could not be is none, and `faults` says why.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measurement {
    /// Temperature at the sensor, in °C.
    pub temperature: Option<f64>,
    /// Relative humidity at the sensor, in percent.
    pub humidity: Option<f64>,
    /// Air pressure, in hPa.
    pub pressure: Option<f64>,
    /// What did not work.
    pub faults: Vec<String>,
}

/// Why there is no value.
#[derive(Debug, thiserror::Error)]
pub enum SensorError {
    /// The bus is not there.
    #[error("I²C bus {bus}: {source}")]
    NoBus {
        /// The bus's device.
        bus: String,
        /// What the system said.
        source: io::Error,
    },
    /// No bus has the sensors.
    #[error("no Sense HAT found on {}", if tried.is_empty() { "any I²C bus: there is none".into() } else { tried.join(", ") })]
    NotFound {
        /// The buses that were looked at.
        tried: Vec<String>,
    },
    /// The chip did not answer.
    #[error("{chip} does not answer: {source}")]
    Silent {
        /// The chip.
        chip: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Something else answers at the chip's address.
    #[error(
        "{chip} answers as 0x{found:02x}, expected 0x{expected:02x}: it is another chip, or the bus is stuck"
    )]
    WrongChip {
        /// The chip.
        chip: &'static str,
        /// Its WHO_AM_I.
        expected: u8,
        /// What was read.
        found: u8,
    },
    /// The factory calibration makes no sense.
    #[error("{chip} has invalid calibration data: {what}")]
    BadCalibration {
        /// The chip.
        chip: &'static str,
        /// What is impossible.
        what: &'static str,
    },
    /// The chip has stopped measuring.
    #[error("{chip} has no new measurement")]
    Stale {
        /// The chip.
        chip: &'static str,
    },
    /// The value cannot be.
    #[error("{chip} reports an impossible {quantity}: {value:.1}")]
    Impossible {
        /// The chip.
        chip: &'static str,
        /// What was measured.
        quantity: &'static str,
        /// The value.
        value: f64,
    },
    /// None of the chips could be read.
    #[error("{0}")]
    AllFailed(String),
}

/// The sensor the configuration asks for.
pub fn open(settings: &SensorSettings) -> Box<dyn Sensor> {
    match settings.kind {
        SensorKind::SenseHat => Box::new(SenseHat::new(LinuxBuses::new(&settings.bus))),
        SensorKind::Simulated => Box::new(Simulated::new()),
    }
}
