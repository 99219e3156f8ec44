//! What the planner in memory has, and what may become of it.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use rack::plan::check::{check, conflicts};
use rack::plan::model::{
    Device, DeviceFields, Face, Filled, Id, Item, Kind, KindFields, Place, Rack, RackFields,
    Version,
};
use rack::plan::thermal::thermal;
use serde_json::{Value, json};

/// A status and a body: of what was done, or of why it was not.
pub type Answer = Result<Told, Told>;
/// A status and a body.
pub type Told = (StatusCode, Value);

/// How it is with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// It answers.
    There,
    /// It does not, and what was asked before is kept.
    Kept,
    /// It does not, and nothing is kept.
    Gone,
}

/// What the planner has.
#[derive(Debug)]
pub struct World {
    /// Racks.
    pub racks: BTreeMap<Id, Rack>,
    /// Kinds of devices.
    pub kinds: BTreeMap<Id, Kind>,
    /// Devices.
    pub devices: BTreeMap<Id, Device>,
    /// How it is with the database.
    pub database: Database,
    /// The role of whoever is logged in.
    pub role: Option<&'static str>,
    /// Whether changes are answered later, when this is false again.
    pub holds: bool,
    /// How many questions are still told that they came too soon.
    pub refuses: u32,
    /// What was asked, but for what only looks.
    pub changes: Vec<String>,
    /// What was done, for the log.
    pub log: Vec<Value>,
    /// What the optimiser will propose.
    pub proposal: Vec<(Id, Place)>,
    pub next: Id,
}

impl World {
    /// The next number.
    pub fn id(&mut self) -> Id {
        self.next += 1;
        self.next
    }

    /// Adds a rack of so many units.
    pub fn rack(&mut self, name: &str, units: u8) -> Id {
        self.add_rack(RackFields {
            name: name.into(),
            location: "Cellar".into(),
            units,
            watts: Some(3000.0),
            kilograms: Some(500.0),
            inlet_celsius: 22.0,
            notes: String::new(),
        })
        .id
    }

    /// Adds a rack.
    pub fn add_rack(&mut self, fields: RackFields) -> Rack {
        let rack = Rack {
            id: self.id(),
            version: 1,
            fields,
        };
        self.racks.insert(rack.id, rack.clone());
        rack
    }

    /// Adds a kind, as `change` makes it of a server of one unit and full depth.
    pub fn kind(&mut self, model: &str, change: impl FnOnce(&mut KindFields)) -> Id {
        let mut fields: KindFields = serde_json::from_value(json!({
            "manufacturer": "Acme", "model": model, "halves": 2, "watts": 200.0, "kilograms": 12.0,
            "airflow": "front-to-rear", "category": "server"
        }))
        .unwrap();
        change(&mut fields);
        let id = self.id();
        let kind = Kind {
            id,
            version: 1,
            built_in: false,
            fields,
        };
        self.kinds.insert(id, kind);
        id
    }

    /// Adds a device.
    pub fn device(&mut self, name: &str, kind: Id, place: Option<Place>) -> Id {
        let fields = serde_json::from_value(json!({ "name": name, "kind": kind })).unwrap();
        self.add_device(fields, place).id
    }

    /// Adds a device.
    pub fn add_device(&mut self, fields: DeviceFields, place: Option<Place>) -> Device {
        let id = self.id();
        let device = Device {
            id,
            version: 1,
            place,
            fields,
        };
        self.devices.insert(id, device.clone());
        device
    }

    /// The device of this name.
    pub fn named(&self, name: &str) -> Option<&Device> {
        self.devices
            .values()
            .find(|device| device.fields.name == name)
    }

    fn filled(&self, rack: Id) -> Option<Filled> {
        let here = self.devices.values().filter(|device| {
            let place = device.place;
            place.is_some_and(|place| place.rack() == rack)
        });
        Some(Filled {
            rack: self.racks.get(&rack)?.clone(),
            items: here.map(|device| self.item(device)).collect(),
        })
    }

    fn item(&self, device: &Device) -> Item {
        Item {
            device: device.clone(),
            kind: self.kinds[&device.fields.kind].clone(),
        }
    }

    /// Moves a device, whatever it does to what stands on it.
    pub fn put(&mut self, id: Id, place: Option<Place>) -> Device {
        let device = self.devices.get_mut(&id).unwrap();
        device.place = place;
        device.version += 1;
        let moved = device.clone();
        for other in self.devices.values_mut() {
            if let (Some(Place::Shelf { rack, shelf, .. }), Some(place)) = (&mut other.place, place)
                && *shelf == id
            {
                *rack = place.rack();
            }
        }
        moved
    }

    /// Moves a device, if it fits and nobody else has changed it.
    pub fn place(&mut self, id: Id, version: Version, place: Option<Place>) -> Answer {
        let device = self.devices.get(&id).ok_or_else(missing)?;
        if device.version != version {
            return Err(changed(device.version));
        }
        let before = json!(device);
        if let Some(place) = place {
            let filled = self.filled(place.rack()).ok_or_else(missing)?;
            let found = check(&filled, &self.item(device), place);
            if !found.is_empty() {
                let told = found
                    .iter()
                    .map(|conflict| as_told(conflict, conflict.to_string(), None));
                let body =
                    json!({ "error": "it does not fit", "conflicts": told.collect::<Vec<_>>() });
                return Err((StatusCode::CONFLICT, body));
            }
        }
        let moved = json!(self.put(id, place));
        self.log("move", "device", before, moved.clone());
        Ok((StatusCode::OK, moved))
    }

    /// Writes down what was done.
    pub fn log(&mut self, action: &str, what: &str, before: Value, after: Value) {
        let id = self.log.len() + 1;
        let id_of = if after.is_null() {
            &before["id"]
        } else {
            &after["id"]
        };
        let entry = json!({
            "id": id, "at_ms": 1_790_000_000_000_i64, "who": "ada", "request": "r", "action": action, "what": what,
            "id_of": id_of, "before": before, "after": after
        });
        self.log.insert(0, entry);
    }

    /// What is known of a rack.
    pub fn plan(&self, rack: Id) -> Answer {
        let filled = self.filled(rack).ok_or_else(missing)?;
        let found = conflicts(&filled);
        let told = found
            .iter()
            .map(|(id, conflict)| as_told(conflict, conflict.to_string(), Some(*id)));
        let body = json!({
            "rack": filled.rack, "items": filled.items, "conflicts": told.collect::<Vec<_>>(), "thermal": thermal(&filled)
        });
        Ok((StatusCode::OK, body))
    }

    /// What has these words in its name.
    pub fn search(&self, words: &str) -> Value {
        let words = words.to_lowercase();
        let matches = |name: &str| name.to_lowercase().contains(&words);
        let hit = |kind: &str, id: Id, name: &str, place: String| json!({ "kind_of": kind, "id": id, "name": name, "where": place, "excerpt": name });
        let racks = self
            .racks
            .values()
            .map(|rack| ("rack", rack.id, &rack.fields.name));
        let devices = self
            .devices
            .values()
            .map(|device| ("device", device.id, &device.fields.name));
        let found = racks.chain(devices).filter(|(_, _, name)| matches(name));
        found
            .take(20)
            .map(|(kind, id, name)| hit(kind, id, name, String::new()))
            .collect()
    }
}

fn as_told(conflict: &impl serde::Serialize, text: String, device: Option<Id>) -> Value {
    let mut told = json!(conflict);
    told["text"] = text.into();
    if let Some(device) = device {
        told["device"] = device.into();
    }
    told
}

/// There is no such thing.
pub fn missing() -> Told {
    (
        StatusCode::NOT_FOUND,
        json!({ "error": "there is no such thing" }),
    )
}

/// Somebody else was quicker.
pub fn changed(now: Version) -> Told {
    (
        StatusCode::CONFLICT,
        json!({ "error": "changed by somebody else", "now": now }),
    )
}

/// A place in units on the front.
pub fn at(rack: Id, unit: u8) -> Place {
    Place::Units {
        rack,
        face: Face::Front,
        bottom: (unit - 1) * 2,
        left: 0,
    }
}
