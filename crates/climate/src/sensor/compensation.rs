//! Compensates for the heat of the processor below the sensors.
//!
//! The excess temperature is a fixed share of the difference between processor and sensor. Warmer air also shows a
//! lower relative humidity for the same amount of water vapour, so the humidity is converted to the room's temperature
//! (Magnus formula).

use super::Measurement;
use crate::config::Compensation;

/// The room's values, computed from the sensor's values and the processor's temperature, if known.
pub fn compensate(measured: &Measurement, soc: Option<f64>, by: &Compensation) -> Measurement {
    let mut room = measured.clone();
    let Some(sensor) = measured.temperature else {
        return room;
    };
    let heat = match soc {
        // A processor that is colder than the sensor (just started, or a wrong zone) heats nothing.
        Some(soc) if by.factor > 0.0 && soc > sensor => (soc - sensor) / by.factor,
        _ => 0.0,
    };
    room.temperature = Some(sensor - heat + by.temperature_offset);
    room.humidity = measured.humidity.map(|humidity| {
        let carried = humidity * saturation(sensor) / saturation(sensor - heat);
        (carried + by.humidity_offset).clamp(0.0, 100.0)
    });
    room
}

/// Saturation vapour pressure over water in hPa.
fn saturation(celsius: f64) -> f64 {
    6.112 * (17.62 * celsius / (243.12 + celsius)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(temperature: f64, humidity: f64) -> Measurement {
        Measurement {
            temperature: Some(temperature),
            humidity: Some(humidity),
            ..Measurement::default()
        }
    }

    fn with_factor(factor: f64) -> Compensation {
        Compensation {
            factor,
            ..Compensation::default()
        }
    }

    #[test]
    fn the_processor_s_share_is_taken_off() {
        let room = compensate(&at(30.0, 40.0), Some(50.0), &with_factor(4.0));
        assert_eq!(room.temperature, Some(25.0));
        // 40 % at 30 °C is 17.0 hPa of vapour; at 25 °C that is 53.6 %.
        assert!((room.humidity.unwrap() - 53.6).abs() < 0.2, "{room:?}");
    }

    #[test]
    fn without_a_warm_processor_nothing_changes() {
        for (soc, factor) in [(None, 5.0), (Some(20.0), 5.0), (Some(60.0), 0.0)] {
            assert_eq!(
                compensate(&at(30.0, 40.0), soc, &with_factor(factor)),
                at(30.0, 40.0)
            );
        }
    }

    #[test]
    fn offsets_are_added_and_humidity_stays_possible() {
        let by = Compensation {
            factor: 0.0,
            temperature_offset: -1.5,
            humidity_offset: 20.0,
        };
        assert_eq!(compensate(&at(30.0, 95.0), None, &by), at(28.5, 100.0));
    }
}
