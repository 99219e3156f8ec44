//! A few bytes that are changed often: how far something has got.
//!
//! Two slots, each with a number and a checksum; the older one is overwritten in place, so that a cut leaves the value of
//! before or the new one, and a card has to write a single block.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// The distance between the slots, so that a torn block takes one of them at most.
const SLOT: u64 = 4096;
const HEADER: usize = 16;
/// The longest value.
pub const LONGEST: usize = SLOT as usize - HEADER;

/// The file.
#[derive(Debug)]
pub struct Mark {
    file: File,
    number: u64,
}

impl Mark {
    /// Opens or creates it; the value is none if it is new or if both slots are damaged.
    pub fn open(path: &Path) -> io::Result<(Self, Option<Vec<u8>>)> {
        let is_new = !path.exists();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        if is_new {
            durable::sync_entry(path)?;
        }
        let slots = [0, SLOT].map(|at| read(&file, at));
        let newest = slots.into_iter().flatten().max_by_key(|slot| slot.0);
        let (number, value) = newest.map_or((0, None), |(number, value)| (number, Some(value)));
        Ok((Mark { file, number }, value))
    }

    /// Replaces the value. When this returns, it is durable.
    pub fn put(&mut self, value: &[u8]) -> io::Result<()> {
        if value.len() > LONGEST {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a mark is short",
            ));
        }
        let number = self.number + 1;
        let mut slot = vec![0; HEADER];
        slot[..8].copy_from_slice(&number.to_le_bytes());
        slot[8..12].copy_from_slice(&(value.len() as u32).to_le_bytes());
        let sum = checksum(&slot[..12], value);
        slot[12..].copy_from_slice(&sum.to_le_bytes());
        slot.extend_from_slice(value);
        self.file.write_all_at(&slot, number % 2 * SLOT)?;
        durable::cut::point("slot");
        self.file.sync_data()?;
        self.number = number;
        Ok(())
    }
}

fn read(file: &File, at: u64) -> Option<(u64, Vec<u8>)> {
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, at).ok()?;
    let word = |from: usize| u32::from_le_bytes(header[from..from + 4].try_into().expect("four"));
    let length = word(8) as usize;
    if length > LONGEST {
        return None;
    }
    let mut value = vec![0; length];
    file.read_exact_at(&mut value, at + HEADER as u64).ok()?;
    let number = u64::from_le_bytes(header[..8].try_into().expect("eight"));
    (number > 0 && checksum(&header[..12], &value) == word(12)).then_some((number, value))
}

fn checksum(head: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_slot_leaves_the_value_of_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mark");
        let (mut mark, value) = Mark::open(&path).unwrap();
        assert_eq!(value, None);
        for value in ["one", "two", "three"] {
            mark.put(value.as_bytes()).unwrap();
            assert_eq!(Mark::open(&path).unwrap().1.unwrap(), value.as_bytes());
        }
        // The third is in the second slot.
        for damaged in ["two", ""] {
            let at = if damaged == "two" { SLOT } else { 0 };
            mark.file.write_all_at(&[0xff; 20], at).unwrap();
            let value = Mark::open(&path).unwrap().1.unwrap_or_default();
            assert_eq!(value, damaged.as_bytes());
        }
    }

    #[test]
    fn what_is_too_long_is_refused_and_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mark");
        let (mut mark, _) = Mark::open(&path).unwrap();
        mark.put(&[1; LONGEST]).unwrap();
        mark.put(&[2; LONGEST + 1]).unwrap_err();
        assert_eq!(Mark::open(&path).unwrap().1.unwrap(), [1; LONGEST]);
    }
}
