//! The hours in which uploads may run, in the device's time zone, and when the next day begins where YouTube counts.

use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan, Zoned};
use serde::Deserialize;

/// When to look again if it cannot be said when the hours begin.
const LATER: Duration = Duration::from_secs(3600);

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
    /// Whether uploads may run at `now`.
    pub fn is_open(&self, now: &Zoned) -> bool {
        let time = now.time();
        match self.from < self.to {
            true => (self.from..self.to).contains(&time),
            false => time >= self.from || time < self.to,
        }
    }

    /// The time until uploads may run; none if they may run at `now`.
    pub fn opens_in(&self, now: &Zoned) -> Option<Duration> {
        if self.is_open(now) {
            return None;
        }
        // They open when clocks show so, or when clocks are set to a time within them. Where clocks are set back, they show a time
        // twice, and where they are set forward, perhaps only on the day after tomorrow.
        let zone = now.time_zone();
        let days = now.date().series(1.day()).take(3);
        let shown = days.flat_map(|day| {
            let shown = zone.to_ambiguous_zoned(day.to_datetime(self.from));
            [shown.clone().earlier(), shown.later()].map(Result::ok)
        });
        let set = zone.following(now.timestamp()).take(1);
        let set = set.map(|set| Some(set.timestamp().to_zoned(zone.clone())));
        let opens = shown.chain(set).flatten();
        let next = opens.filter(|at| at > now && self.is_open(at)).min();
        Some(next.map_or(LATER, |next| until(now, &next)))
    }
}

/// A moment in the device's time zone.
pub fn local(ms: i64) -> Zoned {
    timestamp(ms).to_zoned(TimeZone::system())
}

/// The time until the next day begins on the west coast of America, where YouTube counts quotas.
pub fn until_quota_is_renewed() -> Duration {
    // Without a database of time zones, winter time: an hour late in summer, and never too early.
    let zone = TimeZone::get("America/Los_Angeles")
        .unwrap_or_else(|_| TimeZone::fixed(Offset::constant(-8)));
    until_midnight(&timestamp(kit::clock::now_ms()).to_zoned(zone))
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

fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
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

    /// Each minute of the two days around a moment at which clocks are set, in a zone.
    fn days_around(moment: &str, zone: &str) -> Vec<Zoned> {
        let zone = TimeZone::get(zone).unwrap();
        let moment: Timestamp = moment.parse().unwrap();
        let minutes = (-24 * 60..24 * 60).map(|minute: i64| moment + minute.minutes());
        minutes.map(|at| at.to_zoned(zone.clone())).collect()
    }

    #[test]
    fn where_clocks_are_set_hours_open_when_they_show_so() {
        for (moment, zone) in [
            ("2026-03-29T01:00:00Z", "Europe/Berlin"),
            ("2026-10-25T01:00:00Z", "Europe/Berlin"),
            ("2026-03-08T07:00:00Z", "America/New_York"),
            ("2026-11-01T06:00:00Z", "America/New_York"),
            // Half an hour.
            ("2026-04-04T15:00:00Z", "Australia/Lord_Howe"),
            ("2026-10-03T15:30:00Z", "Australia/Lord_Howe"),
            // At midnight.
            ("2026-04-05T03:00:00Z", "America/Santiago"),
            ("2026-09-06T04:00:00Z", "America/Santiago"),
        ] {
            let days = days_around(moment, zone);
            for (from, to) in [
                ("01:30", "02:15"),
                ("02:30", "02:45"),
                ("01:45", "01:15"),
                ("02:15", "01:30"),
                ("23:15", "00:30"),
                ("00:15", "23:45"),
                ("12:00", "18:00"),
            ] {
                let hours = hours(from, to);
                let mut next: Option<&Zoned> = None;
                for now in days.iter().rev() {
                    let opens = hours.opens_in(now);
                    let expected = next.map(|next| until(now, next));
                    match opens {
                        None => next = Some(now),
                        Some(opens) if expected.is_some() => {
                            assert_eq!(Some(opens), expected, "{from} to {to} at {now}");
                        }
                        Some(opens) => assert!(!opens.is_zero(), "{from} to {to} at {now}"),
                    }
                }
            }
        }
    }

    #[test]
    fn the_next_day_begins_at_midnight() {
        let left = until_midnight(&at("2026-11-30T23:00:00"));
        assert_eq!(left, Duration::from_secs(3600));
        assert!(until_quota_is_renewed() <= Duration::from_secs(25 * 3600));
    }
}
