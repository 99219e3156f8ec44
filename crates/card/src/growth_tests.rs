use super::*;
use crate::gpt::{ENTRY_SIZE, reader_of_bytes, u64_at};
use crate::testing;
use std::io;

const START: u64 = 4096;
/// An image of 4 MiB on a card slightly larger than 8 MiB.
const IMAGE: u64 = 8192;
const CARD: u64 = 16384 + 100;

struct Disk(Vec<u8>);

impl Disk {
    /// An image with BOOT and DATA, as long as `IMAGE`, at the start of a card.
    fn with_image_on(sectors: u64) -> Self {
        let partitions = [("BOOT", 2048..START), ("DATA", START..IMAGE - 34)];
        let mut bytes = testing::image(IMAGE, &partitions);
        bytes.resize((sectors * SECTOR) as usize, 0);
        Disk(bytes)
    }

    fn write(&mut self, sector: u64, bytes: &[u8]) {
        self.put(
            &Write {
                what: "",
                offset: sector * SECTOR,
                bytes: bytes.to_vec(),
            },
            0..bytes.len(),
        );
    }

    /// The part of a write that reached the disk.
    fn put(&mut self, write: &Write, part: std::ops::Range<usize>) {
        let at = write.offset as usize;
        self.0[at + part.start..at + part.end].copy_from_slice(&write.bytes[part]);
    }

    fn sectors(&self) -> u64 {
        self.0.len() as u64 / SECTOR
    }

    fn reader(&self) -> impl Fn(u64, usize) -> io::Result<Vec<u8>> {
        reader_of_bytes(&self.0)
    }

    fn plan(&self) -> Result<Plan, GptError> {
        plan(&self.reader(), self.sectors(), 2, START)
    }

    fn grow(&mut self) -> usize {
        let writes = self.plan().unwrap().writes;
        for write in &writes {
            self.put(write, 0..write.bytes.len());
        }
        writes.len()
    }

    /// The end of DATA as Linux sees it at boot: by the primary table alone.
    fn end(&self) -> u64 {
        Table::read(&self.reader(), self.sectors())
            .expect("Linux finds no partitions")
            .entry(1)
            .unwrap()
            .1
    }

    fn backup_end(&self) -> u64 {
        let last = self.sectors() - 1;
        Table::read_at(&self.reader(), last, self.sectors())
            .expect("no backup")
            .entry(1)
            .unwrap()
            .1
    }
}

#[test]
fn data_grows_to_the_end_of_the_card() {
    let mut disk = Disk::with_image_on(CARD);
    assert_eq!(disk.plan().unwrap().sectors, 16384 - START);
    assert!(disk.grow() > 0);
    assert_eq!(
        (disk.end(), disk.backup_end()),
        (16383, 16383),
        "both tables, at a full MiB"
    );
    assert_eq!(
        disk.0[458..462],
        (CARD as u32 - 1).to_le_bytes(),
        "the MBR covers the disk"
    );
    let primary = Table::read(&disk.reader(), CARD).unwrap();
    assert_eq!(
        u64_at(&primary.raw, 72),
        2,
        "the entries are where all tools look for them"
    );
    assert_eq!(u64_at(&primary.raw, 32), CARD - 1);
    assert_eq!(
        primary.entry(0),
        Some((2048, START - 1)),
        "BOOT is untouched"
    );
    assert_eq!(disk.grow(), 0, "a second time does nothing");
}

#[test]
fn a_card_as_small_as_the_image_stays_as_it_is() {
    let mut disk = Disk::with_image_on(IMAGE);
    let (before, end) = (disk.0.clone(), disk.end());
    disk.grow();
    assert_eq!(disk.end(), end);
    assert_eq!(disk.0, before);
}

#[test]
fn a_little_more_space_than_the_image_moves_the_backup_alone() {
    let mut disk = Disk::with_image_on(IMAGE + 100);
    let end = disk.end();
    assert!(disk.grow() > 0);
    assert!(disk.end() >= end && disk.backup_end() == disk.end());
    assert_eq!(disk.grow(), 0);
}

/// The plug is pulled after every write, and between any two sectors of every write, in either order; then
/// again in the middle of finishing.
#[test]
fn a_power_cut_at_any_sector_leaves_the_old_size_or_the_new_one() {
    let old = Disk::with_image_on(CARD);
    let writes = old.plan().unwrap().writes;
    let mut finished = Disk(old.0.clone());
    finished.grow();
    let mut cuts = 0;
    for (n, torn) in writes.iter().enumerate() {
        let length = torn.bytes.len();
        for at in (0..=length).step_by(512) {
            for part in [0..at, at..length] {
                let mut disk = Disk(old.0.clone());
                for write in &writes[..n] {
                    disk.put(write, 0..write.bytes.len());
                }
                disk.put(torn, part);
                assert!(
                    [old.end(), finished.end()].contains(&disk.end()),
                    "{} torn at {at}",
                    torn.what
                );

                let again = disk.plan().unwrap().writes;
                if let Some(first) = again.first() {
                    disk.put(first, 0..first.bytes.len().min(512));
                    assert!(
                        [old.end(), finished.end()].contains(&disk.end()),
                        "then {}",
                        first.what
                    );
                }
                disk.grow();
                // Whatever the order, only the spare place may keep its earlier content.
                let (spare, rest) = (34 * 512, 66 * 512);
                assert!(
                    disk.0[..spare] == finished.0[..spare] && disk.0[rest..] == finished.0[rest..]
                );
                assert_eq!(disk.grow(), 0);
                cuts += 1;
            }
        }
    }
    assert!(cuts > 200, "only {cuts} cuts");
}

#[test]
fn a_partition_that_another_one_follows_stays() {
    let mut disk = Disk::with_image_on(CARD);
    let mut table = Table::read(&disk.reader(), CARD).unwrap();
    let entry = &mut table.entries[2 * ENTRY_SIZE..];
    entry[..16].fill(7);
    entry[32..40].copy_from_slice(&9000u64.to_le_bytes());
    entry[40..48].copy_from_slice(&9999u64.to_le_bytes());
    disk.write(2, &table.entries);
    disk.write(
        1,
        &table.header(Place {
            own: 1,
            other: IMAGE - 1,
            entries: 2,
            last_usable: CARD - 34,
        }),
    );
    assert_eq!(disk.grow(), 0);
}

#[test]
fn a_table_that_is_not_in_order_is_left_alone() {
    let broken = |change: fn(&mut Disk)| {
        let mut disk = Disk::with_image_on(CARD);
        change(&mut disk);
        disk.plan().unwrap_err().to_string()
    };
    assert!(broken(|d| d.0[512] = 0).contains("no GPT"));
    assert!(broken(|d| d.0[512 + 60] ^= 1).contains("the header's checksum"));
    assert!(broken(|d| d.0[1024 + 5] ^= 1).contains("the checksum of the entries"));
    assert!(broken(|d| d.0.truncate(600)).contains("no GPT"));
    assert!(broken(|d| d.0.truncate((IMAGE as usize - 20) * 512)).contains("larger disk"));
    assert!(broken(|d| d.0.truncate((IMAGE as usize - 40) * 512)).contains("usable sectors"));
    let disk = Disk::with_image_on(CARD);
    let error = plan(&disk.reader(), CARD, 2, START + 1).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the kernel has it begin at 4097"),
        "{error}"
    );
    assert!(
        plan(&disk.reader(), CARD, 0, START).is_err()
            && plan(&disk.reader(), CARD, 5, START).is_err()
    );
}
