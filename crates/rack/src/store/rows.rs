//! Rows of the database as the things that they are.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::error::{Attempt, Error};
use crate::plan::model::{
    Device, DeviceFields, Face, Id, Item, Kind, KindFields, Place, Rack, RackFields,
};

/// The columns of a rack, of the table `r`, in the order that [`Columns::rack`] reads them.
macro_rules! rack_columns {
    () => {
        "r.id, r.version, r.name, r.location, r.units, r.watts, r.kilograms, r.inlet_celsius, r.notes"
    };
}

/// The columns of a kind, of the table `k`, in the order that [`Columns::kind`] reads them.
macro_rules! kind_columns {
    () => {
        "k.id, k.version, k.built_in, k.manufacturer, k.model, k.halves, k.columns, k.full_depth, k.shelf, k.watts, \
         k.kilograms, k.airflow, k.category"
    };
}

/// The columns of a device, of the table `d`, in the order that [`Columns::device`] reads them.
macro_rules! device_columns {
    () => {
        "d.id, d.version, d.name, d.kind, d.watts, d.kilograms, d.pinned, d.notes, d.tags, d.rack, d.face, d.bottom, \
         d.shelf, d.\"left\""
    };
}

pub(super) use {device_columns, kind_columns, rack_columns};

/// How many columns a rack has.
pub(super) const RACK: usize = 9;

/// A row that is read from left to right.
pub(super) struct Columns<'a> {
    row: &'a Row,
    at: usize,
}

impl<'a> Columns<'a> {
    /// All columns of a row.
    pub(super) fn of(row: &'a Row) -> Self {
        Columns { row, at: 0 }
    }

    /// The columns of a row without the first ones.
    pub(super) fn from(row: &'a Row, at: usize) -> Self {
        Columns { row, at }
    }

    /// The next column.
    pub(super) fn next<T: FromSql<'a>>(&mut self) -> Attempt<T> {
        let value = self.row.try_get(self.at)?;
        self.at += 1;
        Ok(value)
    }

    fn small(&mut self) -> Attempt<u8> {
        let value: i16 = self.next()?;
        Ok(u8::try_from(value).map_err(|_| unreadable(&value.to_string()))?)
    }

    /// The next column: one word of an enumeration.
    pub(super) fn word<T: DeserializeOwned>(&mut self) -> Attempt<T> {
        let word: &str = self.next()?;
        Ok(from_word(word)?)
    }

    /// A rack.
    pub(super) fn rack(&mut self) -> Attempt<Rack> {
        Ok(Rack {
            id: self.next()?,
            version: self.next()?,
            fields: RackFields {
                name: self.next()?,
                location: self.next()?,
                units: self.small()?,
                watts: self.next()?,
                kilograms: self.next()?,
                inlet_celsius: self.next()?,
                notes: self.next()?,
            },
        })
    }

    /// A kind.
    pub(super) fn kind(&mut self) -> Attempt<Kind> {
        Ok(Kind {
            id: self.next()?,
            version: self.next()?,
            built_in: self.next()?,
            fields: KindFields {
                manufacturer: self.next()?,
                model: self.next()?,
                halves: self.small()?,
                columns: self.small()?,
                full_depth: self.next()?,
                shelf: self.next()?,
                watts: self.next()?,
                kilograms: self.next()?,
                airflow: self.word()?,
                category: self.next()?,
            },
        })
    }

    /// A device.
    pub(super) fn device(&mut self) -> Attempt<Device> {
        Ok(Device {
            id: self.next()?,
            version: self.next()?,
            fields: DeviceFields {
                name: self.next()?,
                kind: self.next()?,
                watts: self.next()?,
                kilograms: self.next()?,
                pinned: self.next()?,
                notes: self.next()?,
                tags: self.next()?,
            },
            place: self.place()?,
        })
    }

    /// A device with its kind.
    pub(super) fn item(&mut self) -> Attempt<Item> {
        Ok(Item {
            device: self.device()?,
            kind: self.kind()?,
        })
    }

    fn place(&mut self) -> Attempt<Option<Place>> {
        let rack: Option<Id> = self.next()?;
        let face: Option<&str> = self.next()?;
        let bottom: Option<i16> = self.next()?;
        let shelf: Option<Id> = self.next()?;
        let left: Option<i16> = self.next()?;
        let small = |value: Option<i16>| value.and_then(|value| u8::try_from(value).ok());
        let place = match (rack, face, small(bottom), shelf, small(left)) {
            (None, ..) => return Ok(None),
            (Some(rack), Some(face), Some(bottom), None, Some(left)) => Place::Units {
                rack,
                face: from_word(face)?,
                bottom,
                left,
            },
            (Some(rack), None, None, Some(shelf), Some(left)) => Place::Shelf { rack, shelf, left },
            _ => return Err(unreadable("a place").into()),
        };
        Ok(Some(place))
    }
}

/// The values of the columns of a place.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PlaceValues {
    pub(super) rack: Option<Id>,
    pub(super) face: Option<&'static str>,
    pub(super) bottom: Option<i16>,
    pub(super) shelf: Option<Id>,
    pub(super) left: Option<i16>,
}

impl From<Option<Place>> for PlaceValues {
    fn from(place: Option<Place>) -> Self {
        let mut values = PlaceValues::default();
        match place {
            None => {}
            Some(Place::Units {
                rack,
                face,
                bottom,
                left,
            }) => {
                values.rack = Some(rack);
                values.face = Some(match face {
                    Face::Front => "front",
                    Face::Rear => "rear",
                });
                values.bottom = Some(bottom.into());
                values.left = Some(left.into());
            }
            Some(Place::Shelf { rack, shelf, left }) => {
                values.rack = Some(rack);
                values.shelf = Some(shelf);
                values.left = Some(left.into());
            }
        }
        values
    }
}

/// The word of an enumeration, as JSON has it.
pub(super) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("an enumeration without fields is a word, and not {other:?}"),
    }
}

fn from_word<T: DeserializeOwned>(word: &str) -> Result<T, Error> {
    serde_json::from_value(word.into()).map_err(|_| unreadable(word))
}

fn unreadable(what: &str) -> Error {
    Error::Fault(format!("it has `{what}`, which means nothing here"))
}
