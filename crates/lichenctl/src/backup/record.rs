//! How the last backup on DATA went, for the metrics: /var/lib/lichen/backup/record.json.

use super::shelf::Kept;
use super::{CONFIG, FOLDER};
use crate::kept;
use crate::openmetrics::Families;
use crate::record::now;
use crate::root::Root;
use anyhow::Result;
use serde::{Deserialize, Serialize};

const FILE: &str = "var/lib/lichen/backup/record.json";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Record {
    /// The last one that was verified.
    good: Option<Good>,
    /// Why there was none since.
    failed: Option<String>,
    /// The number of the last one that was brought to the bucket.
    brought: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Good {
    /// Seconds since 1970, by the device's clock.
    at: u64,
    file: String,
    bytes: u64,
}

/// The number of the last one that was brought to the bucket.
pub(super) fn brought(root: &Root) -> u64 {
    kept::load::<Record>(root, FILE).brought
}

/// Notes the outcome.
pub(super) fn note(root: &Root, outcome: &Result<Kept>, brought: u64) -> Result<()> {
    let mut record: Record = kept::load(root, FILE);
    record.brought = brought;
    match outcome {
        Ok(Kept { file, bytes }) => {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            record.good = Some(Good {
                at: now(),
                file: name.into_owned(),
                bytes: *bytes,
            });
            record.failed = None;
        }
        Err(error) => record.failed = Some(format!("{error:#}")),
    }
    durable::directory(&root.at(FOLDER), 0o700)?;
    kept::save(root, FILE, &record)
}

/// What the metrics are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Seconds since the last good one, or since boot.
    pub(crate) age: u64,
    pub(crate) failed: bool,
    pub(crate) bytes: Option<u64>,
}

/// How old the last good backup is, as metrics; nothing where none are made by themselves.
pub(crate) fn metrics(root: &Root) -> String {
    if !root.at(CONFIG).exists() {
        return String::new();
    }
    let Record { good, failed, .. } = kept::load(root, FILE);
    let age = match &good {
        Some(good) => now().saturating_sub(good.at),
        None => root.uptime().unwrap_or(0),
    };
    let told = Told {
        age,
        failed: failed.is_some(),
        bytes: good.map(|good| good.bytes),
    };
    told.text()
}

impl Told {
    pub(crate) fn text(&self) -> String {
        let mut families = Families::default();
        families.gauge(
            "lichen_backup_last_success_age_seconds",
            "Time since the last backup that was verified, or since boot if there never was one",
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
