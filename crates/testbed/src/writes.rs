//! What a machine wrote onto its disk, in the order it did: the log of QEMU's `blklogwrites`.
//!
//! The format is that of Linux's dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst and
//! drivers/md/dm-log-writes.c): sectors of little-endian numbers, a superblock first, then for each entry a sector
//! that describes it and the data, if it has any. How many entries there are is found by reading them: a log whose
//! machine lost its power has no right number in its superblock.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;

/// One thing that the machine asked of its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Bytes `start..start + length`, which are at `at` of the log.
    Write {
        /// Where on the disk, in bytes.
        start: u64,
        /// How many bytes.
        length: u64,
        /// Where in the log.
        at: u64,
        /// Whether they were to be durable at once.
        durable: bool,
    },
    /// These bytes are of no interest any more; taken for zeros.
    Discard {
        /// Where on the disk, in bytes.
        start: u64,
        /// How many bytes.
        length: u64,
    },
    /// All that was written before has to be durable.
    Flush,
}

/// The log, opened.
#[derive(Debug)]
pub struct Log {
    file: File,
    /// Everything in it, in order.
    pub entries: Vec<Entry>,
}

impl Log {
    /// Reads what is in `path`; data stay in the file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        let entries = entries(&file).with_context(|| format!("the log {}", path.display()))?;
        Ok(Self { file, entries })
    }

    /// The data at `at` of the log.
    pub(crate) fn data(&self, at: u64, buffer: &mut [u8]) -> Result<()> {
        self.file
            .read_exact_at(buffer, at)
            .context("read the log of writes")
    }
}

fn entries(file: &File) -> Result<Vec<Entry>> {
    let end = file.metadata()?.len();
    let mut sector = [0; 512];
    let mut read = |at: u64| -> Result<[u64; 4]> {
        if at + 512 > end {
            return Ok([0; 4]);
        }
        file.read_exact_at(&mut sector, at)?;
        Ok(std::array::from_fn(|i| {
            u64::from_le_bytes(std::array::from_fn(|b| sector[8 * i + b]))
        }))
    };
    let [magic, version, _, size] = read(0)?;
    let size = size & u64::from(u32::MAX);
    ensure!(
        magic == MAGIC && version == 1 && size >= 512,
        "it is not a log of dm-log-writes, version 1"
    );
    let mut found = Vec::new();
    let mut at = size;
    loop {
        let [sector, sectors, flags, extra] = read(at)?;
        if [sector, sectors, flags] == [0; 3] {
            return Ok(found);
        }
        let (start, length) = (sector * size, sectors * size);
        at += size;
        if flags & MARK != 0 {
            at += extra.next_multiple_of(size);
            continue;
        }
        if flags & FLUSH != 0 {
            found.push(Entry::Flush);
        }
        if flags & DISCARD != 0 {
            found.push(Entry::Discard { start, length });
        } else if length > 0 {
            // QEMU was ended while it wrote this entry: the disk never had it.
            if at + length > end {
                return Ok(found);
            }
            found.push(Entry::Write {
                start,
                length,
                at,
                durable: flags & FUA != 0,
            });
            at += length;
        }
    }
}

/// A disk as it was, and all that was written onto it then.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The raw disk before.
    pub before: PathBuf,
    /// The log.
    pub log: PathBuf,
    /// What the story noted on the way, in order.
    pub marks: Vec<Mark>,
}

/// Something a story noted while its machine was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// How many entries the log had then.
    pub entries: usize,
    /// What it is called.
    pub name: String,
    /// What was known then.
    pub note: Value,
}

/// Notes where in the log a story is.
#[derive(Debug)]
pub struct Marker {
    log: PathBuf,
    marks: Vec<Mark>,
}

impl Marker {
    pub(crate) fn of(log: &Path) -> Self {
        Self {
            log: log.to_owned(),
            marks: Vec::new(),
        }
    }

    /// Notes that all that was written so far was written before this.
    pub fn mark(&mut self, name: &str, note: Value) -> Result<()> {
        let entries = Log::open(&self.log)?.entries.len();
        self.marks.push(Mark {
            entries,
            name: name.to_owned(),
            note,
        });
        Ok(())
    }

    pub(crate) fn into_json(self) -> String {
        let marks = self
            .marks
            .iter()
            .map(|mark| json!({ "entries": mark.entries, "name": mark.name, "note": mark.note }));
        Value::Array(marks.collect()).to_string()
    }

    pub(crate) fn read(file: &Path) -> Result<Vec<Mark>> {
        let marks: Vec<Value> = serde_json::from_str(&fs::read_to_string(file)?)?;
        let mark = |mark: Value| {
            Some(Mark {
                entries: usize::try_from(mark["entries"].as_u64()?).ok()?,
                name: mark["name"].as_str()?.to_owned(),
                note: mark["note"].clone(),
            })
        };
        marks
            .into_iter()
            .map(mark)
            .collect::<Option<_>>()
            .with_context(|| format!("cannot parse the marks in {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_was_being_written_when_the_machine_ended_never_happened() {
        let sector = |words: [u64; 4]| {
            let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            bytes.resize(512, 0);
            bytes
        };
        let log = [
            sector([MAGIC, 1, 2, 512]),
            sector([8, 1, 0, 0]),
            vec![b'a'; 512],
            sector([9, 2, 0, 0]),
            vec![b'b'; 512], // of the two sectors that it announces
        ];
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), log.concat()).unwrap();
        let found = Log::open(file.path()).unwrap().entries;
        let whole = Entry::Write {
            start: 8 * 512,
            length: 512,
            at: 1024,
            durable: false,
        };
        assert_eq!(found, [whole]);
    }
}
