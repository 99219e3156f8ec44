use proptest::prelude::*;

use super::*;

const S: Duration = Duration::from_secs(1);

fn reading(at: i64, temperature: f64, humidity: Option<f64>) -> Reading {
    Reading {
        at,
        temperature,
        humidity,
        pressure: None,
        sensor_temperature: temperature,
        soc_temperature: None,
    }
}

/// The changes reported for these temperatures, in this order.
fn told(temperatures: &[f64]) -> Vec<&'static str> {
    let (mut alerts, settings) = (Alerts::default(), AlertSettings::default());
    let one =
        |(at, t): (usize, &f64)| alerts.reading(&reading(at as i64, *t, Some(50.0)), &settings);
    temperatures
        .iter()
        .enumerate()
        .flat_map(one)
        .map(|change| change.level.name())
        .collect()
}

#[test]
fn a_hot_afternoon_is_told_once_and_so_is_its_end() {
    assert_eq!(
        told(&[22.0, 27.1, 29.0, 31.0, 28.0, 26.0, 25.0]),
        ["high", "normal"]
    );
}

#[test]
fn a_value_on_the_edge_does_not_chatter() {
    assert_eq!(
        told(&[26.9, 27.1, 26.9, 27.1, 26.6, 27.1, 26.4, 26.9]),
        ["high", "normal"]
    );
    assert_eq!(
        told(&[15.1, 14.9, 15.1, 14.9, 15.4, 15.6]),
        ["low", "normal"]
    );
}

#[test]
fn from_too_hot_to_too_cold_is_one_piece_of_news() {
    assert_eq!(told(&[30.0, 10.0, 30.0]), ["high", "low", "high"]);
}

#[test]
fn a_silent_sensor_is_told_after_a_while_and_its_return_at_once() {
    let (mut alerts, settings) = (Alerts::default(), AlertSettings::default());
    assert_eq!(alerts.fault(0, Duration::ZERO, "gone", &settings), []);
    assert_eq!(alerts.fault(1, S * 299, "gone", &settings), []);
    let news = alerts.fault(2, S * 300, "gone", &settings);
    assert_eq!(
        (news[0].level, news[0].detail.as_str()),
        (Level::Failing, "gone")
    );
    assert_eq!(alerts.fault(3, S * 900, "gone", &settings), []);
    let news = alerts.reading(&reading(4, 22.0, Some(50.0)), &settings);
    assert_eq!(
        (news.len(), news[0].subject, news[0].level),
        (1, Subject::Sensor, Level::Normal)
    );
}

#[test]
fn what_is_not_measured_does_not_change() {
    let (mut alerts, settings) = (Alerts::default(), AlertSettings::default());
    assert_eq!(
        alerts
            .reading(&reading(0, 22.0, Some(90.0)), &settings)
            .len(),
        1
    );
    assert_eq!(alerts.reading(&reading(1, 22.0, None), &settings), []);
    assert_eq!(alerts.active(), [(Subject::Humidity, Level::High)]);
}

#[test]
fn a_restart_repeats_nothing() {
    let (mut alerts, settings) = (Alerts::default(), AlertSettings::default());
    assert_eq!(
        alerts
            .reading(&reading(0, 30.0, Some(50.0)), &settings)
            .len(),
        1
    );
    let stored = serde_json::to_string(&alerts).unwrap();
    let mut after: Alerts = serde_json::from_str(&stored).unwrap();
    assert_eq!(after.reading(&reading(1, 30.0, Some(50.0)), &settings), []);
    assert_eq!(
        after
            .reading(&reading(2, 22.0, Some(50.0)), &settings)
            .len(),
        1
    );
}

proptest! {
    #[test]
    fn no_state_is_ever_told_twice_in_a_row(
        values in prop::collection::vec((5.0..40.0f64, prop::option::of(0.0..100.0f64), any::<bool>()), 1..200),
    ) {
        let (mut alerts, settings) = (Alerts::default(), AlertSettings::default());
        let (mut last, mut silent) = ([Level::Normal; 3], Duration::ZERO);
        for (step, (temperature, humidity, works)) in values.into_iter().enumerate() {
            let at = step as i64 * 60_000;
            let news = match works {
                true => {
                    silent = Duration::ZERO;
                    alerts.reading(&reading(at, temperature, humidity), &settings)
                }
                false => { silent += S * 60; alerts.fault(at, silent, "gone", &settings) },
            };
            for change in news {
                let told = &mut last[change.subject as usize];
                prop_assert_ne!(*told, change.level);
                *told = change.level;
            }
            // The last reported state is the true one.
            let active: Vec<Level> = alerts.active().into_iter().map(|(_, level)| level).collect();
            let told: Vec<Level> = last.into_iter().filter(|level| *level != Level::Normal).collect();
            prop_assert_eq!(active, told);
        }
    }

    #[test]
    fn beyond_a_limit_is_always_an_alert(temperature in -40.0..120.0f64, before in 5.0..40.0f64) {
        let (mut alerts, settings) = (Alerts::default(), AlertSettings::default());
        alerts.reading(&reading(0, before, None), &settings);
        alerts.reading(&reading(1, temperature, None), &settings);
        let level = alerts.active().first().map_or(Level::Normal, |(_, level)| *level);
        if temperature > 27.0 { prop_assert_eq!(level, Level::High) }
        if temperature < 15.0 { prop_assert_eq!(level, Level::Low) }
        if (15.5..26.5).contains(&temperature) { prop_assert_eq!(level, Level::Normal) }
    }
}
