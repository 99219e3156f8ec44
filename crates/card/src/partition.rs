//! A partition, accessed like a file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::gpt::{GptError, SECTOR, Table, reader_of_file};

/// A partition of a raw disk: reads and writes stay within it.
#[derive(Debug)]
pub struct Partition<'f> {
    disk: &'f File,
    start: u64,
    length: u64,
    position: u64,
}

impl<'f> Partition<'f> {
    /// The partition with the name `name` in the disk's table.
    pub fn named(disk: &'f File, name: &str) -> Result<Self, GptError> {
        // The size comes from the table, because a block device has no length in the file system.
        let bytes = (&*disk).seek(SeekFrom::End(0))?;
        let table = Table::read(&reader_of_file(disk), bytes / SECTOR)?;
        let place = table.partition(name)?;
        Ok(Self {
            disk,
            start: place.start,
            length: place.end - place.start,
            position: 0,
        })
    }

    /// Its position on the disk, in bytes.
    pub fn place(&self) -> Range<u64> {
        self.start..self.start + self.length
    }

    fn room(&self, wanted: usize) -> usize {
        usize::try_from(self.length.saturating_sub(self.position))
            .map_or(wanted, |rest| wanted.min(rest))
    }
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
