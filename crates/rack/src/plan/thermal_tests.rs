use proptest::prelude::*;

use super::*;
use crate::plan::model::{KindFields, Place};
use crate::plan::testing::*;

fn warm(watts: f64, airflow: Airflow) -> KindFields {
    KindFields {
        watts,
        airflow,
        ..kind()
    }
}

fn near(one: f64, other: f64, within: f64) -> bool {
    (one - other).abs() <= within
}

#[test]
fn a_kilowatt_in_the_units_of_data_sheets() {
    let filled = rack(
        10,
        vec![item(1, warm(1000.0, Airflow::FrontToRear), unit(1))],
    );
    let thermal = thermal(&filled);
    assert_eq!(thermal.watts, 1000.0);
    assert!(near(thermal.btu_per_hour, 3412.142, 0.001));
    // The rule of thumb: CFM = 3.16 · W / ΔT(°F), for air of 20 °C.
    assert!(near(thermal.airflow_cfm, 158.0, 3.0), "{thermal:?}");
    assert!(near(
        thermal.airflow_m3_per_hour,
        thermal.airflow_cfm * 1.699,
        0.1
    ));
    assert!(near(thermal.exhaust_celsius, 33.1, 0.1));
}

#[test]
fn the_density_of_air_is_that_of_the_tables() {
    assert!(near(density(20.0), 1.204, 0.001));
    assert!(near(density(0.0), 1.292, 0.001));
    assert!(
        density(-1000.0).is_finite(),
        "also for what no thermometer shows"
    );
}

#[test]
fn an_empty_rack_is_as_warm_as_its_room() {
    let thermal = thermal(&rack(3, Vec::new()));
    assert_eq!(thermal.levels.len(), 3);
    assert!(
        thermal
            .levels
            .iter()
            .all(|level| level.celsius == 22.0 && !level.hot)
    );
    assert_eq!(thermal.exhaust_celsius, 22.0);
    assert_eq!(thermal.advice, Vec::<String>::new());
}

#[test]
fn heat_is_told_where_it_arises_and_that_beside_the_rack_only_in_the_sum() {
    let high = KindFields {
        halves: 4,
        ..warm(100.0, Airflow::FrontToRear)
    };
    let strip = KindFields {
        halves: 0,
        ..warm(7.0, Airflow::Passive)
    };
    let mini = KindFields {
        watts: 15.0,
        ..small()
    };
    let filled = rack(
        6,
        vec![
            item(1, high, unit(1)),
            item(2, shelf(2), unit(4)),
            item(3, mini.clone(), on(2, 0)),
            item(4, mini, on(2, 6)),
            item(5, strip, unit(1)),
        ],
    );
    let thermal = thermal(&filled);
    let watts: Vec<_> = thermal.levels.iter().map(|level| level.watts).collect();
    assert_eq!(watts, [50.0, 50.0, 0.0, 30.0, 0.0, 0.0]);
    assert_eq!(thermal.watts, 137.0);
}

#[test]
fn what_strays_warms_the_units_above_and_fades() {
    let filled = rack(12, vec![item(1, warm(300.0, Airflow::Passive), unit(2))]);
    let celsius: Vec<_> = thermal(&filled)
        .levels
        .iter()
        .map(|level| level.celsius)
        .collect();
    assert_eq!(celsius[..2], [22.0, 22.0], "nothing below, nothing itself");
    assert!(celsius[2] > 22.5, "{celsius:?}");
    assert!(
        celsius[2..].is_sorted_by(|lower, upper| lower > upper),
        "{celsius:?}"
    );
    let first = celsius[2] - 22.0;
    assert!(near(celsius[12 - 1] - 22.0, first * 0.81_f64.powi(9), 1e-9));
}

#[test]
fn a_device_without_fans_below_servers_makes_a_hot_spot() {
    let servers = (3..8).map(|id| item(id, warm(200.0, Airflow::FrontToRear), unit(id as u8)));
    let oven = item(1, warm(1500.0, Airflow::Passive), unit(2));
    let filled = rack(12, servers.chain([oven]).collect());
    let thermal = thermal(&filled);
    let [spot] = &thermal.hot_spots[..] else {
        panic!("{:?}", thermal.hot_spots)
    };
    assert_eq!((spot.from_unit, spot.devices[0]), (3, 3));
    assert!(spot.celsius > WARMEST_INLET);
    let told = thermal
        .advice
        .iter()
        .filter(|text| text.contains("draw in at unit"));
    assert_eq!(told.count(), 1, "{:?}", thermal.advice);
}

#[test]
fn free_units_are_no_hot_spot() {
    let oven = item(1, warm(3000.0, Airflow::Passive), unit(1));
    let thermal = thermal(&rack(6, vec![oven]));
    assert!(thermal.levels[1].celsius > WARMEST_INLET);
    assert_eq!(thermal.hot_spots, []);
}

#[test]
fn what_blows_against_most_others_is_named() {
    let forward = |id: Id, place: Place| item(id, warm(100.0, Airflow::FrontToRear), place);
    let narrow = |id: Id| {
        let kind = KindFields {
            full_depth: false,
            ..warm(50.0, Airflow::FrontToRear)
        };
        item(id, kind, mounted(Face::Rear, 8, 0))
    };
    let backward = item(3, warm(80.0, Airflow::RearToFront), unit(3));
    let patch = item(5, warm(0.0, Airflow::RearToFront), unit(6));
    let filled = rack(
        8,
        vec![
            forward(1, unit(1)),
            forward(2, unit(2)),
            backward,
            narrow(4),
            patch,
        ],
    );
    let thermal = thermal(&filled);
    let against: Vec<_> = thermal.against.iter().map(|one| one.device).collect();
    assert_eq!(
        against,
        [3, 4],
        "by its kind, and by its face; what takes no power blows nothing"
    );
    assert_eq!(
        thermal.advice[0],
        "`device-3` in unit 3 blows from the rear to the front, against most other devices: mount it on the other side, or turn its \
         fans round."
    );
}

#[test]
fn a_rack_that_blows_the_other_way_as_a_whole_is_right() {
    let backward = |id: Id| item(id, warm(100.0, Airflow::RearToFront), unit(id as u8));
    let filled = rack(8, vec![backward(1), backward(2)]);
    assert_eq!(thermal(&filled).against, []);
}

#[test]
fn a_room_outside_of_what_is_recommended_is_told() {
    for (inlet, word) in [(31.0, "cool the room"), (12.0, "is not needed")] {
        let mut filled = rack(2, vec![item(1, warm(1.0, Airflow::Passive), unit(1))]);
        filled.rack.fields.inlet_celsius = inlet;
        let advice = thermal(&filled).advice;
        assert!(advice[0].contains(word), "{advice:?}");
        assert_eq!(advice.len(), 2, "not once more for each unit: {advice:?}");
    }
}

fn any_airflow() -> impl Strategy<Value = Airflow> {
    prop::sample::select(vec![
        Airflow::FrontToRear,
        Airflow::RearToFront,
        Airflow::LeftToRight,
        Airflow::SideToRear,
        Airflow::RearToSide,
        Airflow::Passive,
        Airflow::Mixed,
    ])
}

fn any_rack() -> impl Strategy<Value = Filled> {
    // Also places outside the rack, and watts that are none: what people typed must not stop the estimate.
    let device = (
        prop_oneof![9 => 0.0..2000.0_f64, 1 => Just(f64::NAN), 1 => Just(-5.0)],
        any_airflow(),
        1..5_u8,
        0..30_u8,
        any::<bool>(),
    );
    prop::collection::vec(device, 0..10).prop_map(|devices| {
        let items = (1..)
            .zip(devices)
            .map(|(id, (watts, airflow, halves, bottom, front))| {
                let face = if front { Face::Front } else { Face::Rear };
                let kind = KindFields {
                    halves,
                    ..warm(watts, airflow)
                };
                item(id, kind, mounted(face, bottom, 0))
            });
        rack(10, items.collect())
    })
}

proptest! {
    #[test]
    fn every_rack_has_an_estimate(filled in any_rack()) {
        let thermal = thermal(&filled);
        prop_assert_eq!(thermal.levels.len(), 10);
        for level in &thermal.levels {
            prop_assert!(level.celsius.is_finite() && level.celsius >= 22.0, "{:?}", level);
            let spots = thermal.hot_spots.iter();
            let within = spots.filter(|spot| (spot.from_unit..=spot.to_unit).contains(&level.unit)).count();
            prop_assert_eq!(within, usize::from(level.hot));
        }
    }

    /// A device more makes no unit cooler.
    #[test]
    fn more_heat_is_never_cooler(filled in any_rack(), watts in 0.0..500.0_f64, bottom in 0..18_u8) {
        let before = thermal(&filled);
        let mut more = filled;
        more.items.push(item(99, warm(watts, Airflow::Passive), mounted(Face::Front, bottom, 0)));
        let after = thermal(&more);
        for (one, other) in before.levels.iter().zip(&after.levels) {
            prop_assert!(other.celsius >= one.celsius - 1e-9);
        }
        prop_assert!(after.airflow_cfm >= before.airflow_cfm);
    }

    /// The heat that strays is not more than there is: all that is taken in at all heights, as watts.
    #[test]
    fn the_estimate_invents_no_heat(filled in any_rack()) {
        let thermal = thermal(&filled);
        let per_kelvin = density(22.0) * HEAT_OF_AIR * UNIT_AIRFLOW / 3600.0;
        let taken: f64 = thermal.levels.iter().map(|level| (level.celsius - 22.0) * per_kelvin).sum();
        prop_assert!(taken <= thermal.watts + 1e-6, "{} of {}", taken, thermal.watts);
    }
}
