//! ST HTS221: relative humidity and temperature.
//!
//! The chip's raw values need two calibration points per quantity, which the factory stored in the chip.

use super::SensorError;
use super::bus::Bus;
use super::sense_hat::Chip;

const CHIP: Chip = Chip {
    name: "HTS221",
    address: 0x5f,
    who_am_i: 0xbc,
    control: 0x20,
    running: 0x87,
};
const CALIBRATION: u8 = 0x30;
const OUTPUTS: u8 = 0x28;
const BOTH_AVAILABLE: u8 = 0b11;

/// An initialised HTS221.
#[derive(Debug)]
pub(super) struct Hts221 {
    temperature: Line,
    humidity: Line,
}

/// A straight line through two calibration points.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    raw: (i16, i16),
    value: (f64, f64),
}

impl Line {
    fn at(self, raw: i16) -> f64 {
        let span = f64::from(self.raw.1) - f64::from(self.raw.0);
        let share = (f64::from(raw) - f64::from(self.raw.0)) / span;
        self.value.0 + share * (self.value.1 - self.value.0)
    }
}

impl Hts221 {
    /// Identifies the chip, reads its calibration and starts it.
    pub(super) fn start(bus: &mut dyn Bus) -> Result<Self, SensorError> {
        CHIP.identify(bus)?;
        let mut calibration = [0; 16];
        CHIP.read(bus, CALIBRATION, &mut calibration)?;
        let (temperature, humidity) = decode_calibration(&calibration)?;
        CHIP.start(bus)?;
        Ok(Hts221 {
            temperature,
            humidity,
        })
    }

    /// The latest temperature (°C) and relative humidity (%).
    pub(super) fn measure(&self, bus: &mut dyn Bus) -> Result<(f64, f64), SensorError> {
        CHIP.identify(bus)?;
        CHIP.keep_running(bus)?;
        CHIP.wait_for(bus, BOTH_AVAILABLE)?;
        let mut out = [0; 4];
        CHIP.read(bus, OUTPUTS, &mut out)?;
        self.decode(out)
    }

    fn decode(&self, out: [u8; 4]) -> Result<(f64, f64), SensorError> {
        let humidity = self.humidity.at(i16::from_le_bytes([out[0], out[1]]));
        let temperature = self.temperature.at(i16::from_le_bytes([out[2], out[3]]));
        CHIP.possible("temperature", temperature, -40.0..=120.0)?;
        // The calibration line may overshoot slightly at either end; saturated air is 100 %, not 103 %.
        CHIP.possible("humidity", humidity, -10.0..=110.0)?;
        Ok((temperature, humidity.clamp(0.0, 100.0)))
    }
}

/// The temperature and humidity lines in the registers 0x30 to 0x3f.
fn decode_calibration(c: &[u8; 16]) -> Result<(Line, Line), SensorError> {
    let bad = |what| SensorError::BadCalibration {
        chip: CHIP.name,
        what,
    };
    let word = |at: usize| i16::from_le_bytes([c[at], c[at + 1]]);
    let eighths = |low: u8, high: u8| f64::from(u16::from(high & 0b11) << 8 | u16::from(low)) / 8.0;
    let temperature = Line {
        raw: (word(0xc), word(0xe)),
        value: (eighths(c[2], c[5]), eighths(c[3], c[5] >> 2)),
    };
    let humidity = Line {
        raw: (word(0x6), word(0xa)),
        value: (f64::from(c[0]) / 2.0, f64::from(c[1]) / 2.0),
    };
    if temperature.raw.0 == temperature.raw.1 || humidity.raw.0 == humidity.raw.1 {
        return Err(bad("both calibration points are the same"));
    }
    if temperature.value.0 >= temperature.value.1 || humidity.value.0 >= humidity.value.1 {
        return Err(bad("the calibration points are not in order"));
    }
    Ok((temperature, humidity))
}

/// The register content of such a chip at these values (for simulated buses).
#[cfg(test)]
pub(super) fn registers(temperature: f64, humidity: f64) -> super::sense_hat::Registers {
    let mut r = [0; 128];
    r[0x0f] = CHIP.who_am_i;
    r[0x27] = BOTH_AVAILABLE;
    r[0x28..0x2a].copy_from_slice(&((humidity * 100.0) as i16).to_le_bytes());
    r[0x2a..0x2c].copy_from_slice(&((temperature * 100.0) as i16).to_le_bytes());
    r[0x31] = 200;
    r[0x33] = (50u16 * 8) as u8;
    r[0x35] = (((50u16 * 8) >> 8) << 2) as u8;
    r[0x3a..0x3c].copy_from_slice(&10_000i16.to_le_bytes());
    r[0x3e..0x40].copy_from_slice(&5_000i16.to_le_bytes());
    r
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_datasheet_s_lines_are_followed() {
        // T0 = 18 °C at 300, T1 = 33 °C (its high bits in use) at 500; H0 = 30 % at 4000, H1 = 70 % at -6000.
        let mut c = [0; 16];
        (c[0], c[1]) = (60, 140);
        (c[2], c[3], c[5]) = (
            (18 * 8) as u8,
            (33u16 * 8) as u8,
            (((33u16 * 8) >> 8) as u8) << 2,
        );
        c[6..8].copy_from_slice(&4000i16.to_le_bytes());
        c[0xa..0xc].copy_from_slice(&(-6000i16).to_le_bytes());
        c[0xc..0xe].copy_from_slice(&300i16.to_le_bytes());
        c[0xe..].copy_from_slice(&500i16.to_le_bytes());
        let (temperature, humidity) = decode_calibration(&c).unwrap();
        assert_eq!(temperature.at(300), 18.0);
        assert_eq!(temperature.at(500), 33.0);
        assert_eq!(temperature.at(400), 25.5);
        assert_eq!(humidity.at(-1000), 50.0);
    }

    #[test]
    fn a_blank_or_erased_calibration_is_refused() {
        for filling in [0x00, 0xff] {
            let error = decode_calibration(&[filling; 16]).unwrap_err();
            assert!(
                error.to_string().contains("invalid calibration data"),
                "{error}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_possible_value_or_an_error(calibration: [u8; 16], out: [u8; 4]) {
            let Ok((temperature, humidity)) = decode_calibration(&calibration) else { return Ok(()) };
            if let Ok((t, h)) = (Hts221 { temperature, humidity }).decode(out) {
                prop_assert!((-40.0..=120.0).contains(&t) && (0.0..=100.0).contains(&h));
            }
        }

        #[test]
        fn what_a_chip_is_given_is_what_is_read(t in -30.0..100.0f64, h in 0.0..100.0f64) {
            let registers = registers(t, h);
            let (temperature, humidity) = decode_calibration(registers[0x30..0x40].try_into().unwrap()).unwrap();
            let read = (Hts221 { temperature, humidity }).decode(registers[0x28..0x2c].try_into().unwrap()).unwrap();
            prop_assert!((read.0 - t).abs() < 0.02 && (read.1 - h).abs() < 0.02, "{read:?}");
        }
    }
}
