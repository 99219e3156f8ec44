//! The content of the cache's file, and all SQL for it.
//!
//! Two programs share the file, the dashboard and the sync. A more certain value is never replaced by a less certain
//! one, whatever the order of the answers.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jiff::civil::Date;
use kit::database::{Database, Schema};
use rusqlite::{OptionalExtension, Row, Transaction, TransactionBehavior, params};
use serde::Serialize;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};

use crate::amber::{Kind, Price, Usage, word};
use crate::days;

/// The tables of the file. Times are seconds since 1970.
pub const SCHEMA: Schema = Schema {
    name: "cache",
    application: 0x4c69_456e, // "LiEn"
    version: 1,
    counted: "prices",
    tables: "
        CREATE TABLE prices (
            channel TEXT NOT NULL, start INTEGER NOT NULL, minutes INTEGER NOT NULL,
            sureness INTEGER NOT NULL,          -- 0 forecast, 1 current, 2 actual
            per_kwh REAL NOT NULL, spot_per_kwh REAL, predicted REAL, renewables REAL,
            level TEXT, spike TEXT NOT NULL, estimate INTEGER NOT NULL,
            PRIMARY KEY (channel, start)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE usage (
            start INTEGER NOT NULL, identifier TEXT NOT NULL, channel TEXT NOT NULL, minutes INTEGER NOT NULL,
            kwh REAL NOT NULL, cost REAL NOT NULL, estimated INTEGER NOT NULL,
            PRIMARY KEY (start, identifier)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    ",
};

/// An open cache.
#[derive(Debug)]
pub struct Cache(pub(super) Database);

/// The energy through the meter on one day.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DayTotals {
    /// The energy drawn, in kWh.
    pub kwh: f64,
    /// Its cost in cents.
    pub cost: f64,
    /// The energy fed in, in kWh.
    pub fed_in_kwh: f64,
    /// The cents earned by that.
    pub earned: f64,
    /// The part of the day that is known, in minutes.
    pub minutes: i64,
    /// Whether parts are estimated because the meter could not be read.
    pub estimated: bool,
}

impl Cache {
    /// A cache in memory, which is gone when the process ends.
    pub fn in_memory() -> anyhow::Result<Self> {
        Ok(Cache(SCHEMA.open_in_memory()?))
    }

    /// Whether another process has written since the last call.
    pub fn changed_by_others(&mut self) -> anyhow::Result<bool> {
        self.0.changed_by_others()
    }

    /// Begins a write transaction. It locks at once, because a read before the first write could become outdated.
    fn begin(&mut self) -> anyhow::Result<Transaction<'_>> {
        let behaviour = TransactionBehavior::Immediate;
        Ok(self.0.transaction_with_behavior(behaviour)?)
    }

    /// Stores prices, all or none; returns how many of them are new or changed.
    pub fn keep_prices(&mut self, prices: &[Price]) -> anyhow::Result<usize> {
        let transaction = self.begin()?;
        let mut news = 0;
        {
            // If intervals of another length overlap (a site changes from 30 minutes to 5), settled ones are kept.
            let mut covered = transaction.prepare_cached(
                "SELECT max(sureness) FROM prices WHERE channel = ?1 AND start > ?2 - 3600 AND start < ?3
                    AND start + minutes * 60 > ?2 AND (start, minutes) <> (?2, ?4)",
            )?;
            let mut make_way = transaction.prepare_cached(
                "DELETE FROM prices WHERE channel = ?1 AND start > ?2 - 3600 AND start < ?3
                    AND start + minutes * 60 > ?2 AND (start, minutes) <> (?2, ?4)",
            )?;
            let mut keep = transaction.prepare_cached(
                "INSERT INTO prices VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                 ON CONFLICT DO UPDATE SET minutes = excluded.minutes, sureness = excluded.sureness,
                    per_kwh = excluded.per_kwh, spot_per_kwh = excluded.spot_per_kwh, predicted = excluded.predicted,
                    renewables = excluded.renewables, level = excluded.level, spike = excluded.spike,
                    estimate = excluded.estimate
                 WHERE excluded.sureness >= sureness AND (excluded.sureness <> sureness
                    OR excluded.per_kwh <> per_kwh OR excluded.predicted IS NOT predicted
                    OR excluded.level IS NOT level OR excluded.spike <> spike OR excluded.estimate <> estimate
                    OR excluded.renewables IS NOT renewables)",
            )?;
            for price in prices {
                let (channel, sureness) = (word(price.channel), price.kind as u8);
                let span = params![channel, price.start, price.end(), price.minutes];
                let lying_there: Option<u8> = covered.query_row(span, |row| row.get(0))?;
                match lying_there {
                    Some(there) if there > sureness => continue,
                    Some(_) => make_way.execute(span)?,
                    None => 0,
                };
                news += keep.execute(params![
                    channel,
                    price.start,
                    price.minutes,
                    sureness,
                    price.per_kwh,
                    price.spot_per_kwh,
                    price.predicted,
                    price.renewables,
                    price.level.map(word),
                    word(price.spike),
                    price.estimate,
                ])?;
            }
        }
        transaction.commit()?;
        Ok(news)
    }

    /// Stores usage, all or none; returns how many rows are new or changed.
    pub fn keep_usage(&mut self, usage: &[Usage]) -> anyhow::Result<usize> {
        let transaction = self.begin()?;
        let mut news = 0;
        {
            let mut keep = transaction.prepare_cached(
                "INSERT INTO usage VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT DO UPDATE SET channel = excluded.channel, minutes = excluded.minutes, kwh = excluded.kwh,
                    cost = excluded.cost, estimated = excluded.estimated
                 WHERE excluded.estimated <= estimated
                    AND (excluded.kwh <> kwh OR excluded.cost <> cost OR excluded.estimated <> estimated)",
            )?;
            for row in usage {
                news += keep.execute(params![
                    row.start,
                    row.identifier,
                    word(row.channel),
                    row.minutes,
                    row.kwh,
                    row.cost,
                    row.estimated,
                ])?;
            }
        }
        transaction.commit()?;
        Ok(news)
    }

    /// The value stored under `key`; a value that cannot be parsed any more counts as missing.
    pub fn setting<V: DeserializeOwned + Default>(&self, key: &str) -> anyhow::Result<V> {
        self.0.setting(key)
    }

    /// Stores a value under `key`.
    pub fn set<V: Serialize>(&mut self, key: &str, value: &V) -> anyhow::Result<()> {
        let replace = "INSERT OR REPLACE INTO settings VALUES (?1, ?2)";
        self.0
            .execute(replace, params![key, serde_json::to_string(value)?])?;
        Ok(())
    }

    /// The prices that overlap `from..to`, by channel and time.
    pub fn prices(&self, from: i64, to: i64) -> anyhow::Result<Vec<Price>> {
        // Name each channel, so that the primary key is used: otherwise SQLite would scan years of rows.
        let mut query = self.0.prepare_cached(
            "SELECT * FROM prices WHERE channel IN ('controlledLoad', 'feedIn', 'general')
                AND start > ?1 - 3600 AND start < ?2 AND start + minutes * 60 > ?1 ORDER BY channel, start",
        )?;
        let rows = query.query_map([from, to], price_of)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The usage that begins in `from..to`, by time.
    pub fn usage(&self, from: i64, to: i64) -> anyhow::Result<Vec<Usage>> {
        let mut query = self.0.prepare_cached(
            "SELECT * FROM usage WHERE start >= ?1 AND start < ?2 ORDER BY start, identifier",
        )?;
        let rows = query.query_map([from, to], usage_of)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The totals of the meter in `from..to`, if there is any usage.
    pub fn totals(&self, from: i64, to: i64) -> anyhow::Result<Option<DayTotals>> {
        let mut query = self.0.prepare_cached(
            "SELECT coalesce(sum(kwh) FILTER (WHERE channel <> 'feedIn'), 0), coalesce(sum(cost) FILTER (WHERE channel <> 'feedIn'), 0),
                coalesce(sum(kwh) FILTER (WHERE channel = 'feedIn'), 0), coalesce(-sum(cost) FILTER (WHERE channel = 'feedIn'), 0),
                sum(minutes) / count(DISTINCT identifier), max(estimated)
             FROM usage WHERE start >= ?1 AND start < ?2 HAVING count(*) > 0",
        )?;
        let totals = query.query_row([from, to], |row| {
            Ok(DayTotals {
                kwh: row.get(0)?,
                cost: row.get(1)?,
                fed_in_kwh: row.get(2)?,
                earned: row.get(3)?,
                minutes: row.get(4)?,
                estimated: row.get(5)?,
            })
        });
        Ok(totals.optional()?)
    }

    /// The start times of the newest settled price and of the newest usage.
    pub fn newest(&self) -> anyhow::Result<(Option<i64>, Option<i64>)> {
        let newest = |query: &str| self.0.query_row(query, [], |row| row.get(0));
        // Search from the end of the index, which finds it at once.
        let price = newest(
            "SELECT (SELECT start FROM prices WHERE channel = 'general' AND sureness = 2 ORDER BY start DESC LIMIT 1)",
        )?;
        Ok((price, newest("SELECT max(start) FROM usage")?))
    }

    /// The market days in `from..=to` whose prices are all settled, and those whose usage is complete and billed.
    pub fn settled(
        &self,
        from: Date,
        to: Date,
    ) -> anyhow::Result<(BTreeSet<Date>, BTreeSet<Date>)> {
        let (mut prices, mut usage) = (BTreeSet::new(), BTreeSet::new());
        // Each channel that occurs on the day must be complete.
        let all = |query: &str, day: (i64, i64)| -> anyhow::Result<bool> {
            let mut query = self.0.prepare_cached(query)?;
            Ok(query.query_row([day.0, day.1], |row| row.get(0))?)
        };
        for day in days::every(from, to) {
            let span = days::market(day);
            let all_settled = "SELECT coalesce(min(minutes), 0) = 1440 FROM (SELECT sum(minutes) AS minutes FROM prices
                WHERE channel IN ('controlledLoad', 'feedIn', 'general') AND start >= ?1 AND start < ?2
                    AND sureness = 2 GROUP BY channel)";
            let all_billed = "SELECT coalesce(min(minutes), 0) = 1440 FROM (SELECT sum(minutes) AS minutes FROM usage
                WHERE start >= ?1 AND start < ?2 AND NOT estimated GROUP BY identifier)";
            if all(all_settled, span)? {
                prices.insert(day);
            }
            if all(all_billed, span)? {
                usage.insert(day);
            }
        }
        Ok((prices, usage))
    }

    /// Deletes rows older than `days` before the newest data; returns how many. It uses the times of the data, because
    /// the device's clock may be years ahead at boot.
    pub fn forget(&mut self, days: u32) -> anyhow::Result<usize> {
        let (price, usage) = self.newest()?;
        let Some(newest) = price.max(usage) else {
            return Ok(0);
        };
        let before = newest - i64::from(days) * 86_400;
        let transaction = self.begin()?;
        let gone = transaction.execute("DELETE FROM prices WHERE start < ?1", [before])?
            + transaction.execute("DELETE FROM usage WHERE start < ?1", [before])?;
        transaction.commit()?;
        Ok(gone)
    }

    /// The number of prices and of usage rows.
    pub fn count(&self) -> anyhow::Result<(u64, u64)> {
        let query = "SELECT (SELECT count(*) FROM prices), (SELECT count(*) FROM usage)";
        Ok(self
            .0
            .query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    /// Closes the file, leaving a single file without a log unless another process has it open.
    pub fn close(self) {
        self.0.close();
    }
}

/// Gives a file that root created to the owner of its directory.
pub(super) fn give_away(path: &Path) -> std::io::Result<()> {
    let owner = std::fs::metadata(path.parent().unwrap_or(Path::new(".")))?;
    for file in ["", "-wal", "-shm"].map(|suffix| kit::database::beside(path, suffix)) {
        if std::fs::metadata(&file).is_ok_and(|its| its.uid() != owner.uid()) {
            std::os::unix::fs::chown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
    }
    Ok(())
}

/// Reads a row with all columns in their order.
fn price_of(row: &Row) -> rusqlite::Result<Price> {
    Ok(Price {
        channel: parsed(row, 0)?,
        start: row.get(1)?,
        minutes: row.get(2)?,
        kind: match row.get(3)? {
            0u8 => Kind::Forecast,
            1 => Kind::Current,
            _ => Kind::Actual,
        },
        per_kwh: row.get(4)?,
        spot_per_kwh: row.get(5)?,
        predicted: row.get(6)?,
        renewables: row.get(7)?,
        level: parsed(row, 8).ok(),
        spike: parsed(row, 9).unwrap_or_default(),
        estimate: row.get(10)?,
    })
}

/// Reads a row with all columns in their order.
fn usage_of(row: &Row) -> rusqlite::Result<Usage> {
    Ok(Usage {
        start: row.get(0)?,
        identifier: row.get(1)?,
        channel: parsed(row, 2)?,
        minutes: row.get(3)?,
        kwh: row.get(4)?,
        cost: row.get(5)?,
        estimated: row.get(6)?,
    })
}

/// Parses a word that this program wrote.
fn parsed<T: DeserializeOwned>(row: &Row, column: usize) -> rusqlite::Result<T> {
    let word: StrDeserializer<serde::de::value::Error> =
        row.get_ref(column)?.as_str()?.into_deserializer();
    T::deserialize(word).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
    })
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
