//! What is asked for: each connection is one of many people who look at racks, search, and move what is theirs.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use rack::plan::model::{Id, Version};
use serde_json::{Value, json};

use crate::world::World;

/// Of a hundred requests of a mix, so many are for a list of devices, and the others for a plan.
const LISTS: u32 = 30;
/// Of a hundred requests of the mix that writes, so many change something: half of them move a device.
const WRITES: u32 = 20;
/// Of a hundred questions, so many are those that everybody asks.
const KNOWN_QUESTIONS: u32 = 50;
/// What many ask for.
const QUESTIONS: [&str; 10] = [
    "model 12", "maker 3", "hall 1", "host", "storage", "team-4", "row 2", "2019", "switch",
    "produ",
];

/// What a load consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// Plans of racks, and lists of devices.
    Read,
    /// Questions, half of which hardly anybody has asked before.
    Search,
    /// The same as [`Mix::Read`], and among it changes of devices.
    Write,
}

/// What a connection asks for, and what it knows.
pub struct Client {
    mix: Mix,
    random: Rng,
    headers: Arc<str>,
    racks: Vec<Id>,
    /// The device that it changes, which nobody else does.
    device: Id,
    known: Option<Known>,
    /// Whether the answer to come tells how that device is.
    is_of_device: bool,
}

/// A device as it was last seen.
struct Known {
    version: Version,
    place: Value,
    fields: Value,
}

impl Client {
    /// The client with this number.
    pub fn new(mix: Mix, number: usize, world: &World) -> Self {
        let headers = format!(
            "host: planner.test\r\nauthorization: {}\r\n",
            world.authorization()
        );
        Client {
            mix,
            random: Rng::with_seed(number as u64),
            headers: headers.into(),
            racks: world.racks.clone(),
            device: world.movers[number % world.movers.len()],
            known: None,
            is_of_device: false,
        }
    }

    /// The next request, whole.
    pub fn next(&mut self) -> String {
        self.is_of_device = false;
        match self.mix {
            Mix::Search => {
                let question = self.question();
                self.get(&question)
            }
            Mix::Write if self.random.u32(0..100) < WRITES => {
                self.is_of_device = true;
                let is_move = self.random.bool();
                match &self.known {
                    None => self.get(&format!("/api/devices/{}", self.device)),
                    Some(known) => self.write(known, is_move),
                }
            }
            Mix::Read | Mix::Write => {
                let rack = self.racks[self.random.usize(0..self.racks.len())];
                match self.random.u32(0..100) < LISTS {
                    true => self.get(&format!("/api/devices?rack={rack}&limit=100")),
                    false => self.get(&format!("/api/racks/{rack}/plan")),
                }
            }
        }
    }

    fn question(&mut self) -> String {
        let words = match self.random.u32(0..100) < KNOWN_QUESTIONS {
            true => QUESTIONS[self.random.usize(0..QUESTIONS.len())].replace(' ', "+"),
            // The beginning of a serial number. Questions for another number of results are other questions.
            false => format!(
                "sn-{:03}0&limit={}",
                self.racks[self.random.usize(0..self.racks.len())],
                self.random.u32(1..=500)
            ),
        };
        format!("/api/search?q={words}")
    }

    fn get(&self, path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\n{}\r\n", self.headers)
    }

    fn write(&self, known: &Known, is_move: bool) -> String {
        let (path, mut body) = match is_move {
            true => ("/place", json!({ "place": other_place(&known.place) })),
            false => {
                let mut fields = known.fields.clone();
                fields["notes"] = format!("Looked at {} times", known.version).into();
                ("", fields)
            }
        };
        body["version"] = known.version.into();
        let body = body.to_string();
        format!(
            "PUT /api/devices/{}{path} HTTP/1.1\r\n{}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.device,
            self.headers,
            body.len()
        )
    }

    /// Learns from an answer. A device that could not be changed is asked for again.
    pub fn answered(&mut self, status: u16, body: &[u8]) -> Result<()> {
        if !self.is_of_device {
            return Ok(());
        }
        self.known = match status {
            200 => Some(known(body)?),
            _ => None,
        };
        Ok(())
    }
}

fn known(body: &[u8]) -> Result<Known> {
    let mut device: Value = serde_json::from_slice(body)?;
    let Some(fields) = device.as_object_mut() else {
        bail!("not a device: {device}");
    };
    fields.remove("id");
    let version = fields
        .remove("version")
        .and_then(|version| version.as_i64());
    Ok(Known {
        version: version.context("a device without a version")?,
        place: fields.remove("place").context("a device without a place")?,
        fields: device,
    })
}

/// One unit up, or down again.
fn other_place(place: &Value) -> Value {
    let mut place = place.clone();
    let bottom = place["bottom"].as_u64().unwrap_or_default();
    place["bottom"] = match bottom / 2 % 2 {
        0 => bottom + 2,
        _ => bottom - 2,
    }
    .into();
    place
}
