//! When a recording is wanted: by the schedule, or by somebody who said so later.
//!
//! Nothing has to be awake at the moment when a window opens: at any time the schedule tells whether a recording should be
//! running. So a device that boots within a window records, and a clock that jumps is no special case.

mod calendar;

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

pub use calendar::Calendar;

use crate::clock::{Clock, Moment};
use crate::machine::By;

kit::settings! {
    /// When to record without being asked.
    pub struct ScheduleSettings {
        /// Whether to record at all times.
        pub always: bool = false;
        /// The windows of time in which to record.
        pub windows: Vec<Window> = Vec::new();
        /// The time zone of the windows, such as Europe/Berlin [default: the device's].
        pub time_zone: Option<String> = None;
    }
}

/// A window of time in which to record.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// When it opens, such as `Mon..Fri 08:00`.
    pub start: Calendar,
    /// When it closes, such as `Mon..Fri 22:00`.
    pub stop: Calendar,
}

impl ScheduleSettings {
    /// The first invalid setting, named by its field.
    pub fn check(&self) -> Result<(), String> {
        self.zone().map(drop)?;
        if self.always && !self.windows.is_empty() {
            return Err("windows: must be empty when `always` is set".into());
        }
        for (index, window) in self.windows.iter().enumerate() {
            if window.start == window.stop {
                return Err(format!("windows[{index}]: opens and closes at once"));
            }
        }
        Ok(())
    }

    fn zone(&self) -> Result<TimeZone, String> {
        match &self.time_zone {
            None => Ok(TimeZone::try_system().unwrap_or(TimeZone::UTC)),
            Some(name) => TimeZone::get(name).map_err(|_| {
                format!("time_zone: `{name}` is not a time zone; use a name such as Europe/Berlin")
            }),
        }
    }
}

/// The schedule, in its time zone.
#[derive(Debug, Clone)]
pub struct Schedule {
    always: bool,
    windows: Vec<Window>,
    zone: TimeZone,
}

/// A wish: what somebody said last, with a button or over HTTP. It holds until the schedule speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Whether a recording is wanted.
    pub on: bool,
    /// Who said so.
    pub by: By,
    /// When.
    pub at: Moment,
}

impl Wish {
    /// When it was given, as far as this clock can tell. A time that is still to come was told by a clock that was wrong, and
    /// counts as `known`, the moment at which this run of the service learned of the wish: it was given no later than that.
    pub fn given_ms(&self, known: &Moment, clock: &Clock) -> i64 {
        match self.is_to_come(clock) {
            true => clock.told(known),
            false => clock.told(&self.at),
        }
    }

    /// Whether its time is still to come.
    pub fn is_to_come(&self, clock: &Clock) -> bool {
        clock.told(&self.at) > clock.now_ms()
    }
}

/// What the schedule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    on: bool,
    /// Since when.
    since_ms: i64,
}

impl Schedule {
    /// The schedule of these settings. A time zone that this device does not have is UTC.
    pub fn new(settings: &ScheduleSettings) -> Self {
        Schedule {
            always: settings.always,
            windows: settings.windows.clone(),
            zone: settings.zone().unwrap_or(TimeZone::UTC),
        }
    }

    /// Whether a recording should be running: the schedule and whoever said at a time whether there should be one are believed
    /// by who spoke last. A window that opens or closes speaks at that moment; a schedule for all times speaks at each midnight.
    pub fn wants(&self, wish: Option<(bool, i64)>, now_ms: i64) -> bool {
        wanted(self.plan(now_ms), wish)
    }

    /// Whether the schedule has spoken after this time.
    pub fn has_spoken_since(&self, ms: i64, now_ms: i64) -> bool {
        self.plan(now_ms).is_some_and(|plan| plan.since_ms > ms)
    }

    fn plan(&self, now_ms: i64) -> Option<Plan> {
        let now = Timestamp::from_millisecond(now_ms).ok()?;
        if self.always {
            let today = self.zone.to_datetime(now).date();
            let midnight = self.zone.to_timestamp(today.to_datetime(Time::midnight()));
            let since_ms = midnight.map_or(now_ms, Timestamp::as_millisecond);
            return Some(Plan { on: true, since_ms });
        }
        let edges = self.windows.iter().map(|window| {
            let start = window.start.last(now, &self.zone);
            let stop = window.stop.last(now, &self.zone);
            (start > stop, start.max(stop))
        });
        let plans = edges.filter_map(|(on, since)| {
            let since_ms = since?.as_millisecond();
            Some(Plan { on, since_ms })
        });
        plans.reduce(|a, b| Plan {
            on: a.on || b.on,
            since_ms: a.since_ms.max(b.since_ms),
        })
    }

    /// When the next window opens, in milliseconds since 1970.
    pub fn next_start_ms(&self, now_ms: i64) -> Option<i64> {
        let now = Timestamp::from_millisecond(now_ms).ok()?;
        let starts = self.windows.iter();
        let next = starts.filter_map(|window| window.start.next(now, &self.zone));
        next.min().map(Timestamp::as_millisecond)
    }
}

fn wanted(plan: Option<Plan>, wish: Option<(bool, i64)>) -> bool {
    match (plan, wish) {
        (Some(plan), Some((on, at_ms))) if at_ms >= plan.since_ms => on,
        (Some(plan), _) => plan.on,
        (None, Some((on, _))) => on,
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests;
