//! The sources of values: a trait, implemented by the real sensors and a simulated room.

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

/// A sensor. Measuring blocks, so it belongs on a thread of its own.
pub trait Sensor: Send {
    /// Measures once. On an error there are no values at all.
    fn measure(&mut self) -> Result<Measurement, SensorError>;
}

/// The measured values; for each that is none, `faults` has the reason.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measurement {
    /// Temperature at the sensor, in °C.
    pub temperature: Option<f64>,
    /// Relative humidity at the sensor, in percent.
    pub humidity: Option<f64>,
    /// Air pressure, in hPa.
    pub pressure: Option<f64>,
    /// What failed.
    pub faults: Vec<String>,
}

/// Why there are no values.
#[derive(Debug, thiserror::Error)]
pub enum SensorError {
    /// The bus does not exist or cannot be opened.
    #[error("I²C bus {bus}: {source}")]
    NoBus {
        /// The bus's device.
        bus: String,
        /// The system's error.
        source: io::Error,
    },
    /// No bus has the sensors.
    #[error("no Sense HAT found on {}", if tried.is_empty() { "any I²C bus: there is none".into() } else { tried.join(", ") })]
    NotFound {
        /// The buses that were tried.
        tried: Vec<String>,
    },
    /// The chip did not answer.
    #[error("{chip} does not answer: {source}")]
    Silent {
        /// The chip.
        chip: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// Another chip answers at this address.
    #[error(
        "{chip} answers as 0x{found:02x}, expected 0x{expected:02x}: it is another chip, or the bus is stuck"
    )]
    WrongChip {
        /// The chip.
        chip: &'static str,
        /// The expected WHO_AM_I value.
        expected: u8,
        /// The value that was read.
        found: u8,
    },
    /// The factory calibration is invalid.
    #[error("{chip} has invalid calibration data: {what}")]
    BadCalibration {
        /// The chip.
        chip: &'static str,
        /// What is invalid.
        what: &'static str,
    },
    /// The chip has stopped measuring.
    #[error("{chip} has no new measurement")]
    Stale {
        /// The chip.
        chip: &'static str,
    },
    /// The measured value is outside the possible range.
    #[error("{chip} reports an impossible {quantity}: {value:.1}")]
    Impossible {
        /// The chip.
        chip: &'static str,
        /// The quantity.
        quantity: &'static str,
        /// The value.
        value: f64,
    },
    /// None of the chips could be read.
    #[error("{0}")]
    AllFailed(String),
}

/// Opens the configured sensor.
pub fn open(settings: &SensorSettings) -> Box<dyn Sensor> {
    match settings.kind {
        SensorKind::SenseHat => Box::new(SenseHat::new(LinuxBuses::new(&settings.bus))),
        SensorKind::Simulated => Box::new(Simulated::default()),
    }
}
