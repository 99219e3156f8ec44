//! A Sense HAT: finds, starts and reads the sensors, and starts them again after an interruption.
//!
//! Every reading first checks the identity of the chips and whether they still run, because a HAT that was unplugged
//! may come back silent, asleep or on another bus. A chip that fails is started again at the next reading; if both
//! fail, the buses are searched again.

use std::io;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::bus::{Bus, Connector};
use super::hts221::Hts221;
use super::lps25h::Lps25h;
use super::{Measurement, Sensor, SensorError};

/// The register content of a simulated chip.
#[cfg(test)]
pub(super) type Registers = [u8; 128];

const WHO_AM_I: u8 = 0x0f;
const STATUS: u8 = 0x27;
/// Both chips measure 12.5 times a second; without a new value for this long, a chip has stopped.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the two chips, which belong to one family, have in common.
#[derive(Debug)]
pub(super) struct Chip {
    pub(super) name: &'static str,
    pub(super) address: u16,
    pub(super) who_am_i: u8,
    /// CTRL_REG1, and its value for: powered, 12.5 Hz, high and low byte from the same measurement.
    pub(super) control: u8,
    pub(super) running: u8,
}

impl Chip {
    pub(super) fn read(
        &self,
        bus: &mut dyn Bus,
        register: u8,
        out: &mut [u8],
    ) -> Result<(), SensorError> {
        bus.read(self.address, register, out)
            .map_err(|source| self.silent(source))
    }

    fn register(&self, bus: &mut dyn Bus, register: u8) -> Result<u8, SensorError> {
        let mut byte = [0];
        self.read(bus, register, &mut byte)?;
        Ok(byte[0])
    }

    pub(super) fn identify(&self, bus: &mut dyn Bus) -> Result<(), SensorError> {
        match self.register(bus, WHO_AM_I)? {
            found if found == self.who_am_i => Ok(()),
            found => Err(SensorError::WrongChip {
                chip: self.name,
                expected: self.who_am_i,
                found,
            }),
        }
    }

    pub(super) fn start(&self, bus: &mut dyn Bus) -> Result<(), SensorError> {
        bus.write(self.address, self.control, self.running)
            .map_err(|source| self.silent(source))
    }

    /// A chip that lost power for a moment is asleep: starts it again, because its old values must not be read.
    pub(super) fn keep_running(&self, bus: &mut dyn Bus) -> Result<(), SensorError> {
        if self.register(bus, self.control)? != self.running {
            tracing::info!(
                chip = self.name,
                "the sensor was reset and has been configured again"
            );
            self.start(bus)?;
        }
        Ok(())
    }

    pub(super) fn wait_for(&self, bus: &mut dyn Bus, available: u8) -> Result<(), SensorError> {
        let deadline = Instant::now() + PATIENCE;
        while self.register(bus, STATUS)? & available != available {
            if Instant::now() > deadline {
                return Err(SensorError::Stale { chip: self.name });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    pub(super) fn possible(
        &self,
        quantity: &'static str,
        value: f64,
        range: RangeInclusive<f64>,
    ) -> Result<(), SensorError> {
        match range.contains(&value) {
            true => Ok(()),
            false => Err(SensorError::Impossible {
                chip: self.name,
                quantity,
                value,
            }),
        }
    }

    fn silent(&self, source: io::Error) -> SensorError {
        SensorError::Silent {
            chip: self.name,
            source,
        }
    }
}

/// The sensors of a Sense HAT, on whichever bus they are.
pub struct SenseHat {
    buses: Box<dyn Connector>,
    attached: Option<Attached>,
}

struct Attached {
    bus: Box<dyn Bus>,
    hts221: Option<Hts221>,
    lps25h: Option<Lps25h>,
}

impl SenseHat {
    /// A Sense HAT on one of `buses`; the search happens when it is read.
    pub fn new(buses: impl Connector + 'static) -> Self {
        SenseHat {
            buses: Box::new(buses),
            attached: None,
        }
    }

    /// The first bus with both chips, else the first with one of them.
    fn find(&self) -> Result<Attached, SensorError> {
        let candidates = self.buses.candidates();
        let (mut half, mut last) = (None, None);
        for name in &candidates {
            let mut bus = match self.buses.open(name) {
                Ok(bus) => bus,
                Err(source) => {
                    last = Some(SensorError::NoBus {
                        bus: name.clone(),
                        source,
                    });
                    continue;
                }
            };
            let hts221 = Hts221::start(&mut *bus)
                .map_err(|error| last = Some(error))
                .ok();
            let lps25h = Lps25h::start(&mut *bus)
                .map_err(|error| last = Some(error))
                .ok();
            let chips = usize::from(hts221.is_some()) + usize::from(lps25h.is_some());
            let attached = Attached {
                bus,
                hts221,
                lps25h,
            };
            if chips == 2 {
                tracing::info!(bus = name, "Sense HAT found");
                return Ok(attached);
            }
            if chips == 1 && half.is_none() {
                half = Some(attached);
            }
        }
        match (half, last) {
            (Some(attached), _) => Ok(attached),
            // If there is only one bus, its error says more than "not found".
            (None, Some(error)) if candidates.len() == 1 => Err(error),
            (None, _) => Err(SensorError::NotFound { tried: candidates }),
        }
    }
}

impl Attached {
    fn measure(&mut self) -> Result<Measurement, SensorError> {
        let mut measurement = Measurement::default();
        let bus = &mut *self.bus;
        match retrying(&mut self.hts221, bus, Hts221::start, Hts221::measure) {
            Ok((temperature, humidity)) => {
                measurement.temperature = Some(temperature);
                measurement.humidity = Some(humidity);
            }
            Err(error) => measurement.faults.push(error.to_string()),
        }
        match retrying(&mut self.lps25h, bus, Lps25h::start, Lps25h::measure) {
            Ok((pressure, temperature)) => {
                measurement.pressure = Some(pressure);
                // Less precise than the HTS221's value, but it keeps temperature alerts working.
                measurement.temperature.get_or_insert(temperature);
            }
            Err(error) => measurement.faults.push(error.to_string()),
        }
        match measurement.temperature {
            Some(_) => Ok(measurement),
            None => Err(SensorError::AllFailed(measurement.faults.join("; "))),
        }
    }
}

/// Reads a chip; a chip that fails is dropped, so that it is started again next time.
fn retrying<C, V>(
    chip: &mut Option<C>,
    bus: &mut dyn Bus,
    start: fn(&mut dyn Bus) -> Result<C, SensorError>,
    measure: fn(&C, &mut dyn Bus) -> Result<V, SensorError>,
) -> Result<V, SensorError> {
    let running = match chip.take() {
        Some(running) => running,
        None => start(bus)?,
    };
    let value = measure(&running, bus)?;
    *chip = Some(running);
    Ok(value)
}

impl Sensor for SenseHat {
    fn measure(&mut self) -> Result<Measurement, SensorError> {
        let mut attached = match self.attached.take() {
            Some(attached) => attached,
            None => self.find()?,
        };
        let measurement = attached.measure()?;
        self.attached = Some(attached);
        Ok(measurement)
    }
}

#[cfg(test)]
#[path = "sense_hat_tests.rs"]
mod tests;
