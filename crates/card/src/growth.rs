//! Moves the end of a GPT's last partition to the end of a grown disk.
//!
//! The usual tools rewrite the primary entries and then the primary header. A power cut between the two leaves a
//! primary table with a wrong checksum, and Linux uses the backup only with `gpt` on its command line: the device would
//! never find DATA again. Therefore the change is a single sector here: the header, which contains both the position of
//! the entries and their checksum:
//!
//! 1. backup entries, then backup header, at the new end of the disk, where the old table does not refer to them;
//! 2. the new entries into free space behind the old ones;
//! 3. the primary header, referring to the new entries: this sector makes the change;
//! 4. the entries in their usual place, and 5. the header, referring to them again;
//! 6. the protective MBR, which only marks the disk as used.
//!
//! Each write is flushed before the next one. After each of them, even if a write was torn between sectors, the primary
//! table is valid and has either the old or the new size, and running again produces the same bytes.

use crate::gpt::{ENTRIES, GptError, Place, Read, SECTOR, Table};

/// Partitions end on a full MiB.
const GRAIN: u64 = 2048;

/// One write, to be flushed before the next.
#[derive(Debug)]
pub struct Write {
    /// What is written, for messages.
    pub what: &'static str,
    /// The offset, in bytes from the start of the disk.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The writes, in order; empty if the table is right.
#[derive(Debug)]
pub struct Plan {
    /// The writes.
    pub writes: Vec<Write>,
    /// The size of the partition after them, in sectors.
    pub sectors: u64,
}

/// Decides what to write so that partition `number`, which begins at `start`, extends to the end of the disk. A
/// partition that is followed by another one is left unchanged.
pub fn plan(read: Read<'_>, disk_sectors: u64, number: u32, start: u64) -> Result<Plan, GptError> {
    let table = Table::read(read, disk_sectors)?;
    let index = (number as usize).wrapping_sub(1);
    let entry = table.entry(index).ok_or(GptError::NoNumber(number))?;
    if entry.0 != start {
        return Err(GptError::OtherPartition {
            number,
            found: entry.0,
            expected: start,
        });
    }
    let used: Vec<_> = (0..table.count()).filter_map(|n| table.entry(n)).collect();
    if used.iter().any(|other| other.0 > start) {
        return Ok(Plan {
            writes: Vec::new(),
            sectors: entry.1 - start + 1,
        });
    }
    let area = (table.entries.len() as u64).div_ceil(SECTOR);
    let last = disk_sectors - 1;
    let too_small = GptError::DiskTooSmall {
        end: entry.1,
        sectors: disk_sectors,
    };
    let Some(last_usable) = last
        .checked_sub(area + 1)
        .filter(|usable| *usable >= entry.1)
    else {
        return Err(too_small);
    };
    // If less than one MiB would be gained at the end of the disk, nothing changes.
    let end = ((last_usable + 1) / GRAIN * GRAIN - 1).max(entry.1);
    let spare = ENTRIES + area;
    if let Some(first) = used
        .iter()
        .map(|other| other.0)
        .min()
        .filter(|first| *first < spare + area)
    {
        return Err(GptError::NoRoom(first));
    }

    let mut new = table.clone();
    new.set_end(index, end);
    let primary = |entries| {
        new.header(Place {
            own: 1,
            other: last,
            entries,
            last_usable,
        })
    };
    let backup = new.header(Place {
        own: last,
        other: 1,
        entries: last - area,
        last_usable,
    });

    let mut writes = Vec::new();
    let mut write = |what, sector, bytes: &[u8]| {
        writes.push(Write {
            what,
            offset: sector * SECTOR,
            bytes: bytes.to_vec(),
        });
    };
    let at = |sector: u64, length: usize| read(sector * SECTOR, length);
    if at(last - area, new.entries.len())? != new.entries || at(last, 512)? != backup {
        write("the backup partition entries", last - area, &new.entries);
        write("the backup GPT header", last, &backup);
    }
    if at(1, 512)? != primary(ENTRIES) {
        if table.entries != new.entries || table.raw[72..80] != spare.to_le_bytes() {
            write("the spare partition entries", spare, &new.entries);
            write("the GPT header", 1, &primary(spare));
        }
        write("the partition entries", ENTRIES, &new.entries);
        write("the GPT header", 1, &primary(ENTRIES));
    }
    let mbr = at(0, 512)?;
    if let Some(protective) = protective_mbr(&mbr, last).filter(|wanted| *wanted != mbr) {
        write("the protective MBR", 0, &protective);
    }
    Ok(Plan {
        writes,
        sectors: end - start + 1,
    })
}

/// The MBR with the size of its one entry updated; `None` for an MBR that is not purely protective.
fn protective_mbr(mbr: &[u8], last: u64) -> Option<Vec<u8>> {
    let (first, others) = mbr[446..510].split_at(16);
    let only =
        first[4] == 0xee && first[8..12] == 1u32.to_le_bytes() && others.iter().all(|b| *b == 0);
    only.then(|| {
        let mut mbr = mbr.to_vec();
        mbr[446 + 12..446 + 16]
            .copy_from_slice(&u32::try_from(last).unwrap_or(u32::MAX).to_le_bytes());
        mbr
    })
}

#[cfg(test)]
#[path = "growth_tests.rs"]
mod tests;
