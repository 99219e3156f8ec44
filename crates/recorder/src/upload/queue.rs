//! The queue of uploads in the recorder's database. A change that returned is on the card.
//!
//! A row is never deleted here: what was uploaded stays known as such, so that it is never uploaded twice, and what
//! could not be uploaded is tried again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, named_params, params};

use super::target::Journal;
use super::trouble::Trouble;
use super::video::{Status, Video};

/// The table, which is created together with the recorder's other tables.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS uploads (
  session INTEGER PRIMARY KEY,
  path TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  title TEXT NOT NULL,
  recorded_at_ms INTEGER NOT NULL,
  duration_ms INTEGER NOT NULL,
  status TEXT NOT NULL DEFAULT 'pending'
    CHECK (status IN ('pending', 'uploading', 'completed', 'failed', 'corrupted')),
  why TEXT,                            -- it failed or is corrupted
  target TEXT,                         -- where the upload was begun or completed
  location TEXT,                       -- the target's name for an upload that was begun
  acknowledged INTEGER NOT NULL DEFAULT 0,
  receipt TEXT,                        -- the target's name for the complete video
  failures INTEGER NOT NULL DEFAULT 0,
  due_ms INTEGER NOT NULL DEFAULT 0,   -- not tried before
  changed_ms INTEGER NOT NULL          -- when the status was last set
) STRICT;
";

/// The first pause after a target did not take a video, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(5 * 60), Duration::from_secs(6 * 3600));
/// A time further ahead than any pause was written when the clock was wrong.
const FAR_AHEAD_MS: i64 = 24 * 3600 * 1000;
/// The success rate is that of this time.
const DAY_MS: i64 = 24 * 3600 * 1000;

/// The open queue.
pub struct Queue {
    connection: Connection,
    /// Which file it is.
    inode: Option<u64>,
}

impl Queue {
    /// Opens the queue in the recorder's database.
    pub fn open(database: &Path) -> anyhow::Result<Self> {
        let open = || {
            // Not created: an empty file would be in the way of the recorder's own.
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(database, flags)?;
            connection.busy_timeout(Duration::from_secs(10))?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "cache_size", -256)?;
            connection.prepare("SELECT session FROM uploads")?;
            Ok::<_, rusqlite::Error>(connection)
        };
        let connection =
            open().with_context(|| format!("cannot open the uploads in {}", database.display()))?;
        let inode = inode(database);
        Ok(Queue { connection, inode })
    }

    /// Whether it is still the recorder's database, which begins a new file when one was damaged.
    pub fn is_in(&self, database: &Path) -> bool {
        self.inode == inode(database)
    }

    /// Adds a video. One that is known already is left as it is, unless its content is another one.
    pub fn add(&self, video: &Video, now_ms: i64) -> anyhow::Result<()> {
        let path = video.path.to_str();
        let path = path.with_context(|| format!("{:?} is no UTF-8", video.path))?;
        self.connection.execute(
            "INSERT INTO uploads
               (session, path, bytes, sha256, title, recorded_at_ms, duration_ms, changed_ms)
             VALUES (:session, :path, :bytes, :sha256, :title, :recorded, :duration, :now)
             ON CONFLICT (session) DO UPDATE SET
               path = :path, bytes = :bytes, sha256 = :sha256, title = :title,
               recorded_at_ms = :recorded, duration_ms = :duration,
               status = 'pending', why = NULL, target = NULL, location = NULL, acknowledged = 0,
               receipt = NULL, failures = 0, due_ms = 0, changed_ms = :now
             WHERE (path, bytes, sha256) <> (:path, :bytes, :sha256)",
            named_params! {
                ":session": video.session, ":path": path, ":bytes": video.bytes as i64,
                ":sha256": video.sha256, ":title": video.title,
                ":recorded": video.recorded_at_ms, ":duration": video.duration_ms, ":now": now_ms,
            },
        )?;
        Ok(())
    }

    /// The video whose turn it is: first one that was being uploaded, then the oldest that is due.
    pub fn next(&self, now_ms: i64) -> anyhow::Result<Option<Video>> {
        let query = "SELECT session, path, bytes, sha256, title, recorded_at_ms, duration_ms
             FROM uploads
             WHERE status IN ('pending', 'uploading', 'failed')
               AND (due_ms <= ?1 OR due_ms > ?1 + ?2)
             ORDER BY status <> 'uploading', failures, session LIMIT 1";
        let found = self
            .connection
            .query_row(query, params![now_ms, FAR_AHEAD_MS], video);
        Ok(found.optional()?)
    }

    /// The memory of the upload of a session to a target.
    pub fn journal<'q>(&'q self, session: i64, target: &'q str) -> anyhow::Result<Entry<'q>> {
        let query = "SELECT location FROM uploads WHERE session = ?1 AND target = ?2";
        let found = self
            .connection
            .query_row(query, params![session, target], |row| row.get(0));
        let location = found.optional()?.flatten();
        Ok(Entry {
            queue: self,
            session,
            target,
            location: RefCell::new(location),
        })
    }

    /// Marks an upload as running.
    pub fn uploading(&self, session: i64, now_ms: i64) -> anyhow::Result<()> {
        self.set(session, "uploading", None, now_ms)
    }

    /// Marks an upload as interrupted.
    pub fn pending(&self, session: i64, now_ms: i64) -> anyhow::Result<()> {
        self.set(session, "pending", None, now_ms)
    }

    /// Marks a file as changed since it was recorded; it is never sent.
    pub fn corrupted(&self, session: i64, why: &str, now_ms: i64) -> anyhow::Result<()> {
        self.set(session, "corrupted", Some(why), now_ms)
    }

    /// Marks an upload as complete and checked.
    pub fn completed(
        &self,
        session: i64,
        target: &str,
        receipt: &str,
        now_ms: i64,
    ) -> anyhow::Result<()> {
        self.connection.execute(
            "UPDATE uploads SET status = 'completed', why = NULL, target = ?2, receipt = ?3,
               location = NULL, acknowledged = bytes, failures = 0, changed_ms = ?4
             WHERE session = ?1",
            params![session, target, receipt, now_ms],
        )?;
        Ok(())
    }

    /// Marks an upload as failed for now. One that the target did not take waits for its own, growing time; all others
    /// wait only for the target.
    pub fn failed(
        &self,
        session: i64,
        why: &str,
        is_its_own: bool,
        now_ms: i64,
    ) -> anyhow::Result<()> {
        let query = "SELECT failures FROM uploads WHERE session = ?1";
        let before: u32 = self
            .connection
            .query_row(query, [session], |row| row.get(0))?;
        let (failures, due_ms) = match is_its_own {
            true => {
                let failures = before.saturating_add(1);
                let pause = kit::back_off(PAUSE.0, failures, PAUSE.1);
                (failures, now_ms + pause.as_millis() as i64)
            }
            false => (before, 0),
        };
        self.connection.execute(
            "UPDATE uploads SET failures = ?2, due_ms = ?3 WHERE session = ?1",
            params![session, failures, due_ms],
        )?;
        self.set(session, "failed", Some(why), now_ms)
    }

    /// Makes everything due that failed.
    pub fn all_due(&self) -> anyhow::Result<()> {
        self.connection
            .execute("UPDATE uploads SET due_ms = 0 WHERE status = 'failed'", [])?;
        Ok(())
    }

    /// The status of every session.
    pub fn statuses(&self) -> anyhow::Result<BTreeMap<i64, Status>> {
        let query = "SELECT session, status, coalesce(why, '') FROM uploads";
        let mut query = self.connection.prepare_cached(query)?;
        let rows = query.query_map([], |row| {
            let (word, why): (String, String) = (row.get(1)?, row.get(2)?);
            let status = match &*word {
                "uploading" => Status::Uploading,
                "completed" => Status::Completed,
                "failed" => Status::Failed { why },
                "corrupted" => Status::Corrupted { why },
                _ => Status::Pending,
            };
            Ok((row.get(0)?, status))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many bytes are still to be uploaded, apart from what targets have acknowledged.
    pub fn bytes(&self) -> anyhow::Result<u64> {
        let query = "SELECT coalesce(sum(bytes - acknowledged), 0) FROM uploads
             WHERE status IN ('pending', 'uploading', 'failed')";
        let bytes: i64 = self.connection.query_row(query, [], |row| row.get(0))?;
        Ok(u64::try_from(bytes).unwrap_or_default())
    }

    /// When an upload was last complete.
    pub fn last_completed_ms(&self) -> anyhow::Result<Option<i64>> {
        let query = "SELECT max(changed_ms) FROM uploads WHERE status = 'completed'";
        Ok(self.connection.query_row(query, [], |row| row.get(0))?)
    }

    /// The share of the uploads that ended within a day which were successful; none if none ended.
    pub fn success_rate(&self, now_ms: i64) -> anyhow::Result<Option<f64>> {
        let query = "SELECT avg(status = 'completed') FROM uploads
             WHERE status IN ('completed', 'failed', 'corrupted') AND changed_ms > ?1";
        let rate = self
            .connection
            .query_row(query, [now_ms - DAY_MS], |row| row.get(0))?;
        Ok(rate)
    }

    fn set(
        &self,
        session: i64,
        status: &str,
        why: Option<&str>,
        now_ms: i64,
    ) -> anyhow::Result<()> {
        self.connection.execute(
            "UPDATE uploads SET status = ?2, why = ?3, changed_ms = ?4 WHERE session = ?1",
            params![session, status, why, now_ms],
        )?;
        Ok(())
    }
}

fn inode(database: &Path) -> Option<u64> {
    Some(std::fs::metadata(database).ok()?.ino())
}

fn video(row: &Row) -> rusqlite::Result<Video> {
    Ok(Video {
        session: row.get(0)?,
        path: PathBuf::from(row.get::<_, String>(1)?),
        bytes: row.get::<_, i64>(2)? as u64,
        sha256: row.get(3)?,
        title: row.get(4)?,
        recorded_at_ms: row.get(5)?,
        duration_ms: row.get(6)?,
    })
}

/// The memory of one upload.
pub struct Entry<'q> {
    queue: &'q Queue,
    session: i64,
    target: &'q str,
    location: RefCell<Option<String>>,
}

impl Journal for Entry<'_> {
    fn location(&self) -> Option<String> {
        self.location.borrow().clone()
    }

    fn begun(&self, location: Option<&str>) -> Result<(), Trouble> {
        let written = self.queue.connection.execute(
            "UPDATE uploads SET target = ?2, location = ?3, acknowledged = 0 WHERE session = ?1",
            params![self.session, self.target, location],
        );
        written.map_err(unwritten)?;
        *self.location.borrow_mut() = location.map(str::to_owned);
        Ok(())
    }

    fn acknowledged(&self, bytes: u64) -> Result<(), Trouble> {
        let written = self.queue.connection.execute(
            "UPDATE uploads SET acknowledged = ?2 WHERE session = ?1",
            params![self.session, bytes as i64],
        );
        written.map(drop).map_err(unwritten)
    }
}

fn unwritten(error: rusqlite::Error) -> Trouble {
    Trouble::target(format!(
        "the progress of an upload cannot be recorded: {error}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000_000;
    const HOUR: i64 = 3_600_000;

    fn queue_of(sessions: &[i64]) -> Queue {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        let queue = Queue {
            connection,
            inode: None,
        };
        for session in sessions {
            let video = Video {
                session: *session,
                path: format!("/videos/{session}.mp4").into(),
                bytes: 100,
                sha256: "ab".into(),
                title: String::new(),
                recorded_at_ms: NOW,
                duration_ms: 1,
            };
            queue.add(&video, NOW).unwrap();
        }
        queue
    }

    fn next(queue: &Queue, now_ms: i64) -> Option<i64> {
        queue.next(now_ms).unwrap().map(|video| video.session)
    }

    #[test]
    fn what_was_interrupted_comes_first_and_what_failed_of_itself_waits() {
        let queue = queue_of(&[1, 2, 3]);
        assert_eq!(next(&queue, NOW), Some(1));
        queue.uploading(2, NOW).unwrap();
        assert_eq!(next(&queue, NOW), Some(2));
        queue.failed(2, "refused", true, NOW).unwrap();
        assert_eq!(next(&queue, NOW), Some(1));
        queue.completed(1, "put", "1.mp4", NOW).unwrap();
        queue.corrupted(3, "changed", NOW).unwrap();
        assert_eq!(next(&queue, NOW + 60_000), None);
        assert_eq!(next(&queue, NOW + 5 * 60_000), Some(2));
        // Each failure of its own makes it wait longer.
        queue.failed(2, "refused", true, NOW).unwrap();
        assert_eq!(next(&queue, NOW + 9 * 60_000), None);
        assert_eq!(next(&queue, NOW + 10 * 60_000), Some(2));
        queue.all_due().unwrap();
        assert_eq!(next(&queue, NOW), Some(2));
    }

    #[test]
    fn a_clock_that_was_years_ahead_keeps_nothing_from_being_uploaded() {
        let queue = queue_of(&[1]);
        let ahead = NOW + 5 * 365 * 24 * HOUR;
        queue.failed(1, "refused", true, ahead).unwrap();
        assert_eq!(next(&queue, NOW), Some(1));
    }

    #[test]
    fn what_one_target_has_begun_is_nothing_to_another() {
        let queue = queue_of(&[1]);
        let journal = queue.journal(1, "tus a").unwrap();
        journal.begun(Some("https://a/1")).unwrap();
        journal.acknowledged(40).unwrap();
        assert_eq!(queue.bytes().unwrap(), 60);
        let again = queue.journal(1, "tus a").unwrap().location();
        assert_eq!(again.as_deref(), Some("https://a/1"));
        assert_eq!(queue.journal(1, "tus b").unwrap().location(), None);
    }

    #[test]
    fn the_success_rate_is_that_of_a_day() {
        let queue = queue_of(&[1, 2, 3, 4, 5]);
        assert_eq!(queue.success_rate(NOW).unwrap(), None);
        queue.failed(1, "refused", false, NOW).unwrap();
        queue.completed(2, "put", "2", NOW + HOUR).unwrap();
        queue.completed(3, "put", "3", NOW + HOUR).unwrap();
        queue.corrupted(4, "changed", NOW + HOUR).unwrap();
        assert_eq!(queue.success_rate(NOW + HOUR).unwrap(), Some(0.5));
        let later = queue.success_rate(NOW + 24 * HOUR + 1).unwrap();
        assert_eq!(later, Some(2.0 / 3.0));
        assert_eq!(queue.last_completed_ms().unwrap(), Some(NOW + HOUR));
    }
}
