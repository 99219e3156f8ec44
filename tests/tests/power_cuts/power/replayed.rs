//! Judges all cuts of all recordings, in as many threads as there are processors.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use testbed::cuts::{self, Cut, Ext4, Fate, Fsck, Remains, Sampling};
use testbed::{Context, Log, Recording, Result, bail, ensure};

use super::data::Memory;
use super::judge::{Expected, Judge, Truth};
use super::mended::mended;

/// How many of the wrong cuts are shown.
const SHOWN: usize = 10;
const THREADS: usize = 2;

/// How thoroughly.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// How much is sampled.
    pub sampling: Sampling,
    /// One in how many different file systems is given to the real e2fsck, too.
    pub fsck: usize,
}

/// What was tried.
#[derive(Debug, Default)]
pub struct Tally {
    cuts: BTreeMap<Fate, usize>,
    distinct: usize,
    mended: usize,
    torn_superblocks: usize,
    took: Duration,
    wrong: Vec<String>,
}

impl Tally {
    /// An error if any cut left something wrong.
    pub fn verdict(self) -> Result<Self> {
        if self.wrong.is_empty() {
            return Ok(self);
        }
        let shown = self
            .wrong
            .iter()
            .take(SHOWN)
            .map(|wrong| format!("\n  {wrong}"));
        bail!(
            "{self}; {} ended wrong:{}",
            self.wrong.len(),
            shown.collect::<String>()
        )
    }

    /// How many boundaries between two entries there were.
    pub fn boundaries(&self) -> usize {
        self.cuts.get(&Fate::Whole).copied().unwrap_or(0)
    }

    fn add(&mut self, other: Self) {
        for (fate, count) in other.cuts {
            *self.cuts.entry(fate).or_default() += count;
        }
        self.distinct += other.distinct;
        self.mended += other.mended;
        self.torn_superblocks += other.torn_superblocks;
        self.wrong.extend(other.wrong);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |fate| self.cuts.get(&fate).copied().unwrap_or(0);
        write!(
            f,
            "{} boundaries, {} torn and {} reordered writes, {} different file systems on DATA, {} through \
             e2fsck, {} s; {} left a superblock of DATA torn in two, which was mended",
            count(Fate::Whole),
            count(Fate::Torn),
            count(Fate::Reordered),
            self.distinct,
            self.mended,
            self.took.as_secs(),
            self.torn_superblocks
        )
    }
}

/// Judges what every cut of a recording leaves.
pub fn judge_all(recordings: &[Recording], truth: &Truth, effort: Effort) -> Result<Tally> {
    let start = Instant::now();
    let mut tally = Tally::default();
    for recording in recordings {
        let log = Log::open(&recording.log)?;
        let parts = thread::scope(|scope| {
            let parts = parts(&log).into_iter().map(|part| {
                let log = &log;
                scope.spawn(move || judge_part(recording, log, part, truth, effort))
            });
            let parts: Vec<_> = parts.collect();
            parts
                .into_iter()
                .map(|part| part.join().expect("a judge panicked"))
                .collect::<Vec<_>>()
        });
        for part in parts {
            tally.add(part?);
        }
    }
    tally.took = start.elapsed();
    Ok(tally)
}

/// Numbers of epochs with about the same number of entries.
fn parts(log: &Log) -> Vec<Range<usize>> {
    let epochs = cuts::epochs(log);
    let share = |part: usize| {
        let entries = log.entries.len() * part / THREADS;
        epochs
            .iter()
            .position(|epoch| epoch.end > entries)
            .unwrap_or(epochs.len())
    };
    (0..THREADS)
        .map(|part| {
            share(part)..if part + 1 == THREADS {
                epochs.len()
            } else {
                share(part + 1)
            }
        })
        .collect()
}

fn judge_part(
    recording: &Recording,
    log: &Log,
    epochs: Range<usize>,
    truth: &Truth,
    effort: Effort,
) -> Result<Tally> {
    let first = first_toplevel(recording)?;
    let mut judge = Judge::new(truth);
    let fsck = Fsck::new()?;
    let mut tally = Tally::default();
    cuts::replay(recording, log, epochs, effort.sampling, |cut, disk| {
        *tally.cuts.entry(cut.fate).or_default() += 1;
        let expected = Expected::after(cut.entries, &recording.marks, &first);
        let before = judge.distinct();
        let mut judged = judge.judge(disk, &expected).map(drop);
        if judged.is_ok()
            && judge.distinct() > before
            && judge.distinct().is_multiple_of(effort.fsck)
        {
            tally.mended += 1;
            judged = mend(&fsck, disk, truth, &mut judge);
        }
        if let Ok(Cow::Owned(_)) = mended(disk) {
            tally.torn_superblocks += 1;
        }
        if let Err(wrong) = judged {
            let phase = phase(recording, &cut);
            tally.wrong.push(format!("{phase}, {cut}: {wrong:#}"));
        }
        Ok(())
    })?;
    tally.distinct = judge.distinct();
    Ok(tally)
}

/// What the real e2fsck makes of it has to be what was judged.
fn mend(fsck: &Fsck, disk: &Remains, truth: &Truth, judge: &mut Judge<'_>) -> Result<()> {
    let mended = fsck.mend(mended(disk)?.as_ref(), disk.partition("DATA")?)?;
    let mended = Ext4::mount(&mended, 0..mended.length())?;
    let mended = truth.read_data(&mended, &mut Memory::default());
    let mended = mended.context("after e2fsck -p")?;
    ensure!(
        mended == *judge.data(disk)?,
        "e2fsck -p makes something else of it: {mended:?}"
    );
    Ok(())
}

/// The toplevel that ran before the first mark.
pub fn first_toplevel(recording: &Recording) -> Result<String> {
    let disk = Remains::of(&recording.before)?;
    Ok(super::boot::Boot::read(&disk, &mut cuts::Memo::new())?
        .chosen
        .toplevel)
}

/// What was going on.
pub fn phase(recording: &Recording, cut: &Cut) -> String {
    let mark = recording
        .marks
        .iter()
        .find(|mark| mark.entries >= cut.entries);
    match mark {
        Some(mark) => format!("before the end of `{}`", mark.name),
        None if recording.marks.is_empty() => "first boot".to_owned(),
        None => "after all".to_owned(),
    }
}
