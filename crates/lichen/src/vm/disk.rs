//! The card of a virtual machine: a sparse copy of the image, grown as a card is larger than an image.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

const SECTOR: u64 = 512;
const BLOCK: usize = 1 << 16;

/// Copies the image to a card of at least `size` bytes; zeros take no room.
pub fn copy(image: &Path, card: &Path, size: u64) -> Result<()> {
    let context = || format!("cannot copy {} to {}", image.display(), card.display());
    let partial = card.with_extension("partial");
    let mut from = File::open(image).with_context(context)?;
    let to = File::create(&partial).with_context(context)?;
    let mut block = vec![0; BLOCK];
    let mut at = 0;
    loop {
        let read = from.read(&mut block).with_context(context)?;
        if read == 0 {
            break;
        }
        if block[..read].iter().any(|b| *b != 0) {
            to.write_all_at(&block[..read], at).with_context(context)?;
        }
        at += read as u64;
    }
    to.set_len(size.max(at)).with_context(context)?;
    std::fs::rename(&partial, card).with_context(context)
}

/// Writes files into the root of the BOOT partition.
pub fn write_to_boot(card: &Path, files: &[(&str, &str)]) -> Result<()> {
    let context = || format!("cannot write to BOOT of {}", card.display());
    let file = File::options()
        .read(true)
        .write(true)
        .open(card)
        .with_context(context)?;
    let (start, length) = partition(&file, "BOOT").with_context(context)?;
    let slice = Slice {
        file,
        start,
        length,
        at: 0,
    };
    let boot = fatfs::FileSystem::new(slice, fatfs::FsOptions::new()).with_context(context)?;
    for (name, content) in files {
        let mut entry = boot.root_dir().create_file(name).with_context(context)?;
        entry.truncate().with_context(context)?;
        entry.write_all(content.as_bytes()).with_context(context)?;
    }
    boot.unmount().with_context(context)
}

/// Where the GPT says that a partition begins, and its length, in bytes.
fn partition(disk: &File, name: &str) -> Result<(u64, u64)> {
    let mut header = [0; 92];
    disk.read_exact_at(&mut header, SECTOR)?;
    if &header[..8] != b"EFI PART" {
        bail!("it has no GPT");
    }
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let (table, count, size) = (
        number(&header[72..80]),
        number(&header[80..84]),
        number(&header[84..88]),
    );
    let mut entry = vec![0; usize::try_from(size)?.max(128)];
    for n in 0..count {
        disk.read_exact_at(&mut entry, table * SECTOR + n * size)?;
        let label: Vec<u16> = entry[56..128]
            .chunks(2)
            .map(|c| u16::from_le_bytes([c[0], c[1]]))
            .collect();
        if String::from_utf16_lossy(&label).trim_end_matches('\0') == name {
            let (first, last) = (number(&entry[32..40]), number(&entry[40..48]));
            return Ok((first * SECTOR, (last + 1 - first) * SECTOR));
        }
    }
    bail!("it has no partition {name}")
}

/// A part of a file, as a file system driver wants it.
struct Slice {
    file: File,
    start: u64,
    length: u64,
    at: u64,
}

impl Slice {
    fn left(&self, wanted: usize) -> usize {
        usize::try_from(self.length.saturating_sub(self.at))
            .unwrap_or(usize::MAX)
            .min(wanted)
    }
}

impl Read for Slice {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.left(buffer.len());
        let n = self.file.read_at(&mut buffer[..n], self.start + self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Write for Slice {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let n = self.left(buffer.len());
        let n = self.file.write_at(&buffer[..n], self.start + self.at)?;
        self.at += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Slice {
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
mod tests {
    use super::*;

    /// A disk with one FAT partition, BOOT, of 1 MiB at sector 2048.
    fn disk(path: &Path) {
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
        let mut entry = [0u8; 128];
        entry[32..40].copy_from_slice(&2048u64.to_le_bytes());
        entry[40..48].copy_from_slice(&4095u64.to_le_bytes());
        for (i, c) in "BOOT".encode_utf16().enumerate() {
            entry[56 + 2 * i..58 + 2 * i].copy_from_slice(&c.to_le_bytes());
        }
        file.write_all_at(&entry, 2 * SECTOR + 128).unwrap();
        let mut slice = Slice {
            file,
            start: 1 << 20,
            length: 1 << 20,
            at: 0,
        };
        fatfs::format_volume(&mut slice, fatfs::FormatVolumeOptions::new()).unwrap();
    }

    #[test]
    fn a_card_is_a_larger_copy_with_files_on_boot() {
        let folder = tempfile::tempdir().unwrap();
        let (image, card) = (folder.path().join("a.img"), folder.path().join("card"));
        disk(&image);
        copy(&image, &card, 8 << 20).unwrap();
        write_to_boot(
            &card,
            &[
                ("lichen.toml", "hostname = \"x\"\n"),
                ("extra.env", "extra=quiet\n"),
            ],
        )
        .unwrap();
        assert_eq!(card.metadata().unwrap().len(), 8 << 20);
        let content = std::fs::read(&card).unwrap();
        assert!(content.windows(14).any(|w| w == b"hostname = \"x\""));
        assert!(
            !std::fs::read(&image)
                .unwrap()
                .windows(14)
                .any(|w| w == b"hostname = \"x\"")
        );
        let error = partition(&File::open(&card).unwrap(), "DATA").unwrap_err();
        assert_eq!(error.to_string(), "it has no partition DATA");
    }
}
