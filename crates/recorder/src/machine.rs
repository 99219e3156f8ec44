//! Whether to record: booting → ready → recording → processing → error.
//!
//! A pure machine. It is told what is wanted and what is the matter, and answers with what has to be done; it knows neither
//! cameras nor disks nor clocks. Starting and stopping are not commands but what follows when the wish changes: a recording
//! that could not be begun begins by itself once what prevented it is gone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the recorder does, as its LEDs, page and metrics show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Putting in order what the last run left behind.
    Booting,
    /// Could record at once.
    Ready,
    /// Records.
    Recording,
    /// Joins and checks what was recorded.
    Processing,
    /// Cannot record.
    Error,
}

impl State {
    /// All states.
    pub const ALL: [State; 5] = [
        State::Booting,
        State::Ready,
        State::Recording,
        State::Processing,
        State::Error,
    ];

    /// Its name in metrics, heartbeat and API.
    pub fn word(self) -> &'static str {
        match self {
            State::Booting => "booting",
            State::Ready => "ready",
            State::Recording => "recording",
            State::Processing => "processing",
            State::Error => "error",
        }
    }
}

/// Who wants a recording to start or to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Somebody pressed a button.
    Button,
    /// Somebody asked over HTTP.
    Http,
}

/// What can be the matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// There is not enough free space: nothing is begun, and what is being recorded is ended in good order.
    Space,
    /// The card cannot be written: the same.
    Card,
    /// There is no usable camera: nothing is begun, but a recording waits for it to come back.
    Camera,
}

/// What happens to the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// What the last run left behind is in order.
    Booted,
    /// Whether a recording is wanted.
    Wanted(bool),
    /// This is the matter, for this reason, or no longer.
    Fault(Fault, Option<String>),
    /// So many sessions have to be processed.
    Processing(usize),
    /// The session is long enough: the next one has to begin.
    Long,
}

/// What has to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Begin a session.
    Open,
    /// End the session in good order.
    Close,
}

/// Why a recording is not begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It has only just started.
    #[error("the recorder is still starting")]
    Booting,
    /// Something is the matter.
    #[error("{0}")]
    Fault(String),
    /// The service is about to end.
    #[error("the recorder is being stopped")]
    Ending,
}

/// The machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    booted: bool,
    wanted: bool,
    recording: bool,
    processing: usize,
    faults: BTreeMap<Fault, String>,
}

impl Machine {
    /// Takes in what has happened; returns what has to be done, in this order.
    pub fn on(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Booted => self.booted = true,
            Event::Wanted(wanted) => self.wanted = wanted,
            Event::Fault(fault, Some(why)) => drop(self.faults.insert(fault, why)),
            Event::Fault(fault, None) => drop(self.faults.remove(&fault)),
            Event::Processing(count) => self.processing = count,
            Event::Long if self.recording => {
                self.recording = false;
                effects.push(Effect::Close);
            }
            Event::Long => {}
        }
        let records = self.booted && self.wanted && self.obstacle().is_none();
        if records != self.recording {
            self.recording = records;
            effects.push(if records { Effect::Open } else { Effect::Close });
        }
        effects
    }

    /// What prevents a recording from being begun, or from going on.
    fn obstacle(&self) -> Option<&String> {
        let mut faults = self.faults.iter();
        // A recording outlives its camera: it goes on as soon as the camera is back.
        let prevents = |fault: Fault| !(self.recording && fault == Fault::Camera);
        faults.find_map(|(fault, why)| prevents(*fault).then_some(why))
    }

    /// What the recorder does.
    pub fn state(&self) -> State {
        match self {
            Machine { booted: false, .. } => State::Booting,
            Machine {
                recording: true, ..
            } => State::Recording,
            _ if !self.faults.is_empty() => State::Error,
            Machine {
                processing: 1.., ..
            } => State::Processing,
            _ => State::Ready,
        }
    }

    /// Why a recording would not be begun now.
    pub fn refusal(&self) -> Option<Refused> {
        match self.booted {
            false => Some(Refused::Booting),
            true => self.obstacle().cloned().map(Refused::Fault),
        }
    }

    /// What is the matter.
    pub fn faults(&self) -> impl Iterator<Item = (Fault, &str)> {
        self.faults
            .iter()
            .map(|(fault, why)| (*fault, why.as_str()))
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
