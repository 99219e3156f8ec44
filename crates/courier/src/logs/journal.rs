//! The journal, read with `journalctl`: nothing of libsystemd has to be linked, and nothing of the journal's files, which
//! change with systemd's versions, has to be understood.
//!
//! It is started when something in the journal has changed, and ends when all has been read, so that it takes no memory in
//! between. It is asked for what is at the cursor and after it. If the first entry is not the one of the cursor, the journal
//! has given that one up, and perhaps others after it. Or the power was cut before it was on the disk: then the next boot's
//! entries have the same numbers again, and whoever asks for what follows the cursor's is not told of those below it. So the
//! next boot is read from its beginning. If the cursor's boot was so short that nothing of it is on the disk, the next one is
//! that after the boot before it: so a [`Place`] has those boots as well.

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

/// How many boots before that of the cursor are remembered: so many short ones in a row may leave nothing on the disk.
const MOST_BOOTS: usize = 16;

/// How far the journal has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The last entry.
    cursor: String,
    /// The boots before its own, the latest last.
    boots: Vec<String>,
}

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
    /// Whether the entry of the cursor is still there.
    follows: bool,
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

    /// Reads what is after the place or, without one, what was written since the boot, until there are so many entries or
    /// bytes.
    pub fn read(
        &mut self,
        place: Option<&Place>,
        most: usize,
        bytes: usize,
    ) -> anyhow::Result<Piece> {
        let Some(place) = place else {
            return self.piece("--boot", None, most, bytes);
        };
        let cursor = &place.cursor;
        let piece = self.piece(&format!("--cursor={cursor}"), Some(cursor), most, bytes)?;
        let boot = place.boot();
        let is_of_boot = |entry: &Entry| entry.boot == boot;
        if piece.follows || boot.is_empty() || piece.entries.first().is_some_and(is_of_boot) {
            return Ok(piece);
        }
        let known: Vec<&str> = place.boots().collect();
        for boot in known.iter().rev() {
            // An error says that nothing of this boot is there, or that there is none after it.
            let next = self.piece(&format!("--boot={boot}+1"), None, most, bytes);
            let first = next.as_ref().ok().and_then(|next| next.entries.first());
            if first.is_some_and(|first| !known.contains(&first.boot.as_str())) {
                return next.map(|next| Piece {
                    // There may be further boots.
                    has_more: true,
                    ..next
                });
            }
        }
        Ok(piece)
    }

    fn piece(
        &mut self,
        from: &str,
        cursor: Option<&str>,
        most: usize,
        bytes: usize,
    ) -> anyhow::Result<Piece> {
        let changed = self.changed();
        let program = self.program.display();
        let mut command = Command::new(&self.program);
        command.args(["--output=export", "--quiet", "--no-pager", FIELDS, from]);
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
                piece.follows = is_same(cursor, &entry.cursor);
                if piece.follows {
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

impl Place {
    /// The place after these entries, of which there is at least one, when `before` was the place before them.
    pub fn after(before: Option<&Self>, entries: &[Entry]) -> Option<Self> {
        let last = entries.last()?;
        let before = before.into_iter().flat_map(Self::boots);
        let mut boots: Vec<String> = before
            .chain(entries.iter().map(|entry| entry.boot.as_str()))
            .filter(|boot| *boot != last.boot)
            .map(str::to_owned)
            .collect();
        boots.dedup();
        boots.drain(..boots.len().saturating_sub(MOST_BOOTS));
        Some(Place {
            cursor: last.cursor.clone(),
            boots,
        })
    }

    /// As it is kept in a mark: the cursor, and a line for each boot.
    pub fn to_text(&self) -> String {
        let boots = self.boots.iter().map(String::as_str);
        let lines: Vec<&str> = std::iter::once(self.cursor.as_str()).chain(boots).collect();
        lines.join("\n")
    }

    /// The place that this text tells.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::to_owned);
        let cursor = lines.next()?;
        let boots = lines.collect();
        Some(Place { cursor, boots })
    }

    fn boot(&self) -> &str {
        part(&self.cursor, "b").unwrap_or_default()
    }

    /// The boots, its own the last.
    fn boots(&self) -> impl Iterator<Item = &str> {
        let before = self.boots.iter().map(String::as_str);
        before.chain(std::iter::once(self.boot()))
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
    fn a_place_remembers_the_last_boots_and_outlives_a_restart() {
        let entry = |number: usize| Entry {
            cursor: format!("s=aa;i={number:x};b={}", number / 2),
            boot: (number / 2).to_string(),
            ..Entry::default()
        };
        let entries: Vec<Entry> = (0..7).map(entry).collect();
        let place = Place::after(None, &entries[..3]).unwrap();
        assert_eq!(
            (place.boot(), &place.boots[..]),
            ("1", &["0".to_owned()][..])
        );
        let place = Place::after(Some(&place), &entries[3..]).unwrap();
        assert_eq!(
            (place.boot(), place.boots.join(" ")),
            ("3", "0 1 2".to_owned())
        );
        assert_eq!(Place::from_text(&place.to_text()), Some(place));
        // A mark of before has the cursor only.
        let place = Place::from_text("s=aa;i=1;b=x").unwrap();
        assert_eq!((place.boot(), place.boots.len()), ("x", 0));
        let many: Vec<Entry> = (0..100).map(entry).collect();
        let place = Place::after(None, &many).unwrap();
        assert_eq!(place.boots.len(), MOST_BOOTS);
        assert_eq!(place.boots.last().unwrap(), "48");
        assert_eq!(Place::after(None, &[]), None);
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
