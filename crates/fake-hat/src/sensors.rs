//! The two chips of the Sense HAT that measure the air, register by register.
//!
//! They behave as their data sheets say where a driver could tell the difference: registers advance only when
//! the sub-address asks for it, a chip that is powered down does not measure, and a one-shot bit clears itself.
//! A driver that is sloppy about any of these works by luck on the desk and fails on the real board.

/// I²C address of the LPS25H (pressure).
pub const LPS25H: u8 = 0x5c;
/// I²C address of the HTS221 (humidity and temperature).
pub const HTS221: u8 = 0x5f;

const WHO_AM_I: u8 = 0x0f;
const CTRL_REG1: u8 = 0x20;
const CTRL_REG2: u8 = 0x21;
const STATUS: u8 = 0x27;
const AUTO_INCREMENT: u8 = 0x80;
const POWER_UP: u8 = 0x80;
const ONE_SHOT: u8 = 0x01;
const BOOT: u8 = 0x80;

/// What the air around the board is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Air {
    /// Degrees Celsius.
    pub temperature: f64,
    /// Percent relative humidity.
    pub humidity: f64,
    /// Hectopascal.
    pub pressure: f64,
}

/// What can be wrong with the board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it measures.
    #[default]
    None,
    /// Every byte read is 0xff, as from a bus whose data line floats.
    Garbage,
    /// The chips do not acknowledge their addresses, as if the board had been lifted off its pins.
    Silent,
}

/// The board's chips on their bus.
#[derive(Debug)]
pub struct SenseHat {
    /// What the chips measure from now on.
    pub air: Air,
    /// What is wrong with them.
    pub fault: Fault,
    chips: [Chip; 2],
}

impl SenseHat {
    /// A board that has just been given power, in air like this.
    pub fn new(air: Air) -> Self {
        Self {
            air,
            fault: Fault::None,
            chips: [Chip::lps25h(), Chip::hts221()],
        }
    }

    /// A write to `address`: the sub-address, then the data. `None`: nobody acknowledged.
    pub fn write(&mut self, address: u8, bytes: &[u8]) -> Option<()> {
        let air = self.air;
        self.chip(address)?.write(bytes, air);
        Some(())
    }

    /// A read of `count` bytes from `address`, from where the last write left off. `None`: nobody acknowledged.
    pub fn read(&mut self, address: u8, count: usize) -> Option<Vec<u8>> {
        let (air, fault) = (self.air, self.fault);
        let bytes = self.chip(address)?.read(count, air);
        Some(if fault == Fault::Garbage {
            vec![0xff; count]
        } else {
            bytes
        })
    }

    fn chip(&mut self, address: u8) -> Option<&mut Chip> {
        if self.fault == Fault::Silent {
            return None;
        }
        self.chips.iter_mut().find(|chip| chip.address == address)
    }
}

#[derive(Debug)]
struct Chip {
    address: u8,
    registers: [u8; 128],
    sub_address: u8,
    increment: bool,
    /// The bits of CTRL_REG1 that choose how often the chip measures by itself; none set: only when told to.
    rate_bits: u8,
    /// STATUS once everything has been measured.
    fresh: u8,
    measure: fn(&mut [u8; 128], Air),
}

impl Chip {
    fn lps25h() -> Self {
        let mut registers = [0; 128];
        registers[usize::from(WHO_AM_I)] = 0xbd;
        Self {
            address: LPS25H,
            registers,
            sub_address: 0,
            increment: false,
            rate_bits: 0x70,
            fresh: 0x03,
            measure: measure_lps25h,
        }
    }

    fn hts221() -> Self {
        let mut registers = [0; 128];
        registers[usize::from(WHO_AM_I)] = 0xbc;
        CALIBRATION.store(&mut registers);
        Self {
            address: HTS221,
            registers,
            sub_address: 0,
            increment: false,
            rate_bits: 0x03,
            fresh: 0x03,
            measure: measure_hts221,
        }
    }

    fn write(&mut self, bytes: &[u8], air: Air) {
        let Some((&first, data)) = bytes.split_first() else {
            return;
        };
        self.sub_address = first & !AUTO_INCREMENT;
        self.increment = first & AUTO_INCREMENT != 0;
        for &byte in data {
            self.store(self.sub_address, byte, air);
            self.advance();
        }
    }

    fn store(&mut self, register: u8, byte: u8, air: Air) {
        self.registers[usize::from(register)] = byte;
        if register == CTRL_REG2 {
            if byte & ONE_SHOT != 0 && self.powered() {
                self.sample(air);
            }
            self.registers[usize::from(CTRL_REG2)] &= !(ONE_SHOT | BOOT);
        }
    }

    fn read(&mut self, count: usize, air: Air) -> Vec<u8> {
        if self.powered() && self.registers[usize::from(CTRL_REG1)] & self.rate_bits != 0 {
            self.sample(air);
        }
        (0..count)
            .map(|_| {
                let byte = self.registers[usize::from(self.sub_address)];
                self.advance();
                byte
            })
            .collect()
    }

    fn advance(&mut self) {
        if self.increment {
            self.sub_address = (self.sub_address + 1) & !AUTO_INCREMENT;
        }
    }

    fn powered(&self) -> bool {
        self.registers[usize::from(CTRL_REG1)] & POWER_UP != 0
    }

    fn sample(&mut self, air: Air) {
        (self.measure)(&mut self.registers, air);
        self.registers[usize::from(STATUS)] |= self.fresh;
    }
}

fn measure_lps25h(registers: &mut [u8; 128], air: Air) {
    let pressure = ((air.pressure * 4096.0).round() as i32).to_le_bytes();
    registers[0x28..0x2b].copy_from_slice(&pressure[..3]);
    let temperature = ((air.temperature - 42.5) * 480.0).round() as i16;
    registers[0x2b..0x2d].copy_from_slice(&temperature.to_le_bytes());
}

fn measure_hts221(registers: &mut [u8; 128], air: Air) {
    let humidity = CALIBRATION.humidity.raw(air.humidity);
    registers[0x28..0x2a].copy_from_slice(&humidity.to_le_bytes());
    let temperature = CALIBRATION.temperature.raw(air.temperature);
    registers[0x2a..0x2c].copy_from_slice(&temperature.to_le_bytes());
}

/// Two points that each chip is measured at in the factory; drivers draw a line through them.
struct Line {
    low: (f64, i16),
    high: (f64, i16),
}

impl Line {
    fn raw(&self, value: f64) -> i16 {
        let slope =
            f64::from(i32::from(self.high.1) - i32::from(self.low.1)) / (self.high.0 - self.low.0);
        (f64::from(self.low.1) + (value - self.low.0) * slope).round() as i16
    }
}

struct Calibration {
    humidity: Line,
    temperature: Line,
}

/// Neither line goes through zero and the upper temperature needs its two extra bits, so that a driver that
/// forgets an offset or those bits gives wrong readings here as it would on real chips.
const CALIBRATION: Calibration = Calibration {
    humidity: Line {
        low: (30.0, -3000),
        high: (70.0, 5000),
    },
    temperature: Line {
        low: (15.0, -1000),
        high: (35.0, 5000),
    },
};

impl Calibration {
    fn store(&self, registers: &mut [u8; 128]) {
        registers[0x30] = (self.humidity.low.0 * 2.0) as u8;
        registers[0x31] = (self.humidity.high.0 * 2.0) as u8;
        let (t0, t1) = (
            (self.temperature.low.0 * 8.0) as u16,
            (self.temperature.high.0 * 8.0) as u16,
        );
        registers[0x32] = t0 as u8;
        registers[0x33] = t1 as u8;
        registers[0x35] = (t0 >> 8) as u8 | ((t1 >> 8) as u8) << 2;
        registers[0x36..0x38].copy_from_slice(&self.humidity.low.1.to_le_bytes());
        registers[0x3a..0x3c].copy_from_slice(&self.humidity.high.1.to_le_bytes());
        registers[0x3c..0x3e].copy_from_slice(&self.temperature.low.1.to_le_bytes());
        registers[0x3e..0x40].copy_from_slice(&self.temperature.high.1.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AIR: Air = Air {
        temperature: 21.5,
        humidity: 45.0,
        pressure: 1013.25,
    };

    fn registers(hat: &mut SenseHat, address: u8, first: u8, count: usize) -> Vec<u8> {
        hat.write(address, &[first | AUTO_INCREMENT]).unwrap();
        hat.read(address, count).unwrap()
    }

    fn word(bytes: &[u8], at: usize) -> f64 {
        f64::from(i16::from_le_bytes([bytes[at], bytes[at + 1]]))
    }

    /// Reads humidity and temperature the way the data sheet tells drivers to.
    fn humidity_and_temperature(hat: &mut SenseHat) -> (f64, f64) {
        let c = registers(hat, HTS221, 0x30, 16);
        let out = registers(hat, HTS221, 0x28, 4);
        let line =
            |raw: f64, x0: f64, y0: f64, x1: f64, y1: f64| y0 + (raw - x0) * (y1 - y0) / (x1 - x0);
        let (h0, h1) = (f64::from(c[0]) / 2.0, f64::from(c[1]) / 2.0);
        let t0 = f64::from(u16::from(c[2]) | u16::from(c[5] & 3) << 8) / 8.0;
        let t1 = f64::from(u16::from(c[3]) | u16::from(c[5] >> 2 & 3) << 8) / 8.0;
        (
            line(word(&out, 0), word(&c, 6), h0, word(&c, 10), h1),
            line(word(&out, 2), word(&c, 12), t0, word(&c, 14), t1),
        )
    }

    #[test]
    fn a_powered_chip_measures_the_air() {
        let mut hat = SenseHat::new(AIR);
        hat.write(HTS221, &[CTRL_REG1, 0x85]).unwrap();
        hat.write(LPS25H, &[CTRL_REG1, 0x94]).unwrap();
        for (temperature, humidity, pressure) in [
            (21.5, 45.0, 1013.25),
            (-12.25, 3.0, 870.5),
            (61.75, 98.5, 1080.0),
        ] {
            hat.air = Air {
                temperature,
                humidity,
                pressure,
            };
            let (h, t) = humidity_and_temperature(&mut hat);
            assert!(
                (h - humidity).abs() < 0.01 && (t - temperature).abs() < 0.01,
                "{h} {t}"
            );
            let out = registers(&mut hat, LPS25H, 0x28, 5);
            let p = f64::from(i32::from_le_bytes([out[0], out[1], out[2], 0])) / 4096.0;
            assert!((p - pressure).abs() < 0.001, "{p}");
            assert!((42.5 + word(&out, 3) / 480.0 - temperature).abs() < 0.01);
        }
    }

    #[test]
    fn a_chip_without_power_measures_nothing() {
        let mut hat = SenseHat::new(AIR);
        assert_eq!(registers(&mut hat, HTS221, STATUS, 1), [0]);
        hat.write(HTS221, &[CTRL_REG2, ONE_SHOT]).unwrap();
        assert_eq!(registers(&mut hat, HTS221, STATUS, 1), [0]);
    }

    #[test]
    fn one_shot_measures_once_and_clears_itself() {
        let mut hat = SenseHat::new(AIR);
        hat.write(LPS25H, &[CTRL_REG1, 0x84]).unwrap();
        assert_eq!(registers(&mut hat, LPS25H, STATUS, 1), [0]);
        hat.write(LPS25H, &[CTRL_REG2, ONE_SHOT]).unwrap();
        assert_eq!(registers(&mut hat, LPS25H, CTRL_REG2, 1), [0]);
        assert_eq!(registers(&mut hat, LPS25H, STATUS, 1), [3]);
    }

    #[test]
    fn registers_advance_only_when_asked_to() {
        let mut hat = SenseHat::new(AIR);
        hat.write(LPS25H, &[WHO_AM_I]).unwrap();
        assert_eq!(hat.read(LPS25H, 3).unwrap(), [0xbd; 3]);
        assert_eq!(registers(&mut hat, LPS25H, WHO_AM_I, 2), [0xbd, 0]);
    }

    #[test]
    fn faults_show_on_the_bus() {
        let mut hat = SenseHat::new(AIR);
        hat.fault = Fault::Garbage;
        assert_eq!(registers(&mut hat, HTS221, WHO_AM_I, 1), [0xff]);
        hat.fault = Fault::Silent;
        assert_eq!(hat.write(HTS221, &[WHO_AM_I]), None);
        hat.fault = Fault::None;
        assert_eq!(registers(&mut hat, HTS221, WHO_AM_I, 1), [0xbc]);
        assert_eq!(hat.read(0x46, 1), None, "nothing else is on this bus");
    }
}
