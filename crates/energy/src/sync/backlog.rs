//! What Amber publishes by the day: which days are still to be asked for.
//!
//! The newest comes first, as it is what people look at; a round goes down from there, a week at a time, over as many
//! runs as that takes, and never back up before it is over or another day begins.
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

/// Which days of one kind of data are not to be asked for (again).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Backlog {
    /// Old days that were asked for in vain.
    let_go: BTreeSet<Date>,
    /// The newest day when the round that is under way began, and the oldest that it has asked for.
    round: Option<(Date, Date)>,
}

impl Backlog {
    /// The days to ask for next, of `first..=last`, given those that are settled already; none if the round is over.
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

    /// These days, of those until `last`, were answered, and those of them are `settled` now.
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

    /// A round: the weeks that were asked for, with `answered` settled by that.
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
