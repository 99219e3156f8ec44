//! The maintenance window: times of day, by the device's own clock and time zone.

use serde::{Deserialize, Serialize};

/// From one time of day to another, which may be on the next day; both as `HH:MM`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Its first minute.
    pub from: String,
    /// The minute after its last.
    pub to: String,
}

impl Window {
    /// Whether it is open now. If the time can't be told it is not.
    pub fn is_open(&self) -> bool {
        crate::systemd::run("date", &["+%H:%M"]).is_ok_and(|now| self.contains(now.trim()))
    }

    fn contains(&self, now: &str) -> bool {
        let (from, to) = (self.from.as_str(), self.to.as_str());
        if from <= to {
            (from..to).contains(&now)
        } else {
            now >= from || now < to
        }
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
