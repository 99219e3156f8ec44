//! What the rows of a planner's SQLite file mean. Pure: rows become racks, kinds, devices and places, or the reason why not.

use std::collections::HashMap;

use super::Untaken;
use super::file::{Content, Record};
use super::names::{Field, plain};
use crate::library::limits;
use crate::plan::model::{Airflow, COLUMNS, Face, KindFields, RackFields};

/// Watts of a BTU per hour.
const WATTS_OF_BTU: f64 = 0.293_071_07;
const KILOGRAMS_OF_POUND: f64 = 0.453_592_37;
/// What is said of who makes a thing if nothing is said of it.
const NOBODY: &str = "Unknown";
/// The height of a rack of which nothing is said: the usual one.
const USUAL_UNITS: f64 = 42.0;

/// A device, with references into the lists of [`Found`].
#[derive(Debug)]
pub(super) struct FoundDevice {
    pub(super) name: String,
    /// Which of the kinds it is.
    pub(super) kind: usize,
    pub(super) watts: Option<f64>,
    pub(super) kilograms: Option<f64>,
    pub(super) pinned: bool,
    pub(super) notes: String,
    pub(super) tags: Vec<String>,
    /// Which of the racks it is in, on which side, and the position of its lower edge in halves.
    pub(super) place: Option<(usize, Face, u8)>,
}

/// What a file has that a planner can have.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) racks: Vec<RackFields>,
    pub(super) kinds: Vec<KindFields>,
    pub(super) devices: Vec<FoundDevice>,
    pub(super) untaken: Vec<Untaken>,
    pub(super) notes: Vec<String>,
}

/// Makes sense of what a file has.
pub(super) fn found(content: &Content) -> Found {
    let mut found = Found::default();
    for unknown in &content.unknown {
        found.untaken(unknown.clone(), "the planner has nothing like it");
    }
    let mut racks = HashMap::new();
    for record in &content.racks {
        let name = name(record, Field::Name, "a rack");
        match rack(record) {
            Err(why) => found.untaken(format!("rack {name}"), why),
            Ok(fields) if found.racks.iter().any(|rack| rack.name == fields.name) => {
                found.untaken(format!("rack {name}"), "there is another one of this name");
            }
            Ok(fields) => {
                racks.extend(record.text(Field::Id).map(|id| (id, found.racks.len())));
                // Some refer to a rack by its name.
                racks
                    .entry(fields.name.clone())
                    .or_insert(found.racks.len());
                found.racks.push(fields);
            }
        }
    }
    let mut kinds = HashMap::new();
    for record in &content.kinds {
        let name = name(record, Field::Model, "a kind of device");
        match kind(record, None) {
            Err(why) => found.untaken(format!("kind {name}"), why),
            Ok(fields) => {
                let at = found.kind(fields);
                kinds.extend(record.text(Field::Id).map(|id| (id, at)));
            }
        }
    }
    let positions: HashMap<String, &Record> = content
        .positions
        .iter()
        .filter_map(|record| Some((record.text(Field::Device)?, record)))
        .collect();
    for record in &content.devices {
        let id = record.text(Field::Id);
        let position = id.as_ref().and_then(|id| positions.get(id));
        let record = position.map_or(record.clone(), |position| record.clone().or(position));
        found.device(&record, &racks, &kinds);
    }
    if found.devices.iter().any(|device| device.place.is_some()) {
        let note = "the position of a device was taken for its lowest unit, counted from 1 at the bottom of the rack";
        found.notes.push(note.into());
    }
    found
}

impl Found {
    fn untaken(&mut self, what: String, why: impl Into<String>) {
        let why = why.into();
        self.untaken.push(Untaken { what, why });
    }

    /// Where a kind is in the list; it is put there if it is not yet.
    fn kind(&mut self, fields: KindFields) -> usize {
        let is_it = |kind: &KindFields| {
            (&kind.manufacturer, &kind.model) == (&fields.manufacturer, &fields.model)
        };
        let Some(at) = self.kinds.iter().position(is_it) else {
            self.kinds.push(fields);
            return self.kinds.len() - 1;
        };
        if self.kinds[at] != fields {
            let name = format!("{} {}", fields.manufacturer, fields.model);
            self.untaken(
                format!("another description of {name}"),
                "the first one counts",
            );
        }
        at
    }

    fn device(
        &mut self,
        record: &Record,
        racks: &HashMap<String, usize>,
        kinds: &HashMap<String, usize>,
    ) {
        let name = name(record, Field::Name, "a device");
        let what = format!("device {name}");
        let referred = record.text(Field::Kind).map(|id| kinds.get(&id).copied());
        let (kind, own) = match referred {
            Some(None) => return self.untaken(what, "its kind is not in the file or not taken"),
            Some(Some(at)) => (at, true),
            // It says itself what it is.
            None => match kind(record, Some(&name)) {
                Err(why) => return self.untaken(what, why),
                Ok(fields) => (self.kind(fields), false),
            },
        };
        let numbers = watts(record).and_then(|watts| Ok((watts, kilograms(record)?)));
        let (watts, kilograms) = match numbers {
            Err(why) => return self.untaken(what, why),
            Ok(numbers) => numbers,
        };
        let of_kind = &self.kinds[kind];
        let differs = |own: f64, usual: f64| (own - usual).abs() > 1e-9;
        let watts = watts.filter(|watts| own && differs(*watts, of_kind.watts));
        let kilograms = kilograms.filter(|weight| own && differs(*weight, of_kind.kilograms));
        let place = match place(record, racks) {
            Ok(place) => place,
            Err(why) => {
                self.untaken(format!("the place of {what}"), why);
                None
            }
        };
        let notes = [
            record.text(Field::Notes),
            record
                .text(Field::Serial)
                .map(|serial| format!("Serial number: {serial}")),
        ];
        self.devices.push(FoundDevice {
            name,
            kind,
            watts,
            kilograms,
            pinned: record.truth(Field::Pinned).unwrap_or_default(),
            notes: notes.into_iter().flatten().collect::<Vec<_>>().join("\n"),
            tags: tags(record),
            place,
        });
    }
}

fn name(record: &Record, field: Field, otherwise: &str) -> String {
    let other = || record.text(Field::Id).map(|id| format!("{otherwise} {id}"));
    let name = record.text(field).or_else(|| record.text(Field::Model));
    name.or_else(other).unwrap_or_else(|| otherwise.into())
}

fn rack(record: &Record) -> Result<RackFields, String> {
    let fields = RackFields {
        name: name(record, Field::Name, "Rack"),
        location: record.text(Field::Location).unwrap_or_default(),
        units: whole(record.number(Field::Units)?.unwrap_or(USUAL_UNITS), "units")?,
        watts: record.number(Field::Watts)?.filter(|watts| *watts > 0.0),
        kilograms: kilograms(record)?.filter(|weight| *weight > 0.0),
        inlet_celsius: record.number(Field::Inlet)?.unwrap_or(22.0),
        notes: record.text(Field::Notes).unwrap_or_default(),
    };
    limits::check_rack(&fields).map_err(|(field, why)| format!("{field}: {why}"))?;
    Ok(fields)
}

/// A kind; `otherwise` is what it is called if it says no model.
fn kind(record: &Record, otherwise: Option<&str>) -> Result<KindFields, String> {
    let model = record.text(Field::Model);
    let model = model.or_else(|| otherwise.map(str::to_owned));
    let units = record.number(Field::Units)?;
    let fields = KindFields {
        manufacturer: record
            .text(Field::Manufacturer)
            .unwrap_or_else(|| NOBODY.into()),
        model: model.ok_or("it has no name")?,
        halves: whole(units.ok_or("it has no height")? * 2.0, "its height")?,
        columns: COLUMNS,
        full_depth: record.truth(Field::FullDepth).unwrap_or(true),
        shelf: record.truth(Field::Shelf).unwrap_or_default(),
        watts: watts(record)?.unwrap_or_default(),
        kilograms: kilograms(record)?.unwrap_or_default(),
        airflow: airflow(record),
        category: record.text(Field::Category).unwrap_or_default(),
    };
    limits::check_kind(&fields).map_err(|(field, why)| format!("{field}: {why}"))?;
    Ok(fields)
}

/// The power; if only the heat is said, that is where it comes from.
fn watts(record: &Record) -> Result<Option<f64>, String> {
    let watts = record.number(Field::Watts)?.filter(|watts| *watts > 0.0);
    let heat = record.number(Field::Btu)?.filter(|btu| *btu > 0.0);
    let of_heat = heat.map(|btu| (btu * WATTS_OF_BTU * 10.0).round() / 10.0);
    Ok(watts.or(of_heat))
}

fn kilograms(record: &Record) -> Result<Option<f64>, String> {
    let pounds = record.number(Field::Pounds)?;
    let of_pounds = pounds.map(|lb| (lb * KILOGRAMS_OF_POUND * 1000.0).round() / 1000.0);
    Ok(record.number(Field::Kilograms)?.or(of_pounds))
}

/// A number that fits into a byte.
fn whole(number: f64, what: &str) -> Result<u8, String> {
    match number.fract() == 0.0 && (0.0..=255.0).contains(&number) {
        true => Ok(number as u8),
        false => Err(format!("{what}: {number} is not possible")),
    }
}

fn airflow(record: &Record) -> Airflow {
    let word = record.text(Field::Airflow).map(|text| plain(&text));
    match word.as_deref() {
        Some("fronttoback" | "fronttorear") => Airflow::FrontToRear,
        Some("backtofront" | "reartofront") => Airflow::RearToFront,
        Some("lefttoright" | "sidetoside") => Airflow::LeftToRight,
        Some("righttoleft") => Airflow::RightToLeft,
        Some("sidetorear" | "sidetoback") => Airflow::SideToRear,
        Some("reartoside" | "backtoside") => Airflow::RearToSide,
        Some("bottomtotop") => Airflow::BottomToTop,
        Some("toptobottom") => Airflow::TopToBottom,
        Some("mixed") => Airflow::Mixed,
        _ => Airflow::Passive,
    }
}

/// Where a device is, if it says so.
fn place(
    record: &Record,
    racks: &HashMap<String, usize>,
) -> Result<Option<(usize, Face, u8)>, String> {
    let Some(rack) = record.text(Field::Rack) else {
        return Ok(None);
    };
    let rack = *racks
        .get(&rack)
        .ok_or("its rack is not in the file or not taken")?;
    let Some(unit) = record.number(Field::Unit)?.filter(|unit| *unit != 0.0) else {
        return Ok(None);
    };
    let bottom = whole((unit - 1.0) * 2.0, "its position")?;
    let face = record.text(Field::Face).map(|text| plain(&text));
    let face = match face.as_deref() {
        Some("rear" | "back") => Face::Rear,
        _ => Face::Front,
    };
    Ok(Some((rack, face, bottom)))
}

/// Words between commas, or a list in JSON.
fn tags(record: &Record) -> Vec<String> {
    let Some(text) = record.text(Field::Tags) else {
        return Vec::new();
    };
    let list: Vec<String> = serde_json::from_str(&text)
        .unwrap_or_else(|_| text.split(',').map(str::to_owned).collect());
    let mut tags = Vec::<String>::new();
    for tag in list {
        let tag = tag.trim();
        if !tag.is_empty() && !tags.iter().any(|known| known == tag) {
            tags.push(tag.to_owned());
        }
    }
    tags
}
