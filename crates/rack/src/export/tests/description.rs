//! Stories of YAML that is read again.

use proptest::prelude::*;
use resvg::usvg::roxmltree;
use serde_json::json;

use super::super::*;
use super::{BOTH, item, lab, rack, units};
use crate::library::limits;
use crate::plan::model::{COLUMNS, Device, Id, Item, Kind, KindFields};

#[test]
fn a_rack_is_read_again_as_it_was_written() {
    let filled = lab();
    let text = yaml(&filled);
    let described = read_yaml(&text).unwrap().remove(0);
    assert_eq!(described.rack, Some(filled.rack.fields.clone()));
    assert_eq!(described.kinds.len(), 8);
    let again = put(&described);
    let names = |filled: &Filled| {
        let names = order::of(filled)
            .into_iter()
            .map(|item| item.device.fields.name.clone());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&again), names(&filled));
    assert_eq!(yaml(&again), text);
    assert!(text.starts_with("lichen_rack: 1\nrack:\n  name:"), "{text}");
    assert!(
        text.contains("    unit: 4.5\n") && text.contains("    shelf: 1\n"),
        "{text}"
    );
}

/// Does with a description what the database does.
fn put(described: &Description) -> Filled {
    let mut ids = Vec::new();
    let mut items = Vec::new();
    for (at, device) in described.devices.iter().enumerate() {
        let id = 100 + at as Id;
        let named = |kind: &&KindFields| {
            (&kind.manufacturer, &kind.model) == (&device.manufacturer, &device.model)
        };
        let kind = described.kinds.iter().find(named).unwrap();
        items.push(Item {
            device: Device {
                id,
                version: 1,
                place: device.place.map(|place| place.at(7, &ids).unwrap()),
                fields: device.fields(id),
            },
            kind: Kind {
                id,
                version: 1,
                built_in: false,
                fields: kind.clone(),
            },
        });
        ids.push(id);
    }
    Filled {
        rack: rack(described.rack.clone().unwrap()),
        items,
    }
}

#[test]
fn several_documents_and_devices_without_a_rack_are_read() {
    let text = format!(
        "{}---\n{}---\nlichen_rack: 1\ndevices:\n- {{name: spare, manufacturer: E, model: M}}\n",
        yaml(&lab()),
        yaml(&lab())
    );
    let all = read_yaml(&text).unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!((&all[2].rack, all[2].devices.len()), (&None, 1));
    assert_eq!(all[2].devices[0].place, None);
}

#[test]
fn ten_thousand_devices_are_read_in_one_import_and_no_more() {
    let mut text = "lichen_rack: 1\ndevices:\n".to_owned();
    text.push_str(&"- {name: n, manufacturer: E, model: M}\n".repeat(MOST_DEVICES));
    assert_eq!(read_yaml(&text).unwrap()[0].devices.len(), MOST_DEVICES);
    text.push_str("- {name: n, manufacturer: E, model: M}\n");
    assert!(
        read_yaml(&text).unwrap_err()[0]
            .what
            .contains("more than 10000 devices")
    );
}

#[test]
fn what_is_wrong_with_a_description_is_told() {
    let device = "lichen_rack: 1\nrack: {name: R, units: 9}\ndevices:\n- {number: 1, name: a, manufacturer: E, model: M, ";
    for (text, told) in [
        ("", "there is nothing in it"),
        ("manufacturer: E", "lichen_rack: missing"),
        (
            "lichen_rack: 2\nnew: field",
            "line 1: lichen_rack: the file is of version 2",
        ),
        (
            "lichen_rack: 1\nrack: {name: R, units: 0}",
            "rack: units: must be between 1 and 100",
        ),
        (
            "lichen_rack: 1\nrack: {name: R, units: 1, colour: red}",
            "line 2: rack: unknown field `colour`",
        ),
        (
            "lichen_rack: 1\nkinds:\n- {manufacturer: E, model: M, halves: 255}",
            "E M: halves: must be",
        ),
        (
            "lichen_rack: 1\nkinds:\n- {manufacturer: E, model: M, halves: 2}\n- {manufacturer: E, model: M, halves: 2}",
            "twice",
        ),
        (
            &format!("{device}watts: -1}}"),
            "devices: number 1: watts: must be between",
        ),
        (
            &format!("{device}place: {{unit: 0}}}}"),
            "place: unit: must be 1 or more",
        ),
        (
            &format!("{device}place: {{unit: 1.25}}}}"),
            "place: unit: must be 1 or more",
        ),
        (
            &format!("{device}place: {{unit: .inf}}}}"),
            "line 4: devices: non-finite float",
        ),
        (
            &format!("{device}place: {{unit: 1, shelf: 1}}}}"),
            "either `unit` or `shelf`",
        ),
        (
            &format!("{device}place: {{shelf: 2}}}}"),
            "no device of number 2",
        ),
        (
            &format!("{device}place: {{shelf: 1}}}}"),
            "number 1 is not mounted",
        ),
        (
            &format!("{device}place: {{shelf: 1, face: rear}}}}"),
            "face: a thing on a shelf",
        ),
        (
            &format!("{device}}}\n- {{number: 1, name: b, manufacturer: E, model: M}}"),
            "the number 1 is there twice",
        ),
        (
            "lichen_rack: 1\ndevices:\n- {name: a, manufacturer: E, model: M, place: {unit: 1}}",
            "the document has no rack",
        ),
        (
            "lichen_rack: 1\n---\nlichen_rack: 1\nrack: 5",
            "line 4: rack: ",
        ),
    ] {
        let problems = read_yaml(text).unwrap_err();
        assert!(
            problems[0].to_string().contains(told),
            "{text:?}: {problems:?}"
        );
    }
}

/// Text as people and programs may enter it, with what YAML has meanings for.
fn word() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "no",
        "null",
        "~",
        "1e3",
        "0755",
        "0x1F",
        ".nan",
        "2026-11-30",
        "- a",
        "a: b",
        "a #b",
        "'",
        "\"",
        "*a",
        "&a",
        "!t",
        "%",
        "@",
        "`",
        "{}",
        "[]",
        "<<",
        "=",
        "?",
        "|",
        ">",
        "---",
        "...",
        "true",
        "1_000",
        "ü日本🦀",
        "a\\n",
    ]);
    prop_oneof![odd.prop_map(String::from), "[ -~äß日]{1,50}"]
        .prop_map(|text| text.trim().to_owned())
        .prop_filter("a name", |text| !text.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn whatever_is_within_the_limits_is_read_again(
        names in prop::collection::vec((word(), word(), 0.0..1e5f64, prop::bool::ANY), 1..8),
        notes in "[ -~\r\n\täß🦀]{0,300}",
        bottom in 0u8..200,
        left in 0..COLUMNS,
    ) {
        let mut filled = lab();
        filled.items.clear();
        filled.rack.fields.notes = notes.clone();
        for (at, (name, model, watts, pinned)) in names.into_iter().enumerate() {
            let mut found = item(at as Id, &name, json!({ "halves": 2 }), units(Face::Rear, bottom, left));
            found.kind.fields.model = model.clone();
            found.device.fields.watts = Some(watts);
            found.device.fields.notes = notes.clone();
            found.device.fields.pinned = pinned;
            found.device.fields.tags = vec![model];
            prop_assert_eq!(limits::check_device(&found.device.fields), Ok(()));
            filled.items.push(found);
        }
        let text = yaml(&filled);
        let described = read_yaml(&text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}")).remove(0);
        prop_assert_eq!(described.rack.as_ref(), Some(&filled.rack.fields));
        for (read, item) in described.devices.iter().zip(order::of(&filled)) {
            prop_assert_eq!(&read.fields(item.device.fields.kind), &item.device.fields);
            prop_assert_eq!(&read.model, &item.kind.fields.model);
            prop_assert_eq!(read.place.and_then(|place| place.at(7, &[])), item.device.place);
        }
        let document = svg(&filled, &BOTH);
        prop_assert!(roxmltree::Document::parse(&document).is_ok());
    }
}
