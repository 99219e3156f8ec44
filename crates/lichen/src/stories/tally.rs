//! What became of the stories of a run, and its closing lines.

use super::runner::Done;
use super::verdicts::Cost;
use crate::ui::{self, Live};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// How many of the most expensive stories are shown at the end.
const SHOWN: usize = 10;

/// The results so far.
#[derive(Debug, Default)]
pub struct Tally {
    costs: Vec<(String, Cost)>,
    red: Vec<String>,
    put_off: usize,
}

impl Tally {
    /// Prints and counts the result of a story. Returns whether it is a result at all.
    ///
    /// `due`: nobody asked for the story, it is only its turn. Where there is no room for it, it is put off.
    pub fn take(&mut self, done: &Done, due: bool, live: &mut Live) -> bool {
        live.clear();
        if let (true, Some(lack)) = (due, done.lacks) {
            self.put_off(&done.name, &lack.to_string());
            return false;
        }
        tell(done);
        self.costs.push((done.name.clone(), done.cost));
        if !done.green {
            self.red.push(done.name.clone());
        }
        true
    }

    /// Puts off a story that is due and that there is no time or no room for. It counts as not run and keeps its turn.
    pub fn put_off(&mut self, story: &str, why: &str) {
        println!("test {story} ... ignored");
        ui::warn(format!("{story} is put off: {why}"));
        self.put_off += 1;
    }

    /// Prints the closing lines: the most expensive stories, and the totals.
    pub fn close(mut self, standing: usize, file: &Path) -> Result<()> {
        self.costs.sort_by(|a, b| b.1.wall.total_cmp(&a.1.wall));
        let lines: Vec<String> = self
            .costs
            .iter()
            .map(|(name, cost)| format!("{cost}: {name}\n"))
            .collect();
        fs::write(file, lines.concat())
            .with_context(|| format!("cannot write {}", file.display()))?;
        if lines.len() > 1 {
            let processor: f64 = self.costs.iter().map(|(_, cost)| cost.processor).sum();
            ui::say(format!(
                "the most expensive stories (all: {}; {processor:.0} s of processor):",
                file.display()
            ));
            lines
                .iter()
                .take(SHOWN)
                .for_each(|line| eprint!("  {line}"));
        }
        let (red, green) = (self.red.len(), self.costs.len() - self.red.len());
        println!(
            "stories: {green} passed, {red} failed, {} skipped",
            standing + self.put_off
        );
        if red > 0 {
            crate::fail!(
                hint: format!("the output of each story is in build/log/stories; ./lichen test {} runs it again", self.red[0]),
                "stories: {}",
                self.red.join(", ")
            );
        }
        Ok(())
    }
}

/// Prints the result of a story in the format of cargo's test runner.
fn tell(done: &Done) {
    let verdict = if done.green { "ok" } else { "FAILED" };
    println!("test {} ... {verdict} ({})", done.name, done.cost);
    if !done.green {
        println!("{}", done.said.trim());
    }
    // A story that passes may have messages, too.
    for figures in done
        .said
        .lines()
        .filter_map(|line| line.strip_prefix("figures: "))
    {
        println!("stories: {figures}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Lack;

    fn done(green: bool, lacks: Option<Lack>) -> Done {
        Done {
            lacks,
            ..Done::of_test("reproducible::every_step", green)
        }
    }

    const LACK: Lack = Lack {
        needed: 4_000_000_000,
        free: 2_200_000_000,
    };

    #[test]
    fn a_story_that_is_due_is_put_off_where_there_is_no_room_for_it() {
        let mut tally = Tally::default();
        let cramped = done(false, Some(LACK));
        assert_eq!(LACK.to_string(), "needs 4.0 GB, 2.2 GB is free");
        assert!(
            !tally.take(&cramped, true, &mut Live::new()),
            "it keeps its turn"
        );
        assert!(tally.red.is_empty() && tally.costs.is_empty());
        assert_eq!(tally.put_off, 1);
    }

    #[test]
    fn a_story_that_was_asked_for_is_red_without_room() {
        let mut tally = Tally::default();
        assert!(tally.take(&done(false, Some(LACK)), false, &mut Live::new()));
        assert_eq!(tally.red, ["reproducible::every_step"]);
    }

    #[test]
    fn a_story_that_fails_for_another_reason_is_red_on_its_turn_too() {
        let mut tally = Tally::default();
        assert!(tally.take(&done(false, None), true, &mut Live::new()));
        assert_eq!(tally.red, ["reproducible::every_step"]);
    }

    #[test]
    fn a_red_run_names_the_command_that_runs_the_story_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut tally = Tally::default();
        tally.take(&done(false, None), false, &mut Live::new());
        let error = tally
            .close(0, &folder.path().join("costs.txt"))
            .unwrap_err();
        let hint = crate::failure::hint_of(&error).unwrap();
        let command = "./lichen test reproducible::every_step runs it again";
        assert!(hint.ends_with(command), "{hint}");
    }
}
