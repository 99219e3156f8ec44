//! How the last backup on DATA went, for the metrics: /var/lib/lichen/backup/record.json.

use super::{CONFIG, FOLDER, is_being_made};
use crate::kept;
use crate::lock;
use crate::openmetrics::Families;
use crate::record::now;
use crate::root::Root;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

const FILE: &str = "var/lib/lichen/backup/record.json";
/// A time that lies further ahead is from a clock that was wrong, in seconds.
const AHEAD: u64 = 86400;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Record {
    /// The last one that was verified and has the data of all services.
    good: Option<Good>,
    /// When that was, or since when one is waited for: seconds since 1970, by the device's clock.
    since: Option<u64>,
    /// Why there was none since.
    failed: Option<String>,
    /// Whether one was begun, and nobody has noted how it went.
    begun: bool,
    /// The names of those on DATA that lack the data of a service.
    incomplete: BTreeSet<String>,
    /// The highest number that was given to one. The files alone do not tell it: they may be removed by hand.
    number: u64,
    /// What is in the bucket.
    bucket: Brought,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Good {
    file: String,
    bytes: u64,
}

/// What was brought to a bucket, of what is still on DATA.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Brought {
    /// Which bucket: what is in another one says nothing of this one.
    pub(super) to: String,
    /// The names of the files.
    pub(super) names: BTreeSet<String>,
}

/// The highest number that was given to a backup.
pub(super) fn number(root: &Root) -> u64 {
    kept::load::<Record>(root, FILE).number
}

/// Notes the number that was given to a backup.
pub(super) fn note_number(root: &Root, number: u64) -> Result<()> {
    change(root, |record| record.number = number)
}

/// What was brought to the bucket.
pub(super) fn brought(root: &Root) -> Brought {
    kept::load::<Record>(root, FILE).bucket
}

/// Notes what was brought to the bucket.
pub(super) fn note_brought(root: &Root, brought: &Brought) -> Result<()> {
    change(root, |record| record.bucket = brought.clone())
}

/// Notes that one is begun: who is ended while it is made can note nothing any more.
pub(super) fn begin(root: &Root) -> Result<()> {
    change(root, |record| record.begun = true)
}

/// Notes a backup that is on DATA in this file, and was verified. Whether it is elsewhere, too, may be known only hours later.
pub(super) fn shelved(root: &Root, file: String, bytes: u64, is_complete: bool) -> Result<()> {
    change(root, |record| {
        if is_complete {
            record.good = Some(Good { file, bytes });
            record.since = Some(now());
        } else {
            record.incomplete.insert(file);
        }
    })
}

/// Notes that an attempt has failed.
pub(super) fn failed(root: &Root, error: &anyhow::Error) -> Result<()> {
    done(root, Some(error))
}

/// Notes that nothing more will be done, and what was wrong.
pub(super) fn done(root: &Root, wrong: Option<&anyhow::Error>) -> Result<()> {
    change(root, |record| {
        record.begun = false;
        record.failed = wrong.map(|error| format!("{error:#}"));
    })
}

/// The names of those that lack the data of a service.
pub(super) fn incomplete(root: &Root) -> BTreeSet<String> {
    kept::load::<Record>(root, FILE).incomplete
}

/// Forgets those that are not on DATA any more.
pub(super) fn forget_others(root: &Root, is_there: impl Fn(&str) -> bool) -> Result<()> {
    change(root, |record| {
        record.incomplete.retain(|name| is_there(name))
    })
}

/// Changes the record, alone among all processes: the metrics are told while a backup is made.
fn change(root: &Root, change: impl FnOnce(&mut Record)) -> Result<()> {
    let lock = lock::open(root, "run/lichen/backup-record.lock")?;
    lock.lock().context("cannot lock the record of backups")?;
    let mut record: Record = kept::load(root, FILE);
    change(&mut record);
    durable::directory(&root.at(FOLDER), 0o700)?;
    kept::save(root, FILE, &record)
}

/// What the metrics are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Seconds since the last good one, or since one is waited for.
    pub(crate) age: u64,
    pub(crate) failed: bool,
    pub(crate) bytes: Option<u64>,
}

/// How old the last good backup is, as metrics; nothing where none are made by themselves.
pub(crate) fn metrics(root: &Root) -> String {
    if !root.at(CONFIG).exists() {
        return String::new();
    }
    let record: Record = kept::load(root, FILE);
    let (now, uptime) = (now(), root.uptime().unwrap_or(0));
    let known = record.since.filter(|since| *since <= now + AHEAD);
    let since = known.unwrap_or(now.saturating_sub(uptime));
    if known.is_none() {
        // Kept, so that the age grows on from here also on a device that is off each night.
        let _ = change(root, |record| record.since = Some(since));
    }
    let told = Told {
        age: now.saturating_sub(since),
        failed: record.failed.is_some() || record.begun && !is_being_made(root),
        bytes: record.good.map(|good| good.bytes),
    };
    told.text()
}

impl Told {
    pub(crate) fn text(&self) -> String {
        let mut families = Families::default();
        families.gauge(
            "lichen_backup_last_success_age_seconds",
            "Time since the last backup that was verified, or since one is waited for if there never was one",
            Some(self.age),
        );
        families.gauge(
            "lichen_backup_failed",
            "Whether a backup has failed since",
            Some(u8::from(self.failed)),
        );
        families.gauge("lichen_backup_size_bytes", "Its size", self.bytes);
        families.text()
    }
}
