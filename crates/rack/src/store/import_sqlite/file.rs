//! A SQLite file that somebody hands in: opened for reading only, and not trusted.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::names::{Field, Table, is_bookkeeping, plain};
use crate::store::Error;

/// The most rows that are read of a table.
const MOST_ROWS: usize = 100_000;
/// The longest text of a cell, in bytes. Notes are the longest that a planner has.
const LONGEST_TEXT: usize = 64 << 10;

/// A row of a known table.
#[derive(Debug, Clone, Default)]
pub(super) struct Record(HashMap<Field, Value>);

impl Record {
    /// A text, which is none if it is empty. Numbers are texts, too: ids and serial numbers may be either.
    pub(super) fn text(&self, field: Field) -> Option<String> {
        let text = match self.0.get(&field)? {
            Value::Text(text) => text.trim().to_owned(),
            Value::Integer(number) => number.to_string(),
            Value::Real(number) => number.to_string(),
            Value::Blob(_) | Value::Null => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// A number, which may be a text with a unit behind it, such as `42U`.
    pub(super) fn number(&self, field: Field) -> Result<Option<f64>, String> {
        let text = match self.0.get(&field) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Integer(number)) => return Ok(Some(*number as f64)),
            Some(Value::Real(number)) => return Ok(Some(*number)),
            Some(Value::Blob(_)) => return Err(format!("{field:?} is no number")),
            Some(Value::Text(text)) => text.trim(),
        };
        if text.is_empty() {
            return Ok(None);
        }
        let digits = text.trim_end_matches(|c: char| c.is_alphabetic() || c == ' ' || c == '/');
        let number = digits.parse::<f64>().ok().filter(|n| n.is_finite());
        match number {
            Some(number) => Ok(Some(number)),
            None => Err(format!("{field:?} is `{}`, no number", shortened(text))),
        }
    }

    /// Whether something is so, if it says that.
    pub(super) fn truth(&self, field: Field) -> Option<bool> {
        let text = self.text(field)?.to_ascii_lowercase();
        match text.as_str() {
            "1" | "true" | "yes" | "t" | "y" => Some(true),
            "0" | "false" | "no" | "f" | "n" => Some(false),
            _ => None,
        }
    }

    /// The same, with the fields of another one where this one has none.
    pub(super) fn or(mut self, other: &Record) -> Self {
        for (field, value) in &other.0 {
            let known = self.0.entry(*field).or_insert_with(|| value.clone());
            if *known == Value::Null {
                *known = value.clone();
            }
        }
        self
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

/// What the known tables of a file have.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) racks: Vec<Record>,
    pub(super) kinds: Vec<Record>,
    pub(super) devices: Vec<Record>,
    pub(super) positions: Vec<Record>,
    /// Tables and columns of which nothing is known.
    pub(super) unknown: Vec<String>,
}

/// Opens a file, looks whether it is whole, and hands it over.
pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    let wrong = |error: rusqlite::Error| refused(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = Connection::open_with_flags(path, flags).map_err(wrong)?;
    // A schema may name functions, views and triggers; none of them has to run here.
    file.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)
        .map_err(wrong)?;
    file.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)
        .map_err(wrong)?;
    file.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)
        .map_err(wrong)?;
    file.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA query_only = ON; PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON")
        .map_err(wrong)?;
    Ok(file)
}

/// Reads what is known of a file.
pub(super) fn read(path: &Path, file: &Connection) -> Result<Content, Error> {
    let wrong = |error: rusqlite::Error| refused(path, &error);
    let check: String = file
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(wrong)?;
    if check != "ok" {
        return Err(invalid(path, format!("is damaged: {check}")));
    }
    let mut content = Content::default();
    for name in tables(file).map_err(wrong)? {
        let Some(table) = Table::of(&name) else {
            let sql = format!("SELECT count(*) FROM {}", quoted(&name));
            let count: i64 = file.query_row(&sql, [], |row| row.get(0)).map_err(wrong)?;
            content
                .unknown
                .push(format!("table {name}, of {count} rows"));
            continue;
        };
        let (fields, unknown) = columns(file, table, &name).map_err(wrong)?;
        content.unknown.extend(unknown);
        let records = records(file, &name, &fields).map_err(wrong)?;
        if records.len() > MOST_ROWS {
            let why = format!("has more than {MOST_ROWS} rows in the table {name}");
            return Err(invalid(path, why));
        }
        match table {
            Table::Racks => content.racks.extend(records),
            Table::Kinds => content.kinds.extend(records),
            Table::Devices => content.devices.extend(records),
            Table::Positions => content.positions.extend(records),
        }
    }
    if content.racks.is_empty() && content.devices.is_empty() && content.kinds.is_empty() {
        return Err(invalid(
            path,
            "has neither racks nor devices nor kinds of devices",
        ));
    }
    Ok(content)
}

/// The tables that have rows of their own.
fn tables(file: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = file.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 AND name NOT LIKE 'sqlite^_%' ESCAPE '^' ORDER BY name",
    )?;
    let names = statement.query_map([], |row| row.get(0))?;
    names.collect()
}

type Known = Vec<(Field, String)>;

/// The columns of a table that are known, and what the others are called.
fn columns(file: &Connection, table: Table, name: &str) -> rusqlite::Result<(Known, Vec<String>)> {
    // Of what is computed, nobody knows how long it takes: it is hidden (2 and 3), and left out.
    let mut statement =
        file.prepare("SELECT name FROM pragma_table_xinfo(?1) WHERE hidden = 0 ORDER BY cid")?;
    let columns = statement.query_map([name], |row| row.get::<_, String>(0))?;
    let mut columns: Vec<String> = columns.collect::<Result<_, _>>()?;
    let mut fields = Known::new();
    for (field, names) in table.fields() {
        let at = names
            .iter()
            .find_map(|name| columns.iter().position(|column| plain(column) == *name));
        if let Some(at) = at {
            fields.push((*field, columns.remove(at)));
        }
    }
    columns.retain(|column| !is_bookkeeping(column));
    let unknown = columns
        .iter()
        .map(|column| format!("column {name}.{column}"));
    Ok((fields, unknown.collect()))
}

fn records(file: &Connection, name: &str, fields: &Known) -> rusqlite::Result<Vec<Record>> {
    if fields.is_empty() {
        return Ok(Vec::new());
    }
    let columns: Vec<String> = fields.iter().map(|(_, column)| quoted(column)).collect();
    let sql = format!(
        "SELECT {} FROM {} LIMIT {}",
        columns.join(", "),
        quoted(name),
        MOST_ROWS + 1
    );
    let mut statement = file.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let mut record = Record::default();
        for (at, (field, _)) in fields.iter().enumerate() {
            let value = match row.get_ref(at)? {
                ValueRef::Text(text) if text.len() <= LONGEST_TEXT => {
                    Value::Text(String::from_utf8_lossy(text).into_owned())
                }
                ValueRef::Text(text) => {
                    let text = String::from_utf8_lossy(&text[..LONGEST_TEXT]);
                    Value::Text(text.into_owned())
                }
                ValueRef::Integer(number) => Value::Integer(number),
                ValueRef::Real(number) => Value::Real(number),
                ValueRef::Blob(_) | ValueRef::Null => Value::Null,
            };
            record.0.insert(*field, value);
        }
        records.push(record);
    }
    Ok(records)
}

/// A name as SQL writes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn invalid(path: &Path, why: impl Into<String>) -> Error {
    Error::invalid(path.display().to_string(), why)
}

fn refused(path: &Path, error: &rusqlite::Error) -> Error {
    let code = error.sqlite_error_code();
    let why = match code {
        Some(ErrorCode::NotADatabase) => "is no SQLite database".into(),
        Some(ErrorCode::DatabaseCorrupt) => format!("is damaged: {error}"),
        Some(ErrorCode::CannotOpen) => "cannot be opened: is it there, and readable?".into(),
        Some(ErrorCode::OperationInterrupted) => "takes too long to read".into(),
        _ => format!("cannot be read: {error}"),
    };
    invalid(path, why)
}
