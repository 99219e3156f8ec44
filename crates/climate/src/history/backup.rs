//! Backup and restore, while the service runs: SQLite lets two processes share the file.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

use super::store::{APPLICATION, migrate};

/// Copies the history at `from` to the file `to`, or to stdout if that is `-`. Returns its readings.
pub fn back_up(from: &Path, to: &Path) -> anyhow::Result<u64> {
    let connection = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .with_context(|| format!("history {}", from.display()))?;
    connection.busy_timeout(Duration::from_secs(10))?;
    let to_stdout = to == Path::new("-");
    // Beside its final place, so that the last step is a rename and no half-written backup exists.
    let directory = match to.parent() {
        Some(parent) if !to_stdout && parent != Path::new("") => parent,
        _ if to_stdout => from.parent().unwrap_or(Path::new(".")),
        _ => Path::new("."),
    };
    let scratch = tempfile::Builder::new()
        .prefix(".climate-backup-")
        .tempdir_in(directory)
        .with_context(|| format!("cannot write to {}", directory.display()))?;
    let copy = scratch.path().join("copy.db");
    connection
        .execute("VACUUM INTO ?1", [copy.to_string_lossy()])
        .context("cannot copy the history")?;
    let readings = verify(&copy)?;
    let mut file = std::fs::File::open(&copy)?;
    if to_stdout {
        std::io::copy(&mut file, &mut std::io::stdout().lock())
            .context("cannot write to stdout")?;
        std::io::stdout().flush()?;
    } else {
        file.sync_all()?;
        std::fs::rename(&copy, to).with_context(|| format!("cannot write {}", to.display()))?;
        std::fs::File::open(directory)?.sync_all()?;
    }
    Ok(readings)
}

/// Replaces the history at `to` by the backup `from`, all or nothing. Returns its readings.
pub fn restore(from: &Path, to: &Path) -> anyhow::Result<u64> {
    let is_backup = || format!("backup {}", from.display());
    anyhow::ensure!(from.is_file(), "backup {}: no such file", from.display());
    let directory = to.parent().context("the history has no directory")?;
    // A copy is checked and brought up to date, so that the backup itself is never written to.
    let scratch = tempfile::Builder::new()
        .prefix(".climate-restore-")
        .tempdir_in(directory)
        .with_context(|| format!("cannot write to {}", directory.display()))?;
    let copy = scratch.path().join("copy.db");
    std::fs::copy(from, &copy).with_context(is_backup)?;
    let readings = verify(&copy).with_context(is_backup)?;
    let source = Connection::open(&copy)?;
    migrate(&source).with_context(is_backup)?;
    // What was undelivered then is not news now, and most of it has been delivered since.
    source.execute("DELETE FROM outbox", [])?;

    let mut live = Connection::open(to).with_context(|| format!("history {}", to.display()))?;
    live.busy_timeout(Duration::from_secs(10))?;
    // All pages in one step: the running service sees the old history or the restored one.
    Backup::new(&source, &mut live)?.run_to_completion(
        i32::MAX,
        Duration::from_millis(100),
        None,
    )?;
    drop(live);
    // Restored by root into a directory that is the service's: the file must be, too.
    let owner = std::fs::metadata(directory)?;
    if std::fs::metadata(to)?.uid() != owner.uid() {
        chown(to, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(readings)
}

/// Whether the file is a whole history of ours; returns its readings.
fn verify(path: &Path) -> anyhow::Result<u64> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    anyhow::ensure!(
        application == APPLICATION,
        "the file is no history of this service"
    );
    let verdict: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    anyhow::ensure!(verdict == "ok", "the file is damaged: {verdict}");
    Ok(connection.query_row("SELECT count(*) FROM readings", [], |row| row.get(0))?)
}

#[cfg(test)]
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
