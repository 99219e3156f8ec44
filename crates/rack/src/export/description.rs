//! A rack as YAML that people can read, and that is read again.
//!
//! Devices have numbers that tell them apart within the file only, kinds are named by manufacturer and model, and places are
//! in units as they are printed on the rack. A stream may have several such documents; one without a rack has devices that
//! are nowhere yet.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::order;
use crate::library::stream::Documents;
use crate::library::{MOST_PROBLEMS, Problem, limits, yaml};
use crate::plan::model::{
    Device, DeviceFields, Face, Filled, Id, Item, KindFields, Place, RackFields,
};

/// The version of the format; a newer one is refused.
const VERSION: u32 = 1;
/// The largest document, in bytes.
const LARGEST: usize = 4 * 1024 * 1024;
/// The most values of a document.
const NODES: usize = 400_000;
/// The most devices of an import.
pub const MOST_DEVICES: usize = 10_000;
/// The most documents of an import.
const MOST_DOCUMENTS: usize = 1_000;

/// What a document says.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The rack, if the document has one.
    pub rack: Option<RackFields>,
    /// Kinds that its devices have; they may have others, too.
    pub kinds: Vec<KindFields>,
    /// Devices, each shelf before the things on it.
    pub devices: Vec<DescribedDevice>,
}

/// A device, without the numbers that only the database knows.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribedDevice {
    /// The manufacturer of its kind.
    pub manufacturer: String,
    /// The model of its kind.
    pub model: String,
    /// Where it is.
    pub place: Option<DescribedPlace>,
    /// What people say of it. Its `kind` is 0 until the method of this name is told it.
    fields: DeviceFields,
}

/// Where a device is in the rack of its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DescribedPlace {
    /// As [`Place::Units`].
    Units {
        /// The side that it is mounted on.
        face: Face,
        /// The position of its lower edge, in halves.
        bottom: u8,
        /// The column of its left edge.
        left: u8,
    },
    /// As [`Place::Shelf`].
    Shelf {
        /// Which of the document's devices the shelf is, from 0. It is before this one.
        shelf: usize,
        /// The column of its left edge.
        left: u8,
    },
}

impl DescribedDevice {
    /// What people say of it, with the number of its kind.
    pub fn fields(&self, kind: Id) -> DeviceFields {
        DeviceFields {
            kind,
            ..self.fields.clone()
        }
    }
}

impl DescribedPlace {
    /// The place in a rack. `ids` are the numbers of the document's devices up to this one.
    pub fn at(self, rack: Id, ids: &[Id]) -> Option<Place> {
        Some(match self {
            DescribedPlace::Units { face, bottom, left } => Place::Units {
                rack,
                face,
                bottom,
                left,
            },
            DescribedPlace::Shelf { shelf, left } => Place::Shelf {
                rack,
                shelf: *ids.get(shelf)?,
                left,
            },
        })
    }
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    lichen_rack: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rack: Option<RackFields>,
    #[serde(default)]
    kinds: Vec<KindFields>,
    #[serde(default)]
    devices: Vec<FileDevice>,
}

/// What is read first, so that a newer file is not refused for what it has of new fields.
#[derive(Deserialize)]
struct Head {
    lichen_rack: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileDevice {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<u32>,
    name: String,
    manufacturer: String,
    model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    watts: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kilograms: Option<f64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pinned: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    notes: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<FilePlace>,
}

/// Either `unit`, with `face`, or `shelf`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePlace {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    face: Option<Face>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shelf: Option<u32>,
    #[serde(default)]
    left: u8,
}

/// Writes a rack with what is in it.
pub fn write(filled: &Filled) -> String {
    let items = order::of(filled);
    let mut kinds = BTreeMap::new();
    for item in &items {
        let fields = &item.kind.fields;
        kinds.insert((&fields.manufacturer, &fields.model), fields.clone());
    }
    let device = |(at, item): (usize, &&Item)| {
        let (device, kind) = (&item.device, &item.kind.fields);
        let fields = device.fields.clone();
        FileDevice {
            number: u32::try_from(at + 1).ok(),
            name: fields.name,
            manufacturer: kind.manufacturer.clone(),
            model: kind.model.clone(),
            watts: fields.watts,
            kilograms: fields.kilograms,
            pinned: fields.pinned,
            notes: fields.notes,
            tags: fields.tags,
            place: file_place(device, &items),
        }
    };
    let file = File {
        lichen_rack: VERSION,
        rack: Some(filled.rack.fields.clone()),
        kinds: kinds.into_values().collect(),
        devices: items.iter().enumerate().map(device).collect(),
    };
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    // Only what cannot be written as YAML at all could fail, and a file has nothing of that kind.
    serde_saphyr::to_string_with_options(&file, options).expect("a rack can be written as YAML")
}

fn file_place(device: &Device, items: &[&Item]) -> Option<FilePlace> {
    match device.place? {
        Place::Units {
            face, bottom, left, ..
        } => Some(FilePlace {
            face: Some(face),
            unit: Some(order::unit(bottom)),
            shelf: None,
            left,
        }),
        Place::Shelf { shelf, left, .. } => Some(FilePlace {
            face: None,
            unit: None,
            shelf: Some(u32::try_from(order::number(items, shelf)?).ok()?),
            left,
        }),
    }
}

/// Reads a stream of such documents: all of it, or what is wrong with it. Whether things fit is not checked.
pub fn read(text: &str) -> Result<Vec<Description>, Vec<Problem>> {
    let mut found = Vec::new();
    let mut problems = Vec::new();
    let mut devices = 0;
    for document in Documents::new(text.as_bytes(), LARGEST) {
        let whole = |what: String| Problem { line: None, what };
        if found.len() + problems.len() >= MOST_DOCUMENTS.min(MOST_PROBLEMS + found.len()) {
            problems.push(whole(
                "too many documents, or too much is wrong with them".into(),
            ));
            break;
        }
        match document.and_then(|document| one(&document.text, document.line)) {
            Ok(description) => {
                devices += description.devices.len();
                found.push(description);
            }
            Err(problem) => problems.push(problem),
        }
        if devices > MOST_DEVICES {
            problems.push(whole(format!(
                "more than {MOST_DEVICES} devices in one import"
            )));
            break;
        }
    }
    if found.is_empty() && problems.is_empty() {
        let what = "there is nothing in it; a rack begins with `lichen_rack: 1`".into();
        problems.push(Problem { line: None, what });
    }
    if problems.is_empty() {
        Ok(found)
    } else {
        Err(problems)
    }
}

fn one(text: &str, begins: u64) -> Result<Description, Problem> {
    let shifted = |problem: Problem| Problem {
        line: problem.line.map(|line| line + begins - 1),
        ..problem
    };
    let first = |what: String| Problem {
        line: Some(begins),
        what,
    };
    let head: Option<Head> = yaml::document(text, NODES).map_err(shifted)?;
    match head.and_then(|head| head.lichen_rack) {
        Some(VERSION) => {}
        Some(other) => {
            let what = format!("the file is of version {other}; this planner reads {VERSION}");
            return Err(first(format!("lichen_rack: {what}")));
        }
        None => {
            let what = "missing; a rack begins with `lichen_rack: 1`";
            return Err(first(format!("lichen_rack: {what}")));
        }
    }
    let file: Option<File> = yaml::document(text, NODES).map_err(shifted)?;
    let file = file.ok_or_else(|| first("there is nothing in it".into()))?;
    describe(file).map_err(first)
}

fn describe(file: File) -> Result<Description, String> {
    if let Some(rack) = &file.rack {
        limits::check_rack(rack).map_err(|(field, why)| format!("rack: {field}: {why}"))?;
    }
    let mut names = BTreeSet::new();
    for kind in &file.kinds {
        let called = format!("kinds: {} {}", kind.manufacturer, kind.model);
        limits::check_kind(kind).map_err(|(field, why)| format!("{called}: {field}: {why}"))?;
        if !names.insert((&kind.manufacturer, &kind.model)) {
            return Err(format!("{called}: is there twice"));
        }
    }
    let order = shelves_first(&file.devices)?;
    let mut devices = Vec::with_capacity(file.devices.len());
    let has_rack = file.rack.is_some();
    for (at, device) in file.devices.into_iter().enumerate() {
        let number = device.number;
        let called = number.map_or(format!("the {}. one", at + 1), |n| format!("number {n}"));
        let described = describe_device(device, &order.at, has_rack);
        devices.push(Some(
            described.map_err(|why| format!("devices: {called}: {why}"))?,
        ));
    }
    let sorted = order
        .sorted
        .iter()
        .filter_map(|&at| devices[at].take())
        .collect();
    Ok(Description {
        rack: file.rack,
        kinds: file.kinds,
        devices: sorted,
    })
}

/// Devices in the order in which they can be put into a rack.
struct Order {
    /// Which device of the file comes first, and so on.
    sorted: Vec<usize>,
    /// Where a device is in that order, by its number, and whether it is mounted in units.
    at: BTreeMap<u32, (usize, bool)>,
}

fn shelves_first(devices: &[FileDevice]) -> Result<Order, String> {
    let stands = |device: &FileDevice| device.place.as_ref().is_some_and(|at| at.shelf.is_some());
    let (first, then): (Vec<_>, Vec<_>) = (0..devices.len()).partition(|&at| !stands(&devices[at]));
    let sorted = [first, then].concat();
    let mut at = BTreeMap::new();
    for (place, &index) in sorted.iter().enumerate() {
        let device = &devices[index];
        let mounted = device.place.as_ref().is_some_and(|at| at.unit.is_some());
        if let Some(number) = device.number
            && at.insert(number, (place, mounted)).is_some()
        {
            return Err(format!("devices: the number {number} is there twice"));
        }
    }
    Ok(Order { sorted, at })
}

fn describe_device(
    device: FileDevice,
    numbers: &BTreeMap<u32, (usize, bool)>,
    has_rack: bool,
) -> Result<DescribedDevice, String> {
    let fields = DeviceFields {
        name: device.name,
        kind: 0,
        watts: device.watts,
        kilograms: device.kilograms,
        pinned: device.pinned,
        notes: device.notes,
        tags: device.tags,
    };
    limits::check_device(&fields).map_err(|(field, why)| format!("{field}: {why}"))?;
    for (field, value) in [
        ("manufacturer", &device.manufacturer),
        ("model", &device.model),
    ] {
        if value.is_empty() || value.chars().count() > limits::NAME {
            let most = limits::NAME;
            return Err(format!("{field}: must have 1 to {most} characters"));
        }
    }
    let place = device
        .place
        .map(|place| describe_place(&place, numbers))
        .transpose();
    let place = place.map_err(|why| format!("place: {why}"))?;
    if place.is_some() && !has_rack {
        return Err("place: the document has no rack".into());
    }
    Ok(DescribedDevice {
        manufacturer: device.manufacturer,
        model: device.model,
        place,
        fields,
    })
}

fn describe_place(
    place: &FilePlace,
    numbers: &BTreeMap<u32, (usize, bool)>,
) -> Result<DescribedPlace, String> {
    let left = place.left;
    match (place.unit, place.shelf) {
        (Some(unit), None) => {
            let bottom = (unit - 1.0) * 2.0;
            if !(0.0..f64::from(limits::HALVES)).contains(&bottom) || bottom.fract() != 0.0 {
                return Err(
                    "unit: must be 1 or more, in halves at most, such as 12 or 12.5".into(),
                );
            }
            Ok(DescribedPlace::Units {
                face: place.face.unwrap_or(Face::Front),
                // It is whole and was found to be in the range.
                bottom: bottom as u8,
                left,
            })
        }
        (None, Some(number)) => match numbers.get(&number) {
            _ if place.face.is_some() => Err("face: a thing on a shelf is on the shelf's".into()),
            Some(&(shelf, true)) => Ok(DescribedPlace::Shelf { shelf, left }),
            Some((_, false)) => Err(format!("shelf: number {number} is not mounted in units")),
            None => Err(format!("shelf: there is no device of number {number}")),
        },
        _ => Err("must have either `unit` or `shelf`".into()),
    }
}
