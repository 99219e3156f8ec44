//! How much room recordings may take, and which are removed to make room.
//!
//! Two promises: what has not been uploaded is never removed, and the rest of the device always keeps room. When both
//! cannot be kept with a recording, there is no recording, and everybody is told.

use std::path::Path;

use kit::within;
use serde::{Deserialize, Serialize};

/// The file system of the recordings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// What is free for the recorder.
    pub free_bytes: u64,
    /// Its size.
    pub total_bytes: u64,
}

/// How much room recordings may take.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpaceSettings {
    /// No recording is begun with less free space than this; the oldest uploaded ones are removed to keep it free.
    pub min_free_bytes: u64,
    /// A recording is ended in good order when less than this is free.
    pub reserve_bytes: u64,
    /// How large all recordings together may become [default: no limit].
    pub max_bytes: Option<u64>,
    /// After this many days uploaded recordings are removed [default: when their room is needed].
    pub max_days: Option<u32>,
}

impl Default for SpaceSettings {
    fn default() -> Self {
        SpaceSettings {
            min_free_bytes: 5_000_000_000,
            reserve_bytes: 2_000_000_000,
            max_bytes: None,
            max_days: None,
        }
    }
}

impl SpaceSettings {
    /// The first invalid setting, named by its field.
    pub fn check(&self) -> Result<(), String> {
        if self.reserve_bytes > self.min_free_bytes {
            return Err("reserve_bytes: must not be more than min_free_bytes".into());
        }
        within([
            (
                "max_bytes",
                self.max_bytes.unwrap_or(u64::MAX),
                1..=u64::MAX,
            ),
            ("max_days", self.max_days.unwrap_or(1).into(), 1..=36_500),
        ])
    }

    /// Why nothing can be recorded, if that is so. What is being recorded may go on for longer than a new recording could
    /// be begun, so that one does not begin to end at once.
    pub fn obstacle(&self, disk: Disk, used: u64, recording: bool) -> Option<String> {
        let limit = match recording {
            true => self.reserve_bytes,
            false => self.min_free_bytes,
        };
        if disk.free_bytes < limit {
            let (free, limit) = (bytes(disk.free_bytes), bytes(limit));
            return Some(format!(
                "the disk is full: {free} are free, and {limit} are needed"
            ));
        }
        let share = self.max_bytes?;
        let most = match recording {
            true => share,
            false => share - share / 20,
        };
        (used >= most).then(|| {
            let (used, share) = (bytes(used), bytes(share));
            format!("the share of recordings is full: they have {used} of {share}")
        })
    }

    /// How large a session may become on such a disk. All of it has to fit a second time while its parts are joined, and
    /// what is recorded meanwhile a third time: a larger one might never be joined.
    pub fn largest(&self, disk: Disk) -> u64 {
        disk.total_bytes.saturating_sub(self.reserve_bytes) / 3
    }

    /// Which of the kept sessions have to be removed; they come with the oldest first. The one that waits to be joined needs
    /// `join` bytes for it.
    pub fn surplus(&self, kept: &[Kept], disk: Disk, used: u64, join: u64) -> Vec<i64> {
        let (mut free, mut used) = (disk.free_bytes, used);
        let safe = || kept.iter().filter(|session| session.safe);
        let all_safe: u64 = safe().map(|session| session.bytes).sum();
        let wanted = match join {
            0 => 0,
            // If all together were not enough, they would be removed in vain.
            join => Some(join + self.reserve_bytes)
                .filter(|wanted| *wanted <= free + all_safe)
                .unwrap_or(0),
        };
        let wanted = wanted.max(self.min_free_bytes);
        let most_ms = self.max_days.map(|days| i64::from(days) * 86_400_000);
        let mut surplus = Vec::new();
        for session in safe() {
            let needed =
                free < wanted || self.max_bytes.is_some_and(|most| used > most - most / 20);
            let old = most_ms.is_some_and(|most| session.age_ms > most);
            if needed || old {
                free += session.bytes;
                used = used.saturating_sub(session.bytes);
                surplus.push(session.id);
            }
        }
        surplus
    }
}

/// A session whose files are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub id: i64,
    /// How long ago it began, as far as that is known.
    pub age_ms: i64,
    /// The size of its files.
    pub bytes: u64,
    /// Whether it may be removed: it is uploaded, or nothing is ever uploaded.
    pub safe: bool,
}

/// Measures the file system of a directory.
pub fn disk(path: &Path) -> std::io::Result<Disk> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(Disk {
        free_bytes: stat.f_bavail * stat.f_frsize,
        total_bytes: stat.f_blocks * stat.f_frsize,
    })
}

/// The size of everything in a folder.
pub fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| Some(entry.metadata().ok()?.len()));
    sizes.sum()
}

/// A number of bytes for people.
pub fn bytes(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{} kB", count.div_ceil(1000)),
        1_000_000..1_000_000_000 => format!("{} MB", count / 1_000_000),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;

    fn disk(free: u64) -> Disk {
        Disk {
            free_bytes: free,
            total_bytes: 100 * GB,
        }
    }

    fn settings(max_bytes: Option<u64>, max_days: Option<u32>) -> SpaceSettings {
        SpaceSettings {
            max_bytes,
            max_days,
            ..SpaceSettings::default()
        }
    }

    /// Sessions of 1 GB each, the first one ten days old, the others a day younger each; `-` is one that is not uploaded.
    fn kept(safe: &str) -> Vec<Kept> {
        let each = safe.chars().enumerate().map(|(day, safe)| Kept {
            id: day as i64,
            age_ms: (10 - day as i64) * 86_400_000,
            bytes: GB,
            safe: safe != '-',
        });
        each.collect()
    }

    #[test]
    fn a_recording_begins_with_5_gb_and_ends_with_2() {
        for (free, begins, goes_on) in [(6, true, true), (3, false, true), (1, false, false)] {
            let obstacle = |recording| settings(None, None).obstacle(disk(free * GB), 0, recording);
            assert_eq!(obstacle(false).is_none(), begins, "{free}");
            assert_eq!(obstacle(true).is_none(), goes_on, "{free}");
        }
        let why = settings(None, None).obstacle(disk(GB / 2), 0, false);
        let said = "the disk is full: 500 MB are free, and 5.0 GB are needed";
        assert_eq!(why.as_deref(), Some(said));
    }

    #[test]
    fn a_recording_ends_when_its_share_is_full_although_the_disk_is_not() {
        let obstacle = |used, recording| {
            settings(Some(20 * GB), None).obstacle(disk(50 * GB), used, recording)
        };
        assert_eq!(obstacle(19 * GB, true), None);
        let said = "the share of recordings is full: they have 20.0 GB of 20.0 GB";
        assert_eq!(obstacle(20 * GB, true).as_deref(), Some(said));
        assert!(obstacle(19 * GB, false).is_some());
        assert_eq!(obstacle(18 * GB, false), None);
    }

    #[test]
    fn the_oldest_are_removed_but_never_what_is_not_uploaded() {
        let surplus = |settings: SpaceSettings, safe: &str, free, used| {
            settings.surplus(&kept(safe), disk(free * GB), used * GB, 0)
        };
        // Enough of everything.
        assert_eq!(surplus(settings(None, None), "++++", 9, 4), [0; 0]);
        // The disk is full: 3 GB are missing.
        assert_eq!(surplus(settings(None, None), "+-+++", 2, 5), [0, 2, 3]);
        assert_eq!(surplus(settings(None, None), "-----", 2, 5), [0; 0]);
        // Their share is full.
        assert_eq!(
            surplus(settings(Some(4 * GB), None), "-++++", 50, 5),
            [1, 2]
        );
        // They are old: older than 7 days are the first three.
        assert_eq!(surplus(settings(None, Some(7)), "+-+++", 50, 5), [0, 2]);
    }

    #[test]
    fn what_waits_to_be_joined_is_given_room_if_there_can_be_enough() {
        let surplus = |safe: &str, free, join| {
            settings(None, None).surplus(&kept(safe), disk(free * GB), 0, join * GB)
        };
        // 4 GB and the reserve of 2 GB are needed, which is 1 GB more than is kept free anyway.
        assert_eq!(surplus("++-++", 5, 4), [0]);
        assert_eq!(surplus("-+-++", 4, 4), [1, 3]);
        assert_eq!(surplus("+++++", 5, 3), [0; 0]);
        // All that may go is not enough: it would be removed in vain.
        assert_eq!(surplus("-+-++", 5, 7), [0; 0]);
        assert_eq!(surplus("-+-++", 5, 6), [1, 3, 4]);
    }

    #[test]
    fn a_session_never_grows_too_large_to_be_joined_beside_the_next_one() {
        let largest = settings(None, None).largest(disk(0));
        assert_eq!(largest, 98 * GB / 3);
        assert!(3 * largest + 2 * GB <= 100 * GB);
    }

    #[test]
    fn a_reserve_above_the_minimum_is_refused() {
        let wrong = SpaceSettings {
            reserve_bytes: 6 * GB,
            ..SpaceSettings::default()
        };
        assert!(wrong.check().unwrap_err().starts_with("reserve_bytes:"));
    }
}
