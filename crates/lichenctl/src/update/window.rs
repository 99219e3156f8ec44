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
mod tests {
    use super::*;

    #[test]
    fn a_window_may_reach_over_midnight() {
        let window = |from: &str, to: &str| Window {
            from: from.into(),
            to: to.into(),
        };
        for (from, to, now, open) in [
            ("02:00", "04:00", "02:00", true),
            ("02:00", "04:00", "03:59", true),
            ("02:00", "04:00", "04:00", false),
            ("02:00", "04:00", "01:59", false),
            ("22:30", "04:00", "23:00", true),
            ("22:30", "04:00", "00:00", true),
            ("22:30", "04:00", "04:00", false),
            ("22:30", "04:00", "12:00", false),
        ] {
            assert_eq!(window(from, to).contains(now), open, "{from}–{to} at {now}");
        }
    }
}
