//! The history keeps what was written, and deletes only what is old.

use super::*;

const HOUR: i64 = 3_600_000;

fn reading(at: i64, temperature: f64) -> Reading {
    Reading {
        at,
        temperature,
        humidity: Some(45.0),
        pressure: None,
        sensor_temperature: temperature,
        soc_temperature: None,
    }
}

fn write(store: &mut Store, readings: &[Reading]) {
    store
        .write(&Batch {
            readings,
            messages: &[],
            gone: &[],
            settings: &[],
        })
        .unwrap();
}

#[test]
fn a_day_is_summed_up_in_as_many_points_as_asked_for() {
    let (mut store, _) = open_or_set_aside(None, false).unwrap();
    let readings: Vec<Reading> = (0..1440)
        .map(|i| reading(i * 60_000, 20.0 + (i % 10) as f64))
        .collect();
    write(&mut store, &readings);
    let series = store.series(0, 24 * HOUR, 144).unwrap();
    assert_eq!((series.points.len(), series.bucket_seconds), (144, 600.0));
    let expected = Summary {
        avg: 24.5,
        min: 20.0,
        max: 29.0,
    };
    assert!(
        series
            .points
            .iter()
            .all(|point| point.temperature == expected && point.pressure.is_none())
    );
    assert_eq!(store.series(0, 24 * HOUR, 5000).unwrap().points.len(), 1440);
    assert_eq!(store.series(HOUR, 2 * HOUR, 60).unwrap().points.len(), 60);
}

#[test]
fn gaps_are_left_out_not_filled() {
    let (mut store, _) = open_or_set_aside(None, false).unwrap();
    write(&mut store, &[reading(0, 20.0), reading(10 * HOUR, 22.0)]);
    assert_eq!(store.series(0, 11 * HOUR, 100).unwrap().points.len(), 2);
    assert!(store.series(HOUR, 2 * HOUR, 100).unwrap().points.is_empty());
}

#[test]
fn old_readings_are_forgotten_once_there_are_enough_new_ones() {
    let (mut store, _) = open_or_set_aside(None, false).unwrap();
    write(&mut store, &[reading(0, 20.0), reading(HOUR, 21.0)]);
    assert_eq!(store.forget(1000 * HOUR).unwrap(), 0, "the clock may lie");
    let further: Vec<Reading> = (2..ENOUGH).map(|i| reading(i * HOUR, 22.0)).collect();
    write(&mut store, &further);
    assert_eq!(store.forget(HOUR).unwrap(), 0, "one is missing");
    write(&mut store, &[reading(ENOUGH * HOUR, 22.0)]);
    assert_eq!(store.forget(HOUR).unwrap(), 1);
    assert_eq!(store.count().unwrap(), ENOUGH as u64);
}

#[test]
fn messages_and_state_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let message = |key: &str| Message {
        key: key.into(),
        at: 1,
        body: "{}".into(),
    };
    let mut store = Store::open(&path).unwrap();
    let messages = [message("a"), message("b")];
    let settings = [("number", "7".to_owned())];
    store
        .write(&Batch {
            readings: &[],
            messages: &messages,
            gone: &[],
            settings: &settings,
        })
        .unwrap();
    store
        .write(&Batch {
            readings: &[],
            messages: &[],
            gone: &["a".into()],
            settings: &[],
        })
        .unwrap();
    store.close();
    let store = Store::open(&path).unwrap();
    assert_eq!(store.outbox().unwrap(), [message("b")]);
    assert_eq!(store.setting::<u32>("number").unwrap(), 7);
    assert_eq!(store.setting::<u32>("unknown").unwrap(), 0);
}

#[test]
fn the_module_declares_the_version_of_the_schema() {
    let module = include_str!("../../../../modules/services/climate.nix");
    assert!(module.contains(&format!("version = \"{}\";", SCHEMA.version)));
}
