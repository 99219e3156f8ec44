//! What Amber publishes by the day: which days are still to be asked for.
//!
//! A day is settled when all of it is there for good. One that never will be (before the account began, a meter that
//! was not read) is let go once it is old enough, so that nothing is asked for for ever.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::days;

/// Amber answers for no more at a time.
const WEEK: i64 = 7;
/// Meters are read late, and guesses are corrected, within this time.
const PATIENCE: i64 = 14;

/// How far one kind of data is settled.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Backlog {
    /// Everything up to this day is settled or let go.
    through: Option<Date>,
}

impl Backlog {
    /// The days to ask for next, of `first..=last`, given those that are settled already.
    pub fn next(
        &mut self,
        first: Date,
        last: Date,
        settled: &BTreeSet<Date>,
    ) -> Option<(Date, Date)> {
        self.pass(first, last, settled);
        let from = self.from(first);
        (from <= last).then(|| (from, last.min(days::after(from, WEEK - 1))))
    }

    /// These days were asked for.
    pub fn had(&mut self, week: (Date, Date), today: Date, settled: &BTreeSet<Date>) {
        let old = days::after(today, -PATIENCE);
        for day in days::every(week.0, week.1) {
            if day > old && !settled.contains(&day) {
                break;
            }
            self.through = Some(day);
        }
    }

    fn pass(&mut self, first: Date, last: Date, settled: &BTreeSet<Date>) {
        while self.from(first) <= last && settled.contains(&self.from(first)) {
            self.through = Some(self.from(first));
        }
    }

    fn from(&self, first: Date) -> Date {
        let next = self.through.map(|through| days::after(through, 1));
        next.map_or(first, |next| next.max(first))
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    const TODAY: Date = date(2026, 11, 25);

    /// Asks until there is nothing more to ask for now; the weeks it asked for.
    fn asked(backlog: &mut Backlog, settled: &BTreeSet<Date>) -> Vec<(Date, Date)> {
        let mut weeks = Vec::new();
        while let Some(week) = backlog.next(days::after(TODAY, -30), TODAY, settled) {
            assert!(weeks.len() < 20, "for ever: {weeks:?}");
            weeks.push(week);
            backlog.had(week, TODAY, settled);
            if week.1 == TODAY {
                break;
            }
            if weeks.len() > 1 && weeks[weeks.len() - 2] == week {
                break;
            }
        }
        weeks
    }

    #[test]
    fn the_past_is_asked_for_week_by_week_and_only_once() {
        let all: BTreeSet<Date> = days::every(date(2026, 10, 1), date(2026, 11, 24)).collect();
        let mut backlog = Backlog::default();
        assert_eq!(
            asked(&mut backlog, &BTreeSet::new())[0],
            (date(2026, 10, 26), date(2026, 11, 1))
        );
        let mut backlog = Backlog::default();
        assert_eq!(
            asked(&mut backlog, &all),
            [(TODAY, TODAY)],
            "only today is not settled"
        );
    }

    #[test]
    fn days_that_never_come_are_let_go_when_they_are_old() {
        let mut backlog = Backlog::default();
        let weeks = asked(&mut backlog, &BTreeSet::new());
        assert_eq!(weeks.last().unwrap().0, date(2026, 11, 12), "{weeks:?}");
    }

    #[test]
    fn a_day_that_is_missing_is_asked_for_until_it_comes() {
        let mut settled: BTreeSet<Date> =
            days::every(date(2026, 10, 1), date(2026, 11, 24)).collect();
        settled.remove(&date(2026, 11, 20));
        let mut backlog = Backlog::default();
        assert_eq!(asked(&mut backlog, &settled), [(date(2026, 11, 20), TODAY)]);
        assert_eq!(asked(&mut backlog, &settled), [(date(2026, 11, 20), TODAY)]);
        settled.insert(date(2026, 11, 20));
        assert_eq!(asked(&mut backlog, &settled), [(TODAY, TODAY)]);
    }

    #[test]
    fn it_outlives_a_restart() {
        let backlog = Backlog {
            through: Some(TODAY),
        };
        let text = serde_json::to_string(&backlog).unwrap();
        assert_eq!(text, "\"2026-11-25\"");
        assert_eq!(serde_json::from_str::<Backlog>(&text).unwrap(), backlog);
    }
}
