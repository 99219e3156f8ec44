//! The disks that power cuts leave, out of a [`Recording`]: one for every moment between two log entries, and
//! samples of what a disk with a volatile cache may have made of those after the last flush.
//!
//! Until a flush has ended a disk may have written any of what it was given, in any order; a sector of 512 bytes it
//! writes whole or not at all. So of the writes since the last flush some are *torn* here, which is to say that only
//! some of their sectors are there, and some are missing though later ones are there (*reordered*). A write that was on
//! its way when the flush was asked for is taken for flushed: Linux never relies on the contrary.

mod ext4;
mod fat;
mod journal;
mod memo;
mod remains;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

use anyhow::Result;
use card::SECTOR;
use fastrand::Rng;

pub use ext4::{Ext4, Fsck, Node};
pub use fat::{Fat, FatFile, digest};
pub use memo::{Memo, Trace};
pub use remains::Remains;

use crate::writes::{Entry, Log, Recording};

/// When the power was cut, and what the disk did then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// How many entries of the log had been sent to the disk.
    pub entries: usize,
    /// What it had made of those that were not flushed.
    pub fate: Fate,
    /// Which of several samples this is.
    pub sample: usize,
}

/// What a disk may make of writes that were not flushed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    /// It has written them all.
    Whole,
    /// It was in the middle of the last one.
    Torn,
    /// It has written some of them.
    Reordered,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            entries,
            fate,
            sample,
        } = self;
        match fate {
            Fate::Whole => write!(f, "after {entries} entries"),
            Fate::Torn => write!(f, "in the middle of entry {entries}"),
            Fate::Reordered => write!(f, "after {entries} entries, some not written ({sample})"),
        }
    }
}

/// How much is sampled beside the boundaries, which are all visited.
#[derive(Debug, Clone, Copy)]
pub struct Sampling {
    /// The same seed gives the same cuts.
    pub seed: u64,
    /// One in how many writes of several sectors is torn.
    pub torn: usize,
    /// How many reorderings there are of what is between two flushes, if that is more than one write.
    pub reordered: usize,
}

/// What is between two flushes, as indices of entries; the flush is the last of them.
pub fn epochs(log: &Log) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for (index, entry) in log.entries.iter().enumerate() {
        if *entry == Entry::Flush {
            found.push(start..index + 1);
            start = index + 1;
        }
    }
    found.push(start..log.entries.len());
    found
}

/// Visits what every cut within `wanted` leaves, which are numbers of [`epochs`]; in order of time.
pub fn replay(
    recording: &Recording,
    log: &Log,
    wanted: Range<usize>,
    sampling: Sampling,
    mut visit: impl FnMut(Cut, &Remains) -> Result<()>,
) -> Result<()> {
    let mut disk = Remains::of(&recording.before)?;
    for (number, epoch) in epochs(log).into_iter().enumerate().take(wanted.end) {
        if number < wanted.start {
            for entry in &log.entries[epoch] {
                disk.take(log, entry)?;
            }
            disk.settle();
            continue;
        }
        let mut rng = Rng::with_seed(sampling.seed ^ (number as u64) << 20);
        let flushed = disk.clone();
        for index in epoch.clone() {
            let cut = |fate| Cut {
                entries: index + usize::from(fate == Fate::Torn),
                fate,
                sample: 0,
            };
            visit(cut(Fate::Whole), &disk)?;
            if is_long(&log.entries[index]) && rng.usize(..sampling.torn) == 0 {
                let mut torn = disk.clone();
                torn.take_some(log, &log.entries[index], &mut rng)?;
                visit(cut(Fate::Torn), &torn)?;
            }
            disk.take(log, &log.entries[index])?;
        }
        let writes = epoch.clone().filter(|at| log.entries[*at] != Entry::Flush);
        let writes: Vec<usize> = writes.collect();
        let samples = if writes.len() > 1 {
            sampling.reordered
        } else {
            0
        };
        for sample in 0..samples {
            let last = rng.usize(1..writes.len());
            let mut reordered = flushed.clone();
            for at in &writes[..=last] {
                let entry = &log.entries[*at];
                let durable = matches!(entry, Entry::Write { durable: true, .. });
                match rng.u8(..8) {
                    _ if durable => reordered.take(log, entry)?,
                    0..4 => {}
                    4 => reordered.take_some(log, entry, &mut rng)?,
                    _ => reordered.take(log, entry)?,
                }
            }
            let cut = Cut {
                entries: writes[last] + 1,
                fate: Fate::Reordered,
                sample,
            };
            visit(cut, &reordered)?;
        }
        drop(flushed);
        disk.settle();
    }
    if wanted.end == epochs(log).len() {
        let cut = Cut {
            entries: log.entries.len(),
            fate: Fate::Whole,
            sample: 0,
        };
        visit(cut, &disk)?;
    }
    Ok(())
}

/// The disk when so many entries had been written.
pub fn moment(recording: &Recording, log: &Log, entries: usize) -> Result<Remains> {
    let mut disk = Remains::of(&recording.before)?;
    for entry in &log.entries[..entries] {
        disk.take(log, entry)?;
    }
    Ok(disk)
}

fn is_long(entry: &Entry) -> bool {
    matches!(entry, Entry::Write { length, durable: false, .. } if *length > SECTOR)
}
