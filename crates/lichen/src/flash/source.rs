//! The image that is written: `.img`, or `.img.zst` unpacked on the way, never onto a disk in between.
//!
//! It is read whole once before anything is written: then its SHA-256 is known to be the one that was published
//! beside it, a damaged archive has shown itself, and the size is known.

use super::buffer::Buffer;
use super::progress::Progress;
use crate::failure::Hint;
use crate::hash::hex;
use anyhow::{Context, Result};
use card::{SECTOR, Table, reader_of_bytes};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// How much is read and written at once: a multiple of what cards erase at once.
pub const CHUNK: usize = 4 << 20;
/// The partition table is in this many bytes at the beginning of an image.
const HEAD: usize = 64 << 10;

/// A complete image of an appliance.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    /// The size of the image, unpacked.
    pub size: u64,
}

impl Source {
    /// Reads the whole image, and refuses one that is damaged, is not the published one, or is not of an appliance.
    pub fn open(path: &Path, progress: &Progress) -> Result<Self> {
        let name = path.display();
        let published = published_sha256(path)?;
        let mut source = Source {
            path: path.to_owned(),
            size: 0,
        };
        let mut hash = Hashing {
            file: File::open(path).with_context(|| format!("cannot read {name}"))?,
            hash: Sha256::new(),
        };
        let mut head = Vec::new();
        let mut progress = progress.begin("checking the image", None);
        let mut reader = unpacked(path, &mut hash)?;
        let mut chunk = Buffer::new(CHUNK);
        loop {
            let n = fill(&mut reader, &mut chunk)
                .with_context(|| format!("{name} is damaged"))
                .hint("download it again; nothing was written")?;
            if head.is_empty() {
                head = chunk[..n.min(HEAD)].to_vec();
            }
            source.size += n as u64;
            progress.step(source.size)?;
            if n < CHUNK {
                break;
            }
        }
        drop(reader);
        if let Some((file, published)) = published {
            let found = hash
                .finish()
                .with_context(|| format!("cannot read {name}"))?;
            if found != published {
                crate::fail!(
                    hint: "download both again; nothing was written",
                    "{name} does not match {}: its SHA-256 is {found}, not {published}", file.display()
                );
            }
        }
        let table = Table::read(&reader_of_bytes(&head), source.size / SECTOR);
        let found = table.and_then(|table| {
            let partitions = ["BOOT", "DATA"].map(|name| table.partition(name));
            partitions.into_iter().try_for_each(|found| found.map(drop))
        });
        if let Err(error) = found {
            crate::fail!(
                hint: "./lichen build APPLIANCE makes one and prints its path",
                "{name} is not an image of an appliance: {error}"
            );
        }
        if !source.size.is_multiple_of(SECTOR) {
            crate::fail!(hint: "download it again; nothing was written", "{name} is incomplete: {} bytes are not a whole number of sectors", source.size);
        }
        Ok(source)
    }

    /// Hands over the image chunk by chunk, each with its place in it.
    pub fn chunks(&self, mut take: impl FnMut(u64, &Buffer, usize) -> Result<()>) -> Result<()> {
        let context = || format!("cannot read {}", self.path.display());
        let file = File::open(&self.path).with_context(context)?;
        let mut reader = unpacked(&self.path, file)?;
        let mut chunk = Buffer::new(CHUNK);
        let mut at = 0;
        while at < self.size {
            let n = fill(&mut reader, &mut chunk).with_context(context)?;
            if n == 0 {
                crate::fail!(hint: "do not change the image while it is being written", "{} became shorter while it was being written", self.path.display());
            }
            take(at, &chunk, n)?;
            at += n as u64;
        }
        Ok(())
    }
}

/// The image's bytes.
fn unpacked<'a>(path: &Path, file: impl Read + 'a) -> Result<Box<dyn Read + 'a>> {
    if path.extension().is_some_and(|e| e == "zst") {
        let decoder = zstd::Decoder::new(file).context("cannot set up zstd")?;
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(file))
}

/// As many bytes as fit, unless the end comes before.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The SHA-256 that lies beside the image, in `IMAGE.sha256` or in `sha256sums`, and in which of them.
fn published_sha256(image: &Path) -> Result<Option<(PathBuf, String)>> {
    let name = image
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    for file in [format!("{name}.sha256"), "sha256sums".into()] {
        let file = image.with_file_name(file);
        let lines = match File::open(&file) {
            Ok(open) => BufReader::new(open).lines(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", file.display()));
            }
        };
        for line in lines {
            let line = line.with_context(|| format!("cannot read {}", file.display()))?;
            // As sha256sum writes it; a file about one image may leave the name out.
            let mut words = line.split_whitespace();
            let sha256 = words.next().unwrap_or_default().to_ascii_lowercase();
            let about = words
                .next()
                .map_or(name.as_str(), |word| word.trim_start_matches('*'));
            if about == name && sha256.len() == 64 {
                return Ok(Some((file, sha256)));
            }
        }
    }
    Ok(None)
}

/// Hashes what is read through it.
struct Hashing {
    file: File,
    hash: Sha256,
}

impl Hashing {
    /// The hash of the whole file, also of what nobody has read yet.
    fn finish(mut self) -> io::Result<String> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(hex(&self.hash.finalize()))
    }
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.hash.update(&buffer[..n]);
        Ok(n)
    }
}
