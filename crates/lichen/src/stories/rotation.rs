//! Selects the slow stories that continuous integration runs today.

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
}

/// The part that is due now. It depends only on the date and the time of day, so machines without memory run all parts
/// in turn, and several runs in a day run several parts. For a machine with memory that works only on some days, the
/// same number of stories is added: those that have not run here for the longest time, and not today. What was put off
/// is due in any case.
pub fn part_of(mut slow: Vec<Slow>, now: u64) -> Vec<String> {
    slow.sort_by(|a, b| a.name.cmp(&b.name));
    let part = (now / DAY + now % DAY / (DAY / PARTS)) % PARTS;
    let (due, mut others): (Vec<_>, Vec<_>) = slow
        .iter()
        .enumerate()
        .partition(|(number, slow)| slow.put_off || *number as u64 % PARTS == part);
    // A story that never ran counts as the oldest.
    let since = slow.iter().filter_map(|slow| slow.ran).min().unwrap_or(now);
    let left = |slow: &Slow| now.saturating_sub(slow.ran.unwrap_or(since));
    others.retain(|(_, slow)| left(slow) >= DAY);
    others.sort_by_key(|(_, slow)| slow.ran);
    // The first run on a machine has no records, and the tenth run after it must be the last to cover everything.
    others.truncate(slow.len().div_ceil(PARTS as usize - 1));
    let chosen = due.into_iter().chain(others);
    chosen.map(|(_, slow)| slow.name.clone()).collect()
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
            }
        };
        (0..STORIES).map(slow).collect()
    }

    #[test]
    fn ten_days_in_a_row_tell_every_story_on_machines_that_remember_nothing() {
        for first in [0, 3, 20_417] {
            let parts = (first..first + 10)
                .map(|day| part_of(stories(&BTreeMap::new()), day * DAY + 70_000));
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
        let parts =
            (0..10).map(|hour| part_of(stories(&BTreeMap::new()), 20_000 * DAY + hour * 8640));
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
                for name in part_of(stories(&ran), now) {
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
            let due = part_of(stories, day * DAY);
            assert!(due.contains(&"story 7".to_owned()), "on day {day}");
        }
    }
}
