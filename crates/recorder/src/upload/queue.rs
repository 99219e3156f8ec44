//! The queue of uploads in the recorder's database. A change that returned is on the card.
//!
//! A row is never deleted here: what was uploaded stays known as such, so that it is never uploaded twice, and what
//! could not be uploaded is tried again.

use std::cell::{Cell, RefCell};
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
  beginnings INTEGER NOT NULL DEFAULT 0, -- how often it was begun there
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

    /// Adds a video. One that is known already is left as it is, unless its content is another one; but when it was recorded
    /// may have become known better.
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
               status = 'pending', why = NULL, target = NULL, location = NULL, beginnings = 0,
               acknowledged = 0, receipt = NULL, failures = 0, due_ms = 0, changed_ms = :now
             WHERE (path, bytes, sha256) <> (:path, :bytes, :sha256)",
            named_params! {
                ":session": video.session, ":path": path, ":bytes": video.bytes as i64,
                ":sha256": video.sha256, ":title": video.title,
                ":recorded": video.recorded_at_ms, ":duration": video.duration_ms, ":now": now_ms,
            },
        )?;
        let set = "UPDATE uploads SET title = ?2, recorded_at_ms = ?3
             WHERE session = ?1 AND (title, recorded_at_ms) <> (?2, ?3)";
        let known = params![video.session, video.title, video.recorded_at_ms];
        self.connection.execute(set, known)?;
        Ok(())
    }

    /// Corrects the times of a boot that began at `booted_ms`, as far as they were told until `now_ms`, once it is known that
    /// the clock was wrong by `moved_ms` then.
    pub fn set_clock(&self, booted_ms: i64, now_ms: i64, moved_ms: i64) -> anyhow::Result<()> {
        self.connection.execute(
            "UPDATE uploads SET changed_ms = changed_ms + ?3,
               due_ms = CASE due_ms WHEN 0 THEN 0 ELSE due_ms + ?3 END
             WHERE changed_ms BETWEEN ?1 AND ?2",
            params![booted_ms, now_ms, moved_ms],
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

    /// The time until the next video is due, if one waits for its time.
    pub fn next_due(&self, now_ms: i64) -> anyhow::Result<Option<Duration>> {
        let query = "SELECT min(due_ms) FROM uploads
             WHERE status IN ('pending', 'uploading', 'failed') AND due_ms > ?1";
        let due_ms: Option<i64> = self
            .connection
            .query_row(query, [now_ms], |row| row.get(0))?;
        Ok(due_ms.map(|due_ms| Duration::from_millis(due_ms.abs_diff(now_ms))))
    }

    /// How often the target did not take the video of a session.
    pub fn failures(&self, session: i64) -> anyhow::Result<u32> {
        let query = "SELECT failures FROM uploads WHERE session = ?1";
        Ok(self
            .connection
            .query_row(query, [session], |row| row.get(0))?)
    }

    /// The memory of the upload of a session to a target.
    pub fn journal<'q>(&'q self, session: i64, target: &'q str) -> anyhow::Result<Entry<'q>> {
        let query = "SELECT location, beginnings FROM uploads WHERE session = ?1 AND target = ?2";
        let row = |row: &Row| Ok((row.get(0)?, row.get(1)?));
        let found = self
            .connection
            .query_row(query, params![session, target], row);
        let (location, beginnings) = found.optional()?.unwrap_or_default();
        Ok(Entry {
            queue: self,
            session,
            target,
            location: RefCell::new(location),
            beginnings: Cell::new(beginnings),
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

    /// Marks an upload as one whose target has everything, and has to be asked again at a later time.
    pub fn unfinished(&self, session: i64, pause: Duration, now_ms: i64) -> anyhow::Result<()> {
        self.pending(session, now_ms)?;
        let due_ms = now_ms + pause.as_millis() as i64;
        let set = "UPDATE uploads SET due_ms = ?2 WHERE session = ?1";
        self.connection.execute(set, [session, due_ms])?;
        Ok(())
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
               location = NULL, beginnings = 0, acknowledged = bytes, failures = 0, changed_ms = ?4
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
        let before = self.failures(session)?;
        let (failures, due_ms) = match is_its_own {
            true => {
                let failures = before.saturating_add(1);
                let pause = kit::back_off(PAUSE.0, failures, PAUSE.1);
                (failures, now_ms + pause.as_millis() as i64)
            }
            false => (before, 0),
        };
        let set = "UPDATE uploads SET failures = ?2, due_ms = ?3 WHERE session = ?1";
        self.connection
            .execute(set, params![session, failures, due_ms])?;
        self.set(session, "failed", Some(why), now_ms)
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

    /// When an upload was last complete. What a clock told that was wrong, and is still to come, is not believed.
    pub fn last_completed_ms(&self, now_ms: i64) -> anyhow::Result<Option<i64>> {
        let query = "SELECT max(changed_ms) FROM uploads
             WHERE status = 'completed' AND changed_ms <= ?1";
        Ok(self
            .connection
            .query_row(query, [now_ms], |row| row.get(0))?)
    }

    /// The share of the uploads that ended within a day which were successful; none if none ended.
    pub fn success_rate(&self, now_ms: i64) -> anyhow::Result<Option<f64>> {
        let query = "SELECT avg(status = 'completed') FROM uploads
             WHERE status IN ('completed', 'failed', 'corrupted')
               AND changed_ms > ?1 AND changed_ms <= ?2";
        let rate = self
            .connection
            .query_row(query, [now_ms - DAY_MS, now_ms], |row| row.get(0))?;
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
    beginnings: Cell<u32>,
}

impl Journal for Entry<'_> {
    fn location(&self) -> Option<String> {
        self.location.borrow().clone()
    }

    fn beginnings(&self) -> u32 {
        self.beginnings.get()
    }

    fn begun(&self, location: Option<&str>) -> Result<(), Trouble> {
        let beginnings = self.beginnings.get() + u32::from(location.is_some());
        let written = self.queue.connection.execute(
            "UPDATE uploads SET target = ?2, location = ?3, beginnings = ?4, acknowledged = 0
             WHERE session = ?1",
            params![self.session, self.target, location, beginnings],
        );
        written.map_err(unwritten)?;
        self.beginnings.set(beginnings);
        *self.location.borrow_mut() = location.map(str::to_owned);
        Ok(())
    }

    fn moved(&self, location: &str) -> Result<(), Trouble> {
        let written = self.queue.connection.execute(
            "UPDATE uploads SET location = ?2 WHERE session = ?1",
            params![self.session, location],
        );
        written.map_err(unwritten)?;
        *self.location.borrow_mut() = Some(location.to_owned());
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
            queue.add(&video_of(*session), NOW).unwrap();
        }
        queue
    }

    fn video_of(session: i64) -> Video {
        Video {
            session,
            path: format!("/videos/{session}.mp4").into(),
            bytes: 100,
            sha256: "ab".into(),
            title: String::new(),
            recorded_at_ms: NOW,
            duration_ms: 1,
        }
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
        let due = queue.next_due(NOW + 60_000).unwrap();
        assert_eq!(due, Some(Duration::from_secs(9 * 60)));
    }

    #[test]
    fn when_the_clock_is_set_the_times_of_this_boot_are_corrected_and_no_others() {
        let queue = queue_of(&[1, 2, 3]);
        let ahead = NOW + 5 * 365 * 24 * HOUR;
        let booted = ahead - HOUR;
        queue.completed(1, "put", "1", NOW - 3 * HOUR).unwrap();
        queue.completed(2, "put", "2", ahead - HOUR / 2).unwrap();
        queue.failed(3, "refused", true, ahead).unwrap();
        assert_eq!(queue.last_completed_ms(NOW).unwrap(), Some(NOW - 3 * HOUR));
        queue.set_clock(booted, ahead, NOW - ahead).unwrap();
        assert_eq!(queue.last_completed_ms(NOW).unwrap(), Some(NOW - HOUR / 2));
        assert_eq!(queue.success_rate(NOW).unwrap(), Some(2.0 / 3.0));
        // A pause is as long as it was.
        assert_eq!(next(&queue, NOW), None);
        assert_eq!(next(&queue, NOW + 5 * 60_000), Some(3));
    }

    #[test]
    fn a_recording_gets_the_title_of_its_right_time_and_nothing_else_anew() {
        let queue = queue_of(&[1]);
        queue.completed(1, "put", "1", NOW).unwrap();
        let known = Video {
            title: "another".into(),
            recorded_at_ms: NOW - HOUR,
            ..video_of(1)
        };
        queue.add(&known, NOW + HOUR).unwrap();
        let query = "SELECT title, recorded_at_ms, status, changed_ms FROM uploads";
        let row = queue.connection.query_row(query, [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        });
        let expected = (
            "another".to_owned(),
            NOW - HOUR,
            "completed".to_owned(),
            NOW,
        );
        assert_eq!(row.unwrap(), expected);
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
        assert_eq!(queue.journal(1, "tus a").unwrap().beginnings(), 1);
        let other = queue.journal(1, "tus b").unwrap();
        assert_eq!((other.location(), other.beginnings()), (None, 0));
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
        let last = queue.last_completed_ms(NOW + 24 * HOUR).unwrap();
        assert_eq!(last, Some(NOW + HOUR));
    }
}
