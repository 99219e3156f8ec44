//! Stories of files as people have them, and of files that are meant to do harm.

#![allow(
    clippy::disallowed_methods,
    reason = "a test writes files as it pleases"
)]

use std::fmt::Write as _;

use serde_json::json;

use super::*;
use crate::plan::model::Airflow;

const SWITCH: &str = "\
---
manufacturer: Example
model: ES-24
slug: example-es-24
part_number: 'ES24'
u_height: 1
is_full_depth: false
airflow: side-to-rear
weight: 7.5
weight_unit: lb
comments: '[Data sheet](https://example.com/es24.pdf)'
console-ports:
  - name: Console
    type: rj-45
power-ports:
  - name: PSU1
    type: iec-60320-c14
    maximum_draw: 45
    allocated_draw: 30
  - name: PSU2
    type: iec-60320-c14
    allocated_draw: 30
interfaces:
  - { name: 1, type: 1000base-t }
  - { name: 2, type: 1000base-t }
  - { name: 3, type: 1000base-t }
  - { name: 4, type: 1000base-t }
  - { name: 5, type: 1000base-t }
  - { name: 6, type: 1000base-t }
  - { name: 7, type: 1000base-t }
  - { name: 8, type: 1000base-t }
";

/// One document, that has a manufacturer and a model and these fields.
fn with(fields: &str) -> Result<Described, Problem> {
    let text = format!("manufacturer: Example\nmodel: X1\n{fields}\n");
    documents(text.as_bytes()).next().unwrap()
}

fn kind(fields: &str) -> KindFields {
    with(fields).unwrap().kind.unwrap()
}

fn refusal(fields: &str) -> String {
    with(fields).unwrap_err().to_string()
}

fn warnings(fields: &str) -> Vec<String> {
    let warnings = with(fields).unwrap().warnings;
    warnings.into_iter().map(|warning| warning.what).collect()
}

#[test]
fn a_file_of_the_library_is_a_kind() {
    let all = read_all(SWITCH.as_bytes()).unwrap();
    assert_eq!(all.warnings, []);
    assert_eq!(
        serde_json::to_value(&all.kinds).unwrap(),
        json!([{
            "manufacturer": "Example",
            "model": "ES-24",
            "halves": 2,
            "columns": 12,
            "full_depth": false,
            "shelf": false,
            "watts": 75.0,
            "kilograms": 3.402,
            "airflow": "side-to-rear",
            "category": "network",
        }])
    );
}

#[test]
fn what_is_built_in_is_within_the_limits_and_has_each_name_once() {
    let kinds = built_in();
    assert!(kinds.len() >= 37, "{}", kinds.len());
    let mut names = std::collections::BTreeSet::new();
    for kind in kinds {
        assert_eq!(limits::check_kind(kind), Ok(()), "{}", kind.model);
        assert!(names.insert(&kind.model), "{} is there twice", kind.model);
    }
}

#[test]
fn numbers_and_truths_may_be_written_as_text() {
    let found = kind("u_height: '2.5'\nis_full_depth: 'no'\nweight: \"12\"\nweight_unit: kg");
    assert_eq!(
        (found.halves, found.full_depth, found.kilograms),
        (5, false, 12.0)
    );
    let found = kind("is_full_depth: False\npower-ports:\n- maximum_draw: '100'");
    assert_eq!((found.full_depth, found.watts), (false, 100.0));
    let text = "manufacturer: 3\nmodel: 0755\nu_height: 1\n---\nmanufacturer: No\nmodel: 1e3\n";
    let names: Vec<_> = read(text)
        .unwrap()
        .into_iter()
        .map(|k| (k.manufacturer, k.model))
        .collect();
    assert_eq!(
        names,
        [("3".into(), "0755".into()), ("No".into(), "1e3".into())],
        "names stay as they are written"
    );
}

#[test]
fn weights_are_kilograms_to_the_gram() {
    for (weight, unit, kilograms) in [
        ("10", "kg", 10.0),
        ("850", "g", 0.85),
        ("5", "lb", 2.268),
        ("16", "oz", 0.454),
    ] {
        assert_eq!(
            kind(&format!("weight: {weight}\nweight_unit: {unit}")).kilograms,
            kilograms
        );
    }
    assert_eq!(
        refusal("weight: 1\nweight_unit: stone"),
        "line 1: weight_unit: must be kg, g, lb or oz"
    );
    assert_eq!(kind("weight: 5").kilograms, 0.0);
    assert!(warnings("u_height: 1\nweight: 5")[0].contains("weight_unit"));
}

#[test]
fn what_passes_power_on_is_not_counted_twice() {
    let strip = "u_height: 0\npower-ports:\n- maximum_draw: 3680\npower-outlets:\n- name: 1";
    let found = kind(strip);
    assert_eq!(
        (found.watts, found.halves, found.category.as_str()),
        (0.0, 0, "power")
    );
    assert!(warnings(strip)[0].contains("passes its power on"));
}

#[test]
fn the_category_follows_from_components_where_they_leave_no_doubt() {
    for (fields, category, shelf) in [
        (
            "front-ports: [{name: 1}]\nrear-ports: [{name: 1}]",
            "patch-panel",
            false,
        ),
        (
            "device-bays: [{name: 1}]\nsubdevice_role: parent",
            "chassis",
            false,
        ),
        ("interfaces: [1, 2]\npower-ports: [{name: 1}]", "", false),
        ("interfaces:\npower-ports: ~", "", false),
    ] {
        let found = kind(fields);
        assert_eq!(
            (found.category.as_str(), found.shelf),
            (category, shelf),
            "{fields}"
        );
    }
    let shelves = "manufacturer: E\nmodel: Cantilever Shelf 2U\nu_height: 2\n\
                   ---\nmanufacturer: E\nmodel: Disk shelf\nu_height: 2\npower-ports: [{name: 1}]\n";
    let shelves: Vec<_> = read(shelves)
        .unwrap()
        .into_iter()
        .map(|kind| kind.shelf)
        .collect();
    assert_eq!(
        shelves,
        [true, false],
        "a shelf that takes power is one of disks"
    );
}

#[test]
fn what_is_no_device_of_a_rack_is_left_out_and_named() {
    let blade = with("u_height: 0\nsubdevice_role: child").unwrap();
    assert_eq!(blade.kind, None);
    assert!(
        blade.warnings[0]
            .what
            .contains("Example X1 is a part of another device")
    );
}

#[test]
fn unknown_words_are_named_and_not_taken_over() {
    let text = "u_height: 1\nairflow: upside-down\nrack_colour: red\nelevation: {a: [1, {b: 2}]}";
    assert_eq!(kind(text).airflow, Airflow::Passive);
    assert_eq!(
        warnings(text),
        [
            "rack_colour: unknown, not taken over",
            "elevation: unknown, not taken over",
            "airflow: `upside-down` is unknown; taken as passive",
        ]
    );
    assert_eq!(kind("airflow: Front to Rear").airflow, Airflow::FrontToRear);
    let empty = "u_height: 1\nairflow: ''\nsubdevice_role: ''\nweight:\nweight_unit: ''";
    assert_eq!(warnings(empty), [""; 0], "what is empty is not there");
    let many: String = (0..40).fold("u_height: 1\n".into(), |text, n| format!("{text}x{n}: 1\n"));
    assert_eq!(warnings(&many).last().unwrap(), "35 more unknown fields");
    assert_eq!(warnings("slug: a"), ["u_height: missing; taken as 1"]);
}

#[test]
fn text_of_other_systems_is_read() {
    let windows = format!("\u{feff}{}", SWITCH.replace('\n', "\r\n"));
    assert_eq!(read(&windows), read(SWITCH));
    // As in the library's file of a blade chassis: the text is not indented, and has a tab.
    let quoted = "u_height: 10\ncomments: '## Enclosure\n\n\n## Form factor: 10U\n\t\n\nFor {NETBOX}' \nairflow: passive";
    assert_eq!(kind(quoted).halves, 20);
    assert_eq!(
        kind("u_height: 1\ncomments: |\n  a: b\n  - c\n\n  # d").halves,
        2
    );
}

#[test]
fn what_is_wrong_is_told_with_line_and_field() {
    for (fields, told) in [
        ("u_height: 1U", "line 3: u_height: not a number"),
        (
            "u_height: 1.25",
            "line 1: u_height: must be a whole number of halves",
        ),
        (
            "u_height: -1",
            "line 1: u_height: must be between 0 and 100",
        ),
        (
            "u_height: 101",
            "line 1: u_height: must be between 0 and 100",
        ),
        (
            "u_height: .nan",
            "line 1: u_height: must be between 0 and 100",
        ),
        ("u_height: 1e999", "line 3: u_height: not a number"),
        (
            "power-ports:\n- maximum_draw: 100001",
            "line 1: power-ports: must be between",
        ),
        (
            "power-ports:\n- maximum_draw: much",
            "line 4: power-ports: not a number",
        ),
        ("power-ports: 5", "line 3: power-ports: "),
        ("u_height: [1]", "line 3: u_height: "),
        ("is_full_depth: perhaps", "line 3: is_full_depth: "),
        (
            "interfaces:\n\t- name: 1",
            "line 4: interfaces: a tab at the beginning",
        ),
        (
            "u_height: 1\nu_height: 2",
            "line 4: u_height: `u_height` is there twice",
        ),
        (
            "subdevice_role: child\nsubdevice_role: parent",
            "line 4: subdevice_role: `subdevice_role` is there twice",
        ),
        ("comments: \"a", "comments: "),
        ("comments: *nobody", "line 3: comments: "),
        ("model: Y1", "line 3: model: `model` is there twice"),
        (
            "weight_unit: !!binary aGk=\nweight: 1",
            "weight_unit: must be",
        ),
    ] {
        let refusal = refusal(fields);
        assert!(refusal.contains(told), "{fields:?}: {refusal}");
        assert!(!refusal.contains('\n'), "{refusal:?}");
    }
    for (text, told) in [
        ("model: X", "line 1: manufacturer: missing"),
        (
            "manufacturer: ' '\nmodel: X",
            "line 1: manufacturer: missing",
        ),
        ("manufacturer: E\nmodel:", "line 1: model: missing"),
        ("- manufacturer: E", "line 1: "),
        ("just text", "line 1: "),
        (
            "manufacturer: \"a\\u0007b\"\nmodel: X\nu_height: 1",
            "manufacturer: must not have the character U+0007",
        ),
    ] {
        let told_of = read(text).unwrap_err();
        assert!(
            told_of[0].to_string().contains(told),
            "{text:?}: {told_of:?}"
        );
    }
}

#[test]
fn one_wrong_document_does_not_hide_what_is_wrong_with_others() {
    let text = format!(
        "{SWITCH}---\nmodel: [\n---\n{SWITCH}---\nmanufacturer: E\nmodel: M\nu_height: x\n"
    );
    let problems = read(&text).unwrap_err();
    let lines: Vec<_> = problems.iter().map(|problem| problem.line).collect();
    let each = SWITCH.lines().count() as u64;
    assert_eq!(lines, [Some(each + 2), Some(2 * each + 7)], "{problems:?}");
    let many = "---\nmodel: x\n".repeat(500);
    assert_eq!(read(&many).unwrap_err().len(), MOST_PROBLEMS + 1);
}

#[test]
fn small_files_that_unfold_to_large_ones_are_refused() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..30 {
        let before = format!("*a{}, ", n - 1).repeat(10);
        writeln!(laughs, "a{n}: &a{n} [{before}]").unwrap();
    }
    let deep = format!("comments: {}{}", "[".repeat(10_000), "]".repeat(10_000));
    let nested: String = (0..2_000).fold(String::new(), |text, n| {
        format!("{text}{}a:\n", " ".repeat(n % 200))
    });
    let anchors: String =
        (0..3_000).fold(String::new(), |text, n| format!("{text}x{n}: &b{n} 1\n"));
    let merges = format!("b: &b {{c: 1}}\n{}", "d: {<<: *b}\n".repeat(300));
    let begun = std::time::Instant::now();
    for bomb in [&laughs, &deep, &anchors, &merges, &nested] {
        let refusal = refusal(bomb);
        assert!(refusal.len() < 400, "{refusal}");
    }
    let large = format!("comments: {}", "x".repeat(stream::LARGEST));
    assert!(refusal(&large).contains("larger than 64 KiB"));
    assert!(begun.elapsed().as_secs() < 10, "bombs take no time");
}

#[test]
fn an_alias_of_an_honest_file_is_read() {
    let text = "power-ports:\n- &psu {name: 1, maximum_draw: 100}\n- {<<: *psu, name: 2}\n- *psu";
    assert_eq!(kind(text).watts, 300.0);
}

#[test]
fn an_import_has_ten_thousand_documents_at_most() {
    let mut text = String::new();
    for n in 0..MOST_DOCUMENTS {
        writeln!(text, "---\nmanufacturer: E\nmodel: M{n}\nu_height: 1").unwrap();
    }
    assert_eq!(read(&text).unwrap().len(), MOST_DOCUMENTS);
    text.push_str(&"---\nmanufacturer: E\nmodel: more\n".repeat(2));
    let problems = read(&text).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(
        problems[0].to_string(),
        "line 40001: more than 10000 documents in one import"
    );
}

#[test]
fn a_stream_is_read_no_further_than_the_caller_goes() {
    /// Gives one document after the other, without end.
    struct Endless(u64);
    impl std::io::Read for Endless {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            self.0 += 1;
            let document = format!("---\nmanufacturer: E\nmodel: M{}\n", self.0);
            into[..document.len()].copy_from_slice(document.as_bytes());
            Ok(document.len())
        }
    }
    let mut from = std::io::BufReader::new(Endless(0));
    let three: Vec<_> = documents(&mut from).take(3).collect();
    assert!(three.iter().all(Result::is_ok), "{three:?}");
    assert!(from.get_ref().0 < 10);
}

#[test]
fn a_folder_is_read_file_by_file_in_the_order_of_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let write = |name: &str, text: &str| {
        let file = path.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    write("device-types/B/b.yaml", SWITCH);
    write("device-types/A/z.yml", SWITCH);
    write("device-types/A/bad.yaml", "model: [");
    write("device-types/A/picture.png", "no YAML");
    write(
        "module-types/A/module.yaml",
        "manufacturer: no kind of device",
    );
    std::os::unix::fs::symlink(path.join("device-types"), path.join("device-types/loop")).unwrap();

    let names = |found: &[(std::path::PathBuf, _)]| -> Vec<String> {
        let under =
            |file: &std::path::PathBuf| file.strip_prefix(path).unwrap().display().to_string();
        found.iter().map(|(file, _)| under(file)).collect()
    };
    let found: Vec<_> = super::folder(path).collect();
    assert_eq!(
        names(&found),
        [
            "device-types/A/bad.yaml",
            "device-types/A/z.yml",
            "device-types/B/b.yaml"
        ]
    );
    assert!(found[0].1.is_err());
    assert_eq!(found[1].1.as_ref().unwrap().len(), 1);

    let found: Vec<_> = super::folder(&path.join("device-types/B")).collect();
    assert_eq!(names(&found), ["device-types/B/b.yaml"]);
    let missing: Vec<_> = super::folder(&path.join("nowhere")).collect();
    assert!(
        missing[0].1.as_ref().unwrap_err()[0]
            .what
            .contains("cannot be read")
    );
}
