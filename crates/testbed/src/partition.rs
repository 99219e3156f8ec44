//! Finding a partition by its name in a GPT, and seeing it as a file of its own.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, bail, ensure};

const SECTOR: u64 = 512;

/// A partition of a raw disk: reads and writes stay within it.
#[derive(Debug)]
pub(crate) struct Partition<'f> {
    disk: &'f File,
    start: u64,
    length: u64,
    position: u64,
}

impl<'f> Partition<'f> {
    pub(crate) fn named(disk: &'f File, name: &str) -> Result<Self> {
        let mut header = [0; 92];
        disk.read_exact_at(&mut header, SECTOR)
            .context("read the partition table")?;
        ensure!(&header[..8] == b"EFI PART", "it has no GPT");
        let (table, count, size) = (
            u64_at(&header, 72),
            u32_at(&header, 80),
            u32_at(&header, 84),
        );
        ensure!(
            count <= 1024 && (128..=4096).contains(&size),
            "its GPT makes no sense"
        );
        for index in 0..u64::from(count) {
            let mut entry = [0; 128];
            disk.read_exact_at(&mut entry, table * SECTOR + index * u64::from(size))
                .context("read the partition table")?;
            if name_of(&entry) == name {
                let (first, last) = (u64_at(&entry, 32), u64_at(&entry, 40));
                ensure!(first <= last, "partition {name} ends before it begins");
                return Ok(Self {
                    disk,
                    start: first * SECTOR,
                    length: (last - first + 1) * SECTOR,
                    position: 0,
                });
            }
        }
        bail!("it has no partition {name}")
    }

    /// Where it begins, in bytes.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    fn room(&self, wanted: usize) -> usize {
        usize::try_from(self.length.saturating_sub(self.position))
            .map_or(wanted, |rest| wanted.min(rest))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn name_of(entry: &[u8; 128]) -> String {
    let units = entry[56..]
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let name: Vec<u16> = units.take_while(|&unit| unit != 0).collect();
    String::from_utf16_lossy(&name)
}

impl Read for Partition<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.room(buffer.len());
        let count = self
            .disk
            .read_at(&mut buffer[..count], self.start + self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Write for Partition<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.room(buffer.len());
        let count = self
            .disk
            .write_at(&buffer[..count], self.start + self.position)?;
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Partition<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
