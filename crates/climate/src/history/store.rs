//! The content of the history's file, and all SQL for it.

use std::path::{Path, PathBuf};

use kit::database::{Database, Schema};
use rusqlite::params;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::alert::Message;
use crate::reading::Reading;

/// A clock without a battery may be years ahead at boot, which must not delete the history: old readings are deleted
/// only once there are this many newer ones.
const ENOUGH: i64 = 1000;

/// The name of the history's file in the service's state directory.
pub const FILE: &str = "climate.db";

pub(super) const SCHEMA: Schema = Schema {
    name: "history",
    application: 0x4c69_436c, // "LiCl"
    version: 1,
    counted: "readings",
    tables: TABLES,
};

const TABLES: &str = "
    CREATE TABLE readings (
        at INTEGER PRIMARY KEY,             -- milliseconds since 1970
        temperature REAL NOT NULL, humidity REAL, pressure REAL,
        sensor_temperature REAL NOT NULL, soc_temperature REAL
    ) STRICT;
    CREATE TABLE outbox (key TEXT PRIMARY KEY, at INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
    CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
";

/// An open history.
#[derive(Debug)]
pub struct Store(Database);

/// The content of one commit.
#[derive(Debug)]
pub struct Batch<'a> {
    /// New readings.
    pub readings: &'a [Reading],
    /// New messages.
    pub messages: &'a [Message],
    /// Keys of messages that can be deleted.
    pub gone: &'a [String],
    /// State to store, as key and JSON.
    pub settings: &'a [(&'static str, String)],
}

/// The mean, lowest and highest value of a period.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// Mean.
    pub avg: f64,
    /// Lowest.
    pub min: f64,
    /// Highest.
    pub max: f64,
}

/// The summary of a period.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// The mean time of its readings, in seconds since 1970.
    pub t: f64,
    /// Temperature in °C.
    pub temperature: Summary,
    /// Relative humidity in percent.
    pub humidity: Option<Summary>,
    /// Air pressure in hPa.
    pub pressure: Option<Summary>,
}

/// A period of the history, in at most the requested number of points.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    /// Start, in seconds since 1970.
    pub from: f64,
    /// End, in seconds since 1970.
    pub to: f64,
    /// The length of the period that each point summarises, in seconds.
    pub bucket_seconds: f64,
    /// The points; periods without a reading are left out.
    pub points: Vec<Point>,
}

/// Opens the history. A damaged file is renamed, and its new name is returned. A `suspect` one is checked page by page.
pub fn open_or_set_aside(
    path: Option<&Path>,
    suspect: bool,
) -> anyhow::Result<(Store, Option<PathBuf>)> {
    let (database, aside) = match path {
        Some(path) => SCHEMA.open_or_set_aside(path, suspect)?,
        None => (SCHEMA.open_in_memory()?, None),
    };
    Ok((Store(database), aside))
}

impl Store {
    /// Opens the file, or creates it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        Ok(Store(SCHEMA.open(path)?))
    }

    /// Opens the file, which there must be, to read it only.
    pub fn open_to_read(path: &Path) -> anyhow::Result<Self> {
        Ok(Store(SCHEMA.open_to_read(path)?))
    }

    /// Whether another process, such as a restore, has written since the last call.
    pub fn changed_by_others(&mut self) -> anyhow::Result<bool> {
        self.0.changed_by_others()
    }

    /// Writes the whole batch or nothing.
    pub fn write(&mut self, batch: &Batch) -> anyhow::Result<()> {
        let transaction = self.0.transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT OR REPLACE INTO readings VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            for r in batch.readings {
                let values = params![
                    r.at,
                    r.temperature,
                    r.humidity,
                    r.pressure,
                    r.sensor_temperature,
                    r.soc_temperature
                ];
                insert.execute(values)?;
            }
            let mut insert =
                transaction.prepare_cached("INSERT OR IGNORE INTO outbox VALUES (?1, ?2, ?3)")?;
            for message in batch.messages {
                insert.execute(params![message.key, message.at, message.body])?;
            }
            let mut delete = transaction.prepare_cached("DELETE FROM outbox WHERE key = ?1")?;
            for key in batch.gone {
                delete.execute([key])?;
            }
            let mut replace =
                transaction.prepare_cached("INSERT OR REPLACE INTO settings VALUES (?1, ?2)")?;
            for (key, value) in batch.settings {
                replace.execute(params![key, value])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// The state stored under `key`; a value that cannot be parsed any more counts as missing.
    pub fn setting<V: DeserializeOwned + Default>(&self, key: &str) -> anyhow::Result<V> {
        self.0.setting(key)
    }

    /// Undelivered messages, oldest first.
    pub fn outbox(&self) -> anyhow::Result<Vec<Message>> {
        let mut query = self
            .0
            .prepare("SELECT key, at, body FROM outbox ORDER BY at, rowid")?;
        let rows = query.query_map([], |row| {
            Ok(Message {
                key: row.get(0)?,
                at: row.get(1)?,
                body: row.get(2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The readings of `from..to` (milliseconds), summarised in at most `points` points.
    pub fn series(&self, from: i64, to: i64, points: u32) -> anyhow::Result<Series> {
        let span = (to - from).max(1);
        let bucket = (span + i64::from(points) - 1) / i64::from(points.max(1));
        let mut query = self.0.prepare_cached(
            "SELECT avg(at), avg(temperature), min(temperature), max(temperature),
                avg(humidity), min(humidity), max(humidity), avg(pressure), min(pressure), max(pressure)
             FROM readings WHERE at >= ?1 AND at < ?2 GROUP BY (at - ?1) / ?3 ORDER BY 1",
        )?;
        let points = query.query_map([from, to, bucket], |row| {
            let summary = |at: usize| -> rusqlite::Result<Option<Summary>> {
                let avg: Option<f64> = row.get(at)?;
                let Some(avg) = avg else { return Ok(None) };
                Ok(Some(Summary {
                    avg: rounded(avg),
                    min: rounded(row.get(at + 1)?),
                    max: rounded(row.get(at + 2)?),
                }))
            };
            Ok(Point {
                t: (row.get::<_, f64>(0)? / 1000.0).round(),
                temperature: summary(1)?.unwrap_or(Summary {
                    avg: 0.0,
                    min: 0.0,
                    max: 0.0,
                }),
                humidity: summary(4)?,
                pressure: summary(7)?,
            })
        })?;
        let points = points.collect::<Result<_, _>>()?;
        let seconds = |ms: i64| ms as f64 / 1000.0;
        Ok(Series {
            from: seconds(from),
            to: seconds(to),
            bucket_seconds: seconds(bucket),
            points,
        })
    }

    /// Deletes readings older than `before`, once there are `ENOUGH` newer ones; returns how many.
    pub fn forget(&self, before: i64) -> anyhow::Result<usize> {
        let newer = self.0.query_row(
            "SELECT count(*) FROM (SELECT 1 FROM readings WHERE at >= ?1 LIMIT ?2)",
            [before, ENOUGH],
            |row| row.get::<_, i64>(0),
        )?;
        if newer < ENOUGH {
            return Ok(0);
        }
        Ok(self
            .0
            .execute("DELETE FROM readings WHERE at < ?1", [before])?)
    }

    /// The number of readings.
    pub fn count(&self) -> anyhow::Result<u64> {
        Ok(self
            .0
            .query_row("SELECT count(*) FROM readings", [], |row| row.get(0))?)
    }

    /// Closes the file, leaving a single file without a log.
    pub fn close(self) {
        self.0.close();
    }
}

/// Rounds to hundredths: the sensors are not more precise, and it halves the size of answers.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
