//! A card, or the image for one, seen from the host: its partition BOOT, and the files in the root of that.

use anyhow::{Context, Result, bail};
use rustix::fs::Advice;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The size of a sector, in bytes: what the image's partition table counts in.
pub const SECTOR: u64 = 512;
/// The partition table and more is in this many bytes at the beginning of a disk.
pub const HEAD: usize = 64 << 10;

/// Writes files into the root of BOOT, durably.
pub fn write_to_boot(card: &Path, files: &[(&str, &str)]) -> Result<()> {
    let context = || format!("cannot write to BOOT of {}", card.display());
    let file = File::options()
        .read(true)
        .write(true)
        .open(card)
        .with_context(context)?;
    let boot = mount(&file).with_context(context)?;
    for (name, content) in files {
        let mut entry = boot.root_dir().create_file(name).with_context(context)?;
        entry.truncate().with_context(context)?;
        entry.write_all(content.as_bytes()).with_context(context)?;
    }
    boot.unmount().with_context(context)?;
    file.sync_all().with_context(context)
}

/// Reads a file in the root of BOOT from the card, and not from what the kernel remembers of it.
pub fn read_from_boot(card: &Path, name: &str) -> Result<Vec<u8>> {
    let context = || format!("cannot read {name} from BOOT of {}", card.display());
    let file = File::open(card).with_context(context)?;
    // Drops what is cached and written out already; `write_to_boot` has seen to the latter.
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).with_context(context)?;
    let boot = mount(&file).with_context(context)?;
    let mut content = Vec::new();
    let mut entry = boot.root_dir().open_file(name).with_context(context)?;
    entry.read_to_end(&mut content).with_context(context)?;
    Ok(content)
}

fn mount(file: &File) -> Result<fatfs::FileSystem<Slice<'_>>> {
    let mut head = vec![0; HEAD];
    file.read_exact_at(&mut head, 0)?;
    let place = partition(&head, "BOOT")?;
    let slice = Slice {
        file,
        start: place.start,
        length: place.end - place.start,
        at: 0,
    };
    Ok(fatfs::FileSystem::new(slice, fatfs::FsOptions::new())?)
}

/// Where the GPT in the first [`HEAD`] bytes of a disk says that a partition is, in bytes.
pub fn partition(head: &[u8], name: &str) -> Result<Range<u64>> {
    let header = head.get(512..604).filter(|h| h.starts_with(b"EFI PART"));
    let header = header.context("it has no GPT")?;
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let table = number(&header[72..80]).saturating_mul(SECTOR);
    let (count, size) = (number(&header[80..84]), number(&header[84..88]).max(128));
    let table = head.get(usize::try_from(table)?..).unwrap_or_default();
    let entries = table.chunks_exact(usize::try_from(size)?);
    for entry in entries.take(usize::try_from(count)?) {
        let label: Vec<u16> = entry[56..128]
            .chunks(2)
            .map(|c| u16::from_le_bytes([c[0], c[1]]))
            .collect();
        if String::from_utf16_lossy(&label).trim_end_matches('\0') == name {
            let (first, last) = (number(&entry[32..40]), number(&entry[40..48]));
            if first <= last && last < u64::MAX / SECTOR {
                return Ok(first * SECTOR..(last + 1) * SECTOR);
            }
        }
    }
    bail!("it has no partition {name}")
}

/// A part of a file, as a file system driver wants it.
struct Slice<'a> {
    file: &'a File,
    start: u64,
    length: u64,
    at: u64,
}

impl Slice<'_> {
    fn left(&self, wanted: usize) -> usize {
        usize::try_from(self.length.saturating_sub(self.at))
            .unwrap_or(usize::MAX)
            .min(wanted)
    }
}

impl Read for Slice<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.left(buffer.len());
        let n = self.file.read_at(&mut buffer[..n], self.start + self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Write for Slice<'_> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let n = self.left(buffer.len());
        let n = self.file.write_at(&buffer[..n], self.start + self.at)?;
        self.at += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Seek for Slice<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let to = match to {
            SeekFrom::Start(n) => Some(n),
            SeekFrom::End(n) => self.length.checked_add_signed(n),
            SeekFrom::Current(n) => self.at.checked_add_signed(n),
        };
        self.at = to.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A disk of 4 MiB: a FAT, BOOT, in its second MiB, and DATA, empty, in its third.
    pub fn disk(path: &Path) {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .unwrap();
        file.set_len(4 << 20).unwrap();
        let mut header = [0u8; 92];
        header[..8].copy_from_slice(b"EFI PART");
        header[72] = 2;
        header[80] = 4;
        header[84] = 128;
        file.write_all_at(&header, SECTOR).unwrap();
        for (n, name, first, last) in [(1, "BOOT", 2048u64, 4095u64), (2, "DATA", 4096, 6143)] {
            let mut entry = [0u8; 128];
            entry[32..40].copy_from_slice(&first.to_le_bytes());
            entry[40..48].copy_from_slice(&last.to_le_bytes());
            for (i, c) in name.encode_utf16().enumerate() {
                entry[56 + 2 * i..58 + 2 * i].copy_from_slice(&c.to_le_bytes());
            }
            file.write_all_at(&entry, 2 * SECTOR + n * 128).unwrap();
        }
        let mut slice = Slice {
            file: &file,
            start: 1 << 20,
            length: 1 << 20,
            at: 0,
        };
        fatfs::format_volume(&mut slice, fatfs::FormatVolumeOptions::new()).unwrap();
    }

    #[test]
    fn files_are_written_to_boot_and_read_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let card = folder.path().join("card");
        disk(&card);
        let toml = "hostname = \"x\"\n";
        write_to_boot(
            &card,
            &[("lichen.toml", "longer than it is then"), ("extra.env", "")],
        )
        .unwrap();
        write_to_boot(&card, &[("lichen.toml", toml)]).unwrap();
        assert_eq!(
            read_from_boot(&card, "lichen.toml").unwrap(),
            toml.as_bytes()
        );
        assert_eq!(read_from_boot(&card, "extra.env").unwrap(), b"");
        assert!(read_from_boot(&card, "other").is_err());
    }

    #[test]
    fn what_is_no_card_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let card = folder.path().join("card");
        disk(&card);
        let mut head = std::fs::read(&card).unwrap();
        head.truncate(HEAD);
        assert_eq!(partition(&head, "BOOT").unwrap(), 1 << 20..2 << 20);
        let error = partition(&head, "HOME").unwrap_err();
        assert_eq!(error.to_string(), "it has no partition HOME");
        assert_eq!(
            partition(&[0; HEAD], "BOOT").unwrap_err().to_string(),
            "it has no GPT"
        );
        assert!(partition(&head[..540], "BOOT").is_err());
    }
}
