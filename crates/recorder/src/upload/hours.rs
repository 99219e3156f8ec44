//! The hours in which uploads may run, in the device's time zone, and when the next day begins where YouTube counts.

use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan, Zoned};
use serde::Deserialize;

/// Hours of a day. They may include midnight: from 22:00 to 06:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Hours {
    from: Time,
    to: Time,
}

/// Hours as they are written in the configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    from: String,
    to: String,
}

impl TryFrom<Written> for Hours {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let time = |text: &str| {
            Time::strptime("%H:%M", text)
                .map_err(|_| format!("{text} is not a time of day such as 22:00"))
        };
        let (from, to) = (time(&written.from)?, time(&written.to)?);
        match from == to {
            true => Err("to: must differ from `from`".into()),
            false => Ok(Hours { from, to }),
        }
    }
}

impl Hours {
    /// The time until uploads may run; none if they may run at `now`.
    pub fn opens_in(&self, now: &Zoned) -> Option<Duration> {
        let time = now.time();
        let is_open = match self.from < self.to {
            true => (self.from..self.to).contains(&time),
            false => time >= self.from || time < self.to,
        };
        if is_open {
            return None;
        }
        let today = now.date().to_datetime(self.from);
        let due = match time < self.from {
            true => Some(today),
            false => today.checked_add(1.day()).ok(),
        };
        let due = due.and_then(|due| due.to_zoned(now.time_zone().clone()).ok());
        Some(due.map_or(Duration::from_secs(3600), |due| until(now, &due)))
    }
}

/// The current time in the device's time zone.
pub fn now() -> Zoned {
    timestamp().to_zoned(TimeZone::system())
}

/// The time until the next day begins on the west coast of America, where YouTube counts quotas.
pub fn until_quota_is_renewed() -> Duration {
    // Without a database of time zones, winter time: an hour late in summer, and never too early.
    let zone = TimeZone::get("America/Los_Angeles")
        .unwrap_or_else(|_| TimeZone::fixed(Offset::constant(-8)));
    until_midnight(&timestamp().to_zoned(zone))
}

fn until_midnight(now: &Zoned) -> Duration {
    let midnight = now.tomorrow().and_then(|day| day.start_of_day());
    midnight.map_or(Duration::from_secs(86_400), |midnight| {
        until(now, &midnight)
    })
}

fn until(now: &Zoned, then: &Zoned) -> Duration {
    let left = now.duration_until(then);
    Duration::try_from(left).unwrap_or_default()
}

fn timestamp() -> Timestamp {
    Timestamp::from_millisecond(kit::clock::now_ms()).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Zoned {
        let time: jiff::civil::DateTime = text.parse().unwrap();
        time.to_zoned(TimeZone::fixed(Offset::constant(1))).unwrap()
    }

    fn hours(from: &str, to: &str) -> Hours {
        let written = Written {
            from: from.into(),
            to: to.into(),
        };
        Hours::try_from(written).unwrap()
    }

    #[test]
    fn hours_may_include_midnight() {
        let (night, day) = (hours("22:00", "06:00"), hours("08:30", "17:00"));
        for (hours, now, minutes) in [
            (night, "2026-11-30T21:59:00", Some(1)),
            (night, "2026-11-30T22:00:00", None),
            (night, "2026-11-30T23:59:59", None),
            (night, "2026-12-01T05:59:00", None),
            (night, "2026-12-01T06:00:00", Some(16 * 60)),
            (day, "2026-11-30T08:00:00", Some(30)),
            (day, "2026-11-30T08:30:00", None),
            (day, "2026-11-30T17:00:00", Some(15 * 60 + 30)),
        ] {
            let expected = minutes.map(|minutes| Duration::from_secs(60 * minutes));
            assert_eq!(hours.opens_in(&at(now)), expected, "{now}");
        }
    }

    #[test]
    fn the_next_day_begins_at_midnight() {
        let left = until_midnight(&at("2026-11-30T23:00:00"));
        assert_eq!(left, Duration::from_secs(3600));
        assert!(until_quota_is_renewed() <= Duration::from_secs(25 * 3600));
    }
}
