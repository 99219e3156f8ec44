//! Verdicts: which stories were green with which inputs, and what they cost.
//!
//! Each story has one small file in the user's cache. A verdict is valid as long as all inputs of the story are
//! unchanged; if a change is reverted, the earlier verdict is valid again. A story that was red loses its verdict for
//! the inputs with which it was red.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The format of the files; files with another format are ignored.
const FORMAT: u32 = 1;
/// How many verdicts are kept per story, so that switching between a few branches does not lose them.
const KEPT: usize = 6;
const DAY: u64 = 24 * 3600;

/// The digests of a story's inputs, by name.
pub type Digests = BTreeMap<String, String>;

/// All verdicts of this user.
#[derive(Debug)]
pub struct Verdicts {
    folder: PathBuf,
}

/// The record of one story.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Record {
    format: u32,
    /// The verdicts, newest first.
    verdicts: Vec<Verdict>,
    /// The cost of the last run that may have been a whole one.
    pub cost: Option<Cost>,
    /// The time of the last run, in seconds since 1970.
    pub ran: Option<u64>,
    /// Whether the last run was red.
    #[serde(default)]
    red: bool,
    /// Whether it was put off since, and so is due at the next run.
    #[serde(default)]
    pub put_off: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Verdict {
    /// The time, in seconds since 1970.
    since: u64,
    /// Why it is valid for only one day.
    day: Option<String>,
    inputs: Digests,
}

/// The cost of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// The duration in seconds.
    pub wall: f64,
    /// The processor time in seconds, including that of its machines.
    pub processor: f64,
    /// The number of machines that were booted.
    pub cold_boots: u32,
    /// The number of machines that were resumed from a snapshot.
    pub warm_boots: u32,
}

/// Why a story has to run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Earlier verdicts are ignored on request.
    Asked,
    /// It has never been green.
    New,
    /// It was red in the last run.
    Red,
    /// Its verdict also depends on something besides its inputs, and is older than a day.
    Aged(String),
    /// The names of the inputs that have changed.
    Changed(Vec<String>),
}

/// The result of a run, to be recorded.
#[derive(Debug)]
pub struct Ended {
    /// Whether it was green.
    pub green: bool,
    /// Its inputs.
    pub inputs: Digests,
    /// Why its verdict is valid for only one day.
    pub day: Option<String>,
    /// Its cost.
    pub cost: Cost,
}

/// The time, in seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

impl Verdicts {
    /// Opens the verdicts in a directory.
    pub fn new(folder: PathBuf) -> Self {
        Verdicts { folder }
    }

    /// The record of a story; an unreadable file counts as missing.
    pub fn of(&self, story: &str) -> Record {
        let record = fs::read(self.file(story)).ok();
        let record = record.and_then(|text| serde_json::from_slice(&text).ok());
        record
            .filter(|record: &Record| record.format == FORMAT)
            .unwrap_or_default()
    }

    /// Records a result.
    pub fn keep(&self, story: &str, ended: Ended, now: u64) -> Result<()> {
        self.change(story, |record| record.with(ended, now))
    }

    /// Records that a story was put off. That is no result: its verdicts and its last run stay as they are.
    pub fn put_off(&self, story: &str) -> Result<()> {
        self.change(story, |record| Record {
            format: FORMAT,
            put_off: true,
            ..record
        })
    }

    /// Safe against concurrent runs and power cuts: the file is either the old one or the new one.
    fn change(&self, story: &str, change: impl FnOnce(Record) -> Record) -> Result<()> {
        let file = self.file(story);
        let context = || format!("cannot keep the verdict in {}", file.display());
        let lock = File::create(self.folder.join("lock")).with_context(context)?;
        lock.lock().with_context(context)?;
        let text = serde_json::to_vec_pretty(&change(self.of(story)))?;
        durable::atomic_write(&file, &text, 0o600)
    }

    fn file(&self, story: &str) -> PathBuf {
        self.folder
            .join(format!("{}.json", story.replace("::", ".")))
    }
}

impl Record {
    /// The time since when the story is known to be green with the current inputs, or the reason why it has to run.
    ///
    /// `digest` returns the current digest of an input, and `sources` are the current sources of the story.
    pub fn standing<'d>(
        &self,
        digest: impl Fn(&str) -> Option<&'d str>,
        sources: &Digests,
        now: u64,
    ) -> Result<u64, Reason> {
        let mut reason = None;
        for verdict in &self.verdicts {
            let changed = verdict.changed(&digest, sources);
            let aged = verdict.day.as_ref().filter(|_| {
                // If the clock was set back, a verdict from the future counts as new.
                now.saturating_sub(verdict.since) >= DAY || verdict.since > now
            });
            match (changed.is_empty(), aged) {
                (true, None) => return Ok(verdict.since),
                (true, Some(why)) => reason = reason.or(Some(Reason::Aged(why.clone()))),
                (false, _) => reason = reason.or(Some(Reason::Changed(changed))),
            }
        }
        Err(match reason {
            _ if self.red => Reason::Red,
            Some(reason) => reason,
            None => Reason::New,
        })
    }

    /// The newest verdict's inputs, with their digests at that time.
    pub fn inputs(&self) -> Option<&Digests> {
        self.verdicts.first().map(|verdict| &verdict.inputs)
    }

    fn with(mut self, ended: Ended, now: u64) -> Self {
        self.format = FORMAT;
        self.verdicts
            .retain(|verdict| verdict.inputs != ended.inputs);
        if !ended.green {
            // A red run may have ended earlier than the green one, and used fewer inputs.
            let contradicted = |verdict: &Verdict| {
                let same = |(name, digest): (&String, &String)| {
                    verdict.inputs.get(name).is_none_or(|then| then == digest)
                };
                ended.inputs.iter().all(same)
            };
            self.verdicts.retain(|verdict| !contradicted(verdict));
        } else {
            let verdict = Verdict {
                since: now,
                day: ended.day,
                inputs: ended.inputs,
            };
            self.verdicts.insert(0, verdict);
            self.verdicts.truncate(KEPT);
        }
        self.red = !ended.green;
        self.put_off = false;
        // A story that fails may end early, and would seem to be a short one.
        let longest = self.cost.filter(|cost| cost.wall > ended.cost.wall);
        self.cost = longest.filter(|_| !ended.green).or(Some(ended.cost));
        self.ran = Some(now);
        self
    }
}

impl Verdict {
    /// The names of the inputs that differ now.
    fn changed<'d>(
        &self,
        digest: &impl Fn(&str) -> Option<&'d str>,
        sources: &Digests,
    ) -> Vec<String> {
        let differs = self.inputs.iter().filter(|(name, then)| {
            let now = sources.get(*name).map(String::as_str);
            now.or_else(|| digest(name)) != Some(then.as_str())
        });
        let added = sources
            .keys()
            .filter(|name| !self.inputs.contains_key(*name));
        differs
            .map(|(name, _)| name)
            .chain(added)
            .cloned()
            .collect()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => write!(f, "earlier verdicts are ignored (--fresh)"),
            Self::New => write!(f, "no verdict yet"),
            Self::Red => write!(f, "it failed the last time"),
            Self::Aged(why) => write!(f, "more than a day old ({why})"),
            Self::Changed(names) => write!(f, "changed: {}", names.join(", ")),
        }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} s, {:.0} s of processor",
            self.wall, self.processor
        )?;
        for (count, what) in [(self.cold_boots, "booted"), (self.warm_boots, "resumed")] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// Creates the directory of verdicts if necessary.
pub fn open(folder: &Path) -> Result<Verdicts> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    Ok(Verdicts::new(folder.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(of: &[(&str, &str)]) -> Digests {
        let owned = |(name, digest): &(&str, &str)| ((*name).to_owned(), (*digest).to_owned());
        of.iter().map(owned).collect()
    }

    fn ended(green: bool, inputs: &[(&str, &str)]) -> Ended {
        Ended {
            green,
            inputs: digests(inputs),
            day: None,
            cost: Cost::default(),
        }
    }

    /// What is said of a story when its inputs hold this.
    fn said(record: &Record, inputs: &[(&str, &str)], at: u64) -> Result<u64, Reason> {
        let look = |name: &str| inputs.iter().find(|(n, _)| *n == name).map(|(_, d)| *d);
        record.standing(look, &Digests::new(), at)
    }

    #[test]
    fn a_verdict_stands_until_any_input_differs_and_again_after_a_change_back() {
        let folder = tempfile::tempdir().unwrap();
        let verdicts = Verdicts::new(folder.path().to_owned());
        let (one, two) = (
            [("image", "1"), ("lichen", "a")],
            [("image", "2"), ("lichen", "a")],
        );
        assert_eq!(said(&verdicts.of("a::b"), &one, 5), Err(Reason::New));
        verdicts.keep("a::b", ended(true, &one), 5).unwrap();
        assert_eq!(said(&verdicts.of("a::b"), &one, 9_999_999), Ok(5));
        let changed = Err(Reason::Changed(vec!["image".into()]));
        assert_eq!(said(&verdicts.of("a::b"), &two, 6), changed);
        assert_eq!(
            said(&verdicts.of("a::b"), &[("lichen", "a")], 6),
            changed,
            "it is gone"
        );
        verdicts.keep("a::b", ended(true, &two), 7).unwrap();
        assert_eq!(said(&verdicts.of("a::b"), &two, 8), Ok(7));
        assert_eq!(said(&verdicts.of("a::b"), &one, 8), Ok(5));
        assert_eq!(said(&verdicts.of("a::c"), &one, 8), Err(Reason::New));
    }

    #[test]
    fn a_red_run_takes_back_the_verdict_on_the_same_bytes_and_no_other() {
        let (one, two) = (
            [("image", "1"), ("lichen", "a")],
            [("image", "2"), ("lichen", "a")],
        );
        let record = Record::default()
            .with(ended(true, &one), 1)
            .with(ended(true, &two), 2);
        // It failed before it came to use all that it used before.
        let record = record.with(ended(false, &[("image", "2")]), 3);
        assert_eq!(said(&record, &two, 4), Err(Reason::Red));
        assert_eq!(said(&record, &one, 4), Ok(1));
    }

    #[test]
    fn what_depends_on_more_than_its_inputs_lasts_a_day() {
        let inputs = [("image", "1")];
        let day = "the disk of this host".to_owned();
        let run = Ended {
            day: Some(day.clone()),
            ..ended(true, &inputs)
        };
        let record = Record::default().with(run, 1000);
        assert_eq!(said(&record, &inputs, 1000 + DAY - 1), Ok(1000));
        let aged = Err(Reason::Aged(day));
        assert_eq!(said(&record, &inputs, 1000 + DAY), aged);
        assert_eq!(
            said(&record, &inputs, 999),
            aged,
            "the clock was turned back"
        );
    }

    #[test]
    fn a_story_that_was_put_off_is_due_until_it_runs_and_keeps_its_verdicts() {
        let folder = tempfile::tempdir().unwrap();
        let verdicts = Verdicts::new(folder.path().to_owned());
        let inputs = [("image", "1")];
        verdicts.keep("a::b", ended(true, &inputs), 5).unwrap();
        verdicts.put_off("a::b").unwrap();
        let record = verdicts.of("a::b");
        assert_eq!((record.put_off, record.ran), (true, Some(5)));
        assert_eq!(said(&record, &inputs, 6), Ok(5));
        verdicts.keep("a::b", ended(false, &inputs), 7).unwrap();
        assert!(!verdicts.of("a::b").put_off);
        verdicts.put_off("a::new").unwrap();
        let record = verdicts.of("a::new");
        assert_eq!((record.put_off, record.ran), (true, None));
    }

    #[test]
    fn a_story_that_fails_early_is_still_known_to_be_long() {
        let run = |green, wall| Ended {
            cost: Cost {
                wall,
                ..Cost::default()
            },
            ..ended(green, &[("image", "1")])
        };
        let wall = |record: &Record| record.cost.unwrap().wall;
        let record = Record::default().with(run(true, 800.0), 1);
        let record = record.with(run(false, 3.0), 2);
        assert_eq!(wall(&record), 800.0);
        let record = record.with(run(false, 900.0), 3);
        assert_eq!(wall(&record), 900.0);
        assert_eq!(wall(&record.with(run(true, 700.0), 4)), 700.0);
    }

    #[test]
    fn a_story_that_is_made_of_one_source_more_has_to_run() {
        let record = Record::default().with(ended(true, &[("crate testbed", "1")]), 1);
        let sources = digests(&[("crate testbed", "1"), ("crate fake-exchange", "1")]);
        let standing = record.standing(|_| None, &sources, 2);
        assert_eq!(
            standing,
            Err(Reason::Changed(vec!["crate fake-exchange".into()]))
        );
    }

    #[test]
    fn half_a_file_is_no_verdict() {
        let folder = tempfile::tempdir().unwrap();
        let verdicts = Verdicts::new(folder.path().to_owned());
        verdicts
            .keep("a::b", ended(true, &[("image", "1")]), 5)
            .unwrap();
        let text = fs::read_to_string(folder.path().join("a.b.json")).unwrap();
        fs::write(folder.path().join("a.b.json"), &text[..text.len() / 2]).unwrap();
        assert_eq!(
            said(&verdicts.of("a::b"), &[("image", "1")], 6),
            Err(Reason::New)
        );
        fs::write(
            folder.path().join("a.b.json"),
            text.replace("\"format\": 1", "\"format\": 9"),
        )
        .unwrap();
        assert_eq!(
            said(&verdicts.of("a::b"), &[("image", "1")], 6),
            Err(Reason::New)
        );
    }

    #[test]
    fn runs_at_the_same_time_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let verdicts = Verdicts::new(folder.path().to_owned());
        std::thread::scope(|scope| {
            for n in ["1", "2", "3", "4"] {
                let verdicts = &verdicts;
                scope.spawn(move || {
                    verdicts
                        .keep("a::b", ended(true, &[("image", n)]), 1)
                        .unwrap()
                });
            }
        });
        for n in ["1", "2", "3", "4"] {
            assert_eq!(said(&verdicts.of("a::b"), &[("image", n)], 2), Ok(1), "{n}");
        }
    }
}
