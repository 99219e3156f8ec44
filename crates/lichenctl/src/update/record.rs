//! What updates have to remember beyond a power cut.

use crate::apply::TRIES;
use crate::channel::Channel;
use crate::durable;
use crate::journal::note;
use crate::root::Root;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

const FOLDER: &str = "var/lib/lichen";
const FILE: &str = "var/lib/lichen/update.json";
/// How many toplevels that failed are remembered: a channel names one at a time.
const FAILED: usize = 16;

/// What is remembered, in /var/lib/lichen/update.json.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The highest sequence accepted, by `appliance/channel`.
    pub sequences: BTreeMap<String, u64>,
    /// The toplevels that failed here, the latest last.
    pub failed: Vec<String>,
    /// The toplevel that is being made to run, and how often that was begun without coming to an end.
    pub begun: Option<(String, u64)>,
    /// The last run.
    pub last: Option<Last>,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// Seconds since 1970, by the device's clock.
    pub at: u64,
    /// Whether it could do what it was to do.
    pub ok: bool,
    /// What it said in the end.
    pub said: String,
}

impl Last {
    /// A run that ends now.
    #[expect(
        clippy::disallowed_methods,
        reason = "lichenctl is no service and has no kit"
    )]
    pub fn now(ok: bool, said: String) -> Self {
        let at = SystemTime::now().duration_since(UNIX_EPOCH);
        let at = at.map_or(0, |time| time.as_secs());
        Self { at, ok, said }
    }
}

impl Record {
    /// Reads it. One that can't be read is as good as none: a device that stood still for ever would be worse.
    pub fn load(root: &Root) -> Self {
        let Ok(text) = fs::read(root.at(FILE)) else {
            return Self::default();
        };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            note(&format!("/{FILE} is damaged and begun anew: {error}"));
            Self::default()
        })
    }

    /// Writes it, durably.
    pub fn save(&self, root: &Root) -> Result<()> {
        if !root.at(FOLDER).exists() {
            durable::directory(&root.at(FOLDER), 0o700)?;
        }
        let text = serde_json::to_vec_pretty(self)?;
        durable::update(&root.at(FILE), &text, 0o600).map(drop)
    }

    /// The highest sequence accepted of this channel.
    pub fn accepted(&self, channel: &Channel) -> u64 {
        self.sequences.get(&key(channel)).copied().unwrap_or(0)
    }

    /// Accepts no lower sequence of this channel from now on.
    pub fn accept(&mut self, channel: &Channel) {
        let highest = self.sequences.entry(key(channel)).or_default();
        *highest = channel.sequence.max(*highest);
    }

    /// Whether it failed here: it was not healthy, or making it run was cut off too often.
    pub fn has_failed(&self, toplevel: &str) -> bool {
        let begun = self.begun.as_ref();
        self.failed.iter().any(|failed| failed == toplevel)
            || begun.is_some_and(|(begun, times)| begun == toplevel && *times >= TRIES)
    }

    /// It failed here; says whether that is news.
    pub fn fail(&mut self, toplevel: &str) -> bool {
        if self.has_failed(toplevel) {
            return false;
        }
        self.failed.push(toplevel.to_owned());
        let old = self.failed.len().saturating_sub(FAILED);
        self.failed.drain(..old);
        true
    }

    /// It runs here after all.
    pub fn forgive(&mut self, toplevel: &str) {
        self.failed.retain(|failed| failed != toplevel);
        self.end();
    }

    /// It is about to be made to run.
    pub fn begin(&mut self, toplevel: &str) {
        let before = self.begun.take().filter(|(begun, _)| begun == toplevel);
        let times = before.map_or(0, |(_, times)| times);
        self.begun = Some((toplevel.to_owned(), times + 1));
    }

    /// That came to an end, whatever it was.
    pub fn end(&mut self) {
        self.begun = None;
    }
}

fn key(channel: &Channel) -> String {
    format!("{}/{}", channel.appliance, channel.channel)
}
