//! Ext4's journal: how a mount, or `e2fsck -p`, repairs a file system after a power cut.
//!
//! As in Linux's fs/jbd2/recovery.c, in its three passes: how far whole transactions reach, what they revoke, and
//! the blocks they bring. Formats: include/linux/jbd2.h, fs/ext4/ext4.h. Only what `mke2fs` makes today is known:
//! blocks of 4 KiB, a journal within the file system, checksums of version 3.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};

use super::Remains;
use super::remains::BLOCK;

const SUPERBLOCK: u64 = 1024;
const EXT4_MAGIC: u16 = 0xef53;
const NEEDS_RECOVERY: u32 = 4;
const EXTENT_MAGIC: u16 = 0xf30a;

const MAGIC: u32 = 0xc03b_3998;
const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const REVOKE: u32 = 5;
const FEATURE_64BIT: u32 = 2;
const FEATURE_CSUM_V3: u32 = 0x10;
/// REVOKE, 64BIT, CSUM_V3.
const KNOWN: u32 = 1 | FEATURE_64BIT | FEATURE_CSUM_V3;

const TAG: usize = 16;
const ESCAPED: u32 = 1;
const LAST: u32 = 8;
const SAME_UUID: u32 = 2;

/// The file system in `disk` from byte `start` on, after its journal was replayed, as a disk of its own.
pub(crate) fn recovered(disk: &Remains, start: u64) -> Result<Remains> {
    let mut superblock = vec![0; 1024];
    disk.read(start + SUPERBLOCK, &mut superblock)?;
    ensure!(le16(&superblock, 56) == EXT4_MAGIC, "DATA is not ext4");
    let mut recovered = disk.clone();
    if le32(&superblock, 96) & NEEDS_RECOVERY == 0 {
        return Ok(recovered);
    }
    let journal = Journal::of(disk, start, &superblock)?;
    for (block, bytes) in journal.replay()? {
        recovered.write(start + block * BLOCK, &bytes)?;
    }
    // It may have been brought by the journal itself.
    recovered.read(start + SUPERBLOCK, &mut superblock)?;
    let flags = le32(&superblock, 96) & !NEEDS_RECOVERY;
    superblock[96..100].copy_from_slice(&flags.to_le_bytes());
    let checksum = crc32c(!0, &superblock[..1020]);
    superblock[1020..].copy_from_slice(&checksum.to_le_bytes());
    recovered.write(start + SUPERBLOCK, &superblock)?;
    Ok(recovered)
}

/// Where the journal is, in bytes of the disk.
pub(crate) fn place(disk: &Remains, start: u64) -> Result<std::ops::Range<u64>> {
    let mut superblock = vec![0; 1024];
    disk.read(start + SUPERBLOCK, &mut superblock)?;
    let blocks = blocks(&superblock)?;
    let first = *blocks.first().context("the journal is empty")?;
    ensure!(
        blocks.iter().zip(first..).all(|(block, at)| *block == at),
        "the journal is not in one piece"
    );
    Ok(start + first * BLOCK..start + (first + blocks.len() as u64) * BLOCK)
}

struct Journal<'d> {
    disk: &'d Remains,
    start: u64,
    /// The blocks of the file system that the journal lies in, in the journal's order.
    blocks: Vec<u64>,
    /// What checksums begin with.
    seed: u32,
    first: u32,
    end: u32,
    /// Of the oldest transaction that may not be in its place yet.
    tail: u32,
    sequence: u32,
}

/// A block that a transaction brings.
struct Tag {
    /// Where it belongs.
    block: u64,
    /// Where it is in the journal.
    at: u32,
    sequence: u32,
    checksum: u32,
    escaped: bool,
}

impl<'d> Journal<'d> {
    fn of(disk: &'d Remains, start: u64, superblock: &[u8]) -> Result<Self> {
        let mut journal = Self {
            disk,
            start,
            blocks: blocks(superblock)?,
            seed: 0,
            first: 0,
            end: 0,
            tail: 0,
            sequence: 0,
        };
        let own = journal.read(0)?;
        ensure!(be32(&own, 0) == MAGIC, "the journal has no superblock");
        ensure!(
            be32(&own, 12) as u64 == BLOCK,
            "the journal's blocks are not of 4 KiB"
        );
        let features = be32(&own, 40);
        ensure!(
            features & !KNOWN == 0 && (features & FEATURE_CSUM_V3 != 0 || be32(&own, 28) == 0),
            "the journal has features {features:#x}, which are not supported here"
        );
        ensure!(
            features & FEATURE_CSUM_V3 == 0
                || be32(&own, 252) == checksum_without(&own[..1024], 252, !0),
            "the journal's superblock is torn"
        );
        journal.seed = crc32c(!0, &own[48..64]);
        journal.first = be32(&own, 20);
        journal.end = be32(&own, 16);
        journal.sequence = be32(&own, 24);
        journal.tail = be32(&own, 28);
        ensure!(
            journal.first < journal.end && journal.end as usize <= journal.blocks.len(),
            "the journal's superblock is invalid"
        );
        Ok(journal)
    }

    fn replay(&self) -> Result<HashMap<u64, Vec<u8>>> {
        let (tags, revoked) = self.scan()?;
        let mut blocks = HashMap::new();
        for tag in tags {
            // What was revoked later must not come back.
            if revoked
                .get(&tag.block)
                .is_some_and(|by| before_or_at(tag.sequence, *by))
            {
                continue;
            }
            let mut bytes = self.read(tag.at)?;
            let checksum = crc32c(crc32c(self.seed, &tag.sequence.to_be_bytes()), &bytes);
            ensure!(
                checksum == tag.checksum,
                "the journal is damaged: a transaction that was committed lacks block {}",
                tag.block
            );
            if tag.escaped {
                bytes[..4].copy_from_slice(&MAGIC.to_be_bytes());
            }
            blocks.insert(tag.block, bytes);
        }
        Ok(blocks)
    }

    /// What whole transactions bring, in order, and which blocks were revoked by which transaction last.
    fn scan(&self) -> Result<(Vec<Tag>, HashMap<u64, u32>)> {
        let (mut tags, mut revoked) = (Vec::new(), HashMap::new());
        if self.tail == 0 {
            return Ok((tags, revoked));
        }
        let (mut at, mut sequence) = (self.tail, self.sequence);
        let (mut new_tags, mut new_revoked) = (Vec::new(), Vec::new());
        // Once around at most.
        let mut left = self.end - self.first;
        while left > 0 {
            let block = self.read(at)?;
            if be32(&block, 0) != MAGIC || be32(&block, 8) != sequence {
                break;
            }
            let kind = be32(&block, 4);
            at = self.after(at);
            left -= 1;
            match kind {
                DESCRIPTOR if self.ends_right(&block) => {
                    for tag in self.tags(&block, sequence)? {
                        new_tags.push(Tag { at, ..tag });
                        at = self.after(at);
                        left = left.saturating_sub(1);
                    }
                }
                REVOKE if self.ends_right(&block) => {
                    let end = (be32(&block, 12) as usize).min(block.len() - 4);
                    let numbers = block[16..end.max(16)].chunks_exact(8);
                    new_revoked.extend(numbers.map(|number| be64(number, 0)));
                }
                COMMIT if be32(&block, 16) == checksum_without(&block, 16, self.seed) => {
                    tags.append(&mut new_tags);
                    revoked.extend(new_revoked.drain(..).map(|number| (number, sequence)));
                    sequence = sequence.wrapping_add(1);
                }
                // The rest of it was never written.
                DESCRIPTOR | REVOKE | COMMIT => break,
                other => bail!("the journal has a block of kind {other}"),
            }
        }
        Ok((tags, revoked))
    }

    fn tags(&self, block: &[u8], sequence: u32) -> Result<Vec<Tag>> {
        let mut tags = Vec::new();
        let mut position = 12;
        loop {
            ensure!(
                position + TAG <= block.len() - 4,
                "a descriptor of the journal has no end"
            );
            let tag = &block[position..position + TAG];
            let flags = be32(tag, 4);
            tags.push(Tag {
                block: u64::from(be32(tag, 0)) | u64::from(be32(tag, 8)) << 32,
                at: 0,
                sequence,
                checksum: be32(tag, 12),
                escaped: flags & ESCAPED != 0,
            });
            position += TAG + if flags & SAME_UUID == 0 { 16 } else { 0 };
            if flags & LAST != 0 {
                return Ok(tags);
            }
        }
    }

    /// Descriptors and revocations end with a checksum.
    fn ends_right(&self, block: &[u8]) -> bool {
        let end = block.len() - 4;
        be32(block, end) == checksum_without(block, end, self.seed)
    }

    fn after(&self, at: u32) -> u32 {
        if at + 1 == self.end {
            self.first
        } else {
            at + 1
        }
    }

    fn read(&self, number: u32) -> Result<Vec<u8>> {
        let block = self
            .blocks
            .get(number as usize)
            .context("the journal is too short")?;
        let mut bytes = vec![0; BLOCK as usize];
        self.disk.read(self.start + block * BLOCK, &mut bytes)?;
        Ok(bytes)
    }
}

/// The journal's blocks, of which the file system's superblock has a copy.
fn blocks(superblock: &[u8]) -> Result<Vec<u64>> {
    let root = &superblock[0x10c..0x10c + 60];
    ensure!(
        le16(root, 0) == EXTENT_MAGIC && le16(root, 6) == 0,
        "the superblock does not say where the journal is"
    );
    let extents = (0..usize::from(le16(root, 2))).map(|number| &root[12 + 12 * number..][..12]);
    Ok(extents
        .flat_map(|extent| {
            let first = u64::from(le32(extent, 8)) | u64::from(le16(extent, 6)) << 32;
            first..first + u64::from(le16(extent, 4))
        })
        .collect())
}

/// Whether transaction `a` is no later than `b`; their numbers go round.
fn before_or_at(a: u32, b: u32) -> bool {
    b.wrapping_sub(a) < 1 << 31
}

/// Over `bytes`, with the four at `hole` taken as zero.
fn checksum_without(bytes: &[u8], hole: usize, seed: u32) -> u32 {
    let before = crc32c(seed, &bytes[..hole]);
    crc32c(crc32c(before, &[0; 4]), &bytes[hole + 4..])
}

/// CRC-32C as ext4 uses it: without the inversions at the ends.
fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}
