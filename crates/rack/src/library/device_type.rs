//! A document of the Device-Type Library as a kind.
//!
//! What the library does not have is guessed only where its components leave no doubt; all else stays as a kind has it when
//! nothing is said. The library has no width: all its kinds are as wide as the rack.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::stream::Document;
use super::{Described, Problem, limits, yaml};
use crate::plan::model::{Airflow, COLUMNS, KindFields};

/// The most values of a document. One of the size that is allowed can have no more than 32,768.
const NODES: usize = 40_000;

/// Names of the library's fields that say nothing of what is planned here.
const NOT_NEEDED: [&str; 12] = [
    "slug",
    "part_number",
    "description",
    "comments",
    "front_image",
    "rear_image",
    "is_powered",
    "console-ports",
    "console-server-ports",
    "rear-ports",
    "module-bays",
    "inventory-items",
];

/// The most unknown fields that are named; the others are counted.
const MOST_NAMED: usize = 5;

/// Reads a document.
pub fn read(document: &Document) -> Result<Described, Problem> {
    let at = |problem: Problem| Problem {
        line: Some(problem.line.unwrap_or(1) + document.line - 1),
        what: problem.what,
    };
    let said = yaml::document::<Said>(&document.text, NODES).map_err(at)?;
    let mut warnings = Vec::new();
    let kind = said.unwrap_or_default().kind(&mut warnings);
    let place = |what| Problem {
        line: Some(document.line),
        what,
    };
    Ok(Described {
        kind: kind.map_err(place)?,
        warnings: warnings.into_iter().map(place).collect(),
    })
}

/// What a document says of what is planned here.
#[derive(Default)]
struct Said {
    manufacturer: Option<String>,
    model: Option<String>,
    u_height: Option<f64>,
    is_full_depth: Option<bool>,
    airflow: Option<String>,
    weight: Option<f64>,
    weight_unit: Option<String>,
    subdevice_role: Option<String>,
    power_ports: Vec<PowerPort>,
    power_outlets: usize,
    interfaces: usize,
    front_ports: usize,
    bays: usize,
    /// Names of fields that the library did not have when this was written.
    unknown: Vec<String>,
}

impl Said {
    fn kind(self, warnings: &mut Vec<String>) -> Result<Option<KindFields>, String> {
        self.warn_of_unknown(warnings);
        let manufacturer = needed("manufacturer", self.manufacturer.as_deref())?;
        let model = needed("model", self.model.as_deref())?;
        if self.subdevice_role.as_deref().map(str::trim) == Some("child") {
            let what = format!("{manufacturer} {model} is a part of another device, not of a rack");
            warnings.push(what);
            return Ok(None);
        }
        let (category, shelf) = self.purpose(&model);
        let fields = KindFields {
            halves: self.halves(warnings)?,
            columns: COLUMNS,
            full_depth: self.is_full_depth.unwrap_or(true),
            watts: self.watts(warnings),
            kilograms: self.kilograms(warnings)?,
            airflow: self.airflow(warnings),
            shelf: shelf && self.u_height != Some(0.0),
            category: category.into(),
            manufacturer,
            model,
        };
        match limits::check_kind(&fields) {
            Ok(()) => Ok(Some(fields)),
            Err((field, why)) => {
                let name = match field {
                    "halves" => "u_height",
                    "watts" => "power-ports",
                    "kilograms" => "weight",
                    other => other,
                };
                Err(format!("{name}: {why}"))
            }
        }
    }

    fn halves(&self, warnings: &mut Vec<String>) -> Result<u8, String> {
        let Some(units) = self.u_height else {
            warnings.push("u_height: missing; taken as 1".into());
            return Ok(2);
        };
        let halves = units * 2.0;
        if !(0.0..=f64::from(limits::HALVES)).contains(&halves) {
            let most = limits::HALVES / 2;
            return Err(format!("u_height: must be between 0 and {most}"));
        }
        if halves.fract() != 0.0 {
            return Err("u_height: must be a whole number of halves, such as 1 or 1.5".into());
        }
        // It is whole and was found to be in the range.
        Ok(halves as u8)
    }

    /// The sum of what its inlets take. What has outlets passes its power on to devices that are counted themselves, and the
    /// library does not say what it keeps.
    fn watts(&self, warnings: &mut Vec<String>) -> f64 {
        let sum = self.power_ports.iter().filter_map(PowerPort::watts).sum();
        if self.power_outlets > 0 && sum > 0.0 {
            warnings.push("power-ports: not counted, because it passes its power on".into());
            return 0.0;
        }
        sum
    }

    fn kilograms(&self, warnings: &mut Vec<String>) -> Result<f64, String> {
        let Some(weight) = self.weight else {
            return Ok(0.0);
        };
        // International Yard and Pound Agreement of 1959: a pound is exactly 0.45359237 kg, and has 16 ounces.
        let each = match self.weight_unit.as_deref().unwrap_or_default().trim() {
            "kg" => 1.0,
            "g" => 0.001,
            "lb" => 0.453_592_37,
            "oz" => 0.453_592_37 / 16.0,
            "" => {
                warnings.push("weight: not taken over, because it has no weight_unit".into());
                return Ok(0.0);
            }
            _ => return Err("weight_unit: must be kg, g, lb or oz".into()),
        };
        // To the gram: 5 lb are not meant to be 2.26796185 kg.
        Ok((weight * each * 1000.0).round() / 1000.0)
    }

    fn airflow(&self, warnings: &mut Vec<String>) -> Airflow {
        use serde::de::IntoDeserializer;
        use serde::de::value::Error;
        let word = self.airflow.as_deref().unwrap_or_default().trim();
        if word.is_empty() {
            return Airflow::default();
        }
        let plain = word.to_ascii_lowercase().replace([' ', '_'], "-");
        let known =
            Airflow::deserialize(IntoDeserializer::<Error>::into_deserializer(plain.as_str()));
        known.unwrap_or_else(|_| {
            let shown: String = word.chars().filter(|c| !c.is_control()).take(40).collect();
            warnings.push(format!("airflow: `{shown}` is unknown; taken as passive"));
            Airflow::default()
        })
    }

    /// Its category, and whether things stand on it.
    fn purpose(&self, model: &str) -> (&'static str, bool) {
        let powered = !self.power_ports.is_empty();
        let wired = self.interfaces + self.front_ports + self.power_outlets + self.bays > 0;
        let mut words = model.split(|c: char| !c.is_alphanumeric());
        if self.power_outlets > 0 {
            ("power", false)
        } else if self.bays > 0 {
            ("chassis", false)
        } else if self.front_ports > 0 && !powered {
            ("patch-panel", false)
        } else if self.interfaces >= 8 {
            ("network", false)
        } else if !powered && !wired && words.any(|word| word.eq_ignore_ascii_case("shelf")) {
            ("shelf", true)
        } else {
            ("", false)
        }
    }

    fn warn_of_unknown(&self, warnings: &mut Vec<String>) {
        let named = self.unknown.iter().take(MOST_NAMED);
        warnings.extend(named.map(|name| format!("{name}: unknown, not taken over")));
        if let Some(more @ 1..) = self.unknown.len().checked_sub(MOST_NAMED) {
            warnings.push(format!("{more} more unknown fields"));
        }
    }
}

fn needed(field: &str, value: Option<&str>) -> Result<String, String> {
    match value.map(str::trim) {
        Some(value) if !value.is_empty() => Ok(value.into()),
        _ => Err(format!("{field}: missing")),
    }
}

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(SaidVisitor)
    }
}

struct SaidVisitor;

impl<'de> Visitor<'de> for SaidVisitor {
    type Value = Said;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("fields of a device type, such as `manufacturer: …`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said, A::Error> {
        let mut said = Said::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "manufacturer" => said.manufacturer = map.next_value()?,
                "model" => said.model = map.next_value()?,
                "u_height" => said.u_height = map.next_value()?,
                "is_full_depth" => said.is_full_depth = map.next_value()?,
                "airflow" => said.airflow = map.next_value()?,
                "weight" => said.weight = map.next_value()?,
                "weight_unit" => said.weight_unit = map.next_value()?,
                "subdevice_role" => said.subdevice_role = map.next_value()?,
                "power-ports" => {
                    said.power_ports = map.next_value::<Option<_>>()?.unwrap_or_default();
                }
                "power-outlets" => said.power_outlets = count(&mut map)?,
                "interfaces" => said.interfaces = count(&mut map)?,
                "front-ports" => said.front_ports = count(&mut map)?,
                "device-bays" => said.bays = count(&mut map)?,
                other => {
                    map.next_value::<IgnoredAny>()?;
                    if !NOT_NEEDED.contains(&other) {
                        let clean = name.chars().filter(|c| !c.is_control());
                        said.unknown.push(clean.take(40).collect());
                    }
                }
            }
        }
        Ok(said)
    }
}

fn count<'de, A: MapAccess<'de>>(map: &mut A) -> Result<usize, A::Error> {
    Ok(map
        .next_value::<Option<Count>>()?
        .map_or(0, |count| count.0))
}

/// How many components there are, which are not kept.
struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Counting;
        impl<'de> Visitor<'de> for Counting {
            type Value = Count;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Count, A::Error> {
                let mut count = 0;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Count(count))
            }
        }
        from.deserialize_seq(Counting)
    }
}

/// An inlet, of which only the power is wanted, in watts.
#[derive(serde::Deserialize)]
struct PowerPort {
    maximum_draw: Option<f64>,
    allocated_draw: Option<f64>,
}

impl PowerPort {
    fn watts(&self) -> Option<f64> {
        self.maximum_draw.or(self.allocated_draw)
    }
}
