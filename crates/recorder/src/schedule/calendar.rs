//! Calendar expressions in systemd's syntax: `Mon..Fri 08:00`, `*-*-01 22:30`, `daily`.
//!
//! It takes weekdays, months, days and times, each as numbers, lists (`,`), ranges (`..`), steps (`/`) or `*`. What else
//! systemd has (years, time zones, the last days of a month, fractions of a second) is refused by name.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};

/// How many steps a search takes at most: a step is a day, and the 29th of February can be 8 years away; within an hour that
/// summer time skips or repeats, it is a second.
const STEPS: usize = 8 * 366 + 2 * 3600;

/// The smallest step of an expression.
const SECOND: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

/// A calendar expression: a set of moments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    text: String,
    weekdays: Set,
    months: Set,
    days: Set,
    hours: Set,
    minutes: Set,
    seconds: Set,
}

/// A set of numbers below 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Set(u64);

impl Set {
    fn of(low: u32, high: u32) -> Set {
        Set((low..=high).fold(0, |bits, number| bits | 1 << number))
    }

    fn has(self, number: i8) -> bool {
        self.0 & 1 << number != 0
    }

    /// The largest number up to `limit`.
    fn last(self, limit: i8) -> Option<i8> {
        let below = u64::MAX >> (63 - limit);
        let bits = self.0 & below;
        (bits != 0).then(|| 63 - bits.leading_zeros() as i8)
    }

    /// The smallest number from `limit` on.
    fn first(self, limit: i8) -> Option<i8> {
        let bits = self.0 & u64::MAX << limit;
        (bits != 0).then(|| bits.trailing_zeros() as i8)
    }

    /// Parses `*`, numbers, lists, ranges and steps.
    fn parse(text: &str, what: &str, low: u32, high: u32) -> Result<Set, String> {
        let number = |text: &str| {
            let number: u32 = text.parse().map_err(|_| format!("`{text}` is no {what}"))?;
            let range = low..=high;
            let named = || format!("{number} is no {what}: it must be between {low} and {high}");
            range.contains(&number).then_some(number).ok_or_else(named)
        };
        let mut bits = 0;
        for item in text.split(',') {
            let (span, step) = match item.split_once('/') {
                Some((span, step)) => (span, Some(step)),
                None => (item, None),
            };
            let (from, to) = match span.split_once("..") {
                Some((from, to)) => (number(from)?, number(to)?),
                None if span == "*" => (low, high),
                None if step.is_some() => (number(span)?, high),
                None => (number(span)?, number(span)?),
            };
            if from > to {
                return Err(format!("`{span}` runs backwards"));
            }
            let step: usize = match step.map(str::parse) {
                None => 1,
                Some(Ok(step)) if step > 0 => step,
                Some(_) => return Err(format!("`{item}` has no step such as /2")),
            };
            bits = (from..=to)
                .step_by(step)
                .fold(bits, |bits, number| bits | 1 << number);
        }
        Ok(Set(bits))
    }

    fn weekdays(text: &str) -> Result<Set, String> {
        const NAMES: [&str; 7] = [
            "monday",
            "tuesday",
            "wednesday",
            "thursday",
            "friday",
            "saturday",
            "sunday",
        ];
        let day = |text: &str| {
            let name = text.to_ascii_lowercase();
            let found = NAMES
                .iter()
                .position(|full| *full == name || full[..3] == *name);
            found
                .map(|day| day as u32)
                .ok_or_else(|| format!("`{text}` is not a weekday such as Mon"))
        };
        let mut bits = 0;
        for item in text.split(',') {
            let (from, to) = item.split_once("..").unwrap_or((item, item));
            let (from, to) = (day(from)?, day(to)?);
            if from > to {
                return Err(format!("`{item}` runs backwards"));
            }
            bits |= Set::of(from, to).0;
        }
        Ok(Set(bits))
    }
}

impl FromStr for Calendar {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut calendar = Calendar {
            text: text.into(),
            weekdays: Set::of(0, 6),
            months: Set::of(1, 12),
            days: Set::of(1, 31),
            hours: Set::of(0, 0),
            minutes: Set::of(0, 0),
            seconds: Set::of(0, 0),
        };
        calendar
            .fill(expanded(text.trim()))
            .map_err(|problem| format!("`{text}`: {problem}"))?;
        Ok(calendar)
    }
}

/// What a word such as `daily` means.
fn expanded(text: &str) -> &str {
    match text {
        "minutely" => "*:*",
        "hourly" => "*:00",
        "daily" => "00:00",
        "weekly" => "Mon 00:00",
        "monthly" => "*-*-01 00:00",
        "quarterly" => "*-01,04,07,10-01 00:00",
        "semiannually" => "*-01,07-01 00:00",
        "yearly" | "annually" => "*-01-01 00:00",
        other => other,
    }
}

impl Calendar {
    fn fill(&mut self, text: &str) -> Result<(), String> {
        let mut words = text.split_whitespace().peekable();
        if words.peek().is_none() {
            return Err("an expression such as `Mon..Fri 08:00` is needed".into());
        }
        let letters = |word: &&str| word.starts_with(|letter: char| letter.is_ascii_alphabetic());
        if let Some(weekdays) = words.next_if(letters) {
            self.weekdays = Set::weekdays(weekdays.trim_end_matches(','))?;
        }
        if let Some(date) = words.next_if(|word| word.contains('-') && !word.contains(':')) {
            self.date(date)?;
        }
        if let Some(time) = words.next_if(|word| word.contains(':')) {
            self.time(time)?;
        }
        match words.next() {
            None => Ok(()),
            Some(word) if letters(&word) => Err(format!(
                "`{word}`: a time zone is set for the whole schedule"
            )),
            Some(word) => Err(format!("`{word}` is neither a date nor a time")),
        }
    }

    fn date(&mut self, text: &str) -> Result<(), String> {
        if text.contains('~') {
            return Err("days counted from the end of a month (~) are not supported".into());
        }
        let fields: Vec<&str> = text.split('-').collect();
        let (month, day) = match *fields {
            ["*", month, day] | [month, day] => (month, day),
            [year, _, _] => return Err(format!("a year ({year}) is not supported: use *")),
            _ => return Err(format!("`{text}` is not a date such as *-*-01")),
        };
        self.months = Set::parse(month, "month", 1, 12)?;
        self.days = Set::parse(day, "day", 1, 31)?;
        // A day that never comes would be searched for in vain.
        let longest = |month: i8| match month {
            2 => 29,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let comes = |month: i8| self.days.first(1).is_some_and(|day| day <= longest(month));
        match (1..=12).any(|month| self.months.has(month) && comes(month)) {
            true => Ok(()),
            false => Err(format!("`{text}` never comes")),
        }
    }

    fn time(&mut self, text: &str) -> Result<(), String> {
        let fields: Vec<&str> = text.split(':').collect();
        let (hour, minute, second) = match *fields {
            [hour, minute] => (hour, minute, "0"),
            [hour, minute, second] => (hour, minute, second),
            _ => return Err(format!("`{text}` is not a time such as 08:00")),
        };
        // Two dots are a range, one is a fraction.
        if second.replace("..", "").contains('.') {
            return Err("fractions of a second are not supported".into());
        }
        self.hours = Set::parse(hour, "hour", 0, 23)?;
        self.minutes = Set::parse(minute, "minute", 0, 59)?;
        self.seconds = Set::parse(second, "second", 0, 59)?;
        Ok(())
    }

    fn on(&self, date: Date) -> bool {
        let weekday = date.weekday().to_monday_zero_offset();
        self.weekdays.has(weekday) && self.months.has(date.month()) && self.days.has(date.day())
    }

    /// The last moment up to `now`.
    pub fn last(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut limit = zone.to_datetime(now);
        // In an hour that is repeated, local times that look later have been.
        if let Ok(first) = zone.to_timestamp(limit)
            && first < now
        {
            limit = limit.checked_add(now.duration_since(first)).ok()?;
        }
        let mut latest = None;
        for _ in 0..STEPS {
            let found = self.on(limit.date()).then(|| self.last_time(limit.time()));
            let Some(time) = found.flatten() else {
                limit = limit.date().yesterday().ok()?.at(23, 59, 59, 0);
                continue;
            };
            let at = DateTime::from_parts(limit.date(), time);
            if let Ok(moment) = zone.to_timestamp(at)
                && moment <= now
            {
                latest = latest.max(Some(moment));
                // A local time that was skipped looks earlier than the others, and may have come later.
                if skipped_at(moment, zone).is_none() {
                    break;
                }
            }
            limit = at.checked_sub(SECOND).ok()?;
        }
        latest
    }

    /// The first moment after `now`.
    pub fn next(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        // In an hour after others were skipped, local times that look earlier are still to come.
        let from = skipped_at(now, zone).unwrap_or_else(|| zone.to_datetime(now));
        let mut limit = from.checked_add(SECOND).ok()?;
        let mut earliest: Option<Timestamp> = None;
        for _ in 0..STEPS {
            let found = self.on(limit.date()).then(|| self.first_time(limit.time()));
            let Some(time) = found.flatten() else {
                limit = limit.date().tomorrow().ok()?.at(0, 0, 0, 0);
                continue;
            };
            let at = DateTime::from_parts(limit.date(), time);
            if let Ok(moment) = zone.to_timestamp(at)
                && moment > now
            {
                earliest = Some(earliest.map_or(moment, |earliest| earliest.min(moment)));
                // One that is skipped comes later than it says; others may come before it.
                if !is_skipped(at, zone) {
                    break;
                }
            }
            limit = at.checked_add(SECOND).ok()?;
        }
        earliest
    }

    fn last_time(&self, limit: Time) -> Option<Time> {
        let (mut hour, mut minute, mut second) = (limit.hour(), limit.minute(), limit.second());
        loop {
            let found = self.hours.last(hour)?;
            if found < hour {
                (minute, second) = (59, 59);
            }
            hour = found;
            if let Some(found) = self.minutes.last(minute) {
                if found < minute {
                    second = 59;
                }
                minute = found;
                match self.seconds.last(second) {
                    Some(second) => return Time::new(hour, minute, second, 0).ok(),
                    None if minute > 0 => {
                        (minute, second) = (minute - 1, 59);
                        continue;
                    }
                    None => {}
                }
            }
            if hour == 0 {
                return None;
            }
            (hour, minute, second) = (hour - 1, 59, 59);
        }
    }

    fn first_time(&self, limit: Time) -> Option<Time> {
        let (mut hour, mut minute, mut second) = (limit.hour(), limit.minute(), limit.second());
        loop {
            let found = self.hours.first(hour)?;
            if found > hour {
                (minute, second) = (0, 0);
            }
            hour = found;
            if let Some(found) = self.minutes.first(minute) {
                if found > minute {
                    second = 0;
                }
                minute = found;
                match self.seconds.first(second) {
                    Some(second) => return Time::new(hour, minute, second, 0).ok(),
                    None if minute < 59 => {
                        (minute, second) = (minute + 1, 0);
                        continue;
                    }
                    None => {}
                }
            }
            if hour == 23 {
                return None;
            }
            (hour, minute, second) = (hour + 1, 0, 0);
        }
    }
}

/// The local time that summer time skipped and that comes at this moment instead, if there is one.
fn skipped_at(moment: Timestamp, zone: &TimeZone) -> Option<DateTime> {
    let set = zone.preceding(moment + SECOND).next()?;
    let unset = zone.to_offset(set.timestamp() - SECOND).to_datetime(moment);
    let comes = zone.to_timestamp(unset).ok();
    (is_skipped(unset, zone) && comes == Some(moment)).then_some(unset)
}

/// Whether clocks never show this local time, because summer time skips it.
fn is_skipped(local: DateTime, zone: &TimeZone) -> bool {
    let offset = zone.to_ambiguous_timestamp(local).offset();
    matches!(offset, AmbiguousOffset::Gap { .. })
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for Calendar {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
