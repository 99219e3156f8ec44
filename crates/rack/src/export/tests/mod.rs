//! Stories of a rack that becomes files, and of names that are meant to do harm.

mod description;

use resvg::usvg::roxmltree;
use serde_json::{Value, json};

use super::*;
use crate::plan::model::{Device, DeviceFields, Id, Item, Kind, Place, Rack, RackFields};

const BOTH: [Face; 2] = [Face::Front, Face::Rear];

fn rack(fields: RackFields) -> Rack {
    Rack {
        id: 7,
        version: 1,
        fields,
    }
}

fn item(id: Id, name: &str, kind: Value, place: Option<Place>) -> Item {
    let mut fields = json!({ "manufacturer": "Generic", "model": format!("model of {name}") });
    fields
        .as_object_mut()
        .unwrap()
        .extend(kind.as_object().unwrap().clone());
    Item {
        device: Device {
            id,
            version: 1,
            place,
            fields: DeviceFields {
                name: name.into(),
                kind: id + 1000,
                watts: None,
                kilograms: None,
                pinned: false,
                notes: String::new(),
                tags: vec![],
            },
        },
        kind: Kind {
            id: id + 1000,
            version: 1,
            built_in: false,
            fields: serde_json::from_value(fields).unwrap(),
        },
    }
}

fn units(face: Face, bottom: u8, left: u8) -> Option<Place> {
    Some(Place::Units {
        rack: 7,
        face,
        bottom,
        left,
    })
}

fn shelf(shelf: Id, left: u8) -> Option<Place> {
    Some(Place::Shelf {
        rack: 7,
        shelf,
        left,
    })
}

/// A rack of twelve units with something of everything.
fn lab() -> Filled {
    let server = json!({ "halves": 4, "watts": 400.5, "kilograms": 20, "category": "server" });
    let half = json!({ "halves": 2, "columns": 6, "watts": 65, "category": "storage" });
    let flat = json!({ "halves": 1, "full_depth": false, "category": "patch-panel" });
    let strip = json!({ "halves": 0, "columns": 1, "watts": 5, "category": "power" });
    let board = json!({ "halves": 6, "shelf": true, "kilograms": 3, "category": "shelf" });
    let small = json!({ "halves": 3, "columns": 4, "watts": 15, "category": "network" });
    Filled {
        rack: rack(RackFields {
            name: "Lab <1> & \"co\"".into(),
            location: "Cellar, left".into(),
            units: 12,
            watts: Some(3000.0),
            kilograms: None,
            inlet_celsius: 22.0,
            notes: "Key: at the door\nSecond line ".into(),
        }),
        items: vec![
            item(1, "web1", server, units(Face::Front, 0, 0)),
            item(2, "nas left", half.clone(), units(Face::Front, 4, 0)),
            item(3, "nas right", half, units(Face::Front, 4, 6)),
            item(4, "patch", flat, units(Face::Rear, 7, 0)),
            item(5, "strip", strip, units(Face::Rear, 0, 11)),
            item(9, "pi", small.clone(), shelf(8, 0)),
            item(10, "mini", small, shelf(8, 4)),
            item(8, "board", board, units(Face::Front, 10, 0)),
        ],
    }
}

fn texts(svg: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(svg).expect("valid XML");
    let texts = document
        .descendants()
        .filter(|node| node.has_tag_name("text"));
    texts
        .map(|node| node.text().unwrap_or_default().into())
        .collect()
}

#[test]
fn a_picture_shows_both_sides_and_the_sums() {
    let svg = svg(&lab(), &BOTH);
    let texts = texts(&svg);
    let count = |text: &str| texts.iter().filter(|found| *found == text).count();
    for text in [
        "Front",
        "Rear",
        "nas left",
        "nas right",
        "patch",
        "strip",
        "pi",
        "mini",
        "Cellar, left",
    ] {
        assert!(count(text) >= 1, "{text} in {texts:?}");
    }
    assert_eq!(count("web1"), 2, "it reaches through to the rear");
    assert_eq!(count("patch"), 1, "it does not");
    assert_eq!(count("12"), 2, "numbers of units beside each side");
    assert_eq!(
        count("board"),
        1,
        "only from behind, where nothing stands before its name"
    );
    assert_eq!(count("400.5 W"), 1);
    for text in [
        "Devices: 8 in 6.5 of 12 units",
        "Power: 565.5 W of 3000 W",
        "Heat: 1930 BTU/h",
        "Weight: 23 kg",
        "server",
        "power",
    ] {
        assert_eq!(count(text), 1, "{text} in {texts:?}");
    }
    assert_eq!(
        count("blank"),
        0,
        "a colour that is not used is not explained"
    );
}

#[test]
fn the_rear_is_seen_from_behind() {
    let x = |faces: &[Face], name: &str| -> f64 {
        let svg = svg(&lab(), faces);
        let document = roxmltree::Document::parse(&svg).unwrap();
        let text = document
            .descendants()
            .find(|node| node.has_tag_name("text") && node.text() == Some(name));
        text.unwrap()
            .parent_element()
            .unwrap()
            .attribute("x")
            .unwrap()
            .parse()
            .unwrap()
    };
    assert!(x(&[Face::Front], "nas left") < x(&[Face::Front], "nas right"));
    assert!(x(&[Face::Rear], "nas left") > x(&[Face::Rear], "nas right"));
}

#[test]
fn hostile_names_are_text_and_nothing_else() {
    let mut filled = lab();
    let hostile = [
        "<script>alert(1)</script>",
        "]]></text><image href='http://example.com'/>",
        "&xxe; \u{0}\u{8}\u{b}\u{fffe}\u{ffff}\u{1f}",
        "\" onload=\"alert(1)",
        "<!DOCTYPE a [<!ENTITY b \"c\">]>",
        "<!-- -->",
    ];
    for (item, name) in filled.items.iter_mut().zip(hostile) {
        item.device.fields.name = name.into();
        item.kind.fields.manufacturer = name.into();
        item.kind.fields.category = name.into();
    }
    filled.rack.fields.name = hostile[0].into();
    filled.rack.fields.location = hostile[1].into();
    let svg = svg(&filled, &BOTH);
    let document = roxmltree::Document::parse(&svg).expect("valid XML");
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        let name = node.tag_name().name();
        assert!(["svg", "rect", "text", "title"].contains(&name), "<{name}>");
        for attribute in node.attributes() {
            let name = attribute.name();
            assert!(
                !name.starts_with("on") && !name.contains("href") && name != "style",
                "{name}"
            );
        }
    }
}

#[test]
fn a_rack_with_things_outside_of_it_is_drawn_too() {
    let mut filled = lab();
    let huge = json!({ "halves": 200, "columns": 12 });
    filled.items.push(item(
        20,
        "above",
        huge.clone(),
        units(Face::Front, 255, 255),
    ));
    filled
        .items
        .push(item(21, "high", huge.clone(), units(Face::Rear, 20, 11)));
    filled
        .items
        .push(item(22, "lost", huge.clone(), shelf(999, 0)));
    filled.items.push(item(23, "nowhere", huge, None));
    let svg = svg(&filled, &BOTH);
    let document = roxmltree::Document::parse(&svg).unwrap();
    for node in document
        .descendants()
        .filter(|node| node.has_tag_name("rect"))
    {
        for name in ["width", "height"] {
            let length: f64 = node.attribute(name).unwrap().parse().unwrap();
            assert!(length > 0.0, "{node:?}");
        }
    }
    assert!(pdf(&filled, &BOTH).starts_with(b"%PDF-"));
    read_yaml(&yaml(&filled)).expect_err("a position that no rack has");
    assert_eq!(csv(&filled).lines().count(), 13);
}

#[test]
fn a_picture_is_drawn_with_a_font_of_the_system() {
    let width = |bytes: &[u8]| image::load_from_memory(bytes).unwrap().into_rgba8();
    let picture = width(&png(&lab(), &BOTH).unwrap());
    assert!(
        picture.width() > 600 && picture.height() > 500,
        "{:?}",
        picture.dimensions()
    );
    let (dark, all) = picture.pixels().fold((0, 0), |(dark, all), pixel| {
        assert_eq!(pixel.0[3], 255, "nothing shines through");
        (dark + u32::from(pixel.0[0] < 100), all + 1)
    });
    assert!(
        dark * 1000 > all,
        "letters and edges are dark: {dark} of {all} pixels"
    );

    let mut high = lab();
    high.rack.fields.units = 100;
    let picture = width(&png(&high, &BOTH).unwrap());
    let pixels = u64::from(picture.width()) * u64::from(picture.height());
    assert!(pixels < 4_020_000, "{pixels}");
}

#[test]
fn a_document_has_a_page_for_each_side() {
    let mut filled = lab();
    filled.items[0].device.fields.name = "wëb (1) \\ €".into();
    filled.items[1].device.fields.name = "日本".into();
    let pdf = pdf(&filled, &BOTH);
    let has = |bytes: &[u8]| pdf.windows(bytes.len()).any(|window| window == bytes);
    assert!(pdf.starts_with(b"%PDF-1.7"));
    assert!(pdf.ends_with(b"%%EOF"));
    assert!(has(b"/Count 2"));
    assert!(has(b"/BaseFont /Helvetica") && has(b"/Encoding /WinAnsiEncoding"));
    // `wëb (1) \\ €` in Windows' code, as hexadecimal digits.
    assert!(has(b"<77EB6220283129205C2080>"));
    assert!(has(b"(??)"), "what the code lacks");
    assert!(pdf.len() < 100_000, "{}", pdf.len());
}

#[test]
fn a_table_has_a_row_for_each_device() {
    let mut filled = lab();
    filled.items[0].device.fields.notes = "serial \"7\", owner: me\nsecond line".into();
    let csv = csv(&filled);
    let rows: Vec<_> = csv.split("\r\n").collect();
    assert_eq!(
        rows.len(),
        10,
        "a header, eight devices, and an end of line"
    );
    assert_eq!(
        rows[4],
        "4,web1,Generic,model of web1,server,front,1,0,,2,12,true,400.5,20,false,,\
         \"serial \"\"7\"\", owner: me\nsecond line\""
    );
    assert!(rows[1].starts_with("1,board,"), "{csv}");
    assert!(
        rows[7].starts_with("7,pi,Generic,model of pi,network,,,0,1,1.5,4,"),
        "{csv}"
    );
}

#[test]
fn no_cell_of_a_table_is_a_formula() {
    let mut filled = lab();
    let hostile = [
        "=cmd|' /C calc'!A0",
        "+1+2",
        "-2",
        "@SUM(A1)",
        "\t=1",
        "  =1",
        "＝1",
        "=HYPERLINK(\"http://example.com\")",
    ];
    for (item, name) in filled.items.iter_mut().zip(hostile) {
        item.device.fields.name = name.into();
        item.device.fields.notes = name.into();
        item.device.fields.tags = vec![name.into()];
        item.kind.fields.category = name.into();
    }
    let csv = csv(&filled);
    let mut cells = 0;
    for row in csv.split("\r\n").skip(1).filter(|row| !row.is_empty()) {
        for cell in row.split(',') {
            let shown = cell.trim_start_matches(['"', ' ']);
            assert!(
                !shown.starts_with(['=', '+', '-', '@', '\t', '＝']),
                "{cell:?}"
            );
            cells += 1;
        }
    }
    assert_eq!(cells, 8 * 17);
}
