//! The maintenance window: times of day, by the device's own clock and time zone.

use serde::{Deserialize, Serialize};

/// A daily period between two times of day, both as `HH:MM`; it may extend past midnight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Its first minute.
    pub from: String,
    /// The minute after its last one.
    pub to: String,
}

impl Window {
    /// Whether the window is open now. It counts as closed if the time cannot be determined.
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
