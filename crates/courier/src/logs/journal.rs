//! The journal, read with `journalctl`: nothing of libsystemd has to be linked, and nothing of the journal's files, which
//! change with systemd's versions, has to be understood.
//!
//! It is started when something in the journal has changed, and ends when all has been read, so that it takes no memory in
//! between. It is asked for what is at the cursor and after it. If the first entry is not the one of the cursor, the journal
//! has given that one up, and perhaps others after it.

use std::fs;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::SystemTime;

use anyhow::Context;

use super::export::{Entries, Entry};

const BUFFER: usize = 16 << 10;
const FIELDS: &str =
    "--output-fields=MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,UNIT,_SYSTEMD_UNIT,_TRANSPORT";
/// How deep journals are below their folders: one for each machine, and one for each name space.
const DEPTH: usize = 2;

/// The journal.
#[derive(Debug)]
pub struct Journal {
    program: PathBuf,
    folders: Vec<PathBuf>,
    longest: usize,
    /// When it had changed last when it was last read to its end.
    seen: Option<SystemTime>,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Piece {
    /// The entries after the cursor.
    pub entries: Vec<Entry>,
    /// How many entries the journal has given up between the cursor and the first entry; at least one if that is not known.
    pub missing: u64,
    /// Whether there may be more.
    pub has_more: bool,
}

impl Journal {
    /// The journal that this program reads from these folders, with at most so many bytes of each line.
    pub fn new(program: PathBuf, folders: Vec<PathBuf>, longest: usize) -> Self {
        Journal {
            program,
            folders,
            longest,
            seen: None,
        }
    }

    /// Whether there may be something that was not read.
    pub fn has_changed(&self) -> bool {
        self.seen.is_none() || self.seen != self.changed()
    }

    /// Reads what is after the cursor or, without one, what was written since the boot, until there are so many entries or
    /// bytes.
    pub fn read(
        &mut self,
        cursor: Option<&str>,
        most: usize,
        bytes: usize,
    ) -> anyhow::Result<Piece> {
        let changed = self.changed();
        let program = self.program.display();
        let mut command = Command::new(&self.program);
        command.args(["--output=export", "--quiet", "--no-pager", FIELDS]);
        match cursor {
            Some(cursor) => command.arg(format!("--cursor={cursor}")),
            None => command.arg("--boot"),
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = Reading(child.with_context(|| format!("cannot start {program}"))?);
        let stdout = child.stdout().context("no output")?;
        let mut entries = Entries::new(BufReader::with_capacity(BUFFER, stdout), self.longest);
        let mut piece = Piece::default();
        let mut size = 0;
        let mut is_first = true;
        while let Some(entry) = entries
            .read()
            .with_context(|| format!("cannot read {program}"))?
        {
            if let (true, Some(cursor)) = (std::mem::take(&mut is_first), cursor) {
                if is_same(cursor, &entry.cursor) {
                    continue;
                }
                piece.missing = missing(cursor, &entry.cursor);
            }
            size += entry.message.as_ref().map_or(0, String::len);
            piece.entries.push(entry);
            if piece.entries.len() >= most || size >= bytes {
                piece.has_more = true;
                return Ok(piece);
            }
        }
        child.end().with_context(|| program.to_string())?;
        self.seen = changed;
        Ok(piece)
    }

    /// When a journal has changed last.
    fn changed(&self) -> Option<SystemTime> {
        self.folders
            .iter()
            .filter_map(|folder| newest(folder, DEPTH))
            .max()
    }
}

fn newest(folder: &Path, depth: usize) -> Option<SystemTime> {
    let entries = fs::read_dir(folder).ok()?;
    let changed = entries.flatten().filter_map(|entry| {
        let about = entry.metadata().ok()?;
        match about.is_dir() {
            true if depth > 1 => newest(&entry.path(), depth - 1),
            true => None,
            false => about.modified().ok(),
        }
    });
    changed.max()
}

/// A part of a cursor. It has the sequence number (`i`) among those of one journal (`s`), and the boot (`b`), the time since
/// then (`m`) and a hash (`x`) of the entry.
fn part<'c>(cursor: &'c str, name: &str) -> Option<&'c str> {
    let parts = cursor.split(';').filter_map(|part| part.split_once('='));
    parts
        .into_iter()
        .find(|(n, _)| *n == name)
        .map(|(_, value)| value)
}

/// Whether two cursors are of one entry. Entries get another number when they are moved from memory to the disk.
fn is_same(one: &str, other: &str) -> bool {
    one == other
        || ["b", "m", "x"].iter().all(|name| {
            let value = part(one, name);
            value.is_some() && value == part(other, name)
        })
}

/// How many entries are missing between two.
fn missing(before: &str, after: &str) -> u64 {
    let number = |cursor| u64::from_str_radix(part(cursor, "i")?, 16).ok();
    let numbers = number(after).zip(number(before));
    let numbers = numbers.filter(|_| part(before, "s") == part(after, "s"));
    let between = numbers.and_then(|(after, before)| after.checked_sub(before + 1));
    between.unwrap_or(1).max(1)
}

/// A running program, which is ended when nobody reads it any more.
struct Reading(Child);

impl Reading {
    fn stdout(&mut self) -> Option<ChildStdout> {
        self.0.stdout.take()
    }

    /// Waits for its end.
    fn end(&mut self) -> anyhow::Result<()> {
        let mut said = String::new();
        if let Some(stderr) = &mut self.0.stderr {
            stderr.take(400).read_to_string(&mut said)?;
        }
        let status = self.0.wait()?;
        anyhow::ensure!(status.success(), "{status}: {}", said.trim());
        Ok(())
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "s=aa;i=10;b=cc;m=5;t=6;x=7";

    #[test]
    fn an_entry_is_known_again_after_it_was_moved_to_the_disk() {
        assert!(is_same(ONE, ONE));
        assert!(is_same(ONE, "s=bb;i=1;b=cc;m=5;t=6;x=7"));
        for other in [
            "s=aa;i=10;b=cc;m=5;t=6;x=8",
            "s=aa;i=10;b=dd;m=5;t=6;x=7",
            "",
        ] {
            assert!(!is_same(ONE, other), "{other}");
        }
    }

    #[test]
    fn what_is_missing_is_counted_where_it_can_be() {
        for (after, count) in [
            ("s=aa;i=11;b=cc;m=9;t=9;x=9", 1),
            ("s=aa;i=20;b=cc;m=9;t=9;x=9", 15),
            ("s=bb;i=20;b=cc;m=9;t=9;x=9", 1),
            ("nonsense", 1),
        ] {
            assert_eq!(missing(ONE, after), count, "{after}");
        }
    }
}
