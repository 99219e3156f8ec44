//! The stories of `lichen test`: selects and runs those that are needed, and keeps the results.
//!
//! A story is a test in `tests/` that uses the images that get flashed. Only stories whose result could have changed
//! are run: [`inputs`] and [`sources`] describe the current state, [`verdicts`] records which stories were green with
//! which inputs, [`runner`] runs the others, and [`audit`] detects undeclared inputs.

mod audit;
mod estimate;
mod inputs;
mod preparation;
mod rotation;
mod runner;
mod selection;
mod sources;
mod story;
mod tally;
mod verdicts;

use crate::command::stdout_of;
use crate::ui;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use audit::Audit;
use inputs::Inputs;
use runner::{Done, Next, Runner};
use sources::Sources;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
pub use story::Wanted;
use story::{Story, group_of};
use tally::Tally;
use verdicts::{Digests, Ended, Reason, Verdicts};

/// In continuous integration, a slow story is started only if it should end within this time after the start of the
/// job, which is limited to 90 minutes.
const CI: Duration = Duration::from_secs(70 * 60);

/// Builds the inputs of the stories, and runs the stories that are needed.
pub fn run(workspace: &Workspace, wanted: &Wanted<'_>) -> Result<()> {
    // Held to the end: the story program, the logs and the snapshots belong to one run at a time.
    let _alone = match wanted.why {
        true => None,
        false => Some(workspace.exclusive_stories()?),
    };
    let verdicts = verdicts::open(&workspace.cache("verdicts")?)?;
    let sources = Sources::read(workspace.root(), &sources::compiler(workspace.root())?)?;
    // Read before the stories are compiled: an edit after this moment is noticed, see `keep`.
    let groups = sources.of_groups()?;
    let program = preparation::compiled(workspace)?;
    let stories = listed(&program, &sources, &groups, &verdicts)?;
    let (asked, slow) = selection::of(stories, wanted)?;
    let mut inputs = preparation::built(workspace)?;
    inputs.known("services", Some(workspace.root()), &sources.of_services()?);
    let mut session = Session {
        workspace,
        sources,
        verdicts,
        program,
        inputs,
        tally: Tally::default(),
        standing: 0,
    };
    session.add_test_images(&asked)?;
    if wanted.why {
        for story in &asked {
            explain(story, &session.standing(story));
        }
        return Ok(());
    }
    session.run_usual(asked, wanted.fresh)?;
    if let Some(begun) = wanted.rotation {
        session.run_rotation(slow, begun + CI)?;
    }
    let costs = workspace.build("log")?.join("costs.txt");
    session.tally.close(session.standing, &costs)
}

/// A run of the stories.
struct Session<'w> {
    workspace: &'w Workspace,
    sources: Sources,
    verdicts: Verdicts,
    /// The program that contains the stories.
    program: PathBuf,
    inputs: Inputs,
    tally: Tally,
    /// How many stories are as before.
    standing: usize,
}

impl Session<'_> {
    /// Since when a story is green with the current inputs, or why it has to run.
    fn standing(&self, story: &Story) -> Result<u64, Reason> {
        let digest = |name: &str| self.inputs.digest(name);
        let record = &story.record;
        record.standing(digest, &story.sources, verdicts::now())
    }

    /// Runs what was asked for, as far as it could end otherwise than before.
    fn run_usual(&mut self, stories: Vec<Story>, fresh: bool) -> Result<()> {
        let mut run = Vec::new();
        let mut reasons: BTreeMap<Reason, usize> = BTreeMap::new();
        for story in stories {
            let standing = match fresh {
                true => Err(Reason::Asked),
                false => self.standing(&story),
            };
            match standing {
                Ok(_) => self.standing += 1,
                Err(reason) => {
                    *reasons.entry(reason).or_default() += 1;
                    run.push(story);
                }
            }
        }
        let counted = |n: usize| ui::count(n, "story", "stories");
        ui::say(format!(
            "as before: {} on the same bytes",
            counted(self.standing)
        ));
        for (reason, stories) in &reasons {
            ui::say(format!("{} to run: {reason}", counted(*stories)));
        }
        if fresh {
            forget_snapshots(self.workspace)?;
        }
        run.sort_by_key(|story| std::cmp::Reverse(story.takes));
        self.run_in_order(&run, None)
    }

    /// Runs the slow stories whose turn it is, as far as they should end before `until` and there is room for them. The
    /// others are put off: they are due at the next run.
    fn run_rotation(&mut self, slow: Vec<Story>, until: Instant) -> Result<()> {
        let told = slow.iter().map(|story| rotation::Slow {
            name: story.name.clone(),
            ran: story.record.ran,
            put_off: story.record.put_off,
            stands: self.standing(story).is_ok(),
        });
        let turn = rotation::turn(told.collect(), verdicts::now());
        let mut slow: BTreeMap<String, Story> = slow
            .into_iter()
            .map(|story| (story.name.clone(), story))
            .collect();
        let due: Vec<Story> = turn.iter().filter_map(|name| slow.remove(name)).collect();
        if due.is_empty() {
            return Ok(());
        }
        ui::say(format!(
            "slow stories whose turn it is: {}",
            turn.join(", ")
        ));
        let mut run = Vec::new();
        for story in due {
            let images = !story.test_images(self.workspace, &self.sources)?.is_empty();
            let left = until.saturating_duration_since(Instant::now());
            if left < story.takes {
                self.put_off(&story.name, &rotation::late(story.takes, left))?;
            } else if let Some(lack) = crate::sources::lacks_room().filter(|_| images) {
                self.put_off(&story.name, &lack.to_string())?;
            } else {
                run.push(story);
            }
        }
        self.add_test_images(&run)?;
        // With their images it may turn out that nothing has changed.
        let (run, standing): (Vec<_>, Vec<_>) = run
            .into_iter()
            .partition(|story| self.standing(story).is_err());
        self.standing += standing.len();
        self.run_in_order(&run, Some(until))
    }

    /// Runs these stories. With `until`, nobody has asked for them, and those that would not end in time are put off.
    fn run_in_order(&mut self, stories: &[Story], until: Option<Instant>) -> Result<()> {
        let log = self.workspace.build("log")?;
        let file = log.join("inputs.json");
        self.inputs.write(&file)?;
        let audit = Audit::of(&self.inputs)?;
        let logs = runner::logs(&log.join("stories"))?;
        let runner = Runner {
            program: &self.program.clone(),
            folder: &self.workspace.path("tests"),
            inputs: &file,
            logs: &logs,
            audit: &audit,
            until,
        };
        let by_name: BTreeMap<&str, &Story> = stories
            .iter()
            .map(|story| (story.name.as_str(), story))
            .collect();
        let next = stories.iter().map(|story| Next {
            name: story.name.clone(),
            takes: story.takes,
        });
        let late = runner.run(next.collect(), |done, live| {
            if !self.tally.take(&done, until.is_some(), live) {
                return self.verdicts.put_off(&done.name);
            }
            self.keep(by_name[done.name.as_str()], done)
        })?;
        for late in late {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let why = rotation::late(late.takes, left.unwrap_or_default());
            self.put_off(&late.name, &why)?;
        }
        Ok(())
    }

    fn put_off(&mut self, story: &str, why: &str) -> Result<()> {
        self.tally.put_off(story, why);
        self.verdicts.put_off(story)
    }

    /// Builds the images that only slow stories use, if any of these stories may use them.
    fn add_test_images(&mut self, stories: &[Story]) -> Result<()> {
        let mut images = BTreeSet::new();
        for story in stories {
            images.extend(story.test_images(self.workspace, &self.sources)?);
        }
        for name in images {
            preparation::image(self.workspace, &name, &mut self.inputs)?;
        }
        Ok(())
    }

    fn keep(&self, story: &Story, done: Done) -> Result<()> {
        // Someone may already be editing the sources.
        let now = Sources::read(self.workspace.root(), self.sources.compiler());
        let now = now.and_then(|now| now.of_group(story.group())).ok();
        match lasting(story, done, now.as_ref(), |name| self.inputs.digest(name)) {
            Ok(ended) => self.verdicts.keep(&story.name, ended, verdicts::now()),
            Err(why) => {
                ui::warn(format!("the verdict of {} is not kept: {why}", story.name));
                Ok(())
            }
        }
    }
}

/// A result with the inputs that it stands for, or why it cannot be kept. A green one stands only if the runner knows
/// all its inputs, and if its sources are `now` what they were. A red one always takes a verdict away.
fn lasting<'d>(
    story: &Story,
    done: Done,
    now: Option<&Digests>,
    digest: impl Fn(&str) -> Option<&'d str>,
) -> Result<Ended, String> {
    if done.green && !done.unaccounted.is_empty() {
        let names: Vec<&str> = done.unaccounted.iter().map(String::as_str).collect();
        return Err(format!(
            "{} were opened while it ran, but no running story had requested them",
            names.join(", ")
        ));
    }
    if done.green && now != Some(&story.sources) {
        return Err("its sources have changed meanwhile".into());
    }
    let mut used = story.sources.clone();
    for name in done.inputs {
        match digest(&name) {
            Some(digest) => drop(used.insert(name, digest.to_owned())),
            None if done.green => return Err(format!("no input is called {name}")),
            None => {}
        }
    }
    Ok(Ended {
        green: done.green,
        inputs: used,
        day: done.day,
        cost: done.cost,
    })
}

/// All stories, with their recorded verdicts.
fn listed(
    program: &Path,
    sources: &Sources,
    groups: &BTreeMap<String, Digests>,
    verdicts: &Verdicts,
) -> Result<Vec<Story>> {
    let list = |ignored: &[&str]| -> Result<Vec<String>> {
        let mut command = crate::command::program(program);
        let text = stdout_of(command.args(["--list", "--format", "terse"]).args(ignored))?;
        Ok(text
            .lines()
            .filter_map(|line| line.strip_suffix(": test"))
            .map(str::to_owned)
            .collect())
    };
    let slow: BTreeSet<String> = list(&["--ignored"])?.into_iter().collect();
    let mut stories = Vec::new();
    for name in list(&[])? {
        let (group, slow) = (group_of(&name), slow.contains(&name));
        let made_of = groups
            .get(group)
            .with_context(|| format!("{name} is of no group in tests/tests"))?;
        let record = verdicts.of(&name);
        let takes = match &record.cost {
            Some(cost) => Duration::from_secs_f64(cost.wall),
            None => estimate::of(&sources.own_text(group)?, &name, slow),
        };
        stories.push(Story {
            slow,
            record,
            sources: made_of.clone(),
            takes,
            name,
        });
    }
    Ok(stories)
}

/// Explains why a story would run, or what its verdict is based on.
fn explain(story: &Story, verdict: &Result<u64, Reason>) {
    match verdict {
        Ok(since) => {
            let time = jiff::Timestamp::from_second(*since as i64).unwrap_or_default();
            println!("{}: green since {time} on the same bytes", story.name);
        }
        Err(reason) => println!("{}: runs; {reason}", story.name),
    }
    for (name, digest) in story.record.inputs().into_iter().flatten() {
        let short: String = digest
            .trim_start_matches("sha256:")
            .chars()
            .take(12)
            .collect();
        println!("  {name} {short}");
    }
}

/// Deletes snapshots, which are taken once per image, if earlier results are to be ignored.
fn forget_snapshots(workspace: &Workspace) -> Result<()> {
    let folder = workspace.path("target/testbed/snapshots");
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(green: bool) -> Done {
        Done {
            inputs: BTreeSet::from(["image climate".to_owned()]),
            ..Done::of_test("boot::boots", green)
        }
    }

    fn image(name: &str) -> Option<&'static str> {
        (name == "image climate").then_some("a")
    }

    /// Whether a verdict is left when a green story ran again while its sources were edited.
    fn stands_after(again: Done) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let verdicts = verdicts::open(folder.path()).unwrap();
        let story = Story::of_test("boot::boots", false);
        let green = lasting(&story, done(true), Some(&story.sources), image).unwrap();
        verdicts.keep(&story.name, green, 1).unwrap();
        let edited = Digests::from([("tests/src".to_owned(), "2".to_owned())]);
        if let Ok(ended) = lasting(&story, again, Some(&edited), image) {
            verdicts.keep(&story.name, ended, 2).unwrap();
        }
        let record = verdicts.of(&story.name);
        record.standing(image, &story.sources, 3).is_ok()
    }

    #[test]
    fn a_red_run_takes_the_verdict_away_though_its_sources_changed_meanwhile() {
        assert!(stands_after(done(true)));
        assert!(!stands_after(done(false)));
    }

    #[test]
    fn a_red_run_takes_the_verdict_away_though_it_opened_what_it_had_not_requested() {
        let unaccounted = BTreeSet::from(["image energy".to_owned()]);
        let red = Done {
            unaccounted,
            ..done(false)
        };
        assert!(!stands_after(red));
    }
}
