//! The rows of sessions in `recorder.sqlite`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use kit::database::{Database, Schema};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;

use super::age::Passed;
use super::{Gap, Session, SessionState};
use crate::clock::{Clock, Moment};
use crate::schedule::Wish;

/// The database's content.
pub const SCHEMA: Schema = Schema {
    name: "recordings",
    application: i32::from_be_bytes(*b"LRec"),
    version: 1,
    tables: "
        CREATE TABLE sessions (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            boot TEXT NOT NULL,
            up_ms INTEGER NOT NULL,
            started_at_ms INTEGER NOT NULL,
            duration_ms INTEGER NOT NULL DEFAULT 0,
            bytes INTEGER NOT NULL DEFAULT 0,
            state TEXT NOT NULL,
            format TEXT NOT NULL DEFAULT '',
            sha256 TEXT,
            why TEXT,
            removed_at_ms INTEGER
        );
        CREATE INDEX sessions_by_time ON sessions (started_at_ms);
        CREATE TABLE gaps (
            session INTEGER NOT NULL REFERENCES sessions (id),
            offset_ms INTEGER NOT NULL,
            length_ms INTEGER NOT NULL,
            why TEXT NOT NULL
        );
        CREATE INDEX gaps_by_session ON gaps (session);
        CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    ",
    counted: "sessions",
};

/// How much time had passed when a session began; added later, so that older databases need not be changed.
const AGES: &str = "
    CREATE TABLE IF NOT EXISTS ages (session INTEGER PRIMARY KEY, begun_ms INTEGER NOT NULL) STRICT;
";

const COLUMNS: &str =
    "id, started_at_ms, duration_ms, bytes, state, format, sha256, why, removed_at_ms";

/// The open database.
#[derive(Debug)]
pub struct Store {
    database: Database,
    /// Which file it is, and which content of it.
    identity: (Option<u64>, i64),
}

/// What is known of a video once it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its size.
    pub bytes: u64,
    /// How long it plays.
    pub duration_ms: i64,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// What was wrong with the parts.
    pub notes: Vec<String>,
}

impl SessionState {
    fn word(self) -> &'static str {
        match self {
            SessionState::Recording => "recording",
            SessionState::Processing => "processing",
            SessionState::Finished => "finished",
            SessionState::Corrupted => "corrupted",
        }
    }
}

impl FromSql for SessionState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "recording" => Ok(SessionState::Recording),
            "processing" => Ok(SessionState::Processing),
            "finished" => Ok(SessionState::Finished),
            "corrupted" => Ok(SessionState::Corrupted),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

impl Store {
    /// Opens the database, or begins a new one if it is damaged.
    pub fn open(path: &Path, suspect: bool) -> anyhow::Result<Self> {
        let (database, _aside) = SCHEMA.open_or_set_aside(path, suspect)?;
        // The queue of uploads is in the same file, so that a backup has both.
        database.execute_batch(crate::upload::SCHEMA)?;
        database.execute_batch(AGES)?;
        let mut store = Store {
            database,
            identity: (None, 0),
        };
        store.identity = store.identity(path)?;
        Ok(store)
    }

    /// Closes what somebody has put another file in the place of. Its log stays behind, and SQLite would take that for the log
    /// of the other file.
    pub fn give_way(self, path: &Path) -> anyhow::Result<()> {
        let is_other_file = self.identity(path)?.0 != self.identity.0;
        self.close();
        for suffix in ["-wal", "-shm"] {
            let log = kit::database::beside(path, suffix);
            if is_other_file && log.exists() {
                std::fs::remove_file(log)?;
            }
        }
        Ok(())
    }

    /// Whether it is still what was opened. A restore replaces the content of the file, and somebody else perhaps the file.
    pub fn is_in(&self, path: &Path) -> anyhow::Result<bool> {
        Ok(self.identity(path)? == self.identity)
    }

    /// Uploads write into the same file all the time, which SQLite's data version tells as well. A restore alone changes the
    /// version of the schema.
    fn identity(&self, path: &Path) -> anyhow::Result<(Option<u64>, i64)> {
        let inode = std::fs::metadata(path).ok().map(|file| file.ino());
        let schema = self
            .database
            .pragma_query_value(None, "schema_version", |row| row.get(0))?;
        Ok((inode, schema))
    }

    /// Closes it.
    pub fn close(self) {
        self.database.close();
    }

    /// Adds a session that begins at this moment; one whose folder was found has a number already.
    pub fn add(&self, id: Option<i64>, state: SessionState, begun: &Moment) -> anyhow::Result<i64> {
        self.database.execute(
            "INSERT INTO sessions (id, boot, up_ms, started_at_ms, state) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![id, begun.boot, begun.up_ms, begun.at_ms, state.word()],
        )?;
        Ok(self.database.last_insert_rowid())
    }

    /// Forgets a session; its number is not given to another one.
    pub fn discard(&self, id: i64) -> anyhow::Result<()> {
        for forget in [
            "DELETE FROM ages WHERE session = ?1",
            "DELETE FROM uploads WHERE session = ?1",
            "DELETE FROM gaps WHERE session = ?1",
            "DELETE FROM sessions WHERE id = ?1",
        ] {
            self.database.execute(forget, [id])?;
        }
        Ok(())
    }

    /// The highest number that a session has or had.
    pub fn last_id(&self) -> anyhow::Result<i64> {
        let query = "SELECT seq FROM sqlite_sequence WHERE name = 'sessions'";
        let last = self.database.query_row(query, [], |row| row.get(0));
        Ok(last.optional()?.unwrap_or(0))
    }

    /// How much time is known to have passed.
    pub fn passed(&self) -> anyhow::Result<Passed> {
        self.database.setting("passed")
    }

    /// Remembers how much time has passed.
    pub fn set_passed(&self, passed: &Passed) -> anyhow::Result<()> {
        self.set("passed", passed)
    }

    /// How old sessions are, if so much time has passed. The age of one that is new here counts from now.
    pub fn ages(&self, sessions: &[Session], passed: &Passed) -> anyhow::Result<Vec<i64>> {
        let ages = sessions.iter().map(|session| {
            let query = "SELECT begun_ms FROM ages WHERE session = ?1";
            let mut query = self.database.prepare_cached(query)?;
            let begun = query.query_row([session.id], |row| row.get::<_, i64>(0));
            match begun.optional()? {
                Some(begun_ms) => Ok(passed.ms() - begun_ms),
                None => self.is_born(session.id, passed).map(|()| 0),
            }
        });
        ages.collect()
    }

    /// The age of a session counts from now.
    pub fn is_born(&self, id: i64, passed: &Passed) -> anyhow::Result<()> {
        self.database.execute(
            "INSERT OR REPLACE INTO ages VALUES (?1, ?2)",
            params![id, passed.ms()],
        )?;
        Ok(())
    }

    /// The first frame of a session came at this moment.
    pub fn begun(&self, id: i64, begun: &Moment) -> anyhow::Result<()> {
        self.database.execute(
            "UPDATE sessions SET boot = ?2, up_ms = ?3, started_at_ms = ?4 WHERE id = ?1",
            params![id, begun.boot, begun.up_ms, begun.at_ms],
        )?;
        Ok(())
    }

    /// How a session is recorded.
    pub fn format(&self, id: i64, format: &str) -> anyhow::Result<()> {
        let set = "UPDATE sessions SET format = ?2 WHERE id = ?1";
        self.database.execute(set, params![id, format])?;
        Ok(())
    }

    /// Nothing was recorded in this time.
    pub fn gap(&self, id: i64, from_up_ms: i64, to_up_ms: i64, why: &str) -> anyhow::Result<()> {
        self.database.execute(
            "INSERT INTO gaps SELECT id, max(?2 - up_ms, 0), ?3 - ?2, ?4 FROM sessions WHERE id = ?1",
            params![id, from_up_ms, to_up_ms, why],
        )?;
        Ok(())
    }

    /// Changes a session's state; `note` is added to what is wrong with it, unless that is said already.
    pub fn becomes(&self, id: i64, state: SessionState, note: Option<&str>) -> anyhow::Result<()> {
        self.database.execute(
            "UPDATE sessions SET state = ?2, why = CASE
                WHEN ?3 IS NULL OR instr('; ' || why || '; ', '; ' || ?3 || '; ') > 0 THEN why
                WHEN why IS NULL THEN ?3 ELSE why || '; ' || ?3 END
             WHERE id = ?1",
            params![id, state.word(), note],
        )?;
        Ok(())
    }

    /// A session's video is complete.
    pub fn finished(&self, id: i64, made: &Made) -> anyhow::Result<()> {
        let notes = (!made.notes.is_empty()).then(|| made.notes.join("; "));
        self.database.execute(
            "UPDATE sessions SET bytes = ?2, duration_ms = ?3, sha256 = ?4 WHERE id = ?1",
            params![id, made.bytes as i64, made.duration_ms, made.sha256],
        )?;
        self.becomes(id, SessionState::Finished, notes.as_deref())
    }

    /// A session's files are so large.
    pub fn size(&self, id: i64, bytes: u64) -> anyhow::Result<()> {
        let set = "UPDATE sessions SET bytes = ?2 WHERE id = ?1";
        self.database.execute(set, params![id, bytes as i64])?;
        Ok(())
    }

    /// A session's files have been removed.
    pub fn removed(&self, id: i64, at_ms: i64) -> anyhow::Result<()> {
        let set = "UPDATE sessions SET removed_at_ms = ?2 WHERE id = ?1";
        self.database.execute(set, params![id, at_ms])?;
        self.database
            .execute("DELETE FROM ages WHERE session = ?1", [id])?;
        Ok(())
    }

    /// The sessions that began in a period, the newest first.
    pub fn list(&self, from_ms: i64, to_ms: i64, limit: u32) -> anyhow::Result<Vec<Session>> {
        let rows = "WHERE started_at_ms >= ?1 AND started_at_ms < ?2
            ORDER BY started_at_ms DESC, id DESC LIMIT ?3";
        self.select(rows, params![from_ms, to_ms, limit])
    }

    /// A session.
    pub fn get(&self, id: i64) -> anyhow::Result<Option<Session>> {
        Ok(self.select("WHERE id = ?1", params![id])?.pop())
    }

    /// The sessions in a state whose files have not been removed, the oldest first. Their numbers tell that: a clock that was
    /// wrong when they began tells something else.
    pub fn all(&self, state: SessionState) -> anyhow::Result<Vec<Session>> {
        let rows = "WHERE state = ?1 AND removed_at_ms IS NULL ORDER BY id";
        self.select(rows, params![state.word()])
    }

    /// How many sessions are in each state.
    pub fn counts(&self) -> anyhow::Result<Vec<(SessionState, u64)>> {
        let query = "SELECT state, count(*) FROM sessions GROUP BY state";
        let mut query = self.database.prepare_cached(query)?;
        let counts = query.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?;
        Ok(counts.collect::<Result<_, _>>()?)
    }

    /// The bytes of all files that have not been removed, as far as they are known.
    pub fn bytes(&self) -> anyhow::Result<u64> {
        let query = "SELECT coalesce(sum(bytes), 0) FROM sessions WHERE removed_at_ms IS NULL";
        let bytes: i64 = self.database.query_row(query, [], |row| row.get(0))?;
        Ok(bytes as u64)
    }

    /// Tells when the sessions of this boot began, by the clock of now. Returns how many that changes.
    pub fn set_clock(&self, clock: &Clock) -> anyhow::Result<usize> {
        Ok(self.database.execute(
            "UPDATE sessions SET started_at_ms = up_ms + ?2 WHERE boot = ?1",
            params![clock.boot(), clock.booted_ms()],
        )?)
    }

    /// What somebody said last.
    pub fn wish(&self) -> anyhow::Result<Option<Wish>> {
        self.database.setting("wish")
    }

    /// Remembers what somebody said.
    pub fn set_wish(&self, wish: &Wish) -> anyhow::Result<()> {
        self.set("wish", wish)
    }

    fn set(&self, key: &str, value: &impl Serialize) -> anyhow::Result<()> {
        self.database.execute(
            "INSERT OR REPLACE INTO settings VALUES (?1, ?2)",
            [key, &serde_json::to_string(value)?],
        )?;
        Ok(())
    }

    fn select(&self, rows: &str, values: impl rusqlite::Params) -> anyhow::Result<Vec<Session>> {
        let query = format!("SELECT {COLUMNS} FROM sessions {rows}");
        let mut query = self.database.prepare_cached(&query)?;
        let sessions = query.query_map(values, session)?;
        let mut sessions: Vec<Session> = sessions.collect::<Result<_, _>>()?;
        for session in &mut sessions {
            session.gaps = self.gaps(session)?;
        }
        Ok(sessions)
    }

    fn gaps(&self, session: &Session) -> anyhow::Result<Vec<Gap>> {
        let query =
            "SELECT offset_ms, length_ms, why FROM gaps WHERE session = ?1 ORDER BY offset_ms";
        let mut query = self.database.prepare_cached(query)?;
        let gaps = query.query_map([session.id], |row| {
            Ok(Gap {
                at_ms: session.started_at_ms + row.get::<_, i64>(0)?,
                length_ms: row.get(1)?,
                why: row.get(2)?,
            })
        })?;
        Ok(gaps.collect::<Result<_, _>>()?)
    }

    /// Whether there is a row for this folder.
    pub fn knows(&self, id: i64) -> anyhow::Result<bool> {
        let query = "SELECT 1 FROM sessions WHERE id = ?1";
        let known = self
            .database
            .query_row(query, [id], |_| Ok(()))
            .optional()?;
        Ok(known.is_some())
    }
}

fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: row.get(0)?,
        started_at_ms: row.get(1)?,
        duration_ms: row.get(2)?,
        bytes: row.get::<_, i64>(3)? as u64,
        state: row.get(4)?,
        gaps: Vec::new(),
        format: row.get(5)?,
        path: None,
        thumbnail: None,
        sha256: row.get(6)?,
        why: row.get(7)?,
        removed_at_ms: row.get(8)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_what_was_recorded_first_whatever_the_clock_said() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("recorder.sqlite"), false).unwrap();
        for at_ms in [1_790_000_000_000, 5_000, 1_780_000_000_000] {
            let begun = Moment {
                boot: at_ms.to_string(),
                up_ms: 0,
                at_ms,
            };
            store.add(None, SessionState::Finished, &begun).unwrap();
        }
        let all = store.all(SessionState::Finished).unwrap();
        let ids: Vec<i64> = all.iter().map(|session| session.id).collect();
        assert_eq!(ids, [1, 2, 3]);
    }

    #[test]
    fn what_is_said_of_a_session_is_said_once() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("recorder.sqlite"), false).unwrap();
        let begun = Clock::new().moment();
        let id = store.add(None, SessionState::Recording, &begun).unwrap();
        for note in [
            "nothing: no camera",
            "nothing",
            "nothing",
            "nothing: no camera",
        ] {
            store
                .becomes(id, SessionState::Corrupted, Some(note))
                .unwrap();
        }
        let why = store.get(id).unwrap().unwrap().why;
        assert_eq!(why.as_deref(), Some("nothing: no camera; nothing"));
    }
}
