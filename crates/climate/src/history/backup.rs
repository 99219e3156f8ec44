//! Backup and restore, while the service runs.

use std::path::Path;

use super::store::SCHEMA;

/// Copies the history at `from` to the file `to`, or to stdout if that is `-`. Returns its readings.
pub fn back_up(from: &Path, to: &Path) -> anyhow::Result<u64> {
    SCHEMA.back_up(from, to)
}

/// Replaces the history at `to` by the backup `from`, all or nothing. Returns its readings.
pub fn restore(from: &Path, to: &Path) -> anyhow::Result<u64> {
    SCHEMA.restore(from, to, |copy| {
        // What was undelivered then is not news now, and most of it has been delivered since.
        copy.execute("DELETE FROM outbox", [])?;
        Ok(())
    })
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]
mod tests {
    use super::super::store::{Batch, Store};
    use super::*;
    use crate::reading::Reading;

    fn fill(store: &mut Store, readings: std::ops::Range<i64>) {
        let reading = |at| Reading {
            at,
            temperature: 20.0,
            humidity: None,
            pressure: None,
            sensor_temperature: 20.0,
            soc_temperature: None,
        };
        let readings: Vec<Reading> = readings.map(reading).collect();
        store
            .write(&Batch {
                readings: &readings,
                messages: &[],
                gone: &[],
                settings: &[],
            })
            .unwrap();
    }

    #[test]
    fn what_was_backed_up_is_restored_under_a_running_service() {
        let directory = tempfile::tempdir().unwrap();
        let (history, backup) = (
            directory.path().join("climate.db"),
            directory.path().join("backup"),
        );
        let mut service = Store::open(&history).unwrap();
        fill(&mut service, 0..10);
        assert_eq!(back_up(&history, &backup).unwrap(), 10);
        assert!(!service.changed_by_others().unwrap());
        fill(&mut service, 10..20);
        assert_eq!(restore(&backup, &history).unwrap(), 10);
        assert!(service.changed_by_others().unwrap());
        assert_eq!(service.count().unwrap(), 10);
        fill(&mut service, 20..25);
        assert_eq!(service.count().unwrap(), 15);
        assert_eq!(
            std::fs::read_dir(directory.path()).unwrap().count(),
            4,
            "no scratch is left"
        );
    }

    #[test]
    fn a_damaged_or_foreign_backup_is_refused_and_the_history_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (history, backup) = (
            directory.path().join("climate.db"),
            directory.path().join("backup"),
        );
        let mut service = Store::open(&history).unwrap();
        fill(&mut service, 0..2000);
        back_up(&history, &backup).unwrap();
        let mut bytes = std::fs::read(&backup).unwrap();
        bytes[4096 * 4..4096 * 6].fill(0x5a);
        std::fs::write(&backup, bytes).unwrap();
        assert!(restore(&backup, &history).is_err());
        std::fs::write(&backup, "not a database at all, just some text").unwrap();
        assert!(restore(&backup, &history).is_err());
        assert!(restore(&directory.path().join("none"), &history).is_err());
        assert_eq!(service.count().unwrap(), 2000);
    }
}
