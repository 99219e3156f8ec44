//! What `lichenctl` says while it works, on standard error: for people a line of text, for programs a line of JSON.
//!
//! A program asks for JSON with the variable [`VARIABLE`], whose value is the highest version that it understands:
//!
//! ```text
//! {"lichen":1,"event":"said","text":"stopping climate.service"}
//! {"lichen":1,"event":"awaiting-confirmation","within":30}
//! {"lichen":1,"event":"failed","error":"DATA has no room","hint":"`lichenctl gc`"}
//! ```
//!
//! A device that was made before there were events says the same in prose, as does a new one that was not asked. That
//! is read here, too, and nowhere else: [`Listener`] makes the same events of it. Whatever else is on standard error
//! (programs that `lichenctl` starts write there as well) is something that was said.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The environment variable by which a program asks for events.
pub const VARIABLE: &str = "LICHENCTL_EVENTS";
/// The only version so far.
pub const VERSION: u32 = 1;

const AWAITED: &str = "waiting for `lichenctl confirm` within ";
const ERROR: &str = "error: ";
const HINT: &str = "hint: ";

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// For people who look on.
    Said {
        /// The words.
        text: String,
    },
    /// What was switched to is healthy, and stays if it is confirmed over a new connection.
    AwaitingConfirmation {
        /// Within so many seconds.
        within: u64,
    },
    /// It came to nothing.
    Failed(Failure),
    /// Something that only a later version knows of.
    #[serde(other)]
    Unknown,
}

/// What went wrong, and what to do about it.
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
    /// Its line of JSON.
    pub fn json(&self) -> String {
        let line = Line {
            lichen: VERSION,
            event: self.clone(),
        };
        serde_json::to_string(&line).expect("words and numbers")
    }

    /// Reads a line of JSON; nothing, if it is something else.
    fn from_json(line: &str) -> Option<Self> {
        let line: Line = serde_json::from_str(line).ok()?;
        Some(line.event)
    }

    /// Reads prose, as far as it is one line.
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

/// In prose, as lichenctl has said it since before there were events: hosts of that age wait for these very words.
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

/// Whether somebody with this value of [`VARIABLE`] wants events of [`VERSION`].
pub fn is_asked(value: Option<&str>) -> bool {
    value.is_some_and(|value| value.parse().is_ok_and(|highest: u32| highest >= VERSION))
}

/// Makes events of what a device says, whatever its age.
#[derive(Debug, Default)]
pub struct Listener {
    /// Whether it tells events: then prose is nothing but words.
    events: bool,
    failure: Option<Failure>,
    last: Option<String>,
}

impl Listener {
    /// Takes the next line. What went wrong is kept for [`Listener::failure`], and is no event for those who look on.
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

    /// What went wrong, in the device's own words; else the last thing that was said.
    pub fn failure(self) -> Failure {
        self.failure.unwrap_or_else(|| Failure {
            error: self
                .last
                .unwrap_or_else(|| "it failed without giving a reason".into()),
            hint: None,
        })
    }
}

/// What went wrong with a command that printed this on standard error.
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
