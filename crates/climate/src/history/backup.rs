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
        // Messages that were undelivered at backup time are outdated, and most of them have been delivered since.
        copy.execute("DELETE FROM outbox", [])?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::super::store::{Batch, Store};
    use super::*;
    use crate::alert::Message;

    #[test]
    fn what_was_undelivered_when_it_was_backed_up_is_not_told_again() {
        let directory = tempfile::tempdir().unwrap();
        let [history, backup] = ["climate.db", "backup"].map(|name| directory.path().join(name));
        let mut service = Store::open(&history).unwrap();
        let message = Message {
            key: "1-temperature-high".into(),
            at: 1,
            body: "{}".into(),
        };
        let batch = Batch {
            readings: &[],
            messages: &[message],
            gone: &[],
            settings: &[("last_status", "7".into())],
        };
        service.write(&batch).unwrap();
        back_up(&history, &backup).unwrap();
        restore(&backup, &history).unwrap();
        assert!(service.changed_by_others().unwrap());
        assert_eq!(service.outbox().unwrap(), []);
        assert_eq!(service.setting::<i64>("last_status").unwrap(), 7);
    }
}
