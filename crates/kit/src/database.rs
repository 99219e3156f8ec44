//! A service's own SQLite file. One thread owns it; a commit that returned is on the card.
//!
//! It uses a write-ahead log with synchronous=FULL: each commit is flushed, and a power cut at any moment loses only
//! what was not committed. A damaged file is set aside, never deleted, and replaced by a new one, so that the service
//! keeps running. Backup and restore work while the service runs, because SQLite lets two processes share the file.

use std::io::Write;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rusqlite::backup::Backup;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};
use serde::de::DeserializeOwned;

use crate::clock;
use crate::owner::AsOwner;

/// The content of a service's files, and how to tell them from other SQLite files.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// The name of the file in messages.
    pub name: &'static str,
    /// SQLite's `application_id`.
    pub application: i32,
    /// SQLite's `user_version`.
    pub version: i32,
    /// The statements that make the tables.
    pub tables: &'static str,
    /// The table whose rows are counted to describe the size of a file.
    pub counted: &'static str,
}

/// An open file: a connection with the operations that every service needs.
#[derive(Debug)]
pub struct Database {
    name: &'static str,
    connection: Connection,
    seen: i64,
}

impl Database {
    fn of(schema: &Schema, connection: Connection) -> anyhow::Result<Self> {
        let mut database = Database {
            name: schema.name,
            connection,
            seen: 0,
        };
        database.changed_by_others()?;
        Ok(database)
    }

    /// Whether another process, such as a restore, has written since the last call.
    pub fn changed_by_others(&mut self) -> anyhow::Result<bool> {
        let version = self.pragma_query_value(None, "data_version", |row| row.get(0))?;
        Ok(std::mem::replace(&mut self.seen, version) != version)
    }

    /// The value stored under `key` in the table `settings (key, value)`, as JSON; a value that cannot be parsed any
    /// more counts as missing.
    pub fn setting<V: DeserializeOwned + Default>(&self, key: &str) -> anyhow::Result<V> {
        let query = "SELECT value FROM settings WHERE key = ?1";
        let text: Option<String> = self.query_row(query, [key], |row| row.get(0)).optional()?;
        let value = text.and_then(|text| serde_json::from_str(&text).ok());
        Ok(value.unwrap_or_default())
    }

    /// Closes the file, leaving a single file without a log unless another process has it open.
    pub fn close(self) {
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "the {} could not be closed cleanly", self.name);
        }
    }
}

impl Deref for Database {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Database {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// Why a valid SQLite database cannot be used by this program.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Another program created it.
    #[error("the file belongs to another program")]
    Foreign,
    /// Another version of this program created it.
    #[error("the file has version {found}, but this program supports version {known} only")]
    OtherVersion {
        /// The file's version.
        found: i32,
        /// The version of this program.
        known: i32,
    },
}

impl Schema {
    /// Opens the file, or creates it.
    pub fn open(&self, path: &Path) -> anyhow::Result<Database> {
        // A leftover log means that there was a power cut; only then is it worth checking every page.
        let left_behind = std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
        let in_file = || format!("{} {}", self.name, path.display());
        let connection = Connection::open(path).with_context(in_file)?;
        let connection = self.set_up(connection).with_context(in_file)?;
        if left_behind {
            check(&connection).with_context(in_file)?;
        }
        Database::of(self, connection)
    }

    /// Opens the file, which there must be, to read it beside whoever writes it.
    pub fn open_to_read(&self, path: &Path) -> anyhow::Result<Database> {
        let in_file = || format!("{} {}", self.name, path.display());
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .with_context(in_file)?;
        connection
            .busy_timeout(Duration::from_secs(5))
            .with_context(in_file)?;
        anyhow::ensure!(
            self.is_made(&connection).with_context(in_file)?,
            Unusable::Foreign
        );
        Database::of(self, connection)
    }

    /// A database in memory, which is gone when the process ends.
    pub fn open_in_memory(&self) -> anyhow::Result<Database> {
        Database::of(self, self.set_up(Connection::open_in_memory()?)?)
    }

    /// Opens the file. A damaged one is renamed, and its new name is returned. A `suspect` one is checked page by page.
    pub fn open_or_set_aside(
        &self,
        path: &Path,
        suspect: bool,
    ) -> anyhow::Result<(Database, Option<PathBuf>)> {
        let opened = self.open(path).and_then(|database| match suspect {
            true => check(&database).map(|()| database),
            false => Ok(database),
        });
        match opened {
            Ok(database) => Ok((database, None)),
            Err(error) if is_damage(&error) => {
                let aside = set_aside(path)
                    .with_context(|| format!("cannot set aside {}", path.display()))?;
                let name = self.name;
                tracing::error!(aside = %aside.display(), "the {name} was damaged and set aside: {error:#}");
                Ok((self.open(path)?, Some(aside)))
            }
            Err(error) => Err(error),
        }
    }

    fn set_up(&self, connection: Connection) -> anyhow::Result<Connection> {
        connection.busy_timeout(Duration::from_secs(5))?;
        // Checked first, so that another program's file is never changed.
        self.is_made(&connection)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", -256)?;
        connection.pragma_update(None, "journal_size_limit", 4 << 20)?;
        self.migrate(&connection)?;
        Ok(connection)
    }

    /// Creates the tables in an empty file; refuses files of other programs and of other versions.
    fn migrate(&self, connection: &Connection) -> anyhow::Result<()> {
        // Two processes may find the file empty at once, so check again inside the transaction.
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let made = match self.is_made(connection) {
            Ok(false) => connection
                .execute_batch(&format!(
                    "{} PRAGMA application_id = {}; PRAGMA user_version = {};",
                    self.tables, self.application, self.version
                ))
                .map_err(Into::into),
            judged => judged.map(drop),
        };
        connection.execute_batch(if made.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        made
    }

    /// Whether the file has the tables of this version: false if it is empty, and an error if it is another program's or of
    /// another version.
    fn is_made(&self, connection: &Connection) -> anyhow::Result<bool> {
        let pragma =
            |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let (application, found) = (pragma("application_id")?, pragma("user_version")?);
        let known = self.version;
        if application == self.application {
            anyhow::ensure!(found == known, Unusable::OtherVersion { found, known });
            return Ok(true);
        }
        let tables: u32 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        anyhow::ensure!((application, found, tables) == (0, 0, 0), Unusable::Foreign);
        Ok(false)
    }

    /// Copies the file `from` to the file `to`, which only its owner can read, or to stdout if that is `-`. Returns its rows.
    pub fn back_up(&self, from: &Path, to: &Path) -> anyhow::Result<u64> {
        let directory = directory_of(from)?;
        let as_owner = AsOwner::of(directory)?;
        let connection = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .with_context(|| format!("{} {}", self.name, from.display()))?;
        connection.busy_timeout(Duration::from_secs(10))?;
        let scratch = scratch(directory, "backup")?;
        let copy = scratch.path().join("copy.db");
        connection
            .execute("VACUUM INTO ?1", [copy.to_string_lossy()])
            .with_context(|| format!("cannot copy the {}", self.name))?;
        let rows = self.verify(&copy)?;
        let mut copied = std::fs::File::open(&copy)?;
        scratch.close()?;
        drop(as_owner);
        if to == Path::new("-") {
            std::io::copy(&mut copied, &mut std::io::stdout().lock())
                .context("cannot write to stdout")?;
            std::io::stdout().flush()?;
            return Ok(rows);
        }
        // Next to its destination, so that the last step is a rename and no partial backup is ever visible.
        let cannot = || format!("cannot write to {}", to.display());
        let mut backup = tempfile::Builder::new()
            .prefix(".backup-")
            .tempfile_in(directory_of(to)?)
            .with_context(cannot)?;
        std::io::copy(&mut copied, &mut backup).with_context(cannot)?;
        backup.as_file().sync_all().with_context(cannot)?;
        durable::rename(backup.path(), to)?;
        Ok(rows)
    }

    /// Replaces the file `to` with the backup `from`, all or nothing, after `prepare` has adjusted the copy. Returns
    /// its rows.
    pub fn restore(
        &self,
        from: &Path,
        to: &Path,
        prepare: impl FnOnce(&Connection) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        let is_backup = || format!("backup {}", from.display());
        // Whoever calls can read the backup; the owner of the folder, as whom the rest is done, may not.
        let mut backup = std::fs::File::open(from).with_context(is_backup)?;
        let directory = directory_of(to)?;
        let _as_owner = AsOwner::of(directory)?;
        // Work on a copy, so that the backup itself is never changed.
        let scratch = scratch(directory, "restore")?;
        let copy = scratch.path().join("copy.db");
        #[expect(
            clippy::disallowed_methods,
            reason = "in a scratch folder; it comes over page by page"
        )]
        let mut copied = std::fs::File::create(&copy)?;
        std::io::copy(&mut backup, &mut copied).with_context(is_backup)?;
        drop(copied);
        let rows = self.verify(&copy).with_context(is_backup)?;
        let source = Connection::open(&copy)?;
        self.migrate(&source).with_context(is_backup)?;
        prepare(&source)?;

        let mut live =
            Connection::open(to).with_context(|| format!("{} {}", self.name, to.display()))?;
        live.busy_timeout(Duration::from_secs(10))?;
        // All pages in one step: the running service sees either the old file or the restored one.
        Backup::new(&source, &mut live)?.run_to_completion(
            i32::MAX,
            Duration::from_millis(100),
            None,
        )?;
        Ok(rows)
    }

    /// Checks that the file is intact and ours; returns its rows.
    fn verify(&self, path: &Path) -> anyhow::Result<u64> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let application: i32 =
            connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        anyhow::ensure!(application == self.application, Unusable::Foreign);
        let verdict: String =
            connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        anyhow::ensure!(verdict == "ok", "the file is damaged: {verdict}");
        let rows = format!("SELECT count(*) FROM {}", self.counted);
        Ok(connection.query_row(&rows, [], |row| row.get(0))?)
    }
}

/// Whether the file itself is damaged, rather than busy, full or inaccessible.
pub fn is_damage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        matches!(
            cause
                .downcast_ref::<rusqlite::Error>()
                .and_then(rusqlite::Error::sqlite_error_code),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        )
    })
}

fn check(connection: &Connection) -> anyhow::Result<()> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" {
        return Ok(());
    }
    let damage = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Err(rusqlite::Error::SqliteFailure(damage, Some(verdict)).into())
}

fn set_aside(path: &Path) -> anyhow::Result<PathBuf> {
    let aside = beside(path, &format!(".damaged-{}", clock::now_ms()));
    // Rename the log first: a database without its log is merely older, but a log without its database is useless.
    for suffix in ["-wal", "-shm"] {
        let log = beside(path, suffix);
        if log.exists() {
            std::fs::rename(&log, beside(&aside, suffix))?;
        }
    }
    std::fs::rename(path, &aside)?;
    Ok(aside)
}

/// The path with a suffix appended to the file's name.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn directory_of(file: &Path) -> anyhow::Result<&Path> {
    match file.parent() {
        Some(parent) if parent == Path::new("") => Ok(Path::new(".")),
        parent => parent.with_context(|| format!("{} has no directory", file.display())),
    }
}

fn scratch(directory: &Path, what: &str) -> anyhow::Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix(&format!(".{what}-"))
        .tempdir_in(directory)
        .with_context(|| format!("cannot write to {}", directory.display()))
}
