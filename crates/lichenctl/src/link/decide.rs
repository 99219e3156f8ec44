//! The decision: what to do about a network in which no gateway answers. Time is the kernel's, which no clock moves.

use back_off::back_off;
use protocol::link::Step;
use serde::Deserialize;
use std::time::Duration;

/// Connecting again and reloading the driver are tried for ever, and at least this often.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// Reboots that did not help are further and further apart, up to this.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// When what is done, in seconds after the gateway fell silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Patience {
    /// The device connects again.
    reconnect_after: u64,
    /// It loads the driver of the radio again.
    reload_driver_after: u64,
    /// It reboots; never if null.
    reboot_after: Option<u64>,
}

/// What is known of the gateways together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// One answers.
    Answers,
    /// None answers, or there is none.
    Silent,
    /// At this moment it cannot be said.
    Unknown,
}

/// A step that is due at some time, and again, less and less often.
#[derive(Clone, Copy, Debug)]
struct Level {
    after: Duration,
    due: Duration,
    times: u32,
}

impl Level {
    fn new(after: Duration, due: Duration) -> Self {
        Self {
            after,
            due,
            times: 0,
        }
    }

    fn take(&mut self, now: Duration) -> bool {
        let due = now >= self.due;
        if due {
            self.times += 1;
            self.due = now + back_off(self.after, self.times, LONGEST.max(self.after));
        }
        due
    }
}

/// The time since the last answer.
#[derive(Clone, Copy, Debug)]
struct Silence {
    since: Duration,
    reconnect: Level,
    reload: Level,
    reboot: Option<Level>,
    /// What was done last has until then to help.
    quiet_until: Duration,
    last: Option<Step>,
}

/// Decides, from one look at the gateways to the next.
#[derive(Clone, Debug)]
pub struct Healer {
    patience: Patience,
    silence: Option<Silence>,
}

impl Healer {
    /// At the start of the device nothing has been seen yet.
    pub fn new(patience: Patience) -> Self {
        Self {
            patience,
            silence: None,
        }
    }

    /// Since when no gateway has answered, if none does, and what was done last.
    pub fn silence(&self) -> Option<(Duration, Option<Step>)> {
        self.silence.map(|silence| (silence.since, silence.last))
    }

    /// What is due now. `radio`: whether there is a driver to load again. `reboots`: how many reboots in a row have not
    /// brought a gateway back; none if no reboot ever would, since none has answered yet.
    pub fn observe(
        &mut self,
        now: Duration,
        reach: Reach,
        radio: bool,
        reboots: Option<u32>,
    ) -> Option<Step> {
        match reach {
            Reach::Unknown => return None,
            Reach::Answers => {
                self.silence = None;
                return None;
            }
            Reach::Silent => {}
        }
        let begin = || self.patience.begin(now, reboots);
        let silence = self.silence.get_or_insert_with(begin);
        if now < silence.quiet_until {
            return None;
        }
        let reboot = silence.reboot.as_mut().is_some_and(|level| level.take(now));
        let step = if reboot {
            Step::Reboot
        } else if radio && silence.reload.take(now) {
            Step::ReloadDriver
        } else if silence.reconnect.take(now) {
            Step::Reconnect
        } else {
            return None;
        };
        silence.last = Some(step);
        silence.quiet_until = now + Duration::from_secs(self.patience.reconnect_after);
        Some(step)
    }
}

impl Patience {
    /// How often to look, so that nothing is late by much.
    pub fn look_every(self) -> Duration {
        Duration::from_secs(self.reconnect_after.div_ceil(4))
    }

    fn begin(self, now: Duration, reboots: Option<u32>) -> Silence {
        let seconds = Duration::from_secs;
        let level = |after| Level::new(seconds(after), now + seconds(after));
        let reboot = self.reboot_after.zip(reboots).map(|(after, in_vain)| {
            let after = seconds(after);
            let wait = back_off(after, in_vain.saturating_add(1), DAY.max(after));
            Level::new(after, now + wait)
        });
        Silence {
            since: now,
            reconnect: level(self.reconnect_after),
            reload: level(self.reload_driver_after),
            reboot,
            quiet_until: now,
            last: None,
        }
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
