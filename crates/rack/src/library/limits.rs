//! What each field of a rack, a kind or a device may be, in one place: imports, the database and the API use the same.

use std::ops::RangeInclusive;

use crate::plan::model::{COLUMNS, DeviceFields, KindFields, MOST_UNITS, RackFields};

/// The longest name of a rack, a device, a manufacturer or a model, in characters; as in the Device-Type Library.
pub const NAME: usize = 100;
/// The longest location, in characters.
pub const LOCATION: usize = 200;
/// The longest category, in characters.
pub const CATEGORY: usize = 50;
/// The longest notes, in characters.
pub const NOTES: usize = 10_000;
/// The longest tag, in characters.
pub const TAG: usize = 50;
/// The most tags of a device.
pub const TAGS: usize = 32;
/// The height of the highest kind, in halves of a unit: that of the highest rack.
pub const HALVES: u8 = 2 * MOST_UNITS;
/// Watts, of racks and of what is in them.
pub const WATTS: RangeInclusive<f64> = 0.0..=100_000.0;
/// Kilograms, of racks and of what is in them.
pub const KILOGRAMS: RangeInclusive<f64> = 0.0..=5_000.0;
/// The temperature of the air at a rack's front, in degrees Celsius.
pub const INLET_CELSIUS: RangeInclusive<f64> = -20.0..=60.0;

/// A field's name, and what is wrong with its value.
pub type Wrong = (&'static str, String);

/// Checks what people say of a rack; names the first field that is wrong.
pub fn check_rack(fields: &RackFields) -> Result<(), Wrong> {
    name("name", &fields.name)?;
    line("location", &fields.location, LOCATION)?;
    number("units", fields.units.into(), 1.0..=MOST_UNITS.into())?;
    optional("watts", fields.watts, WATTS)?;
    optional("kilograms", fields.kilograms, KILOGRAMS)?;
    number("inlet_celsius", fields.inlet_celsius, INLET_CELSIUS)?;
    notes("notes", &fields.notes)
}

/// Checks what people say of a kind; names the first field that is wrong.
pub fn check_kind(fields: &KindFields) -> Result<(), Wrong> {
    name("manufacturer", &fields.manufacturer)?;
    name("model", &fields.model)?;
    number("halves", fields.halves.into(), 0.0..=HALVES.into())?;
    number("columns", fields.columns.into(), 1.0..=COLUMNS.into())?;
    if fields.shelf && fields.halves == 0 {
        let why = "a shelf has a height, of which what stands on it has a share";
        return Err(("shelf", why.into()));
    }
    number("watts", fields.watts, WATTS)?;
    number("kilograms", fields.kilograms, KILOGRAMS)?;
    line("category", &fields.category, CATEGORY)
}

/// Checks what people say of a device; names the first field that is wrong. Whether there is such a kind, only the database
/// knows.
pub fn check_device(fields: &DeviceFields) -> Result<(), Wrong> {
    name("name", &fields.name)?;
    optional("watts", fields.watts, WATTS)?;
    optional("kilograms", fields.kilograms, KILOGRAMS)?;
    notes("notes", &fields.notes)?;
    tags("tags", &fields.tags)
}

fn tags(field: &'static str, tags: &[String]) -> Result<(), Wrong> {
    if tags.len() > TAGS {
        return Err((field, format!("must be at most {TAGS}")));
    }
    for (at, tag) in tags.iter().enumerate() {
        if tag.is_empty() {
            return Err((field, "a tag must not be empty".into()));
        }
        if tags[..at].contains(tag) {
            return Err((field, format!("`{tag}` is there twice")));
        }
        line(field, tag, TAG)?;
    }
    Ok(())
}

fn name(field: &'static str, value: &str) -> Result<(), Wrong> {
    if value.is_empty() {
        return Err((field, "must not be empty".into()));
    }
    line(field, value, NAME)
}

fn line(field: &'static str, value: &str, most: usize) -> Result<(), Wrong> {
    if value.trim() != value {
        return Err((field, "must not begin or end with a space".into()));
    }
    if let Some(bad) = value.chars().find(|&c| is_refused(c)) {
        return Err((field, refusal(bad)));
    }
    length(field, value, most)
}

fn notes(field: &'static str, value: &str) -> Result<(), Wrong> {
    let allowed = |c| matches!(c, '\n' | '\r' | '\t');
    if let Some(bad) = value.chars().find(|&c| is_refused(c) && !allowed(c)) {
        return Err((field, refusal(bad)));
    }
    length(field, value, NOTES)
}

/// Whether text may not have this character: controls, ends of lines, and what turns the direction of the text after it
/// around, by which a name can pretend to be another one. The last two are not characters at all, and XML cannot hold them.
fn is_refused(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{fffe}' | '\u{ffff}')
}

fn refusal(bad: char) -> String {
    format!("must not have the character U+{:04X}", u32::from(bad))
}

fn length(field: &'static str, value: &str, most: usize) -> Result<(), Wrong> {
    // Only what has more bytes than that can have more characters.
    if value.len() > most && value.chars().count() > most {
        return Err((field, format!("must have at most {most} characters")));
    }
    Ok(())
}

fn optional(
    field: &'static str,
    value: Option<f64>,
    range: RangeInclusive<f64>,
) -> Result<(), Wrong> {
    value.map_or(Ok(()), |value| number(field, value, range))
}

fn number(field: &'static str, value: f64, range: RangeInclusive<f64>) -> Result<(), Wrong> {
    // What is not a number is in no range.
    if range.contains(&value) {
        return Ok(());
    }
    let (low, high) = range.into_inner();
    Err((field, format!("must be between {low} and {high}")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn kind(changes: Value) -> Result<(), Wrong> {
        let sound = json!({ "manufacturer": "Generic", "model": "1U server", "halves": 2 });
        check_kind(&changed(sound, changes))
    }

    fn rack(changes: Value) -> Result<(), Wrong> {
        check_rack(&changed(json!({ "name": "R1", "units": 42 }), changes))
    }

    fn device(changes: Value) -> Result<(), Wrong> {
        check_device(&changed(json!({ "name": "web1", "kind": 1 }), changes))
    }

    fn changed<T: serde::de::DeserializeOwned>(mut sound: Value, changes: Value) -> T {
        let changes = changes.as_object().cloned().unwrap();
        sound.as_object_mut().unwrap().extend(changes);
        serde_json::from_value(sound).unwrap()
    }

    #[test]
    fn what_is_at_a_limit_is_allowed() {
        let long = "ü".repeat(NAME);
        assert_eq!(kind(json!({})), Ok(()));
        assert_eq!(
            kind(
                json!({ "manufacturer": long, "halves": 200, "watts": 100_000, "kilograms": 5000 })
            ),
            Ok(())
        );
        assert_eq!(
            kind(json!({ "halves": 0, "columns": 1, "watts": 0 })),
            Ok(())
        );
        assert_eq!(
            rack(json!({ "units": 100, "watts": 0, "inlet_celsius": -20 })),
            Ok(())
        );
        assert_eq!(
            device(json!({ "notes": "Serial\t1\nOwner\r\n", "tags": ["a", "b"] })),
            Ok(())
        );
        assert_eq!(device(json!({ "name": "日本語 مثال" })), Ok(()));
    }

    #[test]
    fn what_is_outside_is_refused_with_the_name_of_the_field() {
        let long = "x".repeat(NAME + 1);
        for (found, field, why) in [
            (kind(json!({ "manufacturer": "" })), "manufacturer", "empty"),
            (kind(json!({ "model": long })), "model", "at most 100"),
            (kind(json!({ "model": "a\u{0}b" })), "model", "U+0000"),
            (kind(json!({ "model": "a\nb" })), "model", "U+000A"),
            (
                kind(json!({ "model": "exe.\u{202e}gnp" })),
                "model",
                "U+202E",
            ),
            (kind(json!({ "model": " a" })), "model", "space"),
            (
                kind(json!({ "halves": 201 })),
                "halves",
                "between 0 and 200",
            ),
            (kind(json!({ "columns": 0 })), "columns", "between 1 and 12"),
            (
                kind(json!({ "columns": 13 })),
                "columns",
                "between 1 and 12",
            ),
            (
                kind(json!({ "watts": -1 })),
                "watts",
                "between 0 and 100000",
            ),
            (
                kind(json!({ "kilograms": 5000.1 })),
                "kilograms",
                "between 0 and 5000",
            ),
            (
                kind(json!({ "shelf": true, "halves": 0 })),
                "shelf",
                "height",
            ),
            (
                kind(json!({ "category": "x".repeat(51) })),
                "category",
                "at most 50",
            ),
            (rack(json!({ "name": "   " })), "name", "space"),
            (rack(json!({ "units": 0 })), "units", "between 1 and 100"),
            (rack(json!({ "units": 101 })), "units", "between 1 and 100"),
            (
                rack(json!({ "location": "x".repeat(201) })),
                "location",
                "at most 200",
            ),
            (
                rack(json!({ "inlet_celsius": 61 })),
                "inlet_celsius",
                "between -20 and 60",
            ),
            (device(json!({ "name": "" })), "name", "empty"),
            (device(json!({ "watts": 1e9 })), "watts", "between"),
            (device(json!({ "notes": "\u{7}" })), "notes", "U+0007"),
            (
                device(json!({ "notes": "x".repeat(NOTES + 1) })),
                "notes",
                "at most 10000",
            ),
            (device(json!({ "tags": [""] })), "tags", "empty"),
            (device(json!({ "tags": ["a", "a"] })), "tags", "twice"),
            (
                device(json!({ "tags": vec!["a"; 33] })),
                "tags",
                "at most 32",
            ),
        ] {
            let (named, text) = found.unwrap_err();
            assert_eq!(named, field, "{text}");
            assert!(text.contains(why), "{field}: {text}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        let mut fields: KindFields = changed(
            json!({ "manufacturer": "a", "model": "b", "halves": 2 }),
            json!({}),
        );
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            fields.watts = bad;
            assert_eq!(check_kind(&fields).unwrap_err().0, "watts");
        }
    }
}
