//! The progress that `lichenctl` prints on standard error: text for people, or lines of JSON for programs.
//!
//! A program requests JSON with the variable [`VARIABLE`], whose value is the highest version that it understands:
//!
//! ```text
//! {"lichen":1,"event":"said","text":"stopping climate.service"}
//! {"lichen":1,"event":"awaiting-confirmation","within":30}
//! {"lichen":1,"event":"failed","error":"DATA has no room","hint":"`lichenctl gc`"}
//! ```
//!
//! Devices from before these events exist print the same as prose, and so do new ones without a request for JSON. That
//! prose is parsed only here: [`Listener`] turns it into the same events. Any other line on standard error (such as the
//! output of programs that `lichenctl` starts) becomes a `said` event.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The environment variable with which a program requests events.
pub const VARIABLE: &str = "LICHENCTL_EVENTS";
/// The only version so far.
pub const VERSION: u32 = 1;

const AWAITED: &str = "waiting for `lichenctl confirm` within ";
const ERROR: &str = "error: ";
const HINT: &str = "hint: ";

/// A progress event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A message for people.
    Said {
        /// The text.
        text: String,
    },
    /// The new generation is healthy, and stays if it is confirmed over a new connection.
    AwaitingConfirmation {
        /// The time limit in seconds.
        within: u64,
    },
    /// The command failed.
    Failed(Failure),
    /// An event that only a later version knows.
    #[serde(other)]
    Unknown,
}

/// A failure, with a hint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong.
    pub error: String,
    /// What to do about it, if anything is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    lichen: u32,
    #[serde(flatten)]
    event: Event,
}

impl Event {
    /// The event as a line of JSON.
    pub fn json(&self) -> String {
        let line = Line {
            lichen: VERSION,
            event: self.clone(),
        };
        serde_json::to_string(&line).expect("words and numbers")
    }

    /// Parses a line of JSON; none if it is something else.
    fn from_json(line: &str) -> Option<Self> {
        let line: Line = serde_json::from_str(line).ok()?;
        Some(line.event)
    }

    /// Parses a line of prose.
    fn from_prose(line: &str) -> Self {
        let within = line
            .strip_prefix(AWAITED)
            .and_then(|rest| rest.strip_suffix(" s")?.parse().ok());
        if let Some(within) = within {
            return Self::AwaitingConfirmation { within };
        }
        match line.strip_prefix(ERROR) {
            Some(error) => Self::Failed(Failure {
                error: error.to_owned(),
                hint: None,
            }),
            None => Self::Said {
                text: line.to_owned(),
            },
        }
    }
}

/// The event as prose, in the words from before there were events: hosts of that age wait for exactly these words.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said { text } => f.write_str(text),
            Self::AwaitingConfirmation { within } => write!(f, "{AWAITED}{within} s"),
            Self::Failed(Failure { error, hint }) => {
                write!(f, "{ERROR}{error}")?;
                hint.iter().try_for_each(|hint| write!(f, "\n{HINT}{hint}"))
            }
            Self::Unknown => Ok(()),
        }
    }
}

/// Whether this value of [`VARIABLE`] requests events of [`VERSION`].
pub fn is_asked(value: Option<&str>) -> bool {
    value.is_some_and(|value| value.parse().is_ok_and(|highest: u32| highest >= VERSION))
}

/// Turns the output of a device of any version into events.
#[derive(Debug, Default)]
pub struct Listener {
    /// Whether the device prints events: then lines of prose are only messages.
    events: bool,
    failure: Option<Failure>,
    last: Option<String>,
}

impl Listener {
    /// Handles the next line. A failure is kept for [`Listener::failure`] and is not returned as an event.
    pub fn hear(&mut self, line: &str) -> Option<Event> {
        let event = match Event::from_json(line) {
            Some(event) => {
                self.events = true;
                event
            }
            None if self.events => Event::Said {
                text: line.to_owned(),
            },
            None => {
                if let (Some(failure), Some(hint)) = (&mut self.failure, line.strip_prefix(HINT)) {
                    failure.hint = Some(hint.to_owned());
                    return None;
                }
                Event::from_prose(line)
            }
        };
        match event {
            Event::Failed(failure) => {
                self.failure = Some(failure);
                None
            }
            Event::Unknown => None,
            Event::Said { text } => {
                if !text.trim().is_empty() {
                    self.last = Some(text.trim().to_owned());
                }
                Some(Event::Said { text })
            }
            event => Some(event),
        }
    }

    /// The device's failure message; if there was none, the last message.
    pub fn failure(self) -> Failure {
        self.failure.unwrap_or_else(|| Failure {
            error: self
                .last
                .unwrap_or_else(|| "it failed without giving a reason".into()),
            hint: None,
        })
    }
}

/// The failure of a command that printed this text on standard error.
pub fn failure(stderr: &str) -> Failure {
    let mut listener = Listener::default();
    for line in stderr.lines() {
        listener.hear(line);
    }
    listener.failure()
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
