//! Imports the cache of another program that ran here before, whatever its tables are called.
//!
//! A row is recognised by the names of its columns, in Amber's spelling or Python's, or as Amber's JSON stored as text.
//! It must then pass the same checks as a row from Amber. Rows that are not recognised remain in the old file, which is
//! kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan};
use kit::clock;
use kit::database::beside;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Map, Value, json};

use super::store::{Cache, SCHEMA, give_away};
use crate::amber::{price, usage};

/// Rows written in one transaction.
const BATCH: usize = 5000;

/// The result of an import.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Prices.
    pub prices: usize,
    /// Rows of usage.
    pub usage: usize,
    /// Rows that were not recognised.
    pub others: usize,
}

impl std::fmt::Display for Adopted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Adopted {
            prices,
            usage,
            others,
        } = self;
        write!(
            f,
            "{prices} prices and {usage} rows of usage were taken over; {others} rows are neither"
        )
    }
}

/// Replaces the file with a cache of ours that has the same name; returns the new name of the old file.
pub(super) fn adopt_in_place(path: &Path) -> anyhow::Result<(Adopted, PathBuf)> {
    let new = beside(path, ".adopting");
    // A leftover of an attempt that a power cut interrupted: it is only a copy.
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(beside(&new, suffix));
    }
    let mut cache = Cache(SCHEMA.open(&new)?);
    let adopted = adopt(path, &mut cache)?;
    cache.close();
    give_away(&new)?;
    anyhow::ensure!(
        !beside(path, "-wal").exists(),
        "another program has {} open: stop that program first",
        path.display()
    );
    std::fs::File::open(&new)?.sync_all()?;
    let aside = beside(path, &format!(".before-{}", clock::now_ms()));
    // There is always a complete file with this name: either the old one or ours.
    std::fs::hard_link(path, &aside)
        .with_context(|| format!("cannot keep {} as {}", path.display(), aside.display()))?;
    durable::rename(&new, path)?;
    Ok((adopted, aside))
}

/// Imports all recognised rows of another program's file, without changing that file.
pub fn adopt(from: &Path, into: &mut Cache) -> anyhow::Result<Adopted> {
    let in_file = || format!("cache of another program {}", from.display());
    // Not read-only: a leftover write-ahead log is part of the data.
    let theirs = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .with_context(in_file)?;
    theirs.busy_timeout(Duration::from_secs(5))?;
    let tables: Vec<String> = theirs
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name")
        .and_then(|mut query| query.query_map([], |row| row.get(0))?.collect())
        .with_context(in_file)?;
    let mut adopted = Adopted::default();
    for table in tables {
        take(&theirs, &table, into, &mut adopted)
            .with_context(|| format!("table {table}"))
            .with_context(in_file)?;
    }
    Ok(adopted)
}

fn take(
    theirs: &Connection,
    table: &str,
    into: &mut Cache,
    adopted: &mut Adopted,
) -> anyhow::Result<()> {
    let quoted = table.replace('"', "\"\"");
    let usual = usual_minutes(theirs, &quoted)?;
    let mut query = theirs.prepare(&format!("SELECT * FROM \"{quoted}\""))?;
    let columns: Vec<String> = query
        .column_names()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let (mut prices, mut used) = (Vec::new(), Vec::new());
    let mut rows = query.query([])?;
    loop {
        let row = rows.next()?;
        if row.is_none() || prices.len() + used.len() >= BATCH {
            adopted.prices += into.keep_prices(&std::mem::take(&mut prices))?;
            adopted.usage += into.keep_usage(&std::mem::take(&mut used))?;
        }
        let Some(row) = row else { return Ok(()) };
        let mut named = Map::new();
        let mut found = Vec::new();
        for (index, column) in columns.iter().enumerate() {
            let value = match row.get_ref(index)? {
                ValueRef::Integer(number) => json!(number),
                ValueRef::Real(number) => json!(number),
                ValueRef::Text(text) | ValueRef::Blob(text) => {
                    if matches!(text.first(), Some(b'[' | b'{')) {
                        found.extend(serde_json::from_slice::<Value>(text).ok());
                    }
                    json!(String::from_utf8_lossy(text))
                }
                ValueRef::Null => continue,
            };
            if let Some((name, value)) = in_ambers_words(column, value) {
                named.entry(name).or_insert(value);
            }
        }
        found.push(completed(named, usual));
        let (before, mut candidates) = (prices.len() + used.len(), 0);
        for value in found.iter().flat_map(flat) {
            candidates += 1;
            match usage(value) {
                Ok(row) => used.push(row),
                Err(_) => prices.extend(price(value).ok()),
            }
        }
        // The row itself is a candidate, in addition to any JSON in it.
        let recognised = prices.len() + used.len() - before;
        adopted.others +=
            usize::from(recognised == 0).max((candidates - 1usize).saturating_sub(recognised));
    }
}

/// The objects in a list, in named lists, or a single object.
fn flat(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(fields) if fields.values().any(Value::is_array) => {
            (fields.values().filter_map(Value::as_array).flatten()).collect()
        }
        other => vec![other],
    }
}

/// Finds a column by Amber's name for it.
fn in_ambers_words(column: &str, value: Value) -> Option<(&'static str, Value)> {
    let plain: String = column
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let name = match plain.as_str() {
        "perkwh" | "price" | "priceperkwh" | "centsperkwh" | "priceckwh" | "pricecents" => "perKwh",
        "spotperkwh" | "spot" | "spotprice" => "spotPerKwh",
        "starttime" | "start" | "intervalstart" | "startutc" | "timestamp" | "time" | "ts"
        | "datetime" => "startTime",
        "endtime" | "end" | "intervalend" | "endutc" => "endTime",
        "nemtime" => "nemTime",
        "duration" | "durationminutes" | "minutes" | "intervalminutes" | "intervallength" => {
            "duration"
        }
        "channeltype" | "channel" => "channelType",
        "channelidentifier" | "channelid" | "identifier" => "channelIdentifier",
        "kwh" | "usagekwh" | "energykwh" | "usage" | "consumption" => "kwh",
        "cost" | "costcents" => "cost",
        "costdollars" | "costaud" => {
            return Some(("cost", json!(value.as_f64()? * 100.0)));
        }
        "quality" => "quality",
        "descriptor" | "level" => "descriptor",
        "spikestatus" | "spike" => "spikeStatus",
        "renewables" | "renewablespercent" => "renewables",
        "type" | "intervaltype" | "kind" => "type",
        "estimate" => "estimate",
        _ => return None,
    };
    let value = match name {
        "startTime" | "endTime" => rfc3339(&value, 0)?,
        "nemTime" => rfc3339(&value, 10)?,
        "channelType" => match value
            .as_str()?
            .replace(['_', ' '], "")
            .to_ascii_lowercase()
            .as_str()
        {
            "general" | "import" | "e1" => json!("general"),
            "feedin" | "export" | "b1" => json!("feedIn"),
            "controlledload" => json!("controlledLoad"),
            _ => return None,
        },
        "type" => {
            let word = value.as_str()?.to_ascii_lowercase();
            let kinds = ["Actual", "Current", "Forecast"];
            let kind = kinds
                .into_iter()
                .find(|kind| word.starts_with(&kind.to_ascii_lowercase()))?;
            json!(format!("{kind}Interval"))
        }
        "estimate" => json!(value == 1 || value == true),
        _ => value,
    };
    Some((name, value))
}

/// Completes a row with values that follow from the others, and with defaults.
fn completed(mut row: Map<String, Value>, usual: i64) -> Value {
    let time =
        |row: &Map<String, Value>, name: &str| row.get(name)?.as_str()?.parse::<Timestamp>().ok();
    let number = |row: &Map<String, Value>, name: &str| row.get(name)?.as_f64();
    if !row.contains_key("endTime")
        && let Some(end) = row.get("nemTime").cloned()
    {
        row.insert("endTime".into(), end);
    }
    let (start, end) = (time(&row, "startTime"), time(&row, "endTime"));
    let minutes = match (row.get("duration").and_then(Value::as_i64), start, end) {
        (Some(minutes), _, _) => minutes,
        (None, Some(start), Some(end)) => (end.as_second() - start.as_second() + 30) / 60,
        (None, _, _) => usual,
    };
    row.entry("duration").or_insert(json!(minutes));
    if let (Some(start), None) = (start, end) {
        // Amber's start times are one second late.
        let whole = start.as_second().div_euclid(60) * 60;
        row.extend(rfc3339(&json!(whole + minutes * 60), 0).map(|end| ("endTime".to_owned(), end)));
    }
    if let (None, Some(end)) = (start, end) {
        let start = rfc3339(&json!(end.as_second() - minutes * 60), 0);
        row.extend(start.map(|start| ("startTime".to_owned(), start)));
    }
    row.entry("channelType").or_insert(json!("general"));
    let identifier = if row["channelType"] == "feedIn" {
        "B1"
    } else {
        "E1"
    };
    row.entry("channelIdentifier").or_insert(json!(identifier));
    if let (None, Some(kwh), Some(cents)) =
        (row.get("cost"), number(&row, "kwh"), number(&row, "perKwh"))
    {
        row.insert("cost".into(), json!(kwh * cents));
    }
    let is_past = time(&row, "endTime").is_some_and(|end| end.as_millisecond() <= clock::now_ms());
    let kind = if is_past {
        "ActualInterval"
    } else {
        "ForecastInterval"
    };
    row.entry("type").or_insert(json!(kind));
    row.into()
}

/// Parses the usual forms of a time: text with or without an offset, seconds or milliseconds since 1970.
fn rfc3339(value: &Value, default_hours: i8) -> Option<Value> {
    let time = match value {
        Value::String(text) => text.parse::<Timestamp>().ok().or_else(|| {
            let zone = TimeZone::fixed(Offset::constant(default_hours));
            Some(
                text.parse::<DateTime>()
                    .ok()?
                    .to_zoned(zone)
                    .ok()?
                    .timestamp(),
            )
        })?,
        number => {
            let number = number.as_f64()?;
            let seconds = if number > 1e11 {
                number / 1000.0
            } else {
                number
            };
            Timestamp::UNIX_EPOCH
                .checked_add((seconds as i64).seconds())
                .ok()?
        }
    };
    Some(json!(time.to_string()))
}

/// The interval length of a table whose rows do not contain it: the most common step between two rows.
fn usual_minutes(theirs: &Connection, quoted: &str) -> anyhow::Result<i64> {
    let mut query = theirs.prepare(&format!("SELECT * FROM \"{quoted}\" LIMIT 1000"))?;
    let columns: Vec<String> = query
        .column_names()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let Some(at) = columns.iter().position(|column| {
        in_ambers_words(column, json!(0)).is_some_and(|(name, _)| name.ends_with("Time"))
    }) else {
        return Ok(30);
    };
    let mut starts: Vec<i64> = Vec::new();
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let value = match row.get_ref(at)? {
            ValueRef::Integer(number) => json!(number),
            ValueRef::Real(number) => json!(number),
            ValueRef::Text(text) => json!(String::from_utf8_lossy(text)),
            _ => continue,
        };
        let time = rfc3339(&value, 0).and_then(|time| time.as_str()?.parse::<Timestamp>().ok());
        starts.extend(time.map(|time| time.as_second() / 60));
    }
    starts.sort_unstable();
    starts.dedup();
    let mut steps: BTreeMap<i64, usize> = BTreeMap::new();
    for pair in starts.windows(2) {
        *steps.entry(pair[1] - pair[0]).or_default() += 1;
    }
    let usual = steps
        .into_iter()
        .filter(|(minutes, _)| [5, 15, 30, 60].contains(minutes))
        .max_by_key(|(_, times)| *times);
    Ok(usual.map_or(30, |(minutes, _)| minutes))
}

#[cfg(test)]
#[path = "adopt_tests.rs"]
mod tests;
