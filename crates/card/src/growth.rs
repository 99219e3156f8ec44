//! Moves the end of a GPT's last partition to the end of a grown disk.
//!
//! The usual tools rewrite the primary entries and then the primary header. A cut between the two leaves a
//! primary table whose checksum is wrong, and Linux looks at the backup only when `gpt` is on its command
//! line: the device would never find DATA again. So the change is one sector here, the header, which names
//! both where the entries are and their checksum:
//!
//! 1. backup entries, then backup header, at the new end of the disk: the old table does not know of them;
//! 2. the new entries into free space behind the old ones;
//! 3. the primary header, pointing there: this sector is the change;
//! 4. the entries to their usual place, and 5. the header pointing at them again;
//! 6. the protective MBR, which only says that the disk is taken.
//!
//! Each write is flushed before the next one. After any of them, and with any of them torn between sectors,
//! the primary table is valid and says the old size or the new one, and running again ends in the same bytes.

use crate::gpt::{ENTRIES, GptError, Place, Read, SECTOR, Table};

/// Partitions end at full MiB.
const GRAIN: u64 = 2048;

/// One write, to be flushed before the next.
#[derive(Debug)]
pub struct Write {
    /// What it is, for messages.
    pub what: &'static str,
    /// Where, in bytes from the start of the disk.
    pub offset: u64,
    /// What.
    pub bytes: Vec<u8>,
}

/// What has to be written, in this order; nothing, if the table is right.
#[derive(Debug)]
pub struct Plan {
    /// The writes.
    pub writes: Vec<Write>,
    /// The size of the partition after them, in sectors.
    pub sectors: u64,
}

/// Decides what to write so that partition `number`, which begins at `start`, reaches the end of the disk.
/// One that another partition follows stays as it is.
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
    // At the very end of a disk there may be less than a MiB to gain: then it stays.
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

/// The MBR with the size of its one entry brought up to date; `None` for one that is more than protective.
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
