//! Selects the slow stories that continuous integration runs today.

use crate::ui;
use std::time::Duration;

/// The number of parts, one for each day in turn.
const PARTS: u64 = 10;
const DAY: u64 = 24 * 3600;

/// A slow story, and when it last ran on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slow {
    /// Its name.
    pub name: String,
    /// The time in seconds since 1970, if it ever ran here.
    pub ran: Option<u64>,
    /// Whether it was put off since.
    pub put_off: bool,
    /// Whether it is green on the same bytes, so that it need not run.
    pub stands: bool,
}

/// The stories whose turn it is, the most urgent first: what was put off, then the part that is due now, then as many of
/// those that have not run here for the longest time, and not today.
///
/// The part depends only on the date and the time of day, so machines without memory run all parts in turn, and several
/// runs in a day run several parts. The others are for a machine with memory that works only on some days.
pub fn turn(mut slow: Vec<Slow>, now: u64) -> Vec<String> {
    slow.sort_by(|a, b| a.name.cmp(&b.name));
    let part = (now / DAY + now % DAY / (DAY / PARTS)) % PARTS;
    // The first run on a machine has no records, and the tenth run after it must be the last to cover everything.
    let more = slow.len().div_ceil(PARTS as usize - 1);
    // A story that never ran counts as the oldest.
    let since = slow.iter().filter_map(|slow| slow.ran).min().unwrap_or(now);
    let slow = slow.iter().enumerate().filter(|(_, slow)| !slow.stands);
    let (due, mut others): (Vec<_>, Vec<_>) =
        slow.partition(|(number, slow)| slow.put_off || *number as u64 % PARTS == part);
    let (mut urgent, due): (Vec<_>, Vec<_>) = due.into_iter().partition(|(_, slow)| slow.put_off);
    urgent.sort_by_key(|(_, slow)| slow.ran);
    others.retain(|(_, slow)| now.saturating_sub(slow.ran.unwrap_or(since)) >= DAY);
    others.sort_by_key(|(_, slow)| slow.ran);
    others.truncate(more);
    let turn = urgent.into_iter().chain(due).chain(others);
    turn.map(|(_, slow)| slow.name.clone()).collect()
}

/// Why a story is put off that would not end in time.
pub fn late(takes: Duration, left: Duration) -> String {
    let [takes, left] = [takes, left].map(ui::duration);
    format!("it should take {takes}, and {left} is left")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const STORIES: usize = 37;

    fn stories(ran: &BTreeMap<String, u64>) -> Vec<Slow> {
        let slow = |n| {
            let name = format!("story {n}");
            let ran = ran.get(&name).copied();
            Slow {
                name,
                ran,
                put_off: false,
                stands: false,
            }
        };
        (0..STORIES).map(slow).collect()
    }

    #[test]
    fn ten_days_in_a_row_tell_every_story_on_machines_that_remember_nothing() {
        for first in [0, 3, 20_417] {
            let parts =
                (first..first + 10).map(|day| turn(stories(&BTreeMap::new()), day * DAY + 70_000));
            let mut told: Vec<String> = parts.flatten().collect();
            told.sort();
            assert_eq!(
                told.len(),
                STORIES,
                "from day {first} on: each is told once"
            );
            told.dedup();
            assert_eq!(told.len(), STORIES, "from day {first} on");
        }
    }

    #[test]
    fn runs_all_over_a_day_tell_every_story() {
        let parts = (0..10).map(|hour| turn(stories(&BTreeMap::new()), 20_000 * DAY + hour * 8640));
        let mut told: Vec<String> = parts.flatten().collect();
        told.sort();
        told.dedup();
        assert_eq!(told.len(), STORIES);
    }

    #[test]
    fn a_machine_that_works_on_some_days_leaves_no_story_for_more_than_ten_runs() {
        for pause in [1, 2, 5, 10] {
            let mut ran = BTreeMap::new();
            let mut last = BTreeMap::new();
            for run in 1..=100 {
                let now = 20_000 * DAY + run * pause * DAY;
                for name in turn(stories(&ran), now) {
                    ran.insert(name.clone(), now);
                    last.insert(name, run);
                }
                for slow in stories(&ran) {
                    let left = run - last.get(&slow.name).copied().unwrap_or(0);
                    assert!(
                        left <= 10,
                        "{} was left for {left} runs, one in {pause} days",
                        slow.name
                    );
                }
            }
        }
    }

    #[test]
    fn what_was_put_off_is_due_at_every_run_until_it_runs() {
        for day in 20_000..20_010 {
            let mut stories = stories(&BTreeMap::new());
            stories[7].put_off = true;
            let due = turn(stories, day * DAY);
            assert!(due.contains(&"story 7".to_owned()), "on day {day}");
        }
    }

    #[test]
    fn what_was_put_off_comes_first() {
        let mut stories = stories(&BTreeMap::new());
        for (number, ran) in [(7, 200), (30, 100)] {
            stories[number].put_off = true;
            stories[number].ran = Some(ran);
        }
        let turn = turn(stories, 20_000 * DAY);
        assert_eq!(turn[..2], ["story 30", "story 7"]);
        assert!(turn.len() > 2);
    }

    #[test]
    fn a_story_that_stands_takes_no_place_from_one_that_has_to_run() {
        let now = 20_000 * DAY;
        let mut stories = stories(&BTreeMap::new());
        for slow in &mut stories {
            let last = slow.name == "story 36";
            (slow.stands, slow.ran) = (!last, Some(if last { now - 2 * DAY } else { 1 }));
        }
        for day in 0..10 {
            assert_eq!(turn(stories.clone(), now + day * DAY), ["story 36"]);
        }
    }
}
