use proptest::prelude::*;

use super::*;
use crate::plan::model::{Face, KindFields};
use crate::plan::testing::*;

/// What is against a device's being at a place, in words.
fn against(filled: &Filled, item: &Item, place: Place) -> Vec<String> {
    let found = check(filled, item, place);
    found.iter().map(Conflict::to_string).collect()
}

/// What is against a new device's being at a place.
fn new_at(filled: &Filled, kind: KindFields, place: Place) -> Vec<String> {
    against(filled, &item(99, kind, None), place)
}

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn a_device_fits_where_nothing_is() {
    let filled = rack(4, vec![item(1, kind(), unit(2))]);
    assert_eq!(new_at(&filled, kind(), unit(1)), none());
    assert_eq!(new_at(&filled, kind(), unit(3)), none());
    assert_eq!(
        new_at(&filled, kind(), unit(2)),
        ["`device-1` is in the way, in unit 2."]
    );
}

#[test]
fn half_units_meet_only_in_their_half() {
    let half = KindFields {
        halves: 1,
        ..kind()
    };
    let filled = rack(4, vec![item(1, half.clone(), mounted(Face::Front, 3, 0))]);
    assert_eq!(new_at(&filled, half, mounted(Face::Front, 2, 0)), none());
    assert_eq!(
        new_at(&filled, kind(), unit(2)),
        ["`device-1` is in the way, in the upper half of unit 2."]
    );
}

#[test]
fn a_device_ends_within_the_rack() {
    let filled = rack(4, Vec::new());
    let high = KindFields {
        halves: 4,
        ..kind()
    };
    assert_eq!(new_at(&filled, high.clone(), unit(3)), none());
    assert_eq!(
        new_at(&filled, high, unit(4)),
        ["It would be in units 4 to 5, but the rack ends at unit 4."]
    );
    assert_eq!(
        new_at(&filled, kind(), mounted(Face::Front, 255, 0)).len(),
        1
    );
}

#[test]
fn a_device_moves_within_its_rack_and_is_not_in_its_own_way() {
    let high = KindFields {
        halves: 4,
        ..kind()
    };
    let filled = rack(4, vec![item(1, high, unit(1))]);
    assert_eq!(against(&filled, &filled.items[0], unit(2)), none());
    assert_eq!(against(&filled, &filled.items[0], unit(1)), none());
}

#[test]
fn another_rack_is_refused() {
    let filled = rack(4, Vec::new());
    let place = Place::Units {
        rack: 7,
        face: Face::Front,
        bottom: 0,
        left: 0,
    };
    assert_eq!(
        new_at(&filled, kind(), place),
        ["There is no rack with the number 7."]
    );
}

#[test]
fn half_depths_share_a_unit_and_full_depth_does_not() {
    let filled = rack(
        4,
        vec![item(1, shallow(), unit(1)), item(2, kind(), unit(2))],
    );
    let rear = |unit: u8| mounted(Face::Rear, 2 * (unit - 1), 0);
    assert_eq!(new_at(&filled, shallow(), rear(1)), none());
    let deep = |name: &str, unit: u8| {
        [format!(
            "`{name}` is on the other side, in unit {unit}, and the rack is not deep enough for both."
        )]
    };
    assert_eq!(new_at(&filled, kind(), rear(1)), deep("device-1", 1));
    assert_eq!(new_at(&filled, shallow(), rear(2)), deep("device-2", 2));
}

#[test]
fn side_by_side_is_mirrored_at_the_rear() {
    let narrow = KindFields {
        columns: 6,
        ..kind()
    };
    let filled = rack(4, vec![item(1, narrow.clone(), mounted(Face::Front, 0, 0))]);
    let front = |left| new_at(&filled, narrow.clone(), mounted(Face::Front, 0, left));
    let rear = |left| new_at(&filled, narrow.clone(), mounted(Face::Rear, 0, left));
    assert_eq!(front(6), none());
    assert_eq!(front(5).len(), 1);
    assert_eq!(
        rear(0),
        none(),
        "its left is the right as seen from the front"
    );
    assert_eq!(rear(6).len(), 1);
    assert_eq!(
        front(8),
        ["It would reach to column 14, but the rack has only 12."]
    );
}

#[test]
fn anything_may_be_beside_the_rack() {
    let strip = KindFields {
        halves: 0,
        ..kind()
    };
    let filled = rack(
        4,
        vec![item(1, strip.clone(), unit(1)), item(2, kind(), unit(1))],
    );
    assert_eq!(new_at(&filled, strip.clone(), unit(1)), none());
    assert_eq!(
        new_at(&filled, strip.clone(), mounted(Face::Front, 0, 9)),
        none()
    );
    assert_eq!(
        new_at(&filled, strip, unit(5)),
        ["It would be in unit 5, but the rack ends at unit 4."]
    );
    assert_eq!(conflicts(&filled), []);
}

#[test]
fn things_on_a_shelf_share_its_width_and_height() {
    let filled = rack(
        8,
        vec![
            item(1, shelf(4), unit(3)),
            item(2, small(), on(1, 0)),
            item(3, kind(), unit(1)),
        ],
    );
    assert_eq!(new_at(&filled, small(), on(1, 6)), none());
    assert_eq!(
        new_at(&filled, small(), on(1, 5)),
        ["`device-2` stands there already, on the shelf `device-1` in units 3 to 4."]
    );
    assert_eq!(
        new_at(&filled, small(), on(1, 7)),
        ["It would reach to column 13, but the shelf `device-1` has only 12."]
    );
    let of = |halves| KindFields { halves, ..small() };
    assert_eq!(new_at(&filled, of(0), on(1, 6)), none());
    assert_eq!(new_at(&filled, of(3), on(1, 6)), none());
    assert_eq!(
        new_at(&filled, of(4), on(1, 6)),
        ["It is 2 units high, but the shelf `device-1` in units 3 to 4 leaves only 1.5 units."]
    );
    assert_eq!(
        new_at(&filled, small(), on(3, 0)),
        ["`device-3` in unit 1 is not a shelf."]
    );
    assert_eq!(
        new_at(&filled, small(), on(7, 0)),
        ["There is no shelf with the number 7 in this rack."]
    );
    assert_eq!(
        new_at(&filled, shelf(2), on(1, 6)),
        ["A shelf cannot stand on another shelf, such as `device-1`."]
    );
    assert_eq!(
        against(&filled, &filled.items[0], on(1, 0)),
        ["A shelf cannot stand on another shelf, such as `device-1`."],
        "nor on itself"
    );
}

#[test]
fn the_board_of_a_shelf_takes_half_a_unit_unless_there_is_no_more() {
    for (halves, room) in [(0, 0), (1, 1), (2, 1), (3, 2), (6, 5)] {
        assert_eq!(room_on_shelf(halves), room, "{halves}");
    }
}

#[test]
fn a_shelf_takes_along_what_stands_on_it() {
    let mut filled = rack(
        8,
        vec![
            item(1, shelf(4), unit(1)),
            item(2, small(), on(1, 0)),
            item(3, small(), on(1, 6)),
            item(4, kind(), unit(5)),
        ],
    );
    let on_it: Vec<_> = on_shelf(&filled, 1).map(|item| item.device.id).collect();
    assert_eq!(on_it, [2, 3]);
    assert_eq!(against(&filled, &filled.items[0], unit(3)), none());
    filled.items[0].device.place = Some(unit(3));
    assert_eq!(conflicts(&filled), []);
}

#[test]
fn a_shelf_that_leaves_makes_room_and_power_for_all_that_stood_on_it() {
    let strong = |fields| KindFields {
        watts: 60.0,
        ..fields
    };
    let mut filled = rack(
        4,
        vec![
            item(1, strong(shelf(4)), unit(1)),
            item(2, strong(small()), on(1, 0)),
        ],
    );
    filled.rack.fields.watts = Some(150.0);
    let elsewhere = Place::Units {
        rack: 7,
        face: Face::Front,
        bottom: 0,
        left: 0,
    };
    let comes = item(3, strong(kind()), None);
    let both = item(4, strong(kind()), None);
    let moves = [
        (&filled.items[0], elsewhere),
        (&comes, unit(1)),
        (&both, unit(2)),
    ];
    assert_eq!(check_moves(&filled, &moves), []);
    assert_eq!(
        check_moves(&filled, &moves[1..]).len(),
        3,
        "space twice, and power"
    );
}

#[test]
fn two_devices_change_places_at_once_but_not_one_after_the_other() {
    let filled = rack(2, vec![item(1, kind(), unit(1)), item(2, kind(), unit(2))]);
    let [one, two] = &filled.items[..] else {
        unreachable!()
    };
    assert_eq!(against(&filled, one, unit(2)).len(), 1);
    assert_eq!(check_moves(&filled, &[(one, unit(2)), (two, unit(1))]), []);
}

#[test]
fn a_shelf_comes_from_another_rack_with_what_stands_on_it() {
    let filled = rack(4, vec![item(3, kind(), unit(4))]);
    let (tray, mini) = (item(1, shelf(4), None), item(2, small(), None));
    let moves = [(&tray, unit(1)), (&mini, on(1, 3))];
    assert_eq!(check_moves(&filled, &moves), []);
    assert_eq!(
        check_moves(&filled, &moves[1..]).len(),
        1,
        "the shelf is missing"
    );
}

#[test]
fn power_and_weight_are_those_of_all_devices() {
    let heavy = KindFields {
        watts: 0.1,
        kilograms: 10.0,
        ..kind()
    };
    let mut filled = rack(
        4,
        vec![
            item(1, heavy.clone(), unit(1)),
            item(2, heavy.clone(), unit(2)),
        ],
    );
    filled.rack.fields.watts = Some(0.3);
    filled.rack.fields.kilograms = Some(30.0);
    assert_eq!(
        new_at(&filled, heavy.clone(), unit(3)),
        none(),
        "exactly as much"
    );
    filled.items[0].device.fields.watts = Some(0.5);
    filled.items[0].device.fields.kilograms = Some(10.001);
    assert_eq!(
        new_at(&filled, heavy.clone(), unit(3)),
        [
            "All devices together would take 0.7 W, but the rack's supply gives 0.3 W.",
            "All devices together would weigh 30.001 kg, but the rack bears 30 kg.",
        ]
    );
}

#[test]
fn a_rack_beyond_its_supply_is_rearranged_but_gets_no_more() {
    let strong = KindFields {
        watts: 100.0,
        ..kind()
    };
    let mut filled = rack(
        4,
        vec![
            item(1, strong.clone(), unit(1)),
            item(2, strong.clone(), unit(2)),
        ],
    );
    filled.rack.fields.watts = Some(150.0);
    assert_eq!(against(&filled, &filled.items[0], unit(4)), none());
    assert_eq!(new_at(&filled, strong, unit(4)).len(), 1);
    let told: Vec<_> = conflicts(&filled).into_iter().map(|(id, _)| id).collect();
    assert_eq!(told.len(), 1, "told once, of the one that takes the most");
}

#[test]
fn a_conflict_is_told_to_programs_by_its_name() {
    let filled = rack(4, vec![item(1, kind(), unit(2))]);
    let found = check(&filled, &item(2, kind(), None), unit(2));
    assert_eq!(
        serde_json::to_value(&found).unwrap(),
        serde_json::json!([{"what": "occupied", "by": 1, "name": "device-1", "at": {"bottom": 2, "halves": 2}}])
    );
}

prop_compose! {
    fn any_kind()(halves in 0..6_u8, columns in 1..=12_u8, full_depth: bool, shelf: bool) -> KindFields {
        KindFields { halves, columns, full_depth, shelf, ..kind() }
    }
}

fn any_place() -> impl Strategy<Value = Place> {
    let face = prop_oneof![Just(Face::Front), Just(Face::Rear)];
    let units =
        (face, 0..20_u8, 0..14_u8).prop_map(|(face, bottom, left)| mounted(face, bottom, left));
    let shelf = (1..6_i64, 0..14_u8).prop_map(|(shelf, left)| on(shelf, left));
    prop_oneof![3 => units, 1 => shelf]
}

fn any_rack() -> impl Strategy<Value = Filled> {
    prop::collection::vec((any_kind(), any_place()), 1..8).prop_map(|devices| {
        let items = (1..)
            .zip(devices)
            .map(|(id, (kind, place))| item(id, kind, place));
        rack(8, items.collect())
    })
}

proptest! {
    /// A rack that is filled only with what was checked has no conflict.
    #[test]
    fn what_is_checked_one_by_one_is_right_as_a_whole(wanted in any_rack()) {
        let mut filled = rack(8, Vec::new());
        for item in wanted.items {
            if check(&filled, &item, item.device.place.unwrap()).is_empty() {
                filled.items.push(item);
            }
        }
        prop_assert_eq!(conflicts(&filled), []);
    }

    /// Whoever is in another's way has that other in its own.
    #[test]
    fn conflicts_of_space_are_mutual(filled in any_rack()) {
        let found = conflicts(&filled);
        let pairs: Vec<_> = found.iter().filter_map(|(id, conflict)| match conflict {
            Conflict::Occupied { by, .. } => Some((*id, *by, "occupied")),
            Conflict::Depth { by, .. } => Some((*id, *by, "depth")),
            _ => None,
        }).collect();
        for (one, other, what) in &pairs {
            prop_assert!(pairs.contains(&(*other, *one, *what)), "{} {}", one, other);
        }
    }

    /// To check a device where it is tells just what is told of it in the rack as it is.
    #[test]
    fn a_device_checked_where_it_is_has_the_conflicts_that_it_has(filled in any_rack()) {
        for item in &filled.items {
            let found = conflicts(&filled).into_iter();
            let own: Vec<_> = found.filter(|(id, _)| *id == item.device.id).map(|(_, conflict)| conflict).collect();
            prop_assert_eq!(check(&filled, item, item.device.place.unwrap()), own);
        }
    }

    /// Each cell of the rack is taken by one device at most, counted cell by cell.
    #[test]
    fn no_cell_is_taken_twice(wanted in any_rack()) {
        let mut taken = std::collections::HashMap::new();
        let found = conflicts(&wanted);
        for item in &wanted.items {
            let id = item.device.id;
            let Some(Place::Units { face, bottom, left, .. }) = item.device.place else { continue };
            if found.iter().any(|(other, _)| *other == id) {
                continue;
            }
            let kind = &item.kind.fields;
            for half in bottom..bottom + kind.halves {
                for column in left..left + kind.columns {
                    let seen = match face { Face::Front => column, Face::Rear => 11 - column };
                    let faces = match kind.full_depth { true => vec![Face::Front, Face::Rear], false => vec![face] };
                    for face in faces {
                        prop_assert_eq!(taken.insert((half, seen, face), id), None);
                    }
                }
            }
        }
    }

    /// Every text is one sentence, without leftovers of formatting.
    #[test]
    fn conflicts_are_sentences(filled in any_rack()) {
        for (_, conflict) in conflicts(&filled) {
            let text = conflict.to_string();
            prop_assert!(text.ends_with('.') && !text.contains("  ") && !text.contains("None"), "{}", text);
        }
    }
}
