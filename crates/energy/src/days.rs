//! Days: market days, which are 24 hours in UTC+10 all year, and days in the house's time zone, which have 23 or 25
//! hours when the clocks change.

use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan};

/// The time zone of market days, which has no daylight saving.
fn market_zone() -> TimeZone {
    TimeZone::fixed(Offset::constant(10))
}

/// The market day at a time.
pub fn market_day(seconds: i64) -> Date {
    at(seconds, &market_zone())
}

/// The start and end of a market day, in seconds since 1970.
pub fn market(day: Date) -> (i64, i64) {
    span(day, &market_zone())
}

/// The day in a time zone at a time.
pub fn at(seconds: i64, zone: &TimeZone) -> Date {
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    time.to_zoned(zone.clone()).date()
}

/// The start and end of a day in a time zone, in seconds since 1970.
pub fn span(day: Date, zone: &TimeZone) -> (i64, i64) {
    let start = |day: Date| {
        day.to_zoned(zone.clone())
            .map_or(0, |midnight| midnight.timestamp().as_second())
    };
    (start(day), start(after(day, 1)))
}

/// The day this many days later, or earlier.
pub fn after(day: Date, days: i64) -> Date {
    day.saturating_add(days.days())
}

/// Every day of `from..=to`.
pub fn every(from: Date, to: Date) -> impl Iterator<Item = Date> {
    from.series(1.day()).take_while(move |day| *day <= to)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn hours(day: Date, zone: &str) -> i64 {
        let (from, to) = span(day, &TimeZone::get(zone).unwrap());
        (to - from) / 3600
    }

    #[test]
    fn days_of_the_house_have_23_or_25_hours_when_its_clocks_are_changed() {
        assert_eq!(hours(date(2026, 10, 4), "Australia/Sydney"), 23);
        assert_eq!(hours(date(2026, 4, 5), "Australia/Sydney"), 25);
        assert_eq!(hours(date(2026, 10, 4), "Australia/Adelaide"), 23);
        assert_eq!(hours(date(2026, 10, 4), "Australia/Brisbane"), 24);
    }

    #[test]
    fn days_of_the_market_never_do() {
        for day in every(date(2026, 1, 1), date(2026, 12, 31)) {
            let (from, to) = market(day);
            assert_eq!(to - from, 86_400, "{day}");
            assert_eq!((market_day(from), market_day(to - 1)), (day, day));
        }
        // What Amber has for the 24th of September ends at 14:00 UTC.
        assert_eq!(market(date(2026, 9, 24)).1, 1_790_258_400);
    }

    #[test]
    fn a_time_is_of_the_day_that_the_house_has_then() {
        let sydney = TimeZone::get("Australia/Sydney").unwrap();
        // 13:30 UTC: half past midnight in summer, half past eleven for the market.
        assert_eq!(at(1_798_205_400, &sydney), date(2026, 12, 26));
        assert_eq!(market_day(1_798_205_400), date(2026, 12, 25));
    }
}
