//! Mends ext4's superblock where a power cut tore it in two.
//!
//! It takes two sectors, and a disk writes each of them whole or not at all. If one is there without the other, the
//! checksum at its end is not that of the rest; mount refuses it then, and so does `e2fsck -p`. Yet either sector is
//! right: what differs between two versions are counts, which a mount takes from elsewhere, times, and whether the
//! journal has to be replayed, which is written and flushed before there is anything in the journal. Whatever else
//! changes goes through the journal, and comes back from it.
//!
//! So only the checksum is made anew. The other way would be a backup. But those are of the day on which the file
//! system was made or grew, and none says that there is a journal to replay: what only that has would be lost. One is
//! asked as a witness instead: what never changes has to be as it says. A superblock that is damaged otherwise is
//! left to e2fsck and to people.
//!
//! Format: Linux's Documentation/filesystems/ext4/super.rst. Numbers are little-endian, offsets in bytes.

use crate::{Context, Error, Result};
use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, path::Path};

/// Where the superblock is in the partition.
pub const AT: u64 = 1024;
const SIZE: usize = 1024;
/// The half of it that a disk writes at once.
const SECTOR: usize = 512;
const CHECKSUM: usize = SIZE - 4;
const MAGIC: (usize, u16) = (0x38, 0xef53);

const RO_COMPAT: usize = 0x64;
const METADATA_CSUM: u32 = 0x400;

/// What stays as mke2fs made it, and what it is.
const INVARIANT: [(&str, Range<usize>); 10] = [
    ("geometry", 0x14..0x2c),
    ("magic number", 0x38..0x3a),
    ("revision", 0x48..0x5a),
    ("UUID", 0x68..0x78),
    ("journal", 0xd0..0xe8),
    ("hash", 0xec..0x100),
    ("date of birth", 0x108..0x10c),
    ("size of inodes", 0x15c..0x160),
    ("kind of checksums", 0x174..0x176),
    ("seed of checksums", 0x270..0x274),
];
/// Its features, by sort, and which of them come and go: extended attributes; a journal to replay; large files and
/// orphans.
const FEATURES: [(usize, u32); 3] = [(0x5c, 0x8), (0x60, 0x4), (RO_COMPAT, 0x1_0002)];

/// Mends the superblock of the file system on `device`, if it is torn; says whether it was.
pub fn mend(device: &Path) -> Result<bool> {
    let what = || device.display().to_string();
    let file = File::options().read(true).write(true).open(device);
    let file = file.context(what)?;
    let Some(whole) = mended(|at, bytes| file.read_exact_at(bytes, at))? else {
        return Ok(false);
    };
    file.write_all_at(&whole[SECTOR..], AT + SECTOR as u64)
        .and_then(|()| file.sync_all())
        .context(what)?;
    Ok(true)
}

/// The superblock of a file system as it has to be, if it is torn. `read` gets where to read, and what to fill.
pub fn mended(read: impl Fn(u64, &mut [u8]) -> io::Result<()>) -> Result<Option<Vec<u8>>> {
    let mut own = vec![0; SIZE];
    read(AT, &mut own).context(|| "the superblock".to_owned())?;
    let checked = le16(&own, MAGIC.0) == MAGIC.1 && le32(&own, RO_COMPAT) & METADATA_CSUM != 0;
    if !checked || checksum(&own) == le32(&own, CHECKSUM) {
        return Ok(None);
    }
    // The second group has one whichever groups have any, at its beginning.
    let group = u64::from(le32(&own, 0x14)) + u64::from(le32(&own, 0x20));
    let size = 1024_u64 << le32(&own, 0x18).min(6);
    let mut backup = vec![0; SIZE];
    read(group * size, &mut backup).context(|| "a backup of the superblock".to_owned())?;
    agree(&own, &backup).map_err(|why| Error {
        what: "the superblock is damaged, and not by being torn".to_owned(),
        cause: io::Error::other(why),
    })?;
    let checksum = checksum(&own).to_le_bytes();
    own[CHECKSUM..].copy_from_slice(&checksum);
    Ok(Some(own))
}

/// Whether two superblocks are of the same file system; else what says that they are not.
fn agree(own: &[u8], backup: &[u8]) -> std::result::Result<(), String> {
    if checksum(backup) != le32(backup, CHECKSUM) {
        return Err("its backup is, too".to_owned());
    }
    for (name, range) in INVARIANT {
        if own[range.clone()] != backup[range] {
            return Err(format!("its {name} is not as in its backup"));
        }
    }
    for (at, passing) in FEATURES {
        if (le32(own, at) ^ le32(backup, at)) & !passing != 0 {
            return Err("its features are not as in its backup".to_owned());
        }
    }
    Ok(())
}

fn checksum(superblock: &[u8]) -> u32 {
    !crc32c::crc32c(&superblock[..CHECKSUM])
}

fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    use tempfile::{NamedTempFile, TempPath};

    /// In the first sector: when it was written last, how often it was mounted, whether the journal is to be replayed.
    const CHANGES: [(usize, u8); 3] = [(0x30, 0xa5), (0x34, 0x03), (0x60, 0x04)];

    /// A file system that mke2fs made, for which a part of its superblock was written and a part was not.
    fn torn() -> (TempPath, File) {
        let (file, path) = NamedTempFile::new().unwrap().into_parts();
        file.set_len(160 << 20).unwrap();
        run("mkfs.ext4", &["-q", "-b4096"], &path, 0..=0);
        for (at, bits) in CHANGES {
            change(&file, at, bits);
        }
        (path, file)
    }

    fn change(file: &File, at: usize, bits: u8) {
        let byte = superblock(file)[at] ^ bits;
        file.write_all_at(&[byte], AT + at as u64).unwrap();
    }

    fn superblock(file: &File) -> Vec<u8> {
        let mut bytes = vec![0; SIZE];
        file.read_exact_at(&mut bytes, AT).unwrap();
        bytes
    }

    fn run(program: &str, options: &[&str], file: &Path, right: std::ops::RangeInclusive<i32>) {
        // Not in everybody's PATH.
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
        let mut command = Command::new("env");
        command
            .env("PATH", path)
            .arg(program)
            .args(options)
            .arg(file);
        let done = command.output().unwrap();
        let status = done.status.code().unwrap_or(-1);
        assert!(right.contains(&status), "{program} {options:?}: {done:?}");
    }

    #[test]
    fn a_torn_superblock_gets_its_checksum_and_nothing_else() {
        let (path, file) = torn();
        let before = superblock(&file);
        // Nobody else gets over it: 4 says that errors were left.
        run("e2fsck", &["-p"], &path, 4..=255);
        assert_eq!(superblock(&file), before);

        assert!(mend(&path).unwrap());
        let after = superblock(&file);
        assert_eq!(after[..CHECKSUM], before[..CHECKSUM]);
        assert_ne!(after[CHECKSUM..], before[CHECKSUM..]);
        run("e2fsck", &["-p"], &path, 0..=1);
        run("e2fsck", &["-fn"], &path, 0..=0);
        assert!(!mend(&path).unwrap(), "it is whole");
    }

    #[test]
    fn what_is_damaged_otherwise_is_left_as_it_is() {
        let uuid = 0x68;
        let inode_size = 0x58;
        let incompatible = 0x61;
        for at in [uuid, inode_size, incompatible] {
            let (path, file) = torn();
            change(&file, at, 0xff);
            let before = superblock(&file);
            let error = mend(&path).unwrap_err().to_string();
            assert!(error.contains("not as in its backup"), "{error}");
            assert_eq!(superblock(&file), before);
        }
        // Nor is there anything to go by without a backup, or in what is no ext4.
        let (path, file) = torn();
        file.set_len(100 << 20).unwrap();
        let error = mend(&path).unwrap_err().to_string();
        assert!(error.contains("a backup of the superblock"), "{error}");
        change(&file, MAGIC.0, 0xff);
        assert!(!mend(&path).unwrap());
    }
}
