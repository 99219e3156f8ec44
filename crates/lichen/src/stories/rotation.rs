//! Which of the slow stories continuous integration tells today.

/// In so many parts, one for each day in turn.
const PARTS: usize = 10;

/// A slow story and when it ran last here, if it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slow {
    /// Its name.
    pub name: String,
    /// Seconds since 1970.
    pub ran: Option<u64>,
}

/// Today's part, by date alone, so that machines that remember nothing tell all of them in turn; and as many more that
/// were not told here for the longest time, for a machine that works only on some days.
pub fn part_of(mut slow: Vec<Slow>, now: u64) -> Vec<String> {
    slow.sort_by(|a, b| a.name.cmp(&b.name));
    let today = (now / (24 * 3600)) as usize % PARTS;
    let each = slow.len().div_ceil(PARTS);
    let mut chosen: Vec<String> = slow
        .iter()
        .skip(today)
        .step_by(PARTS)
        .map(|slow| slow.name.clone())
        .collect();
    let mut others: Vec<&Slow> = slow
        .iter()
        .filter(|slow| !chosen.contains(&slow.name))
        .collect();
    others.sort_by_key(|slow| slow.ran);
    let remembers = slow.iter().any(|slow| slow.ran.is_some());
    let more = others.iter().take(if remembers { each } else { 0 });
    let more: Vec<String> = more.map(|slow| slow.name.clone()).collect();
    chosen.extend(more);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn stories() -> Vec<Slow> {
        let slow = |n| Slow {
            name: format!("story {n}"),
            ran: None,
        };
        (0..37).map(slow).collect()
    }

    #[test]
    fn ten_days_in_a_row_tell_every_story_on_machines_that_remember_nothing() {
        for first in [0, 3, 20_417] {
            let mut told: Vec<String> = (first..first + 10)
                .flat_map(|day| part_of(stories(), day * 86_400))
                .collect();
            told.sort();
            told.dedup();
            assert_eq!(told.len(), 37, "from day {first} on");
        }
    }

    #[test]
    fn a_machine_that_remembers_leaves_no_story_for_more_than_ten_runs_whenever_they_are() {
        for pause in [0, 2, 5, 10] {
            let mut ran: BTreeMap<String, u64> = BTreeMap::new();
            // All of them ran once, each at its time.
            for (n, slow) in stories().iter().enumerate() {
                ran.insert(slow.name.clone(), n as u64);
            }
            let mut last: BTreeMap<String, u64> = BTreeMap::new();
            for run in 1..=60u64 {
                let now = 1_000_000 + run * (pause * 86_400) + run;
                let known = |slow: Slow| Slow {
                    ran: ran.get(&slow.name).copied(),
                    ..slow
                };
                let chosen = part_of(stories().into_iter().map(known).collect(), now);
                for name in chosen {
                    ran.insert(name.clone(), now);
                    last.insert(name, run);
                }
                for slow in stories() {
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
}
