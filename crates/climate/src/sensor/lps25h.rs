//! ST LPS25H: air pressure and temperature.

use super::SensorError;
use super::bus::Bus;
use super::sense_hat::Chip;

const CHIP: Chip = Chip {
    name: "LPS25H",
    address: 0x5c,
    who_am_i: 0xbd,
    control: 0x20,
    running: 0xb4,
};
const OUTPUTS: u8 = 0x28;
const BOTH_AVAILABLE: u8 = 0b11;

/// An initialised LPS25H.
#[derive(Debug)]
pub(super) struct Lps25h(());

impl Lps25h {
    /// Identifies the chip and starts it.
    pub(super) fn start(bus: &mut dyn Bus) -> Result<Self, SensorError> {
        CHIP.identify(bus)?;
        CHIP.start(bus)?;
        Ok(Lps25h(()))
    }

    /// The latest pressure (hPa) and temperature (°C).
    pub(super) fn measure(&self, bus: &mut dyn Bus) -> Result<(f64, f64), SensorError> {
        CHIP.identify(bus)?;
        CHIP.keep_running(bus)?;
        CHIP.wait_for(bus, BOTH_AVAILABLE)?;
        let mut out = [0; 5];
        CHIP.read(bus, OUTPUTS, &mut out)?;
        decode(out)
    }
}

fn decode(out: [u8; 5]) -> Result<(f64, f64), SensorError> {
    // 24 bits with a sign: shifted up so that the sign becomes that of an i32.
    let pressure = f64::from(i32::from_le_bytes([0, out[0], out[1], out[2]]) >> 8) / 4096.0;
    let temperature = 42.5 + f64::from(i16::from_le_bytes([out[3], out[4]])) / 480.0;
    CHIP.possible("pressure", pressure, 260.0..=1260.0)?;
    CHIP.possible("temperature", temperature, -30.0..=105.0)?;
    Ok((pressure, temperature))
}

/// The register content of such a chip at these values (for simulated buses).
#[cfg(test)]
pub(super) fn registers(pressure: f64, temperature: f64) -> super::sense_hat::Registers {
    let mut r = [0; 128];
    r[0x0f] = CHIP.who_am_i;
    r[0x27] = 0x33;
    r[0x28..0x2b].copy_from_slice(&((pressure * 4096.0) as i32).to_le_bytes()[..3]);
    r[0x2b..0x2d].copy_from_slice(&(((temperature - 42.5) * 480.0) as i16).to_le_bytes());
    r
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_datasheet_s_example_is_read() {
        // 0x3ED000 counts are 1005 hPa; 0 is 42.5 °C.
        assert_eq!(decode([0x00, 0xd0, 0x3e, 0, 0]).unwrap(), (1005.0, 42.5));
    }

    #[test]
    fn a_stuck_bus_is_not_a_pressure() {
        for filling in [0x00, 0xff] {
            let error = decode([filling; 5]).unwrap_err();
            assert!(error.to_string().contains("impossible pressure"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_possible_value_or_an_error(out: [u8; 5]) {
            if let Ok((pressure, temperature)) = decode(out) {
                prop_assert!((260.0..=1260.0).contains(&pressure));
                prop_assert!((-30.0..=105.0).contains(&temperature));
            }
        }

        #[test]
        fn what_a_chip_is_given_is_what_is_read(p in 261.0..1259.0f64, t in -20.0..100.0f64) {
            let read = decode(registers(p, t)[0x28..0x2d].try_into().unwrap()).unwrap();
            prop_assert!((read.0 - p).abs() < 0.001 && (read.1 - t).abs() < 0.005, "{read:?}");
        }
    }
}
