use super::*;
use crate::plan::testing::kind;

fn extent(bottom: u16, halves: u16) -> String {
    Extent { bottom, halves }.to_string()
}

#[test]
fn a_height_is_told_as_it_is_printed_on_the_rack() {
    for (bottom, halves, text) in [
        (0, 2, "unit 1"),
        (4, 4, "units 3 to 4"),
        (4, 1, "the lower half of unit 3"),
        (5, 1, "the upper half of unit 3"),
        (4, 3, "unit 3 to the middle of unit 4"),
        (5, 3, "the middle of unit 3 to unit 4"),
        (5, 2, "the middle of unit 3 to the middle of unit 4"),
        (6, 0, "unit 4"),
    ] {
        assert_eq!(extent(bottom, halves), text, "{bottom} {halves}");
    }
}

#[test]
fn what_is_at_the_rear_is_mirrored_as_seen_from_the_front() {
    let narrow = KindFields {
        columns: 4,
        full_depth: false,
        ..kind()
    };
    assert_eq!(cells(&narrow, Face::Front, 0), 0b0000_0000_1111);
    assert_eq!(cells(&narrow, Face::Rear, 0), 0b1111_0000_0000 << 12);
    assert_eq!(cells(&narrow, Face::Rear, 8), 0b0000_0000_1111 << 12);
}

#[test]
fn full_depth_reaches_the_other_face_behind_its_own_columns() {
    let narrow = KindFields {
        columns: 4,
        ..kind()
    };
    assert_eq!(
        cells(&narrow, Face::Rear, 0),
        0b1111_0000_0000_1111_0000_0000
    );
    assert_eq!(cells(&kind(), Face::Front, 0), ALL_CELLS);
}

#[test]
fn columns_outside_the_rack_are_left_out() {
    let narrow = KindFields {
        columns: 4,
        full_depth: false,
        ..kind()
    };
    assert_eq!(cells(&narrow, Face::Front, 10), 0b1100_0000_0000);
    assert_eq!(cells(&narrow, Face::Rear, 10), 0b11 << 12);
    assert_eq!(cells(&narrow, Face::Front, 12), 0);
    assert_eq!(cells(&narrow, Face::Rear, 255), 0);
}
