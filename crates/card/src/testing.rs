//! Small cards, for tests.

use std::ops::Range;

use crate::gpt::{ENTRIES, ENTRY_SIZE, Place, SECTOR, Table};

const COUNT: u64 = 128;
/// Sectors that the entries take.
const AREA: u64 = COUNT * ENTRY_SIZE as u64 / SECTOR;

/// A disk of so many sectors that holds nothing but a partition table: protective MBR, primary and backup. Partitions
/// have a name and the sectors they take.
pub fn image(sectors: u64, partitions: &[(&str, Range<u64>)]) -> Vec<u8> {
    let mut disk = vec![0; (sectors * SECTOR) as usize];
    let mut entries = vec![0; COUNT as usize * ENTRY_SIZE];
    for ((n, (name, place)), entry) in (1..)
        .zip(partitions)
        .zip(entries.chunks_exact_mut(ENTRY_SIZE))
    {
        entry[..16].fill(0xaf);
        entry[16..32].fill(n);
        entry[32..40].copy_from_slice(&place.start.to_le_bytes());
        entry[40..48].copy_from_slice(&(place.end - 1).to_le_bytes());
        for (unit, to) in name.encode_utf16().zip(entry[56..].chunks_exact_mut(2)) {
            to.copy_from_slice(&unit.to_le_bytes());
        }
    }
    let mut raw = vec![0; SECTOR as usize];
    raw[..8].copy_from_slice(b"EFI PART");
    raw[8..12].copy_from_slice(&0x10000u32.to_le_bytes());
    raw[12..16].copy_from_slice(&92u32.to_le_bytes());
    raw[40..48].copy_from_slice(&2048u64.to_le_bytes());
    raw[80..84].copy_from_slice(&(COUNT as u32).to_le_bytes());
    raw[84..88].copy_from_slice(&(ENTRY_SIZE as u32).to_le_bytes());
    let table = Table { raw, entries };
    let (last, backup) = (sectors - 1, sectors - 1 - AREA);
    let header = |own, other, entries| {
        table.header(Place {
            own,
            other,
            entries,
            last_usable: backup - 1,
        })
    };
    let mut write = |sector: u64, bytes: &[u8]| {
        let at = (sector * SECTOR) as usize;
        disk[at..at + bytes.len()].copy_from_slice(bytes);
    };
    write(1, &header(1, last, ENTRIES));
    write(ENTRIES, &table.entries);
    write(backup, &table.entries);
    write(last, &header(last, 1, backup));
    disk[450] = 0xee;
    disk[454] = 1;
    disk[458..462].copy_from_slice(&(last as u32).to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}

/// A card of 4 MiB at `path`: BOOT, an empty FAT, in its second MiB, and DATA, which holds nothing, in its third.
#[cfg(feature = "boot")]
#[expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]
pub fn card(path: &std::path::Path) -> std::io::Result<()> {
    let partitions = [("BOOT", 2048..4096), ("DATA", 4096..6144)];
    std::fs::write(path, image(8192, &partitions))?;
    let file = std::fs::File::options().read(true).write(true).open(path)?;
    let mut boot = crate::Partition::named(&file, "BOOT").map_err(std::io::Error::other)?;
    fatfs::format_volume(&mut boot, fatfs::FormatVolumeOptions::new())
}
