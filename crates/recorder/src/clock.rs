//! What time it is, and what time it was before somebody set the clock.
//!
//! A Raspberry Pi has no clock of its own: it may begin a recording years off, and is put right once a network is there. The
//! time since boot does not jump. So whatever happens is kept as a [`Moment`], which has both, and for which the right time
//! can be told later, as long as this boot lasts.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A clock that moved more than this against the time since boot was set by somebody.
const SET_MS: i64 = 2000;

/// The clock of this boot; clones are the same clock.
#[derive(Debug, Clone)]
pub struct Clock {
    boot: Arc<str>,
    /// By how much it differs from the machine's: tests let it jump.
    jumped_ms: Arc<AtomicI64>,
}

/// What systemd-timesyncd makes once it has set the clock by a server of the network, until the next boot.
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";

/// When something happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The boot in which it happened.
    pub boot: String,
    /// Milliseconds since that boot.
    pub up_ms: i64,
    /// Milliseconds since 1970, according to the clock at that time.
    pub at_ms: i64,
}

impl Clock {
    /// The clock of this machine.
    pub fn new() -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Clock {
            boot: boot.trim().into(),
            jumped_ms: Arc::default(),
        }
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        kit::clock::now_ms() + self.jumped_ms.load(Ordering::Relaxed)
    }

    /// Whether it was set by the network since boot.
    pub fn is_right(&self) -> bool {
        Path::new(SYNCHRONIZED).exists()
    }

    /// Milliseconds since boot, suspension included.
    pub fn up_ms(&self) -> i64 {
        let now = clock_gettime(ClockId::Boottime);
        now.tv_sec * 1000 + now.tv_nsec / 1_000_000
    }

    /// When this boot began, in milliseconds since 1970; it changes when somebody sets the clock.
    pub fn booted_ms(&self) -> i64 {
        self.now_ms() - self.up_ms()
    }

    /// The identifier of this boot.
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// Now.
    pub fn moment(&self) -> Moment {
        Moment {
            boot: self.boot.to_string(),
            up_ms: self.up_ms(),
            at_ms: self.now_ms(),
        }
    }

    /// When that was, in milliseconds since 1970, as it is known today.
    pub fn told(&self, moment: &Moment) -> i64 {
        let corrected = self.booted_ms() + moment.up_ms;
        match moment.boot == *self.boot && (corrected - moment.at_ms).abs() >= SET_MS {
            true => corrected,
            false => moment.at_ms,
        }
    }

    /// By how much somebody has set the clock, in milliseconds, since this boot began at `booted_ms`.
    pub fn set_since(&self, booted_ms: i64) -> Option<i64> {
        let moved_ms = self.booted_ms() - booted_ms;
        (moved_ms.abs() >= SET_MS).then_some(moved_ms)
    }

    /// Sets this clock, but not the machine's, forward or back.
    pub fn jump(&self, by_ms: i64) {
        self.jumped_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR_MS: i64 = 365 * 86_400_000;

    #[test]
    fn what_happened_before_the_clock_was_set_is_told_by_the_clock_of_now() {
        let clock = Clock::new();
        let moment = clock.moment();
        clock.jump(7 * YEAR_MS);
        let moved = clock.told(&moment) - moment.at_ms;
        assert!((moved - 7 * YEAR_MS).abs() < 1000, "{moved}");
    }

    #[test]
    fn what_happened_in_another_boot_stays_as_it_was_told_then() {
        let clock = Clock::new();
        let moment = Moment {
            boot: "another".into(),
            up_ms: 5,
            at_ms: 1_700_000_000_000,
        };
        clock.jump(YEAR_MS);
        assert_eq!(clock.told(&moment), 1_700_000_000_000);
    }
}
