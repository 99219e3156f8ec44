//! How old a recording is.
//!
//! The clock of a device that nobody visits may be years off, and jumps when it is set: what it says is no reason to remove
//! anything. What counts is time that is known to have passed. While the device runs, the time since boot tells it. While it
//! was off, only a clock that was right before and is right again tells it; otherwise that time does not count.

use serde::{Deserialize, Serialize};

use crate::clock::Moment;

/// How much time is known to have passed since the recorder began to count. It never goes back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// So much, in milliseconds.
    ms: i64,
    /// The boot in which it was counted last, and when in it.
    boot: String,
    up_ms: i64,
    /// When the clock was last known to be right.
    right: Option<Right>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Right {
    boot: String,
    at_ms: i64,
    /// How much time had passed then.
    passed_ms: i64,
}

impl Passed {
    /// So much, in milliseconds.
    pub fn ms(&self) -> i64 {
        self.ms
    }

    /// Counts up to now.
    pub fn count(&mut self, now: &Moment, is_right: bool) {
        let counted_ms = match self.boot == now.boot {
            true => self.up_ms,
            // All of this boot came after what was counted in another one.
            false => 0,
        };
        self.ms += (now.up_ms - counted_ms).max(0);
        (self.boot, self.up_ms) = (now.boot.clone(), now.up_ms);
        if is_right {
            // Within a boot the clock tells nothing that the time since boot does not tell better: a jump counts nothing.
            if let Some(right) = &self.right
                && right.boot != now.boot
            {
                self.ms = self.ms.max(right.passed_ms + now.at_ms - right.at_ms);
            }
            self.right = Some(Right {
                boot: now.boot.clone(),
                at_ms: now.at_ms,
                passed_ms: self.ms,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const YEAR: i64 = 365 * 24 * HOUR;

    /// What has passed, in hours, after each of these: the boot, hours since it, hours of the clock, and whether that is right.
    fn hours(moments: &[(&str, i64, i64, bool)]) -> Vec<i64> {
        let mut passed = Passed::default();
        let each = moments.iter().map(|(boot, up, at, is_right)| {
            let now = Moment {
                boot: (*boot).into(),
                up_ms: up * HOUR,
                at_ms: at * HOUR,
            };
            passed.count(&now, *is_right);
            passed.ms() / HOUR
        });
        each.collect()
    }

    #[test]
    fn a_clock_that_is_set_makes_nothing_older() {
        let years = 7 * YEAR / HOUR;
        for right in [false, true] {
            let jump = [
                ("a", 1, 10, right),
                ("a", 2, years, right),
                ("a", 3, 12, right),
            ];
            assert_eq!(hours(&jump), [1, 2, 3]);
        }
        // Nor does a boot with a clock of which nothing is known.
        let boots = [
            ("a", 1, 10, true),
            ("b", 1, years, false),
            ("c", 2, years, false),
        ];
        assert_eq!(hours(&boots), [1, 2, 4]);
    }

    #[test]
    fn the_time_without_power_counts_once_the_clock_is_right_again() {
        let boots = [
            ("a", 1, 100, true),
            ("a", 5, 104, true),
            ("b", 1, 3, false),
            ("b", 2, 206, true),
            ("b", 3, 207, true),
            // It was a day behind before, and is no reason to count back.
            ("c", 1, 190, true),
        ];
        assert_eq!(hours(&boots), [1, 5, 6, 107, 108, 109]);
    }
}
