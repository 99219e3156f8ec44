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

use std::io;

const SECTOR: u64 = 512;
/// Where the primary entries have their place; the sectors before are the MBR's and the header's.
const ENTRIES: u64 = 2;
/// Partitions end at full MiB.
const GRAIN: u64 = 2048;
const ENTRY_SIZE: usize = 128;

/// Why a partition table is left alone.
#[derive(Debug, thiserror::Error)]
pub enum GptError {
    /// The disk can't be read.
    #[error("cannot be read ({0})")]
    Read(#[from] io::Error),
    /// A header or its entries are damaged, or there is no GPT.
    #[error("is no GPT, or damaged: {0}")]
    Invalid(&'static str),
    /// The table and the kernel disagree on where the partition begins.
    #[error("has partition {number} begin at sector {found}, the kernel at {expected}")]
    OtherPartition {
        /// The number of the partition.
        number: u32,
        /// Where the table has it.
        found: u64,
        /// Where the kernel has it.
        expected: u64,
    },
    /// The disk became smaller.
    #[error(
        "is for a larger disk: its last partition ends at sector {end}, the disk has {sectors}"
    )]
    DiskTooSmall {
        /// The last sector of the partition.
        end: u64,
        /// The sectors of the disk.
        sectors: u64,
    },
    /// Entries have no free space behind them.
    #[error("has a partition at sector {0}, where the entries need space to be changed safely")]
    NoRoom(u64),
}

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

type Read<'a> = &'a dyn Fn(u64, usize) -> io::Result<Vec<u8>>;

/// Decides what to write so that partition `number`, which begins at `start`, reaches the end of the disk.
/// One that another partition follows stays as it is.
pub fn plan(read: Read<'_>, disk_sectors: u64, number: u32, start: u64) -> Result<Plan, GptError> {
    let table = Table::read(read, 1, disk_sectors)?;
    let index = (number as usize).wrapping_sub(1);
    let entry = table
        .entry(index)
        .ok_or(GptError::Invalid("it has no such partition"))?;
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

/// Where a header is, and what it says about where.
struct Place {
    own: u64,
    other: u64,
    entries: u64,
    last_usable: u64,
}

/// A header and the entries it names, found to be valid.
#[derive(Clone)]
struct Table {
    raw: Vec<u8>,
    entries: Vec<u8>,
}

impl Table {
    /// Reads and checks what Linux checks (block/partitions/efi.c, is_gpt_valid).
    fn read(read: Read<'_>, sector: u64, disk_sectors: u64) -> Result<Self, GptError> {
        let raw = read(sector * SECTOR, 512)?;
        let wide = |at: usize| u64_at(&raw, at);
        let narrow = |at: usize| u64::from(u32_at(&raw, at));
        let size = narrow(12) as usize;
        let check = |holds: bool, what| {
            if holds {
                Ok(())
            } else {
                Err(GptError::Invalid(what))
            }
        };
        check(raw.starts_with(b"EFI PART"), "no signature")?;
        check((92..=512).contains(&size), "the header's size")?;
        check(
            u32_at(&raw, 16) == header_checksum(&raw, size),
            "the header's checksum",
        )?;
        check(wide(24) == sector, "the header's place")?;
        check(
            wide(40) <= wide(48) && wide(48) < disk_sectors,
            "the usable sectors",
        )?;
        let length = narrow(80) * narrow(84);
        check(
            narrow(84) as usize == ENTRY_SIZE && (1..=65536).contains(&length),
            "the size of the entries",
        )?;
        check(
            wide(72) >= ENTRIES && wide(72) < disk_sectors,
            "the place of the entries",
        )?;
        let entries = read(wide(72) * SECTOR, length as usize)?;
        check(
            u32_at(&raw, 88) == crc32fast::hash(&entries),
            "the checksum of the entries",
        )?;
        Ok(Self { raw, entries })
    }

    fn count(&self) -> usize {
        self.entries.len() / ENTRY_SIZE
    }

    /// First and last sector of a partition, if there is one.
    fn entry(&self, index: usize) -> Option<(u64, u64)> {
        let entry = self.entries.chunks_exact(ENTRY_SIZE).nth(index)?;
        let (first, last) = (u64_at(entry, 32), u64_at(entry, 40));
        (entry[..16] != [0; 16] && first <= last).then_some((first, last))
    }

    fn set_end(&mut self, index: usize, end: u64) {
        let at = index * ENTRY_SIZE + 40;
        self.entries[at..at + 8].copy_from_slice(&end.to_le_bytes());
    }

    fn header(&self, place: Place) -> Vec<u8> {
        let mut raw = self.raw.clone();
        for (at, value) in [
            (24, place.own),
            (32, place.other),
            (48, place.last_usable),
            (72, place.entries),
        ] {
            raw[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        raw[88..92].copy_from_slice(&crc32fast::hash(&self.entries).to_le_bytes());
        let checksum = header_checksum(&raw, u32_at(&raw, 12) as usize);
        raw[16..20].copy_from_slice(&checksum.to_le_bytes());
        raw
    }
}

/// Of the header with its own checksum taken as zero.
fn header_checksum(raw: &[u8], size: usize) -> u32 {
    let mut header = raw[..size].to_vec();
    header[16..20].fill(0);
    crc32fast::hash(&header)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|n| bytes[at + n]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|n| bytes[at + n]))
}

#[cfg(test)]
#[path = "gpt_tests.rs"]
mod tests;
