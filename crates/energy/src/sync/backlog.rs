//! Data that Amber publishes by the day: decides which days still have to be requested.
//!
//! The newest days come first, because people look at them. A round goes backwards from there, one week at a time over
//! several runs, and starts again at the newest day only when it is finished or a new day begins.
//!
//! A day is settled when all of its data are complete and final. A day that will never be settled (before the account
//! began, or with an unread meter) is given up once it is old enough, so that it is not requested forever.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::days;

/// The most days in one request to Amber.
const WEEK: i64 = 7;
/// Within this time, meters may be read late and estimates corrected.
const PATIENCE: i64 = 14;

/// The progress for one kind of data: days that need not be requested (again).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Backlog {
    /// Old days that were requested without getting settled.
    let_go: BTreeSet<Date>,
    /// The newest day when the current round began, and the oldest day that it has requested.
    round: Option<(Date, Date)>,
}

impl Backlog {
    /// The next days to request of `first..=last`, given the days that are already settled; none if the round is
    /// finished.
    pub fn next(
        &mut self,
        first: Date,
        last: Date,
        settled: &BTreeSet<Date>,
    ) -> Option<(Date, Date)> {
        self.let_go = self.let_go.split_off(&first);
        self.round = self.round.filter(|(newest, _)| *newest == last);
        let below = self.round.map_or(last, |(_, asked)| days::after(asked, -1));
        let open = |day: &Date| !settled.contains(day) && !self.let_go.contains(day);
        let mut newest_first = days::every(first, below)
            .collect::<Vec<_>>()
            .into_iter()
            .rev();
        let Some(to) = newest_first.find(open) else {
            self.round = None;
            return None;
        };
        let week = days::every(days::after(to, 1 - WEEK).max(first), to);
        let from = week.into_iter().find(open).unwrap_or(to);
        Some((from, to))
    }

    /// Records that these days, of those up to `last`, were answered, and that `settled` of them are settled now.
    pub fn had(&mut self, week: (Date, Date), last: Date, settled: &BTreeSet<Date>) {
        self.round = Some((last, week.0));
        let young = days::after(last, -PATIENCE);
        let in_vain = days::every(week.0, week.1).filter(|day| !settled.contains(day));
        self.let_go.extend(in_vain.take_while(|day| *day <= young));
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    const TODAY: Date = date(2026, 11, 25);

    /// Runs a round: returns the requested weeks; `answered` days get settled by the answers.
    fn round(
        backlog: &mut Backlog,
        settled: &mut BTreeSet<Date>,
        answered: &BTreeSet<Date>,
    ) -> Vec<(Date, Date)> {
        let mut weeks = Vec::new();
        while let Some(week) = backlog.next(days::after(TODAY, -30), TODAY, settled) {
            assert!(weeks.len() < 20, "for ever: {weeks:?}");
            weeks.push(week);
            settled.extend(days::every(week.0, week.1).filter(|day| answered.contains(day)));
            backlog.had(week, TODAY, settled);
        }
        weeks
    }

    fn until_yesterday() -> BTreeSet<Date> {
        days::every(date(2026, 10, 1), date(2026, 11, 24)).collect()
    }

    #[test]
    fn the_newest_week_is_asked_for_first_and_every_day_once() {
        let (mut backlog, mut settled) = (Backlog::default(), BTreeSet::new());
        let weeks = round(&mut backlog, &mut settled, &until_yesterday());
        assert_eq!(weeks[0], (date(2026, 11, 19), TODAY));
        assert_eq!(weeks[1], (date(2026, 11, 12), date(2026, 11, 18)));
        let mut asked: Vec<Date> = (weeks.iter())
            .flat_map(|week| days::every(week.0, week.1))
            .collect();
        asked.sort();
        assert!(
            asked
                .into_iter()
                .eq(days::every(days::after(TODAY, -30), TODAY))
        );
        let weeks = round(&mut backlog, &mut settled, &until_yesterday());
        assert_eq!(weeks, [(TODAY, TODAY)], "only today is not settled");
    }

    #[test]
    fn a_round_goes_on_in_the_next_run_and_begins_anew_with_another_day() {
        let (mut backlog, settled) = (Backlog::default(), BTreeSet::new());
        let first = days::after(TODAY, -30);
        let week = backlog.next(first, TODAY, &settled).unwrap();
        assert_eq!(
            backlog.next(first, TODAY, &settled),
            Some(week),
            "it had no answer"
        );
        backlog.had(week, TODAY, &settled);
        let text = serde_json::to_string(&backlog).unwrap();
        let mut backlog: Backlog = serde_json::from_str(&text).unwrap();
        let second = backlog.next(first, TODAY, &settled).unwrap();
        assert_eq!(second, (date(2026, 11, 12), date(2026, 11, 18)));
        let tomorrow = days::after(TODAY, 1);
        assert_eq!(backlog.next(first, tomorrow, &settled).unwrap().1, tomorrow);
    }

    #[test]
    fn days_that_never_come_are_let_go_when_they_are_old() {
        let (mut backlog, nothing) = (Backlog::default(), BTreeSet::new());
        let weeks = round(&mut backlog, &mut nothing.clone(), &nothing);
        assert_eq!(weeks.last().unwrap().0, days::after(TODAY, -30));
        let weeks = round(&mut backlog, &mut nothing.clone(), &nothing);
        assert_eq!(weeks.last().unwrap().0, date(2026, 11, 12), "{weeks:?}");
    }

    #[test]
    fn a_day_that_is_missing_is_asked_for_until_it_comes() {
        let mut settled = until_yesterday();
        settled.remove(&date(2026, 11, 20));
        let (mut backlog, nothing) = (Backlog::default(), BTreeSet::new());
        for _ in 0..2 {
            let weeks = round(&mut backlog, &mut settled, &nothing);
            assert_eq!(weeks, [(date(2026, 11, 20), TODAY)]);
        }
        settled.insert(date(2026, 11, 20));
        let weeks = round(&mut backlog, &mut settled, &nothing);
        assert_eq!(weeks, [(TODAY, TODAY)]);
    }
}
