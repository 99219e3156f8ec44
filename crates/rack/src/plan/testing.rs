//! Racks for tests.

use super::model::*;

/// The rack of all tests.
pub const RACK: Id = 1;

/// A kind of one unit, of the whole width and depth, that takes and weighs nothing.
pub fn kind() -> KindFields {
    KindFields {
        manufacturer: "Generic".into(),
        model: "Thing".into(),
        halves: 2,
        columns: COLUMNS,
        full_depth: true,
        shelf: false,
        watts: 0.0,
        kilograms: 0.0,
        airflow: Airflow::FrontToRear,
        category: String::new(),
    }
}

/// A kind of half the depth.
pub fn shallow() -> KindFields {
    KindFields {
        full_depth: false,
        ..kind()
    }
}

/// A shelf of this height.
pub fn shelf(halves: u8) -> KindFields {
    KindFields {
        shelf: true,
        halves,
        ..kind()
    }
}

/// Half a width, that fits on each shelf.
pub fn small() -> KindFields {
    KindFields {
        columns: 6,
        halves: 1,
        ..kind()
    }
}

/// A device of a kind, at a place; its name tells its number.
pub fn item(id: Id, fields: KindFields, place: impl Into<Option<Place>>) -> Item {
    Item {
        device: Device {
            id,
            version: 1,
            place: place.into(),
            fields: DeviceFields {
                name: format!("device-{id}"),
                kind: id,
                watts: None,
                kilograms: None,
                pinned: false,
                notes: String::new(),
                tags: Vec::new(),
            },
        },
        kind: Kind {
            id,
            version: 1,
            built_in: false,
            fields,
        },
    }
}

/// At the front, from this unit on.
pub fn unit(unit: u8) -> Place {
    mounted(Face::Front, 2 * (unit - 1), 0)
}

/// On a face, from this half and column on.
pub fn mounted(face: Face, bottom: u8, left: u8) -> Place {
    Place::Units {
        rack: RACK,
        face,
        bottom,
        left,
    }
}

/// On a shelf.
pub fn on(shelf: Id, left: u8) -> Place {
    Place::Shelf {
        rack: RACK,
        shelf,
        left,
    }
}

/// A rack of this many units, and what is in it.
pub fn rack(units: u8, items: Vec<Item>) -> Filled {
    Filled {
        rack: Rack {
            id: RACK,
            version: 1,
            fields: RackFields {
                name: "rack".into(),
                location: String::new(),
                units,
                watts: None,
                kilograms: None,
                inlet_celsius: 22.0,
                notes: String::new(),
            },
        },
        items,
    }
}
