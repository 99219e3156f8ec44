//! A GPT, as Linux reads one.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// The size of a sector, in bytes: what the image's partition table counts in.
pub const SECTOR: u64 = 512;
/// The sector of the primary header.
const HEADER: u64 = 1;
/// The first sector of the primary entries; the sectors before hold the MBR and the header.
pub(crate) const ENTRIES: u64 = 2;
pub(crate) const ENTRY_SIZE: usize = 128;

/// Reads a number of bytes at an offset of a disk, both in bytes.
pub type Read<'a> = &'a dyn Fn(u64, usize) -> io::Result<Vec<u8>>;

/// Why a partition table is refused. Each message continues a sentence: `card.img: it has no GPT`.
#[derive(Debug, thiserror::Error)]
pub enum GptError {
    /// The disk cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// There is no GPT.
    #[error("it has no GPT")]
    Missing,
    /// A header or its entries are damaged.
    #[error("its GPT is damaged: {0}")]
    Damaged(&'static str),
    /// There is no partition with this name.
    #[error("it has no partition {0}")]
    NoPartition(String),
    /// There is no partition with this number.
    #[error("it has no partition number {0}")]
    NoNumber(u32),
    /// The table and the kernel disagree on where the partition begins.
    #[error(
        "its partition {number} begins at sector {found}, but the kernel has it begin at {expected}"
    )]
    OtherPartition {
        /// The number of the partition.
        number: u32,
        /// Its first sector in the table.
        found: u64,
        /// Its first sector according to the kernel.
        expected: u64,
    },
    /// The disk is smaller than the table says.
    #[error(
        "it is for a larger disk: its last partition ends at sector {end}, but the disk has {sectors}"
    )]
    DiskTooSmall {
        /// The last sector of the partition.
        end: u64,
        /// The sectors of the disk.
        sectors: u64,
    },
    /// There is no free space behind the entries.
    #[error("it has a partition at sector {0}, where the table needs space to be changed safely")]
    NoRoom(u64),
}

/// Reads from a copy of the beginning of a disk in memory.
pub fn reader_of_bytes(bytes: &[u8]) -> impl Fn(u64, usize) -> io::Result<Vec<u8>> {
    |offset, length| {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let part = bytes.get(from..from.saturating_add(length));
        part.map(<[u8]>::to_vec)
            .ok_or(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Reads from a disk that is a file or a device.
pub fn reader_of_file(disk: &File) -> impl Fn(u64, usize) -> io::Result<Vec<u8>> {
    |offset, length| {
        let mut bytes = vec![0; length];
        disk.read_exact_at(&mut bytes, offset).map(|()| bytes)
    }
}

/// The position of a header, and the positions that it names.
pub(crate) struct Place {
    pub(crate) own: u64,
    pub(crate) other: u64,
    pub(crate) entries: u64,
    pub(crate) last_usable: u64,
}

/// A header and its entries, both checked.
#[derive(Debug, Clone)]
pub struct Table {
    pub(crate) raw: Vec<u8>,
    pub(crate) entries: Vec<u8>,
}

impl Table {
    /// Reads the primary table, with the checks that Linux makes.
    pub fn read(read: Read<'_>, disk_sectors: u64) -> Result<Self, GptError> {
        Self::read_at(read, HEADER, disk_sectors)
    }

    /// The position of the partition with this name, in bytes.
    pub fn partition(&self, name: &str) -> Result<Range<u64>, GptError> {
        let found = (0..self.count()).find(|index| self.name(*index) == name);
        let (first, last) = found
            .and_then(|index| self.entry(index))
            .ok_or_else(|| GptError::NoPartition(name.to_owned()))?;
        if last >= u64::MAX / SECTOR {
            return Err(GptError::Damaged("a partition ends beyond any disk"));
        }
        Ok(first * SECTOR..(last + 1) * SECTOR)
    }

    fn name(&self, index: usize) -> String {
        let units = self.entries[index * ENTRY_SIZE..][56..ENTRY_SIZE]
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        let name: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
        String::from_utf16_lossy(&name)
    }

    /// The table of the header in this sector, with the checks of Linux (block/partitions/efi.c, is_gpt_valid).
    pub(crate) fn read_at(
        read: Read<'_>,
        sector: u64,
        disk_sectors: u64,
    ) -> Result<Self, GptError> {
        let raw = match read(sector * SECTOR, SECTOR as usize) {
            // No valid disk is this short.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(GptError::Missing),
            other => Ok(other?),
        }?;
        let wide = |at: usize| u64_at(&raw, at);
        let narrow = |at: usize| u64::from(u32_at(&raw, at));
        let size = narrow(12) as usize;
        if !raw.starts_with(b"EFI PART") {
            return Err(GptError::Missing);
        }
        let check = |holds: bool, what| {
            if holds {
                Ok(())
            } else {
                Err(GptError::Damaged(what))
            }
        };
        check((92..=512).contains(&size), "the header has a wrong size")?;
        check(
            u32_at(&raw, 16) == header_checksum(&raw, size),
            "the header's checksum is wrong",
        )?;
        check(wide(24) == sector, "the header belongs elsewhere")?;
        check(
            wide(40) <= wide(48) && wide(48) < disk_sectors,
            "the usable sectors are not all on the disk",
        )?;
        let length = narrow(80) * narrow(84);
        check(
            narrow(84) as usize == ENTRY_SIZE && (1..=65536).contains(&length),
            "the entries have a wrong size",
        )?;
        check(
            wide(72) >= ENTRIES && wide(72) < disk_sectors,
            "the entries are not on the disk",
        )?;
        let entries = read(wide(72) * SECTOR, length as usize)?;
        check(
            u32_at(&raw, 88) == crc32fast::hash(&entries),
            "the checksum of the entries is wrong",
        )?;
        Ok(Self { raw, entries })
    }

    pub(crate) fn count(&self) -> usize {
        self.entries.len() / ENTRY_SIZE
    }

    /// First and last sector of a partition, if there is one.
    pub(crate) fn entry(&self, index: usize) -> Option<(u64, u64)> {
        let entry = self.entries.chunks_exact(ENTRY_SIZE).nth(index)?;
        let (first, last) = (u64_at(entry, 32), u64_at(entry, 40));
        (entry[..16] != [0; 16] && first <= last).then_some((first, last))
    }

    pub(crate) fn set_end(&mut self, index: usize, end: u64) {
        let at = index * ENTRY_SIZE + 40;
        self.entries[at..at + 8].copy_from_slice(&end.to_le_bytes());
    }

    pub(crate) fn header(&self, place: Place) -> Vec<u8> {
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

/// The checksum of the header, with its own checksum field set to zero.
fn header_checksum(raw: &[u8], size: usize) -> u32 {
    let mut header = raw[..size].to_vec();
    header[16..20].fill(0);
    crc32fast::hash(&header)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|n| bytes[at + n]))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|n| bytes[at + n]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn partitions_are_found_by_their_names() {
        let image = testing::image(8192, &[("BOOT", 2048..4096), ("DATA", 4096..8158)]);
        let table = Table::read(&reader_of_bytes(&image), 8192).unwrap();
        assert_eq!(table.partition("BOOT").unwrap(), 1 << 20..2 << 20);
        assert_eq!(table.partition("DATA").unwrap(), 2 << 20..8158 * SECTOR);
        let error = table.partition("HOME").unwrap_err();
        assert_eq!(error.to_string(), "it has no partition HOME");
    }

    #[test]
    fn what_is_no_card_says_so() {
        let error = |bytes: &[u8]| {
            let table = Table::read(&reader_of_bytes(bytes), 8192);
            table.unwrap_err().to_string()
        };
        let image = testing::image(8192, &[("BOOT", 2048..4096)]);
        assert_eq!(error(&[0; 8192]), "it has no GPT");
        assert_eq!(error(&image[..540]), "it has no GPT");
        let mut damaged = image;
        damaged[1024 + 40] ^= 1;
        assert_eq!(
            error(&damaged),
            "its GPT is damaged: the checksum of the entries is wrong"
        );
    }
}
