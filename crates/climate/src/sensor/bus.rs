//! I²C buses, with the operations that the sensors need: write a register, read registers.
//!
//! i2cdev rather than rppal: a bus is any `/dev/i2c-N`, not only one that a Pi's device tree names. Both
//! calls are single I2C_RDWR transfers (a write; a write and a read with repeated start), which every
//! adapter offers, USB bridges included. The kernel ends a transfer that hangs after one second.

use std::io;

use i2cdev::core::{I2CMessage, I2CTransfer};
use i2cdev::linux::{LinuxI2CBus, LinuxI2CMessage};

/// This bit makes the sensors' chips read consecutive registers.
const AUTO_INCREMENT: u8 = 0x80;

/// One I²C bus.
pub trait Bus: Send {
    /// Reads `buffer.len()` registers from `register` on.
    fn read(&mut self, chip: u16, register: u8, buffer: &mut [u8]) -> io::Result<()>;

    /// Writes one register.
    fn write(&mut self, chip: u16, register: u8, value: u8) -> io::Result<()>;
}

/// Finds and opens buses.
pub trait Connector: Send {
    /// The candidate buses, best first.
    fn candidates(&self) -> Vec<String>;

    /// Opens one of the buses.
    fn open(&self, bus: &str) -> io::Result<Box<dyn Bus>>;
}

/// The I²C buses of this machine.
#[derive(Debug)]
pub struct LinuxBuses {
    wanted: Option<String>,
}

impl LinuxBuses {
    /// The bus `wanted`, or all buses if that is `auto`.
    pub fn new(wanted: &str) -> Self {
        LinuxBuses {
            wanted: (wanted != "auto").then(|| wanted.to_owned()),
        }
    }
}

impl Connector for LinuxBuses {
    fn candidates(&self) -> Vec<String> {
        if let Some(bus) = &self.wanted {
            return vec![bus.clone()];
        }
        let Ok(entries) = std::fs::read_dir("/dev") else {
            return Vec::new();
        };
        let number = |name: &str| name.strip_prefix("i2c-")?.parse::<u32>().ok();
        let mut numbers: Vec<u32> = entries
            .flatten()
            .filter_map(|entry| number(entry.file_name().to_str()?))
            .collect();
        numbers.sort_unstable();
        numbers
            .into_iter()
            .map(|number| format!("/dev/i2c-{number}"))
            .collect()
    }

    fn open(&self, bus: &str) -> io::Result<Box<dyn Bus>> {
        Ok(Box::new(LinuxBus(LinuxI2CBus::new(bus)?)))
    }
}

struct LinuxBus(LinuxI2CBus);

impl Bus for LinuxBus {
    fn read(&mut self, chip: u16, register: u8, buffer: &mut [u8]) -> io::Result<()> {
        let register = [if buffer.len() > 1 {
            register | AUTO_INCREMENT
        } else {
            register
        }];
        let mut messages = [
            LinuxI2CMessage::write(&register).with_address(chip),
            LinuxI2CMessage::read(buffer).with_address(chip),
        ];
        self.0.transfer(&mut messages)?;
        Ok(())
    }

    fn write(&mut self, chip: u16, register: u8, value: u8) -> io::Result<()> {
        let bytes = [register, value];
        self.0
            .transfer(&mut [LinuxI2CMessage::write(&bytes).with_address(chip)])?;
        Ok(())
    }
}
